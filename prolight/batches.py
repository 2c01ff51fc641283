"""A batch: one request for many pictures, each a run of its own. Pure: a round looks at what is, and says what follows.

    PROOFING ─the proofs are over─► AWAITING_APPROVAL ─approved─► RUNNING ─all are over─► DONE
       (RUNNING at once without a proof)        └─declined, silence─► CANCELLED ◄─cancel, from anywhere

A round closes the pictures whose runs are over and opens as many as there is room and money for. Each open picture has
the budget of one run set aside; what its run does not spend comes back when it is over. Runs that wait for a person
take no room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from prolight.decisions import Deadlines
from prolight.errors import IllegalMove
from prolight.schemas import MAX_BRIEF_CHARS, Artifact, ArtifactId, RunContext, RunId, State, Usd, Value

OPENED_AT_A_TIME = 100
MAX_PICTURES = 10_000
DEFAULT_IN_FLIGHT = 32
MAX_REASON_CHARS = 1_000
LOOK_EVERY = timedelta(seconds=1)
NOT_STARTED = "NOT_STARTED"
"""What stands for the state of a picture whose run was refused at the door, or never begun."""
NOT_KNOWN = "NOT_KNOWN"
"""… whose run may have ended long ago: made again, it might be paid for twice."""
WAITS = "WAITS"
"""What stands for the state of a picture that has no run yet."""


class BatchState(StrEnum):
    PROOFING = "PROOFING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    RUNNING = "RUNNING"
    DONE = "DONE"
    CANCELLED = "CANCELLED"


OVER = frozenset({BatchState.DONE, BatchState.CANCELLED})


class Picture(Value):
    """One line of the manifest. `name` is the caller's: a file, an SKU."""

    name: str = Field(min_length=1, max_length=512)
    picture_id: ArtifactId
    brief: str = Field(default="", max_length=MAX_BRIEF_CHARS)
    """Instead of the batch's."""


class BatchRequest(Value):
    """What is asked for all pictures."""

    brief: str = Field(min_length=1, max_length=MAX_BRIEF_CHARS)
    recipe: RunId | None = None
    preset: str | None = Field(default=None, max_length=512)
    ask: bool = False
    approve_result: bool = False
    proof: int = Field(default=0, ge=0)
    """The first so many are made, and a person approves them before the rest."""
    max_in_flight: int = Field(default=DEFAULT_IN_FLIGHT, ge=1, le=1000)
    budget_usd: Usd | None = None
    """The most that all runs together may spend."""
    run_budget_usd: Usd


class Result(Value):
    """How a picture ended. Of one that is COMPLETED, `reason` says only how it missed its preset."""

    state: str
    reason: str = ""
    outputs: tuple[Artifact, ...] = ()
    spent_usd: Usd = Decimal(0)


@dataclass(frozen=True, slots=True)
class Input:
    """One picture of a new batch: its name to the caller; bytes, a file, or an asset's id; and a brief of its own."""

    name: str
    picture: bytes | Path | str
    brief: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One picture of a batch; `state` is that of its run, or `WAITS` while it has none."""

    number: int
    name: str
    run_id: str
    state: str
    result: Result | None


class Batch(Value):
    """Times are seconds of the store's clock."""

    batch_id: str
    request: BatchRequest
    state: BatchState
    total: int
    opened: int = 0
    """So many pictures have a run: the first of the list."""
    counts: dict[str, int] = Field(default_factory=dict)
    """How the runs that are over ended, by state."""
    spent_usd: Usd = Decimal(0)
    until: float = 0.0
    """Silence about the proofs up to here means no."""
    decided_by: str = ""
    reason: str = ""
    created_at: float
    finished_at: float | None = None

    @property
    def closed(self) -> int:
        return sum(self.counts.values())

    @property
    def upto(self) -> int:
        """So many of its pictures may be opened as it stands."""
        return {BatchState.PROOFING: self.request.proof, BatchState.RUNNING: self.total}.get(self.state, 0)


@dataclass(frozen=True, slots=True)
class Look:
    """A batch and its open pictures at one moment, by number: runs that are over, and numbers that have no run."""

    batch: Batch
    ver: int
    now: float
    open: int = 0
    waiting: int = 0
    """So many of the open ones wait for a person."""
    over: Mapping[int, RunContext] = field(default_factory=dict)
    missing: Sequence[int] = ()
    missing_since: Mapping[int, float] = field(default_factory=dict)
    """When those were opened."""

    @property
    def waits(self) -> bool:
        """It goes no further without a person."""
        held = 0 < self.waiting == self.open and 0 < self.batch.upto <= self.batch.opened
        return held or self.batch.state is BatchState.AWAITING_APPROVAL


@dataclass(frozen=True, slots=True)
class Round:
    batch: Batch
    closes: Mapping[int, Result]
    opens: Sequence[int]
    reopens: Sequence[int] = ()
    """Open pictures that never got their run: whoever opened them died in between."""


def run_id_of(batch_id: str, number: int) -> str:
    """The same for the same picture: whoever opens it again finds the run that is there."""
    return f"{batch_id}.{number}"


def begun(batch_id: str, request: BatchRequest, total: int, *, now: float) -> Batch:
    proofs = 0 < request.proof < total
    state = BatchState.PROOFING if proofs else BatchState.RUNNING
    return Batch(batch_id=batch_id, request=request, state=state, total=total, created_at=now)


