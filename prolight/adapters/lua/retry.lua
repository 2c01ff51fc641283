-- Take one retry out of the budget of a dependency. Of the firsts, only what surely is within the window counts; of the
-- retries, all that may be.
-- ARGV: dependency, share of the first tries, burst, window ms
-- Answer: {now, ms until there may be one (0: taken), until when the dependency cools (0: it does not)}
local dependency, share, burst, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clock()
local cools = cooling(dependency)
if cools > now then return {now, cools - now, cools} end

local slice = slice_of(now, window)
local firsts, retries, oldest = 0, 0, slice
for past = slice, slice - SLICES, -1 do
  local count = tries_counted('retries', dependency, past)
  retries = retries + count
  if count > 0 then oldest = past end
  if past > slice - SLICES then firsts = firsts + tries_counted('firsts', dependency, past) end
end
if retries + 1 > burst + share * firsts then
  return {now, (oldest + SLICES + 1) * math.floor(window / SLICES) - now, 0}
end
count_tries('retries', dependency, 1, now, window)
return {now, 0, 0}
