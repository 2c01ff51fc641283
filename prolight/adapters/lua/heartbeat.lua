-- A process is alive, and so are these claims of its. An expired lease that nobody took is revived; a crash of a claim that was
-- taken is taken back.
-- ARGV: process, its description (JSON without 'beat'), lease ms, which life of the store it knows ('' none), then run id
--       and claim id in turn
-- Answer: {now, which life of the store this is, run ids that are lost or being cancelled...}
local process, described, lease, known = unpack(ARGV, 1, 4)
local now = clock()
local born = redis.call('HGET', 'prolight:store', 'born')
if not born then
  born = now .. ' ' .. process
  redis.call('HSET', 'prolight:store', 'born', born)
end
if known ~= '' and known ~= born then redis.call('HSET', 'prolight:store', 'emptied', now) end
local answer = {now, born}
redis.call('HSET', 'prolight:processes', process, string.format('{"beat":%d,', now) .. string.sub(described, 2))
for i = 5, #ARGV, 2 do
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
