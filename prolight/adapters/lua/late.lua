-- Keep results that came after their claim had ended. The first one of a try stays; no document and no event changes.
-- A run that was redriven meanwhile hands them on to its child.
-- ARGV: run id, then journal key and entry in turn
-- Answer: {now}
local id = ARGV[1]
while id and redis.call('EXISTS', run_key(id)) == 1 do
  local journal = 'prolight:journal:' .. id
  for i = 2, #ARGV, 2 do redis.call('HSETNX', journal, ARGV[i], ARGV[i + 1]) end
  local left = redis.call('PTTL', run_key(id))
  if left > 0 then redis.call('PEXPIRE', journal, left) end
  id = redis.call('HGET', run_key(id), 'child')
end
return {glance_at_clock()}
