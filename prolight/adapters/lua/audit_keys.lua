-- What the store knows of keys that are no run's own. Writes nothing. ARGV: keys
-- Answer: {now, {key, ms left (-1 for ever, -2 none), whose}...}; whose: of prolight:idem, {run id, its state ('' none)};
--         of prolight:claims, {process known, ids of runs that this process does not hold...}; else {}
local answer = {glance_at_clock()}

local function whose(key)
  if string.sub(key, 1, 14) == 'prolight:idem:' then
    local id = string.match(redis.call('GET', key) or '', '^(%S+)') or ''
    return {id, redis.call('HGET', run_key(id), 'state') or ''}
  end
  local process = string.match(key, '^prolight:claims:(.+)$')
  if not process then return {} end
  local found, held = {redis.call('HEXISTS', 'prolight:processes', process)}, redis.call('HGETALL', key)
  for i = 1, #held, 2 do
    local r = redis.call('HMGET', run_key(held[i]), 'claim', 'owner')
    if r[1] ~= held[i + 1] or r[2] ~= process then found[#found + 1] = held[i] end
  end
  return found
end

for i = 1, #ARGV do answer[#answer + 1] = {ARGV[i], redis.call('PTTL', ARGV[i]), whose(ARGV[i])} end
return answer
