"""One moment of the model's world: frozen, hashable, and without what no decision looks at.

Versions count back from the record's own, which is always `VER`; claims are named by the smallest free number.
Time is a number of ticks: each is longer than a lease, a try with its grace, and half of a key's window. Within a
tick, everything that needs no such time may happen.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from prolight.adapters.memory_record import Record
from prolight.adapters.record import deadline_of
from prolight.decisions import Deadlines
from prolight.ledger import Entry
from prolight.lifecycle import TERMINAL
from prolight.ports import Effect, Snapshot
from prolight.schemas import Approval, Plan, Review, RunContext, Usage

RUN = "r"
START = 1_000.0
TICK = timedelta(minutes=10)
DEADLINES = Deadlines(
    run=2 * TICK, stage=1_000 * TICK, step=1_000 * TICK, approval=TICK, review=TICK, retention=1_000_000 * TICK
)
VER = 10
OLDEST = -1
"""Versions behind: older ones are as stale."""
LEASE_MS = 12_000


class Row(NamedTuple):
    """The run's record."""

    document: str
    journal: tuple[tuple[str, str], ...]
    claim: str = ""
    stage_ms: int = 0
    hard_stop: int = 0
    stage_deadline: int = 0
    crashes: int = 0
    ready: bool = False
    looked_after: bool = True
    expires: bool = False

    @property
    def run(self) -> RunContext:
        return parsed(self.document)

    @property
    def over(self) -> bool:
        return self.run.state in TERMINAL

    def entry(self, key: str) -> Entry | None:
        text = dict(self.journal).get(key)
        return Entry.model_validate_json(text) if text else None


class Base(NamedTuple):
    """A snapshot that somebody holds; the record may have moved on since."""

    document: str
    claim: str
    behind: int = 0
    hard_stop: int = 0
    crashes: int = 0

    @property
    def run(self) -> RunContext:
        return parsed(self.document)

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.run,
            ver=VER + self.behind,
            claim_id=self.claim,
            attempt=1,
            crashes=self.crashes,
            hard_stop=self.hard_stop / 1000 or None,
        )

    def aged(self, by: int) -> Base:
        return self._replace(behind=max(OLDEST, self.behind - by))


class Op(NamedTuple):
    """What a worker did since its last commit; its writes wait for the next one."""

    what: str
    step: int
    entry: str = ""
    how: str = ""


class Cell(NamedTuple):
    """One step in a worker's hands: to look at, recorded and about to be sent, sent, or done."""

    phase: str = "look"
    entry: str = ""
    late: bool = False
    """More than a second has passed since the worker asked to record it."""


class Worker(NamedTuple):
    claim: str
    base: Base
    entries: tuple[tuple[str, str], ...]
    cells: tuple[Cell, ...] = ()
    ops: tuple[Op, ...] = ()
    ending: str = ""
    """How the attempt will end; nothing new starts."""

    @property
    def busy(self) -> bool:
        return any(cell.phase in ("ready", "sent") for cell in self.cells)


class Request(NamedTuple):
    """On its way: out, applied (the answer comes back), or gone for good. Nobody waits for one without owner."""

    step: int
    owner: str
    harmless: bool
    """Nothing follows from it once nobody waits for it."""
    phase: str = "out"


class Slot(NamedTuple):
    """Somebody without a claim has read the run, and will write."""

    what: str
    base: Base
    tick: int | None = None
    """When it was read, where the decision says until when it is valid."""


class Known(NamedTuple):
    """What only an all-seeing observer knows."""

    applied: tuple[int, ...]
    allowed: tuple[int, ...]
    remembered: tuple[bool, ...]
    """The other side still knows the step's key."""
    judged: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()


class World(NamedTuple):
    row: Row
    workers: tuple[Worker, ...]
    net: tuple[Request, ...]
    slots: tuple[Slot, ...]
    bells: int
    tick: int
    words: int
    """So often people may still say something."""
    known: Known


