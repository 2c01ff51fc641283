"""The code's own journal, writer, store and lifecycle, put before one moment, and asked to do one thing.

Nothing here waits, so its coroutines are run by hand: a moment cannot be copied while one is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, cast

from prolight.adapters.memory_store import MemoryStore
from prolight.attempt import Attempt
from prolight.calls import Answer, BackOff, Call, NeedsReview, Probed, RunCancelled
from prolight.determinism import check_lock, plan_hash
from prolight.errors import (
    CallError,
    ClaimLost,
    GuardrailDenied,
    IllegalMove,
    NotSent,
    OutcomeUnknown,
    RateLimited,
)
from prolight.guardrails import check_accepted
from prolight.journal import Journal
from prolight.ledger import Entry
from prolight.lifecycle import STAGES
from prolight.outcomes import BackingOff, Executed, Failed, Judged, Outcome, Planned, Released, Unclear, conclude
from prolight.ports import Claim, Effect, Snapshot, Write
from prolight.retry import RetryPolicies, RetryPolicy
from prolight.schemas import Critique, Lock, Plan, Review, RunContext, RunError, State, Step, Usage, Verdict
from prolight.writer import Change, Conclusion, Writer
from tests.chaos.model.state import (
    DEADLINES,
    LEASE_MS,
    RUN,
    VER,
    Base,
    Cell,
    Op,
    Row,
    Scope,
    Slot,
    Worker,
    at,
    base_of,
    frozen,
    plain_document,
    plain_entry,
    plain_journal,
    thawed,
)

Made = TypeVar("Made")
PIN = "1" * 64
BROKEN = RunError(code="failed", message="")


def drive(coroutine: Coroutine[Any, Any, Made] | Generator[Any, Any, Made]) -> Made:
    """Its result. Nothing that it awaits may need a loop."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stopped:
        return cast(Made, stopped.value)


class Accepted(NamedTuple):
    """A write that the store took: what it met, what it made of it."""

    write: Write
    before: Row
    after: Row
    versions: int
    at: float


class Store(MemoryStore):
    """The store in memory with this one record. Whoever writes from a slot read it, and the clock, earlier."""

    def __init__(self, row: Row, tick: int, scope: Scope, *, slot: Slot | None = None) -> None:
        super().__init__(
            lease=timedelta(milliseconds=LEASE_MS), crashes_to_poison=scope.crashes, clock=lambda: at(tick)
        )
        self.record = thawed(row)
        self._runs = {RUN: self.record}
        self._stale = [slot.base.snapshot] if slot else []
        self._read_at = slot.tick if slot else None
        self.accepted: list[Accepted] = []

    @property
    def row(self) -> Row:
        return frozen(self.record)

    def now(self) -> float:
        return super().now() if self._read_at is None else at(self._read_at)

    async def read(self, run_id: str) -> Snapshot:
        return self._stale.pop() if self._stale else await super().read(run_id)

    async def commit(self, write: Write) -> Snapshot:
        before, ver = self.row, self.record.ver
        self._read_at = None  # whoever is refused hears the time with it
        snapshot = await super().commit(write)
        self.accepted.append(Accepted(write, before, self.row, self.record.ver - ver, super().now()))
        return snapshot


class Slip:
    """A future that nobody waits for."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._done = False
        self._then: list[Callable[[Any], None]] = []

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return False

    def exception(self) -> BaseException | None:
        return self.error

    def add_done_callback(self, then: Callable[[Any], None]) -> None:
        self._then.append(then)

    def set_result(self, _: None) -> None:
        self._done = True
        for then in self._then:
            then(self)

    def set_exception(self, error: BaseException) -> None:
        self.error = error
        self.set_result(None)


class Pen(Writer):
    """The writer, but that nothing is written before somebody says so."""

    def __init__(self, store: Store, claim: Claim) -> None:
        super().__init__(store, claim)
        self.slips: list[tuple[Change, Slip]] = []

    def write_later(self, change: Change) -> Any:
        slip = Slip()
        self.slips.append((change, slip))
        return slip

    async def write(self, change: Change) -> None:
        slip = self.write_later(change)
        await self.flush(None)
        if slip.error:
            raise slip.error

    async def flush(self, conclusion: Conclusion | None) -> None:
        await self._commit(cast(Any, self.slips), conclusion)
        self.slips = []


class Begun(BaseException):
    """The try is on record, and about to be sent: here the model takes over."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry


