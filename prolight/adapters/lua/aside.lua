-- What lay in a queue and is no bell: count it by reason, keep the newest.
-- ARGV: how many are kept, for how long (ms), number of reasons, then reason and count in turn, then entries (JSON)
-- Answer: {now}
local kept, expires, reasons = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
for i = 4, 2 + 2 * reasons, 2 do redis.call('HINCRBY', 'prolight:aside:counts', ARGV[i], ARGV[i + 1]) end
for i = 4 + 2 * reasons, #ARGV do redis.call('LPUSH', 'prolight:aside', ARGV[i]) end
redis.call('LTRIM', 'prolight:aside', 0, kept - 1)
redis.call('PEXPIRE', 'prolight:aside:counts', expires)
redis.call('PEXPIRE', 'prolight:aside', expires)
return {glance_at_clock()}
