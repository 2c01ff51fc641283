-- Accept a run. Idempotent by run id, and by idempotency key where there is one.
-- ARGV: run id, fingerprint, hash of the idempotency key ('' none), ms that a further key of a known run is kept, state, stage,
--       stage budget ms, run deadline ms, document, parent ('' none), number of journal entries, their keys and values,
--       event bodies...
-- Answer: {'new' | 'same' | what is taken by other content: 'idempotency_key' or 'run_id', run id, now}
local id, fingerprint, idem, idem_ms, state, stage, stage_ms, deadline, document, parent, entries = unpack(ARGV, 1, 11)

local function known(run, kept, by) return {kept == fingerprint and 'same' or by, run, clock()} end
if idem ~= '' then
  local kept = redis.call('GET', 'prolight:idem:' .. idem)
  if kept then
    local run, print = string.match(kept, '^(%S+) (%S+)$')
    return known(run, print, 'idempotency_key')
  end
end
local kept = redis.call('HGET', run_key(id), 'fingerprint')
if kept then
  if idem ~= '' and kept == fingerprint then redis.call('SET', 'prolight:idem:' .. idem, id .. ' ' .. fingerprint, 'PX', idem_ms) end
  return known(id, kept, 'run_id')
end
if redis.call('EXISTS', 'prolight:events:' .. id) == 1 then return {'run_id', id, clock()} end  -- mirrored from elsewhere

local now = clock()
if idem ~= '' then redis.call('SET', 'prolight:idem:' .. idem, id .. ' ' .. fingerprint) end
local before_events = 11 + 2 * entries
local seq = #ARGV - before_events
redis.call('HSET', run_key(id), 'ver', 1, 'epoch', 0, 'seq', seq, 'state', state, 'stage', stage, 'claim', '', 'owner', '',
  'attempt', 0, 'crashes', 0, 'created', now, 'fingerprint', fingerprint, 'hard_stop', 0, 'deadline', deadline,
  'stage_ms', stage_ms, 'stage_deadline', 0, 'backs_off', 0, 'idem', idem, 'document', document)
for i = 12, before_events, 2 do redis.call('HSET', 'prolight:journal:' .. id, ARGV[i], ARGV[i + 1]) end
if parent ~= '' and redis.call('EXISTS', run_key(parent)) == 1 then redis.call('HSET', run_key(parent), 'child', id) end
redis.call('ZADD', 'prolight:runs', now, id)
make_ready(id, stage, now, tonumber(deadline), 0, now)
for i = 1, seq do tell(id, i, 0, now, ARGV[before_events + i]) end
ring(stage)
return {'new', id, now}