class Calls(Journal):
    """The journal, up to the moment of sending."""

    async def _try(self, call: Call, before: Entry | None, send: Any) -> Answer:
        timeout = min(call.timeout, self._writer.left() / 2)
        raise Begun(await self._begin(call, before, timeout))

    async def _write_start(self, call: Call, entry: Entry, before: Entry | None) -> None:
        await self._writer.write(self._start(call, entry, before))

    async def _ask(self, call: Call, entry: Entry, probe: Any) -> None:
        """One thing at a time: the answer of the other side is for the model to choose."""
        raise Asking


class Asking(BaseException):
    """The other side has to be asked first."""


def plan_of(scope: Scope, name: str) -> Plan:
    ids = [key_of(number) for number in range(len(scope.effects))]
    needs = [() if scope.together or not number else (ids[number - 1],) for number in range(len(ids))]
    steps = (
        Step(id=id, tool=f"t.{id}", params={"picture": "$input"}, depends_on=need)
        for id, need in zip(ids, needs, strict=True)
    )
    return Plan(steps=tuple(steps), summary=name)


def lock_of(plan: Plan) -> Lock:
    pins = {step.tool: PIN for step in plan.steps}
    return Lock(
        plan_hash=plan_hash(plan),
        input_sha256=PIN,
        model_version="m",
        prompt_hash=PIN,
        seed=1,
        tool_pins=pins,
        policy_version="p",
        prolight_version="v",
    )


def key_of(step: int) -> str:
    return f"s{step}"


def quote_of(effect: Effect) -> Decimal:
    return Decimal(0) if effect == "pure" else Decimal(1)


def call_of(scope: Scope, step: int) -> Call:
    async def probe(_: timedelta) -> Probed:
        raise AssertionError("asked by hand")

    effect = scope.effects[step]
    return Call(
        key=key_of(step),
        name=f"t.{key_of(step)}",
        arguments_hash="a",
        effect=effect,
        timeout=timedelta(seconds=60),
        quote_usd=quote_of(effect),
        key_window=timedelta(seconds=540) if effect == "keyed" else None,
        probe=probe if effect == "probeable" else None,
    )


ERRORS: dict[str, type[CallError]] = {"unknown": OutcomeUnknown, "limited": RateLimited, "not sent": NotSent}


