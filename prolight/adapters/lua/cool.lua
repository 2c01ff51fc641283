-- A dependency asks all workers for a pause. A longer one that runs already stays.
-- ARGV: dependency, ms
-- Answer: {now, until}
local dependency, now = ARGV[1], clock()
local before, asked = cooling(dependency), now + math.max(1, tonumber(ARGV[2]))
if asked > before then redis.call('SET', 'prolight:cool:' .. dependency, asked, 'PX', asked - now) end
return {now, math.max(before, asked)}
