-- Carry out a round of a batch, whole or not at all.
-- ARGV: batch id, ver as it was read, ms until the next look ('' = it is over), ms that it is kept then, document,
--       number of closed pictures, their numbers and results (JSON), numbers of opened pictures...
-- Answer: {now, 'ok' | 'conflict'}
local id, ver, look_ms, keep_ms, document, closed = unpack(ARGV, 1, 6)
local now = clock()
if redis.call('HGET', 'prolight:batch:' .. id, 'ver') ~= ver then return {now, 'conflict'} end
redis.call('HSET', 'prolight:batch:' .. id, 'ver', ver + 1, 'document', document)
for i = 7, 6 + 2 * closed, 2 do
  redis.call('HDEL', 'prolight:open:' .. id, ARGV[i])
  redis.call('HSET', 'prolight:results:' .. id, ARGV[i], ARGV[i + 1])
end
for i = 7 + 2 * closed, #ARGV do redis.call('HSET', 'prolight:open:' .. id, ARGV[i], now) end
if look_ms ~= '' then
  redis.call('ZADD', 'prolight:due', now + look_ms, 'batch:' .. id)
else
  redis.call('ZREM', 'prolight:due', 'batch:' .. id)
  for _, kind in ipairs({'batch:', 'pictures:', 'open:', 'results:'}) do redis.call('PEXPIRE', 'prolight:' .. kind .. id, keep_ms) end
end
return {now, 'ok'}