class Desk:
    """One worker at work, with all that it has in its hands."""

    def __init__(self, row: Row, worker: Worker, tick: int, scope: Scope) -> None:
        self.worker, self.scope = worker, scope
        self.store = Store(row, tick, scope)
        seen = worker.base.snapshot
        at_work = seen if seen.run.state in STAGES else replace(seen, run=seen.run.evolve(state=State.EXECUTING))
        self.pen = Pen(self.store, Claim(at_work, dict(worker.entries)))
        policies = RetryPolicies(RetryPolicy(max_tries=scope.tries, base=timedelta(0)))
        self.journal = Calls(self.pen, dict(worker.entries), policies)
        if at_work is not seen:
            self.pen._base = seen
        self.ending = worker.ending
        for op in worker.ops:
            self._replay(op)

    def _replay(self, op: Op) -> None:
        call = call_of(self.scope, op.step)
        entry = Entry.model_validate_json(op.entry) if op.entry else None
        answer = Answer({}, Usage(cost_usd=call.quote_usd))
        match op.what:
            case "known":
                self.journal._known(call)
            case "settle" if entry:
                self.journal._settle(call, entry, answer)
            case "record" if entry:
                self.journal._record(call, entry, ERRORS[op.how](op.how))
            case "ask" if entry:
                self._ask(call, entry, answer if op.how == "done" else cast(Probed, op.how))

    def _ask(self, call: Call, entry: Entry, found: Probed) -> None:
        async def probe(_: timedelta) -> Probed:
            return found

        drive(Journal._ask(self.journal, call, entry, probe))

    def call(self, step: int) -> str:
        """What the journal does about the step now: `done`, `begun` (and on record), or `end`. Raises `Asking`."""
        run, call = self.worker.base.run, call_of(self.scope, step)
        try:
            assert run.plan
            check_lock(run.lock, run.plan, {tool.tool: PIN for tool in run.plan.steps})
            drive(self.journal.call(call, cast(Any, None)))
        except Begun:
            return "begun"
        except (RunCancelled, BackOff, NeedsReview, GuardrailDenied, CallError) as error:
            self.end(error)
            return "end"
        return "done"

    def after_error(self, step: int, error: str) -> None:
        """A try failed, and is recorded so: go on or end."""
        try:
            drive(self.journal._wait_before_next(call_of(self.scope, step), ERRORS[error](error), 1))
        except (CallError, BackOff) as ended:
            self.end(ended)

    def end(self, error: BaseException) -> None:
        """The first reason to stop counts."""
        match error:
            case NeedsReview():
                how = f"unclear {error.review.key} {error.review.why}"
            case BackOff():
                how = "back off"
            case RunCancelled():
                how = "released"
            case _:
                how = "failed"
        self.ending = self.ending or how

    def conclude(self, how: str) -> None:
        """Raises `ClaimLost` or `IllegalMove`."""
        outcome = self._outcome(how)
        drive(self.pen.flush(lambda run: conclude(outcome, run, now=self.pen.now(), deadlines=DEADLINES)))

    def _outcome(self, how: str) -> Outcome:
        run = self.worker.base.run
        match how.split():
            case ["planned"]:
                plan = plan_of(self.scope, "A")
                return Planned(plan, lock_of(plan))
            case ["judged", verdict]:
                hashed = run.lock.plan_hash if run.lock else ""
                return Judged(Critique(verdict=Verdict(verdict), plan_hash=hashed), "m")
            case ["executed"]:
                return Executed(())
            case ["unclear", key, why]:
                return Unclear(Review(key=key, call=key, why=cast(Any, why), message=""))
            case ["back", "off"]:
                return BackingOff(timedelta(seconds=9), BROKEN)
            case ["released"]:
                return Released()
            case _:
                return Failed(BROKEN)

    def keep_late(self) -> None:
        """What an attempt does with its unsaved answers once its claim is lost."""
        parts = SimpleNamespace(store=self.store, deadlines=DEADLINES)
        attempt = SimpleNamespace(_journal=self.journal, _parts=parts, _run_id=RUN)
        drive(Attempt._keep_late_results(cast(Any, attempt)))

    def rested(self, *ops: Op, **changes: Any) -> Worker:
        """The worker after this, with nothing written."""
        return self.worker._replace(ops=(*self.worker.ops, *ops), ending=self.ending, **changes)

    def written(self, **changes: Any) -> Worker:
        """The worker after a commit of its own."""
        base = self.pen.snapshot
        held = Base(
            plain_document(base.run.to_json()),
            base.claim_id,
            base.ver - self.store.record.ver,
            round((base.hard_stop or 0) * 1000),
        )
        entries = plain_journal(self.journal._entries)
        return self.worker._replace(base=held, entries=entries, ops=(), ending=self.ending, **changes)


def claimed(row: Row, name: str, tick: int, scope: Scope) -> tuple[Row, Worker | None]:
    """A worker takes the head of the room, if there is one."""
    record = thawed(row)
    if not row.ready or not record.take(name, name, round(at(tick) * 1000), LEASE_MS):
        return frozen(record), None
    taken = frozen(record)
    worker = Worker(name, base_of(taken), row.journal)
    run = taken.run
    if run.state is State.EXECUTING:
        worker = worker._replace(cells=(Cell(),) * len(scope.effects))
        try:
            check_accepted(run)
        except GuardrailDenied:
            worker = worker._replace(ending="failed")
    return taken, worker


def begins(scope: Scope) -> RunContext:
    """The run as somebody asked for it."""
    return RunContext(run_id=RUN, asset_id="a" * 64, brief="light", ask=scope.from_the_critic, budget_usd=scope.budget)


__all__ = ["VER", "Accepted", "Asking", "ClaimLost", "Desk", "IllegalMove", "Store", "claimed", "drive", "plain_entry"]
