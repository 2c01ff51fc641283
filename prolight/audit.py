"""Is the store in order? What is known of a run or a key, judged. Pure: the facts are given, nothing is looked up.

Every live run has exactly one due entry and no claim, reservation or place in `ready` that is not its own; a finished
one has none of these, and an end in sight; nothing is left of a run that is gone. All writes are atomic, so this holds
at any moment, not only when all is quiet. A new check is one function in `RULES` or one line in `judge_key`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from pydantic import ValidationError

from prolight.ledger import Entry
from prolight.lifecycle import PARKED, TERMINAL
from prolight.schemas import SHA256, RunContext, Stage, State

FOR_EVER, NOT_THERE = -1, -2
"""Milliseconds left of a key that never expires, and of one that is not there."""
LOOK_AGAIN_MS = 60_000
SLACK_MS = 120_000
"""A run, its keys and its place in the lists go at about the same time, by two clocks."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. Two are the same when nothing has moved: words do not count, `ver` does."""

    kind: str
    about: str
    """The id of a run or batch, a key, or a file."""
    of: Literal["run", "batch", "key", "file"]
    message: str = field(compare=False)
    fix: str = field(compare=False)
    ver: int = 0


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found, and how much it looked at. `cut`: there is more than it kept."""

    findings: tuple[Finding, ...]
    runs: int
    keys: int
    cut: bool = False
    notes: tuple[str, ...] = ()
    """What could not be looked at, and why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows of one run, at one moment. Times are milliseconds of its clock; None: not there."""

    run_id: str
    now: float
    document: str = ""
    """Empty: there is no such run."""
    ver: int = 0
    state: str = ""
    stage: str = ""
    seq: int = 0
    claim: str = ""
    owner: str = ""
    poisoned: bool = False
    """It crashed so often that it waits for a verdict."""
    deadline: float = 0
    stage_deadline: float = 0
    backs_off: float | None = 0
    """None: written by a version that did not say."""
    due: float | None = None
    ready: tuple[str, ...] = ()
    listed: float | None = None
    ended: float | None = None
    left: int = NOT_THERE
    journal_left: int = NOT_THERE
    events_left: int = NOT_THERE
    events: int = 0
    last_event: str = ""
    held: str = ""
    """Its claim, as the list of its process has it."""
    owner_known: bool = True
    started: tuple[str, ...] = ()
    """Journal entries that are under way."""

    @property
    def live(self) -> bool:
        return bool(self.document) and self.state not in TERMINAL


Wrong = tuple[str, str, str]
"""Kind, message, fix."""
REPORT = "none that is safe: keep the record (`prolight show --json`) and report it as a defect"


def judge(facts: Facts) -> list[Finding]:
    """Everything that is wrong with a run, or with what is left of one."""
    rules = GONE if not facts.document else LIVE if facts.live else ENDED
    found = [wrong for rule in rules for wrong in rule(facts)]
    return [Finding(kind, facts.run_id, "run", message, fix, facts.ver) for kind, message, fix in found]


def pictures(facts: Facts) -> tuple[str, ...]:
    """The ids of the pictures that a live run needs."""
    run = _run(facts)
    if run is None or not facts.live:
        return ()
    steps = run.exec_result.steps if run.exec_result else ()
    wanted = (run.picture, *(step.artifact.id for step in steps if step.artifact))
    return tuple(id for id in wanted if re.fullmatch(SHA256, id))


# --- a run ---


def _document(facts: Facts) -> Iterator[Wrong]:
    run = _run(facts)
    if run is None:
        yield "unreadable", "its document cannot be read by this version", "run the version that wrote it"
    elif run.state != facts.state:
        yield "state", f"its document says {run.state}, its record {facts.state}", REPORT


def _events(facts: Facts) -> Iterator[Wrong]:
    if facts.events != facts.seq or facts.last_event not in ("", f"{facts.seq}-0"):
        said = f"{facts.events} events, the last {facts.last_event or 'none'}"
        yield "events", f"it told {facts.seq} events, its stream holds {said}", REPORT


def _due(facts: Facts) -> Iterator[Wrong]:
    if facts.due is None:
        fix = f"ZADD prolight:due NX {_next_look(facts):.0f} run:{facts.run_id}"
        yield "no_due", "it is live, and nobody will ever look at it", fix


def _next_look(facts: Facts) -> float:
    """In time for a person's silence; not at once where somebody works on it, whose claim that would end."""
    run = _run(facts)
    if run and run.state in PARKED:
        asked = run.review if run.state is State.NEEDS_REVIEW else run.approval
        return asked.until * 1000 if asked else facts.now
    return facts.now + LOOK_AGAIN_MS if facts.claim else facts.now


