-- Accept a batch whose list is kept, whole. Idempotent by its id.
-- ARGV: batch id, number of pictures, document, ms for which one that is over is kept
-- Answer: {now, 'new' | 'same' | 'incomplete'}
local id, total, document, keep_ms = unpack(ARGV, 1, 4)
local now = clock()
if redis.call('EXISTS', 'prolight:batch:' .. id) == 1 then return {now, 'same'} end
if redis.call('HLEN', 'prolight:pictures:' .. id) ~= tonumber(total) then return {now, 'incomplete'} end
redis.call('HSET', 'prolight:batch:' .. id, 'ver', 1, 'document', document)
redis.call('PERSIST', 'prolight:pictures:' .. id)
for _, old in ipairs(redis.call('ZRANGEBYSCORE', 'prolight:batches', '-inf', now - keep_ms, 'LIMIT', 0, 100)) do
  if redis.call('EXISTS', 'prolight:batch:' .. old) == 0 then redis.call('ZREM', 'prolight:batches', old) end
end
redis.call('ZADD', 'prolight:batches', now, id)
redis.call('ZADD', 'prolight:due', now, 'batch:' .. id)
return {now, 'new'}