def next_round(look: Look, *, deadlines: Deadlines) -> Round:
    """What follows from how the pictures stand."""
    given_up = _given_up(look, deadlines)
    closes = {**{number: result_of(run) for number, run in look.over.items()}, **given_up}
    reopens = tuple(number for number in look.missing if number not in given_up)
    batch = _counted(look.batch, closes.values())
    still_open = look.open - len(closes)
    opens = range(batch.opened, batch.opened + _room(batch, still_open, look.waiting))
    batch = batch.evolve(opened=batch.opened + len(opens))
    if still_open or opens:
        return Round(batch, closes, opens, reopens)
    return Round(_idle(batch, look.now, deadlines), closes, opens)


def _given_up(look: Look, deadlines: Deadlines) -> dict[int, Result]:
    """The open pictures without a run that get none: nobody wants them any more, or they may have been made."""
    if look.batch.state is BatchState.CANCELLED:
        return {number: Result(state=NOT_STARTED, reason=look.batch.reason) for number in look.missing}
    expired = look.now - deadlines.retention.total_seconds()
    said = Result(state=NOT_KNOWN, reason="it was begun so long ago that its record may have expired")
    return {number: said for number in look.missing if look.missing_since.get(number, look.now) <= expired}


def refused(look: Look, refusals: Mapping[int, str]) -> Round:
    """These pictures were opened, and the door takes no run of theirs."""
    closes = {number: Result(state=NOT_STARTED, reason=reason) for number, reason in refusals.items()}
    return Round(_counted(look.batch, closes.values()), closes, ())


def result_of(run: RunContext) -> Result:
    outputs = run.outputs if run.state is State.COMPLETED else ()
    return Result(state=run.state, reason=_reason(run), outputs=outputs, spent_usd=run.spent_usd)


def _reason(run: RunContext) -> str:
    if run.error:
        return f"{run.error.code}: {run.error.message}"
    if run.state is State.REJECTED and run.approval:
        by = f" by {run.approval.decided_by}" if run.approval.decided_by else ""
        return f"{run.approval.decision}{by} {run.approval.comment}".strip()
    return "; ".join(run.missed)[:MAX_REASON_CHARS]


def _counted(batch: Batch, results: Iterable[Result]) -> Batch:
    counts, spent = Counter(batch.counts), batch.spent_usd
    for result in results:
        counts[result.state] += 1
        spent += result.spent_usd
    return batch.evolve(counts=dict(counts), spent_usd=spent)


def _room(batch: Batch, still_open: int, waiting: int) -> int:
    """How many more pictures may be opened now."""
    asked = batch.request
    rooms = [batch.upto - batch.opened, asked.max_in_flight - (still_open - waiting), OPENED_AT_A_TIME]
    if asked.budget_usd is not None:
        rooms.append(int((asked.budget_usd - batch.spent_usd) // asked.run_budget_usd) - still_open)
    return max(0, min(rooms))


def _idle(batch: Batch, now: float, deadlines: Deadlines) -> Batch:
    """Nothing is open, and nothing can be opened."""
    match batch.state:
        case BatchState.PROOFING if batch.opened >= batch.upto:
            until = now + deadlines.approval.total_seconds()
            return batch.evolve(state=BatchState.AWAITING_APPROVAL, until=until)
        case BatchState.PROOFING | BatchState.RUNNING:
            left = batch.total - batch.opened
            reason = f"the budget is spent: {left} pictures were not begun" if left else ""
            return batch.evolve(state=BatchState.DONE, reason=reason, finished_at=now)
        case BatchState.AWAITING_APPROVAL if now >= batch.until:
            reason = "nobody approved the proofs in time"
            return batch.evolve(state=BatchState.CANCELLED, reason=reason, finished_at=now)
        case BatchState.CANCELLED if batch.finished_at is None:
            return batch.evolve(finished_at=now)
        case _:
            return batch


def approved(batch: Batch, *, by: str, now: float) -> Batch:
    """A person has seen the proofs, and the rest may follow. Raises `IllegalMove`."""
    _check_waits(batch, now)
    return batch.evolve(state=BatchState.RUNNING, decided_by=by, until=0.0)


def declined(batch: Batch, *, by: str, reason: str, now: float) -> Batch:
    """Raises `IllegalMove`."""
    _check_waits(batch, now)
    return batch.evolve(state=BatchState.CANCELLED, decided_by=by, reason=reason or "the proofs were declined")


def cancelled(batch: Batch, *, by: str) -> Batch:
    """Nothing more is opened; whoever asks cancels the runs that are open. Raises `IllegalMove`."""
    if batch.state in OVER:
        raise IllegalMove(f"batch {batch.batch_id} is {batch.state}: it cannot be cancelled")
    return batch.evolve(state=BatchState.CANCELLED, decided_by=by, reason=f"cancelled by {by}")


def _check_waits(batch: Batch, now: float) -> None:
    if batch.state is not BatchState.AWAITING_APPROVAL:
        raise IllegalMove(f"batch {batch.batch_id} is {batch.state} and waits for no approval")
    if now >= batch.until:
        raise IllegalMove(f"batch {batch.batch_id} waited for an approval, but its deadline has passed")
