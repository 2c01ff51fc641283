"""The store's own account of a trial: its scripts append to `prolight:audit` what they do, atomically with doing it.

`install` patches the text that `redis_store._script` gives, in this process. Each insertion names the very lines that
it goes before or after, and a script that no longer has them is an error: a recording with holes would acquit.
"""

from __future__ import annotations

import hashlib
from functools import cache

from prolight.adapters import redis_store

AUDIT = "prolight:audit"
PRELUDE = "local function run_key(id)"
APPEND = f"""local function audit(kind, id, at, fields)
  fields.kind, fields.run, fields.at = kind, id, at
  redis.call('RPUSH', '{AUDIT}', cjson.encode(fields))
end
"""

Insertion = tuple[str, str, str]
"""'before' or 'after', the anchor, and what is said there."""

ENDED = (
    "audit('claim_ended', {id}, now, "
    "{{epoch = tonumber(redis.call('HGET', run_key({id}), 'epoch')), claim = r[1], why = {why}}}) "
)
TAKEN_BACK: Insertion = (
    "after",
    "redis.call('HINCRBY', run_key(id), 'crashes', -1)",
    "\n    audit('taken_back', id, clock(), {claim = claim})",
)
REFUSED = "audit('refused', id, clock(), {{how = {how}, by = by, under = by == 'holder' and claim or '', op = op}}) "

INSERTIONS: dict[str, tuple[Insertion, ...]] = {
    "create": (
        (
            "before",
            "return {'new', id, now}",
            "audit('create', id, now, {document = document, idem = idem, fingerprint = fingerprint,"
            " first = 1, told = seq})\n",
        ),
    ),
    "claim": (
        (
            "after",
            "redis.call('HSET', claims, id, claim)",
            "\n      audit('claim', id, now, {ver = tonumber(redis.call('HGET', run_key(id), 'ver')),"
            " epoch = epoch + 1, claim = claim, process = process, stage = stage, hard_stop = hard_stop})",
        ),
    ),
    "heartbeat": (TAKEN_BACK,),
    "commit": (
        TAKEN_BACK,
        ("before", "if place == 'crashed' then", "local counts = place == 'crashed'\n"),
        ("before", "return answer('gone', 0, 0, clock())", REFUSED.format(how="'gone'")),
        (
            "before",
            "return answer(lost and 'lost' or 'conflict', tonumber(r[1]), seq, clock())",
            REFUSED.format(how="lost and 'lost' or 'conflict'"),
        ),
        ("before", "return answer('late', ver, seq, now)", REFUSED.format(how="'late'")),
        (
            "before",
            "return answer('ok', ver, seq + #ARGV - first_event + 1, now)",
            "local written = {}\n"
            "for i = 17, first_ask - 3, 2 do written[ARGV[i]] = ARGV[i + 1] end\n"
            "audit('commit', id, now, {ver = ver, epoch = epoch, claim = r[2], under = by == 'holder' and claim or '',"
            " by = by, op = op, place = place, document = document, journal = written,"
            " first = seq + 1, told = #ARGV - first_event + 1, back_off = place == 'queued' and ms or 0,"
            " crashed = counts})\n",
        ),
    ),
    "sweep": (
        (
            "before",
            "end_claim(held[i], r, crashed) end",
            ENDED.format(id="held[i]", why="crashed and 'death' or 'retire'"),
        ),
        ("before", "end_claim(id, r, true) end\nend", ENDED.format(id="id", why="'lease'")),
    ),
    "publish": (("before", "return {'new', last + 1, now}", "audit('told', id, now, {seq = last + 1})\n  "),),
}  # fmt: skip

_plain = redis_store._script.__wrapped__


@cache
def recorded(name: str) -> tuple[str, str]:
    """A script as `redis_store._script` gives it, and that records."""
    _, text = _plain(name)
    if name in INSERTIONS:
        text = inserted(text, ("before", PRELUDE, APPEND))
        for insertion in INSERTIONS[name]:
            text = inserted(text, insertion)
    return hashlib.sha1(text.encode()).hexdigest(), text


def inserted(text: str, insertion: Insertion) -> str:
    """Raises `AssertionError` unless the anchor stands there exactly once."""
    where, anchor, said = insertion
    assert text.count(anchor) == 1, f"{text.count(anchor)} times in the script: {anchor}"
    return text.replace(anchor, said + anchor if where == "before" else anchor + said)


def install() -> None:
    redis_store._script = recorded
