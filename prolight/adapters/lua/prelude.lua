-- Shared by all scripts: it stands before each of them. All times are milliseconds of the store's own clock.
--
-- prolight:run:<id>       hash   ver epoch seq state stage claim owner attempt crashes created document fingerprint idem child
--                                hard_stop deadline stage_ms stage_deadline backs_off op<n> op_ver<n>
--                                crashed (ids of the claims that count as crashes)  expires after the run ended
-- prolight:journal:<id>   hash   call key -> entry (JSON)                                  expires with the run
-- prolight:events:<id>    stream <seq>-0 -> e = event (JSON); the channel has the same name expires with the run
-- prolight:runs           zset   run id, by creation: the index that lists read
-- prolight:ended          zset   ids of finished runs, by the time at which they expire
-- prolight:due            zset   run:<id> or batch:<id>, by the time at which somebody must look at it
-- prolight:ready:<stage>  zset   run ids that a worker may claim now, in our order
-- prolight:processes      hash   process id -> JSON {slots, stages, beat, ...}
-- prolight:absent         hash   process id -> since when nobody listens on its channel
-- prolight:claims:<proc>  hash   run id -> claim id
-- prolight:paused         hash   stage -> JSON {by, reason, at}: nobody claims it
-- prolight:slots          hash   stage -> slots of the living processes
-- prolight:clock          hash   last offset swept server hold_deaths hold_leases
-- prolight:store          hash   artifacts: the identity of the artifact store that belongs to this store; born: its life,
--                                which ends when everything is lost; emptied: when a process last found that it had been
-- prolight:batch:<id>     hash   ver document                                              expires with its batch
-- prolight:pictures:<id>  hash   number -> picture of a batch (JSON)                       expires with its batch
-- prolight:open:<id>      hash   number -> since when this picture of a batch has a run    expires with its batch
-- prolight:results:<id>   hash   number -> how that run ended (JSON)                       expires with its batch
-- prolight:batches        zset   batch id, by creation
-- prolight:op:<op id>     string the answer to a client's write                            expires
-- prolight:idem:<hash>    string run id and fingerprint of an idempotency key              expires with the run
-- prolight:aside          list   what lay in a queue and is no bell, the newest (JSON)     expires
-- prolight:aside:counts   hash   reason -> how many were set aside                         expires
-- prolight:cool:<name>     string until when this dependency asks for a pause             expires
-- prolight:firsts:<name>   string how many calls to this dependency began, in one slice of time (:<n>) expires
-- prolight:retries:<name>  string how often one was tried again in it                      expires
-- prolight.<stage>        list   the Celery queue: bells

local LOOK_AGAIN = 60000      -- a waiting run is looked at this often, whatever happens
local OP_KEPT = 600000
local BELLS_AT_A_TIME = 1000  -- Lua unpacks no more than some thousand values
local CLAIMS_KEPT = 4         -- so many claims of a run can still ask for the answer to their last write

local function run_key(id) return 'prolight:run:' .. id end
local function due_entry(id) return 'run:' .. id end

-- The store's time, which never goes back: an offset absorbs a step of the host's clock.
local function clock_state()
  local t = redis.call('TIME')
  local kept = redis.call('HMGET', 'prolight:clock', 'last', 'offset')
  return t[1] * 1000 + math.floor(t[2] / 1000), tonumber(kept[1] or 0), tonumber(kept[2] or 0)
end

local function clock()
  local host, last, offset = clock_state()
  if host + offset < last then
    offset = last - host
    redis.call('HSET', 'prolight:clock', 'offset', offset)
  end
  redis.call('HSET', 'prolight:clock', 'last', host + offset)
  return host + offset
end

-- For those who only read: a write would cost an fsync.
local function glance_at_clock()
  local host, last, offset = clock_state()
  return math.max(host + offset, last)
end

-- A bell says "this stage has work" and names no run. Ring as many as runs wait, within the window.
local BELL = '{"body":"W1tdLHt9LHsiY2FsbGJhY2tzIjpudWxsLCJlcnJiYWNrcyI6bnVsbCwiY2hhaW4iOm51bGwsImNob3JkIjpudWxsfV0=",' ..
  '"content-encoding":"utf-8","content-type":"application/json","headers":{"lang":"py","task":"prolight.STAGE",' ..
  '"id":"bell","root_id":"bell","parent_id":null,"argsrepr":"()","kwargsrepr":"{}","retries":0,"eta":null,' ..
  '"expires":null,"timelimit":[null,null],"ignore_result":true},"properties":{"correlation_id":"bell",' ..
  '"delivery_mode":2,"delivery_info":{"exchange":"","routing_key":"prolight.STAGE"},"priority":0,' ..
  '"body_encoding":"base64","delivery_tag":"bell"}}'

