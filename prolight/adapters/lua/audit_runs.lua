-- What the store knows of runs, each as it stands at this moment. Writes nothing.
-- ARGV: 'all' | 'gone' (only ids that are no run any more), run ids...
-- Answer: {now, {id, document, ver, state, stage, seq, claim, owner, crashes, deadline, stage deadline, back-off until,
--          due, {stages in whose `ready` it is}, listed, ended, ms left of run, journal and events (-1 for ever, -2 none),
--          events, id of the last, its claim as its process's list has it, process known, {started journal entries}}...}
-- What there is not is ''.
local answer = {glance_at_clock()}
local FIELDS = {'document', 'ver', 'state', 'stage', 'seq', 'claim', 'owner', 'crashes', 'deadline', 'stage_deadline', 'backs_off'}
local STARTED = '{"status":"started"'

local function facts(id)
  local f = {id}
  for _, value in ipairs(redis.call('HMGET', run_key(id), unpack(FIELDS))) do f[#f + 1] = value or '' end
  local claim_owner, journal, events = f[8], 'prolight:journal:' .. id, 'prolight:events:' .. id
  local ready, started = {}, {}
  for _, stage in ipairs({'plan', 'critique', 'execute'}) do
    if redis.call('ZSCORE', 'prolight:ready:' .. stage, id) then ready[#ready + 1] = stage end
  end
  for _, entry in ipairs(redis.call('HVALS', journal)) do
    if string.sub(entry, 1, #STARTED) == STARTED then started[#started + 1] = entry end
  end
  local last = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  for _, value in ipairs({
    redis.call('ZSCORE', 'prolight:due', due_entry(id)) or '', ready, redis.call('ZSCORE', 'prolight:runs', id) or '',
    redis.call('ZSCORE', 'prolight:ended', id) or '', redis.call('PTTL', run_key(id)), redis.call('PTTL', journal),
    redis.call('PTTL', events), redis.call('XLEN', events), last and last[1] or '',
    redis.call('HGET', 'prolight:claims:' .. claim_owner, id) or '', redis.call('HEXISTS', 'prolight:processes', claim_owner),
    started }) do f[#f + 1] = value end
  return f
end

for i = 2, #ARGV do
  if ARGV[1] == 'all' or redis.call('EXISTS', run_key(ARGV[i])) == 0 then answer[#answer + 1] = facts(ARGV[i]) end
end
return answer
