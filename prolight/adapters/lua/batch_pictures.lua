-- Keep a part of a batch's list, before the batch itself. What no batch follows goes by itself.
-- ARGV: batch id, ms until then, number and picture (JSON) in turn
-- Answer: {now}
local key = 'prolight:pictures:' .. ARGV[1]
for i = 3, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
if redis.call('EXISTS', 'prolight:batch:' .. ARGV[1]) == 0 then redis.call('PEXPIRE', key, ARGV[2]) end
return {glance_at_clock()}
