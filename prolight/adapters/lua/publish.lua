-- Tell of what no commit tells of: a note on a run of this store, or an event of a run that works elsewhere.
-- ARGV: run id, seq (0 = a note: the next one), event or, for a note, its body, ms that a mirrored stream is kept,
--       op id of a note
-- Answer: {'new' | 'known' | 'gone' | 'elsewhere' | 'ended' | 'own' | 'behind' | 'other', seq, now}
local id, seq, text, keep, op = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local stream = 'prolight:events:' .. id
local r = redis.call('HMGET', run_key(id), 'seq', 'epoch')
local last = tonumber(r[1] or 0)

if seq == 0 then
  local told = redis.call('GET', 'prolight:op:' .. op)
  if told then return {'new', tonumber(told), glance_at_clock()} end
  if not r[1] then return {redis.call('EXISTS', stream) == 1 and 'elsewhere' or 'gone', 0, glance_at_clock()} end
  if redis.call('ZSCORE', 'prolight:ended', id) then return {'ended', last, glance_at_clock()} end
  local now = clock()
  redis.call('HSET', run_key(id), 'seq', last + 1)
  redis.call('SET', 'prolight:op:' .. op, last + 1, 'PX', OP_KEPT)
  tell(id, last + 1, tonumber(r[2]), now, text)
  return {'new', last + 1, now}
end

if r[1] then return {seq <= last and 'known' or 'own', last, glance_at_clock()} end
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
last = newest[1] and tonumber(string.match(newest[1][1], '^(%d+)')) or 0
if seq <= last then
  local kept = redis.call('XRANGE', stream, seq .. '-0', seq .. '-0')[1]
  return {not kept and 'behind' or kept[2][2] == text and 'known' or 'other', last, glance_at_clock()}
end
redis.call('XADD', stream, seq .. '-0', 'e', text)
redis.call('PEXPIRE', stream, keep)
redis.call('PUBLISH', 'prolight:events', text)
redis.call('PUBLISH', stream, text)
return {'new', seq, glance_at_clock()}