local function ring(stage)
  if redis.call('HEXISTS', 'prolight:paused', stage) == 1 then return end
  local slots = tonumber(redis.call('HGET', 'prolight:slots', stage) or 0)
  local window = math.max(2, 2 * slots)
  local queue = 'prolight.' .. stage
  local missing = math.min(window, redis.call('ZCARD', 'prolight:ready:' .. stage)) - redis.call('LLEN', queue)
  if missing > 0 then
    local bells, bell = {}, string.gsub(BELL, 'STAGE', stage)
    for i = 1, missing do bells[i] = bell end
    for first = 1, missing, BELLS_AT_A_TIME do
      redis.call('LPUSH', queue, unpack(bells, first, math.min(missing, first + BELLS_AT_A_TIME - 1)))
    end
  end
end

-- An event is stored and published, byte for byte the same, with the next seq. `body` is {"type":...,"payload":...}.
local function tell(id, seq, epoch, now, body)
  local event = string.format('{"run_id":"%s","seq":%d,"epoch":%d,"at":%.3f,', id, seq, epoch, now / 1000) .. string.sub(body, 2)
  redis.call('XADD', 'prolight:events:' .. id, seq .. '-0', 'e', event)
  redis.call('PUBLISH', 'prolight:events', event)
  redis.call('PUBLISH', 'prolight:events:' .. id, event)
end

-- Any worker process that lives. Run ids hold no colon, so this is told apart from the id of a run to stop.
local function one_worker_hears(word)
  for _, process in ipairs(redis.call('HKEYS', 'prolight:processes')) do
    if redis.call('PUBLISH', 'prolight:process:' .. process, word) > 0 then return end
  end
end

local function nearest(...)
  local best = nil
  for _, moment in ipairs({...}) do
    if moment > 0 and (best == nil or moment < best) then best = moment end
  end
  return best
end

-- Claimable now: into `ready`, and looked at again before long.
local function make_ready(id, stage, created, deadline, stage_deadline, now)
  redis.call('ZADD', 'prolight:ready:' .. stage, created, id)
  redis.call('ZADD', 'prolight:due', nearest(now + LOOK_AGAIN, deadline, stage_deadline), due_entry(id))
end

-- A living process learns that its claim was taken: that was no crash. Once for each claim.
local function take_crash_back(id, claim)
  local crashed = redis.call('HGET', run_key(id), 'crashed') or ''
  local first, last = string.find(crashed, claim .. ' ', 1, true)
  if claim ~= '' and first then
    redis.call('HSET', run_key(id), 'crashed', string.sub(crashed, 1, first - 1) .. string.sub(crashed, last + 1))
    redis.call('HINCRBY', run_key(id), 'crashes', -1)
  end
end

local function forget_crashes(id) redis.call('HSET', run_key(id), 'crashes', 0, 'crashed', '') end

local function numbers(values)
  local n = {}
  for i, value in ipairs(values) do n[i] = tonumber(value or 0) or 0 end
  return n
end

-- A dependency is a tool server or the provider of a model. Its tries are counted in slices of time, SLICES in a window.
local SLICES = 6

local function cooling(dependency) return tonumber(redis.call('GET', 'prolight:cool:' .. dependency) or 0) end
local function slice_of(now, window) return math.floor(now / math.floor(window / SLICES)) end
local function tries_key(kind, dependency, slice) return 'prolight:' .. kind .. ':' .. dependency .. ':' .. slice end

local function tries_counted(kind, dependency, slice)
  return tonumber(redis.call('GET', tries_key(kind, dependency, slice)) or 0)
end

local function count_tries(kind, dependency, count, now, window)
  local key = tries_key(kind, dependency, slice_of(now, window))
  if redis.call('INCRBY', key, count) == count then redis.call('PEXPIRE', key, 2 * window) end
end

-- A run as readers get it; false when there is none.
local function view(id)
  local v = redis.call('HMGET', run_key(id), 'document', 'ver', 'epoch', 'claim', 'owner', 'attempt', 'crashes', 'seq', 'hard_stop', 'stage', 'child')
  if not v[1] then return false end
  local ready = v[10] ~= '' and redis.call('ZSCORE', 'prolight:ready:' .. v[10], id) and 1 or 0
  local due = redis.call('ZSCORE', 'prolight:due', due_entry(id))
  return {v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], ready, due or '', v[11] or ''}
end
