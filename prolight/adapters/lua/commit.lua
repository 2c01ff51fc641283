-- Carry one decision out, whole or not at all. No rule lives here: Python decided, from what it read.
-- ARGV: run id, ver, claim id and crashes as they were read, op id, by ('holder' | 'client' | 'restore' = a client, and epochs that may
--       have been given out before the store went back to an older state are left out), place ('held' | 'queued' |
--       'crashed' = queued, and this end of the claim counts as a crash | 'parked' | 'ended'), ms (back-off, time parked,
--       or retention), state, stage ('' = nobody may claim), stage budget ms ('' = the running one), run deadline ms
--       (0 = none), progress ('1' | ''), valid until ms (0 = always), document, number of journal entries, their keys and
--       values, number of dependencies that are called once this is written, window ms, their names and numbers of first
--       tries, event bodies...
-- Answer: {'ok' | 'conflict' | 'late' | 'lost' | 'gone', ver, seq, now, {until when each of those dependencies cools (0: it does not)}}
local id, ver, claim, crashes, op, by, place, ms, state, stage, stage_ms, deadline, progress, valid_until, document, entries = unpack(ARGV, 1, 16)
local EPOCHS_LEFT_OUT = 1000000
local restores = by == 'restore'
if restores then by = 'client' end
local key = run_key(id)
local r = redis.call('HMGET', key, 'ver', 'claim', 'owner', 'epoch', 'seq', 'created', 'stage_deadline', 'document', 'crashes')
local owner, epoch, seq, created, stage_deadline = r[3], tonumber(r[4]), tonumber(r[5] or 0), r[6], tonumber(r[7] or 0)

-- The version that this very write made earlier, if it did. Each of the last claims has a place for its last write.
local function made_before()
  if by == 'client' then return redis.call('GET', 'prolight:op:' .. op) end
  for place = 0, CLAIMS_KEPT - 1 do
    local kept = redis.call('HMGET', key, 'op' .. place, 'op_ver' .. place)
    if kept[1] == op then return kept[2] end
  end
end
local first_ask = 19 + 2 * entries
local last_ask = first_ask - 1 + 2 * ARGV[first_ask - 2]

local function answer(how, ver, seq, now)
  local pauses = {}
  if how == 'ok' then for i = first_ask, last_ask, 2 do pauses[#pauses + 1] = cooling(ARGV[i]) end end
  return {how, ver, seq, now, pauses}
end
if not r[8] then return answer('gone', 0, 0, clock()) end
local lost = by == 'holder' and (claim == '' or r[2] ~= claim)
if lost or r[1] ~= ver or r[2] ~= claim then
  local before = made_before()
  if before then return answer('ok', tonumber(before), seq, clock()) end
  if lost then take_crash_back(id, claim) end
  return answer(lost and 'lost' or 'conflict', tonumber(r[1]), seq, clock())
end
-- A crash that is taken back leaves `ver` as it is: who would convict for it has to look again.
if by ~= 'holder' and r[9] ~= crashes then return answer('conflict', tonumber(r[1]), seq, clock()) end

local now = clock()
if tonumber(valid_until) > 0 and now >= tonumber(valid_until) then return answer('late', ver, seq, now) end
ms, deadline, ver = tonumber(ms), tonumber(deadline), ver + 1
local first_event = last_ask + 1

redis.call('HSET', key, 'ver', ver, 'state', state, 'stage', stage, 'deadline', deadline, 'document', document,
  'seq', seq + #ARGV - first_event + 1)
if restores then
  epoch = epoch + EPOCHS_LEFT_OUT
  redis.call('HSET', key, 'epoch', epoch)
end
if by == 'holder' then redis.call('HSET', key, 'op' .. epoch % CLAIMS_KEPT, op, 'op_ver' .. epoch % CLAIMS_KEPT, ver)
else redis.call('SET', 'prolight:op:' .. op, ver, 'PX', OP_KEPT) end
if progress == '1' then forget_crashes(id) end
if stage_ms ~= '' then
  stage_deadline = 0
  redis.call('HSET', key, 'stage_ms', stage_ms, 'stage_deadline', 0, 'attempt', 0)
  forget_crashes(id)
end
if place == 'crashed' then
  redis.call('HINCRBY', key, 'crashes', 1)
  place = 'queued'
end
for i = 17, first_ask - 3, 2 do redis.call('HSET', 'prolight:journal:' .. id, ARGV[i], ARGV[i + 1]) end
for i = first_ask, last_ask, 2 do
  if ARGV[i + 1] ~= '0' then count_tries('firsts', ARGV[i], tonumber(ARGV[i + 1]), now, tonumber(ARGV[first_ask - 1])) end
end
for i = first_event, #ARGV do tell(id, seq + i - first_event + 1, epoch, now, ARGV[i]) end

if place ~= 'held' then
  redis.call('HSET', key, 'claim', '', 'owner', '', 'hard_stop', 0, 'backs_off', place == 'queued' and ms > 0 and now + ms or 0)
  if owner ~= '' then
    redis.call('HDEL', 'prolight:claims:' .. owner, id)
    if by == 'client' then redis.call('PUBLISH', 'prolight:process:' .. owner, id) end
  else for _, name in ipairs({'plan', 'critique', 'execute'}) do redis.call('ZREM', 'prolight:ready:' .. name, id) end end
elseif by == 'client' then
  redis.call('PUBLISH', 'prolight:process:' .. owner, id)
end
if place == 'queued' then
  if ms == 0 then make_ready(id, stage, created, deadline, stage_deadline, now)
  else redis.call('ZADD', 'prolight:due', nearest(now + ms, deadline, stage_deadline), due_entry(id)) end
  ring(stage)
elseif place == 'parked' then
  redis.call('ZADD', 'prolight:due', now + ms, due_entry(id))
elseif place == 'ended' then
  redis.call('ZREM', 'prolight:due', due_entry(id))
  redis.call('ZADD', 'prolight:ended', now + ms, id)
  redis.call('PEXPIRE', 'prolight:idem:' .. (redis.call('HGET', key, 'idem') or ''), ms)
  for _, kind in ipairs({'run:', 'journal:', 'events:'}) do redis.call('PEXPIRE', 'prolight:' .. kind .. id, ms) end
  if by == 'client' then one_worker_hears('ended:' .. id) end  -- what a holder ended it tells Celery itself
end
return answer('ok', ver, seq + #ARGV - first_event + 1, now)
