-- Stop new claims of some stages, or let them go on. What is worked on goes on either way.
-- ARGV: 'pause' | 'resume', JSON {by, reason} without its end, stages...
-- Answer: {now}
local now = clock()
for i = 3, #ARGV do
  if ARGV[1] == 'pause' then redis.call('HSET', 'prolight:paused', ARGV[i], string.format('%s,"at":%.3f}', ARGV[2], now / 1000))
  else
    redis.call('HDEL', 'prolight:paused', ARGV[i])
    ring(ARGV[i])
  end
end
return {now}