def _ready(facts: Facts) -> Iterator[Wrong]:
    for stage in facts.ready:
        if stage != facts.stage or facts.claim:
            why = f"{facts.owner} holds it" if facts.claim else f"it is {facts.state}"
            fix = f"ZREM prolight:ready:{stage} {facts.run_id}"
            yield "ready", f"it is offered to workers for {stage}, but {why}", fix
    if _lies_idle(facts):
        fix = f"ZADD prolight:due XX {facts.now:.0f} run:{facts.run_id}"
        yield "not_ready", f"a worker may claim it for {facts.stage}, but it is not offered", fix


def _lies_idle(facts: Facts) -> bool:
    """Claimable, and neither in `ready`, nor backing off, nor about to be looked at."""
    if facts.stage not in list(Stage) or facts.ready or facts.claim or facts.poisoned or facts.backs_off is None:
        return False
    stops = [stop for stop in (facts.deadline, facts.stage_deadline) if stop]
    soon = facts.due is None or facts.due <= facts.now
    return not soon and facts.backs_off <= facts.now and all(stop > facts.now for stop in stops)


def _claim(facts: Facts) -> Iterator[Wrong]:
    if not facts.claim:
        return
    if not facts.owner_known:
        message = f"{facts.owner} holds it, and is no worker process that the store knows"
        yield "claim_of_nobody", message, "none: it ends with its lease, once a worker sweeps"
    if facts.held != facts.claim:
        fix = f"HSET prolight:claims:{facts.owner} {facts.run_id} {facts.claim}"
        yield "claim_unlisted", f"{facts.owner} holds it, but not by its list of claims", fix


def _reservation(facts: Facts) -> Iterator[Wrong]:
    if run := _run(facts):
        quotes = sum((Entry.model_validate_json(entry).quote_usd for entry in facts.started), Decimal(0))
        if run.reserved_usd != quotes:
            message = f"{run.reserved_usd} USD are reserved, but the calls under way are quoted at {quotes} USD"
            yield "reservation", message, REPORT


def _goes_early(facts: Facts) -> Iterator[Wrong]:
    for key, left in _keys(facts).items():
        if left >= 0:
            yield "expires", f"it is live, but {key} goes in {left / 1000:.0f} s", f"PERSIST {key}"
    if facts.ended is not None:
        yield "ended", "it is live, but among the finished", f"ZREM prolight:ended {facts.run_id}"
    if facts.listed is None:
        yield "unlisted", "no list shows it", f"ZADD prolight:runs {facts.now:.0f} {facts.run_id}"


def _left_over(facts: Facts) -> Iterator[Wrong]:
    """What only a live run may have."""
    state = facts.state or "gone"
    if facts.due is not None:
        yield "due", f"it is {state}, but due", f"ZREM prolight:due run:{facts.run_id}"
    for stage in facts.ready:
        yield "ready", f"it is {state}, but offered for {stage}", f"ZREM prolight:ready:{stage} {facts.run_id}"


def _holds(facts: Facts) -> Iterator[Wrong]:
    if facts.claim:
        fix = f"HSET prolight:run:{facts.run_id} claim '' owner ''"
        yield "claim", f"it is {facts.state}, but {facts.owner} holds it", fix
    run = _run(facts)
    if run and run.reserved_usd:
        yield "reservation", f"it is {facts.state}, but {run.reserved_usd} USD are reserved", REPORT


