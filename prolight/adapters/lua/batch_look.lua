-- How a batch and its open pictures stand. Writes nothing. ARGV: batch id, most runs that are over
-- Answer: {now, ver ('' no such batch), document, number of open pictures, how many wait for a person,
--          {number, ms at which it was opened...} of those that have no run, {number, document of its run...} of those that are over}
local id, most = ARGV[1], tonumber(ARGV[2])
local b = redis.call('HMGET', 'prolight:batch:' .. id, 'ver', 'document')
local open, waiting, missing, over = redis.call('HGETALL', 'prolight:open:' .. id), 0, {}, {}
for i = 1, #open, 2 do
  local number = open[i]
  local run = id .. '.' .. number
  local stage = redis.call('HGET', run_key(run), 'stage')
  if not stage then
    missing[#missing + 1] = number
    missing[#missing + 1] = open[i + 1]
  elseif redis.call('ZSCORE', 'prolight:ended', run) then
    if #over < 2 * most then
      over[#over + 1] = number
      over[#over + 1] = redis.call('HGET', run_key(run), 'document')
    end
  elseif stage == '' then waiting = waiting + 1 end
end
return {glance_at_clock(), b[1] or '', b[2] or '', #open / 2, waiting, missing, over}
