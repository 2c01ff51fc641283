"""Is a batch in order? What is known of it, judged, as `audit.py` does for runs. Pure.

A batch that goes on has one due entry, its whole list, and for each picture that was opened either an open place or a
result; one that is over has no due entry and an end in sight; nothing is left of a batch that is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from prolight.audit import FOR_EVER, REPORT, SLACK_MS, Finding, Wrong
from prolight.batches import Batch


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows of one batch, at one moment. Times are milliseconds of its clock; None: not there."""

    batch_id: str
    now: float
    document: str = ""
    """Empty: there is no such batch."""
    ver: int = 0
    due: float | None = None
    left: Mapping[str, int] | None = None
    """Milliseconds that its keys have left, by key, as PTTL tells."""
    pictures: int = 0
    open: int = 0
    results: int = 0


def judge(facts: Facts) -> list[Finding]:
    """Everything that is wrong with a batch, or with what is left of one."""
    found = [wrong for rule in _rules(facts) for wrong in rule(facts)]
    return [Finding(kind, facts.batch_id, "batch", message, fix, facts.ver) for kind, message, fix in found]


def _rules(facts: Facts) -> Sequence[Rule]:
    if not facts.document:
        return GONE
    if (batch := _batch(facts)) is None:
        return (_unreadable,)
    return LIVE if batch.finished_at is None else ENDED


def _unreadable(facts: Facts) -> Iterator[Wrong]:
    yield "unreadable", "its document cannot be read by this version", "run the version that wrote it"


def _due(facts: Facts) -> Iterator[Wrong]:
    if facts.due is None:
        fix = f"ZADD prolight:due NX {facts.now:.0f} batch:{facts.batch_id}"
        yield "no_due", "it goes on, and nobody will ever look at it", fix


def _list(facts: Facts) -> Iterator[Wrong]:
    batch = _batch(facts)
    if batch and batch.total != facts.pictures:
        yield "pictures", f"it has {batch.total} pictures, its list holds {facts.pictures}", REPORT


def _account(facts: Facts) -> Iterator[Wrong]:
    batch = _batch(facts)
    if batch and (batch.opened, batch.closed) != (facts.open + facts.results, facts.results):
        said = f"it opened {batch.opened} pictures and closed {batch.closed}"
        yield "account", f"{said}, but {facts.open} are open and {facts.results} have a result", REPORT


def _goes_early(facts: Facts) -> Iterator[Wrong]:
    for key, left in (facts.left or {}).items():
        if left >= 0:
            yield "expires", f"it goes on, but {key} goes in {left / 1000:.0f} s", f"PERSIST {key}"


def _left_over(facts: Facts) -> Iterator[Wrong]:
    if facts.due is not None:
        state = "over" if facts.document else "gone"
        yield "due", f"it is {state}, but due", f"ZREM prolight:due batch:{facts.batch_id}"


def _still_open(facts: Facts) -> Iterator[Wrong]:
    if facts.open:
        yield "open", f"it is over, but {facts.open} of its pictures are open", REPORT


def _stays(facts: Facts) -> Iterator[Wrong]:
    for key, left in (facts.left or {}).items():
        if left == FOR_EVER:
            yield "no_expiry", f"it is over, but {key} stays for ever", f"PEXPIRE {key} 604800000"


def _gone(facts: Facts) -> Iterator[Wrong]:
    """A list that goes by itself may wait for its batch."""
    for key, left in (facts.left or {}).items():
        if left == FOR_EVER or (left > SLACK_MS and not key.startswith("prolight:pictures:")):
            yield "batch", f"{key} belongs to no batch", f"DEL {key}"


def _batch(facts: Facts) -> Batch | None:
    try:
        return Batch.model_validate_json(facts.document)
    except ValidationError:
        return None


Rule = Callable[[Facts], Iterator[Wrong]]
LIVE: Sequence[Rule] = (_due, _list, _account, _goes_early)
ENDED: Sequence[Rule] = (_account, _left_over, _still_open, _stays)
GONE: Sequence[Rule] = (_left_over, _gone)
