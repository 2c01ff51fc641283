-- Look at what is due. Every entry is scored anew first, so a sweeper that dies here loses nothing.
-- Runs that only need a worker go back into `ready`; those that need a decision are answered.
-- ARGV: lease ms, most entries, crashes to poison, a process that retires ('' none)
-- Answer: {now, ms until the next look is wanted, {overdue run ids}, {poisoned run ids}, {ids of batches that want a round}}
local lease, most, to_poison, retiring = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local DEATH_AFTER = 1000      -- nobody listens on a process's channel for so long: it is dead
local DECIDE_WITHIN = 2000    -- a decision that was asked for and not made is asked for again
local now = clock()
local again, overdue, poisoned, batches = 60000, {}, {}, {}

-- The store stood still: a new server, or nobody swept. Then healthy claims look expired, and get a lease to show themselves.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local c = redis.call('HMGET', 'prolight:clock', 'server', 'swept', 'hold_deaths', 'hold_leases')
local hold_deaths, hold_leases = tonumber(c[3] or 0), tonumber(c[4] or 0)
if c[1] and c[1] ~= server then
  hold_deaths, hold_leases = now + lease, now + lease
elseif c[2] and now - tonumber(c[2]) > math.max(lease / 4, 3000) then
  hold_leases = now + lease
end
redis.call('HSET', 'prolight:clock', 'server', server, 'swept', now, 'hold_deaths', hold_deaths, 'hold_leases', hold_leases)

local function decide_later(list, id)
  redis.call('ZADD', 'prolight:due', now + DECIDE_WITHIN, due_entry(id))
  list[#list + 1] = id
end

-- Nobody holds it (any more): claimable, or in need of a decision.
local function place(id, r)
  local stage, created, deadline, stage_deadline = r[2], r[6], tonumber(r[3] or 0), tonumber(r[4] or 0)
  local stop = nearest(deadline, stage_deadline)
  if stage == '' or (stop and stop <= now) then decide_later(overdue, id)
  elseif tonumber(r[7] or 0) >= to_poison then decide_later(poisoned, id)
  else make_ready(id, stage, created, deadline, stage_deadline, now) end
end

local function fields(id)
  return redis.call('HMGET', run_key(id), 'claim', 'stage', 'deadline', 'stage_deadline', 'owner', 'created', 'crashes', 'hard_stop')
end

-- A claim ended without a word: that counts as a crash.
local function end_claim(id, r, crashed)
  redis.call('HSET', run_key(id), 'claim', '', 'owner', '', 'hard_stop', 0)
  redis.call('HDEL', 'prolight:claims:' .. r[5], id)
  if crashed then
    r[7] = redis.call('HINCRBY', run_key(id), 'crashes', 1)
    redis.call('HSET', run_key(id), 'crashed', (redis.call('HGET', run_key(id), 'crashed') or '') .. r[1] .. ' ')
  end
  place(id, r)
end

local function bury(process, crashed)
  local held = redis.call('HGETALL', 'prolight:claims:' .. process)
  for i = 1, #held, 2 do
    local r = fields(held[i])
    if r[1] == held[i + 1] and r[5] == process then end_claim(held[i], r, crashed) end
  end
  redis.call('DEL', 'prolight:claims:' .. process)
  redis.call('HDEL', 'prolight:processes', process)
  redis.call('HDEL', 'prolight:absent', process)
end

-- Who died: the kernel closed its connection, so nobody listens on its channel.
local slots = {plan = 0, critique = 0, execute = 0}
local function count_slots(described)
  for _, stage in ipairs(described.stages) do slots[stage] = (slots[stage] or 0) + described.slots end
end
if retiring ~= '' then bury(retiring, false) end
local processes = redis.call('HGETALL', 'prolight:processes')
for i = 1, #processes, 2 do
  local process = processes[i]
  if redis.call('PUBSUB', 'NUMSUB', 'prolight:process:' .. process)[2] > 0 then
    redis.call('HDEL', 'prolight:absent', process)
    count_slots(cjson.decode(processes[i + 1]))
  else
    local since = tonumber(redis.call('HGET', 'prolight:absent', process) or now)
    if since == now then redis.call('HSET', 'prolight:absent', process, now) end
    local verdict = math.max(since + DEATH_AFTER, hold_deaths)
    if verdict <= now then bury(process, true) else again = math.min(again, verdict - now) end
  end
end
for stage, n in pairs(slots) do redis.call('HSET', 'prolight:slots', stage, n) end

-- What is due.
local function look_at_run(entry)
  local id = string.sub(entry, 5)
  local r = fields(id)
  local hard_stop = tonumber(r[8] or 0)
  if not r[6] then redis.call('ZREM', 'prolight:due', entry)
  elseif r[1] == '' then place(id, r)
  elseif hard_stop > 0 and hard_stop <= now then decide_later(overdue, id)
  elseif hold_leases > now then redis.call('ZADD', 'prolight:due', hold_leases, entry)
  else end_claim(id, r, true) end
end
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', 'prolight:due', '-inf', now, 'LIMIT', 0, most)) do
  local batch = string.match(entry, '^batch:(.+)$')
  if not batch then look_at_run(entry)
  elseif redis.call('EXISTS', 'prolight:batch:' .. batch) == 0 then redis.call('ZREM', 'prolight:due', entry)
  else
    redis.call('ZADD', 'prolight:due', now + DECIDE_WITHIN, entry)
    batches[#batches + 1] = batch
  end
end

-- What is expired leaves the index. Keys expire by the host's clock, which may lag behind ours.
local expired = redis.call('ZRANGEBYSCORE', 'prolight:ended', '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(expired) do
  if redis.call('EXISTS', run_key(id)) == 1 then redis.call('ZADD', 'prolight:ended', now + LOOK_AGAIN, id)
  else redis.call('ZREM', 'prolight:ended', id); redis.call('ZREM', 'prolight:runs', id) end
end
if #expired == most then again = 0 end

for stage in pairs(slots) do ring(stage) end
local next_due = redis.call('ZRANGE', 'prolight:due', 0, 0, 'WITHSCORES')
if next_due[2] then again = math.min(again, math.max(0, tonumber(next_due[2]) - now)) end
return {now, again, overdue, poisoned, batches}
