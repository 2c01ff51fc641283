-- Take up to `count` heads of ready:<stage> for a process. Asked again (the answer was lost): the same ones.
-- ARGV: stage, count, claim id, process, lease ms, asked again ('1' | '')
-- Answer: {now, {run id, view, journal}...}
local stage, count, claim, process, lease, again = unpack(ARGV)
local now = clock()
local claims = 'prolight:claims:' .. process
local answer = {now}

local function give(id) answer[#answer + 1] = {id, view(id), redis.call('HGETALL', 'prolight:journal:' .. id)} end

if again == '1' then
  local held = redis.call('HGETALL', claims)
  for i = 1, #held, 2 do
    if held[i + 1] == claim then give(held[i]) end
  end
  if #answer > 1 then return answer end
end

if redis.call('HEXISTS', 'prolight:paused', stage) == 1 then return answer end
local heads = redis.call('ZPOPMIN', 'prolight:ready:' .. stage, count)
for i = 1, #heads, 2 do
  local id = heads[i]
  local r = redis.call('HMGET', run_key(id), 'stage', 'claim', 'epoch', 'attempt', 'deadline', 'stage_deadline', 'stage_ms')
  local n = numbers(r)
  local epoch, attempt, deadline, stage_deadline, stage_ms = n[3], n[4], n[5], n[6], n[7]
  if stage_deadline == 0 then stage_deadline = now + stage_ms end
  local hard_stop = nearest(deadline, stage_deadline)
  -- Anything else in `ready` is a leftover: the due set looks after it.
  if r[1] == stage and r[2] == '' then
    if hard_stop <= now then
      redis.call('ZADD', 'prolight:due', now, due_entry(id))
    else
      redis.call('HSET', run_key(id), 'epoch', epoch + 1, 'attempt', attempt + 1, 'claim', claim, 'owner', process,
        'stage_deadline', stage_deadline, 'hard_stop', hard_stop)
      redis.call('HSET', claims, id, claim)
      redis.call('ZADD', 'prolight:due', math.min(now + lease, hard_stop), due_entry(id))
      give(id)
    end
  end
end
ring(stage)
return answer