class Scope(NamedTuple):
    """The bound of a search: what there is, and how much of it."""

    effects: tuple[Effect, ...]
    workers: int = 2
    """Who holds a claim, or goes on without."""
    words: int = 1
    said: tuple[str, ...] = ("cancel", "resend")
    slots: int = 1
    crashes: int = 2
    tries: int = 2
    bells: int = 1
    """More than the room needs, if it is more than one."""
    faults: frozenset[str] = frozenset()
    """Of `interrupt`, `not sent` and `limited`, what happens; workers die and answers are lost anyway."""
    from_the_critic: bool = False
    together: bool = True
    """The steps do not need one another."""
    budget: Decimal = Decimal(2)


@lru_cache(maxsize=100_000)
def parsed(document: str) -> RunContext:
    return RunContext.from_json(document)


@lru_cache(maxsize=100_000)
def plain_document(document: str) -> str:
    """Without times and texts that nothing follows from."""
    run = parsed(document)
    if run.state in TERMINAL:
        bare = RunContext(run_id=RUN, asset_id=run.asset_id, state=run.state, finished_at=0.0)
        return bare.evolve(budget_usd=run.budget_usd, spent_usd=run.spent_usd, reserved_usd=run.reserved_usd).to_json()
    turns = tuple(
        turn.evolve(queued_at=START, started_at=None, attempts=0, model="") for turn in run.turns[-1:] if run.turn
    )
    return run.evolve(
        created_at=0.0,
        updated_at=0.0,
        turns=turns,
        usage=Usage(),
        approval=_asked(run.approval),
        review=_doubted(run.review),
    ).to_json()


def _asked(approval: Approval | None) -> Approval | None:
    if approval is None:
        return None
    until = approval.until if approval.decision is None else 0.0
    return approval.evolve(asked_at=0.0, decided_at=None, decided_by=None, comment="", reasons=(), until=until)


def _doubted(review: Review | None) -> Review | None:
    if review is None or review.decision:
        return None
    return review.evolve(asked_at=0.0, message="", at_risk_usd=Decimal(0))


MANY = 4
"""More than any scope allows: a call that does no harm begins as often as its worker is interrupted."""


@lru_cache(maxsize=100_000)
def plain_entry(text: str) -> str:
    entry = Entry.model_validate_json(text)
    finished = None if entry.finished_at is None else 0.0
    known = {} if entry.unclear else {"deadline_at": 0.0, "first_started_at": 0.0}
    counts = {"tries": min(entry.tries, MANY), "doubts": min(entry.doubts, MANY)}
    return entry.evolve(
        started_at=0.0, finished_at=finished, reason="", unsent=False, **counts, **known
    ).model_dump_json()


def plain_journal(journal: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, plain_entry(text)) for key, text in journal.items()))


def thawed(row: Row) -> Record:
    run = row.run
    return Record(
        RUN,
        "",
        row.document,
        run.state,
        row.stage_ms,
        deadline_of(run),
        0,
        ver=VER,
        epoch=1,
        claim_id=row.claim,
        owner=row.claim,
        crashes=row.crashes,
        hard_stop=row.hard_stop,
        stage_deadline=row.stage_deadline,
        ready=row.ready,
        due=0 if row.looked_after else None,
        expires=10**15 if row.expires else None,
        journal=dict(row.journal),
    )


def frozen(record: Record) -> Row:
    return Row(
        plain_document(record.document),
        plain_journal(record.journal),
        record.claim_id,
        record.stage_ms,
        record.hard_stop,
        record.stage_deadline,
        record.crashes,
        record.ready,
        record.due is not None,
        record.expires is not None,
    )


def base_of(row: Row) -> Base:
    return Base(row.document, row.claim, hard_stop=row.hard_stop, crashes=row.crashes)


def at(tick: int) -> float:
    """The store's clock, in seconds."""
    return START + tick * TICK.total_seconds()


def plan_name(plan: Plan | None) -> str:
    return plan.summary if plan else ""
