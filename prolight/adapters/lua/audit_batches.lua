-- What the store knows of batches, each as it stands at this moment. Writes nothing. ARGV: batch ids
-- Answer: {now, {id, document, ver, due, ms left of batch, pictures, open and results (-1 for ever, -2 none),
--          number of pictures, of open ones, of results}...}. What there is not is ''.
local answer = {glance_at_clock()}
local KINDS = {'batch:', 'pictures:', 'open:', 'results:'}

for i = 1, #ARGV do
  local id = ARGV[i]
  local b = redis.call('HMGET', 'prolight:batch:' .. id, 'document', 'ver')
  local f = {id, b[1] or '', b[2] or '', redis.call('ZSCORE', 'prolight:due', 'batch:' .. id) or ''}
  for _, kind in ipairs(KINDS) do f[#f + 1] = redis.call('PTTL', 'prolight:' .. kind .. id) end
  for k = 2, #KINDS do f[#f + 1] = redis.call('HLEN', 'prolight:' .. KINDS[k] .. id) end
  answer[#answer + 1] = f
end
return answer
