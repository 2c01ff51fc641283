-- Carry one decision out, whole or not at all. No rule lives here: Python decided, from what it read.
-- ARGV: run id, ver and claim id as they were read, op id, by ('holder' | 'client'), place ('held' | 'queued' | 'parked' |
--       'ended'), ms (back-off, time parked, or retention), state, stage ('' = nobody may claim), stage budget ms ('' = the
--       running one), run deadline ms (0 = none), progress ('1' | ''), document, number of journal entries, their keys and
--       values, event bodies...
-- Answer: {'ok' | 'conflict' | 'lost' | 'gone', ver, seq, now}
local id, ver, claim, op, by, place, ms, state, stage, stage_ms, deadline, progress, document, entries = unpack(ARGV, 1, 14)
local key = run_key(id)
local r = redis.call('HMGET', key, 'ver', 'claim', 'owner', 'epoch', 'seq', 'created', 'stage_deadline', 'op', 'op_ver', 'document')
local owner, epoch, seq, created, stage_deadline = r[3], tonumber(r[4]), tonumber(r[5] or 0), r[6], tonumber(r[7] or 0)

local function answered(kept) return {'ok', tonumber(kept), seq, clock()} end
if not r[10] then return {'gone', 0, 0, clock()} end
if by == 'holder' and r[8] == op then return answered(r[9]) end
if by == 'client' then
  local kept = redis.call('GET', 'prolight:op:' .. op)
  if kept then return answered(kept) end
end
if r[2] ~= claim then return {by == 'holder' and 'lost' or 'conflict', tonumber(r[1]), seq, clock()} end
if r[1] ~= ver then return {'conflict', tonumber(r[1]), seq, clock()} end

local now = clock()
ms, deadline, ver = tonumber(ms), tonumber(deadline), ver + 1
local first_event = 15 + 2 * entries

redis.call('HSET', key, 'ver', ver, 'state', state, 'stage', stage, 'deadline', deadline, 'document', document,
  'seq', seq + #ARGV - first_event + 1)
if by == 'holder' then redis.call('HSET', key, 'op', op, 'op_ver', ver)
else redis.call('SET', 'prolight:op:' .. op, ver, 'PX', OP_KEPT) end
if progress == '1' then redis.call('HSET', key, 'crashes', 0) end
if stage_ms ~= '' then
  stage_deadline = 0
  redis.call('HSET', key, 'stage_ms', stage_ms, 'stage_deadline', 0, 'attempt', 0, 'crashes', 0)
end
for i = 15, first_event - 1, 2 do redis.call('HSET', 'prolight:journal:' .. id, ARGV[i], ARGV[i + 1]) end
for i = first_event, #ARGV do tell(id, seq + i - first_event + 1, epoch, now, ARGV[i]) end

if place ~= 'held' then
  redis.call('HSET', key, 'claim', '', 'owner', '', 'hard_stop', 0)
  if owner ~= '' then redis.call('HDEL', 'prolight:claims:' .. owner, id) end
elseif by == 'client' then
  redis.call('PUBLISH', 'prolight:process:' .. owner, id)
end
if place == 'queued' then
  if ms == 0 then make_ready(id, stage, created, deadline, stage_deadline, now)
  else redis.call('ZADD', 'prolight:due', nearest(now + ms, deadline, stage_deadline), due_entry(id)) end
  ring(stage)
else
  if place ~= 'held' then
    for _, name in ipairs({'plan', 'critique', 'execute'}) do redis.call('ZREM', 'prolight:ready:' .. name, id) end
  end
  if place == 'parked' then redis.call('ZADD', 'prolight:due', now + ms, due_entry(id)) end
  if place == 'ended' then
    redis.call('ZREM', 'prolight:due', due_entry(id))
    for _, kind in ipairs({'run:', 'journal:', 'events:'}) do redis.call('PEXPIRE', 'prolight:' .. kind .. id, ms) end
  end
end
return {'ok', ver, seq + #ARGV - first_event + 1, now}