def _stays(facts: Facts) -> Iterator[Wrong]:
    for key, left in _keys(facts).items():
        if left == FOR_EVER:
            yield "no_expiry", f"it is {facts.state}, but {key} stays for ever", f"PEXPIRE {key} 604800000"
    if facts.ended is None:
        fix = f"ZADD prolight:ended {facts.now:.0f} {facts.run_id}"
        yield "not_ended", f"it is {facts.state}, but will never leave the lists", fix


def _gone(facts: Facts) -> Iterator[Wrong]:
    """A stream that goes by itself may belong to a run that works elsewhere."""
    journal, events = f"prolight:journal:{facts.run_id}", f"prolight:events:{facts.run_id}"
    if facts.journal_left == FOR_EVER or facts.journal_left > SLACK_MS:
        yield "journal", f"{journal} belongs to no run", f"DEL {journal}"
    if facts.events_left == FOR_EVER:
        yield "events", f"{events} belongs to no run", f"DEL {events}"
    leaves = facts.ended is not None and facts.ended - facts.now <= SLACK_MS
    if (facts.listed is not None or facts.ended is not None) and not leaves:
        fix = f"ZREM prolight:runs {facts.run_id}` and `ZREM prolight:ended {facts.run_id}"
        yield "record", "it is listed, but its record is gone", fix


def _keys(facts: Facts) -> dict[str, int]:
    kinds = {"run": facts.left, "journal": facts.journal_left, "events": facts.events_left}
    return {f"prolight:{kind}:{facts.run_id}": left for kind, left in kinds.items()}


def _run(facts: Facts) -> RunContext | None:
    try:
        return RunContext.from_json(facts.document)
    except ValidationError:
        return None


Rule = Callable[[Facts], Iterator[Wrong]]
LIVE: Sequence[Rule] = (_document, _events, _due, _ready, _claim, _reservation, _goes_early)
ENDED: Sequence[Rule] = (_document, _events, _left_over, _holds, _stays)
GONE: Sequence[Rule] = (_left_over, _gone)


# --- a key ---


def judge_key(key: str, left: int, whose: Sequence[str | int], expires: str | None) -> list[Finding]:
    """A key that is no run's own; `whose` as in `audit_keys.lua`, `expires` as the list of keys says ('' never)."""
    if left == NOT_THERE:
        return []
    if key.startswith("prolight:claims:"):
        return list(_claims(key, bool(whose[0]), [str(run_id) for run_id in whose[1:]]))
    if left != FOR_EVER:
        return []
    if key.startswith("prolight:idem:"):
        run_id, state = whose
        if state and state not in TERMINAL:
            return []
        message = f"the idempotency key of run {run_id}, which is {state or 'gone'}, stays for ever"
        return [Finding("no_expiry", key, "key", message, f"DEL {key}")]
    if expires is None:
        return [Finding("unknown_key", key, "key", "nobody knows this key, and it stays for ever", f"DEL {key}")]
    if expires == "always":
        return [Finding("no_expiry", key, "key", "it should expire, and stays for ever", f"PEXPIRE {key} 604800000")]
    return []


def _claims(key: str, known: bool, strangers: Sequence[str]) -> Iterator[Finding]:
    process = key.removeprefix("prolight:claims:")
    if not known:
        message = f"the claims of {process}, which is no worker process that the store knows"
        yield Finding("claims_of_nobody", key, "key", message, f"DEL {key}")
    for run_id in strangers:
        message = f"{process} has run {run_id} on its list of claims, but does not hold it"
        yield Finding(f"claim_of_other:{run_id}", key, "key", message, f"HDEL {key} {run_id}")


def missing_picture(facts: Facts, picture_id: str, why: str) -> Finding:
    message = f"it needs picture {picture_id}: {why}"
    return Finding("picture", facts.run_id, "run", message, "put the picture back, or cancel the run", facts.ver)


def old_file(path: str) -> Finding:
    return Finding("file", path, "file", "a temporary file that nobody finished, older than an hour", f"rm {path}")
