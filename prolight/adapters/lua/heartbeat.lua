-- A process is alive, and so are these claims of its. An expired lease that nobody took is revived; a crash of a claim that was
-- taken is taken back.
-- ARGV: process, its description (JSON without 'beat'), lease ms, then run id and claim id in turn
-- Answer: {now, run ids that are lost or being cancelled...}
local process, described, lease = unpack(ARGV, 1, 3)
local now = clock()
local answer = {now}
redis.call('HSET', 'prolight:processes', process, string.format('{"beat":%d,', now) .. string.sub(described, 2))
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local r = redis.call('HMGET', run_key(id), 'claim', 'hard_stop', 'owner', 'state')
  if r[1] == ARGV[i + 1] and r[3] == process then
    redis.call('ZADD', 'prolight:due', math.min(now + lease, tonumber(r[2])), due_entry(id))
    if r[4] == 'CANCELLING' then answer[#answer + 1] = id end
  else
    take_crash_back(id, ARGV[i + 1])
    answer[#answer + 1] = id
  end
end
return answer
