"""Whatever a few workers, people and a clock do to a few runs, in whatever order: the records stay in order.

The real attempts run over the store in memory. Each call to the outside waits until a rule says what becomes of it,
so a worker may die, freeze or go on at each of them, before and after the other side has acted. At the end the chaos
checker judges what was recorded on the way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from decimal import Decimal
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prolight import commands, writer
from prolight.adapters.memory_record import Record
from prolight.attempt import Attempt
from prolight.errors import IllegalMove, NotSent, OutcomeUnknown
from prolight.events import parse
from prolight.ledger import Entry, Said
from prolight.lifecycle import STAGES, TERMINAL
from prolight.ports import Process
from prolight.schemas import Stage, State
from prolight.sweeper import settle_overdue
from tests.chaos.checker import INVARIANTS, judge_one
from tests.chaos.rehearsal import Died, Rehearsal
from tests.chaos.tape import TERMS

Made = TypeVar("Made")
NAMES = ("a", "b")
PROCESSES = ("w1", "w2", "w3")
FATES = (*["goes on"] * 6, "dies", "unknown", "not sent")
SPINS = 15
"""So many turns of the loop, and nothing is left that does not wait for a rule."""
AT_THE_VERY_END = {"I5", "I22"}
"""What holds once all is quiet; the machine stops anywhere. The search in tests/chaos/model looks at I5."""
runs = st.sampled_from(NAMES)
processes = st.sampled_from(PROCESSES)


class StoreMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**16), stages=st.integers(0, 2))
    def begin(self, seed: int, stages: int) -> None:
        """Run `a` is so many stages on its way already."""
        self.loop = asyncio.new_event_loop()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(writer, "LINGER", writer.LINGER * 0)
        self.here = Rehearsal(seed, 0)
        self.here.random.seed(seed)
        self.store, self.deadlines = self.here.store, self.here.deadlines
        self.store.listens = lambda process: process not in self.dead
        self.here.outside.calm = True  # what becomes of a call is for the rules to say
        self.patch.setattr(self.here.outside, "_fate", self._fate)
        self.waiting: list[tuple[str, asyncio.Future[str]]] = []
        self.attempts: dict[asyncio.Task[Any], tuple[Attempt, str, str]] = {}
        self.dead: set[str] = set()
        self.seen: dict[str, tuple[int, int, State]] = {}
        self.do(self._submit("a"))
        for _ in range(stages):
            self.claim(0, "w1")
            self.a_call_goes_on(0, "goes on")
            while self.waiting:
                self.a_call_goes_on(0, "goes on")

    def do(self, coroutine: Coroutine[Any, Any, Made]) -> Made:
        async def done() -> Made:
            made = await coroutine
            for _ in range(SPINS):
                await asyncio.sleep(0)
            return made

        return self.loop.run_until_complete(done())

    async def _submit(self, run: str) -> None:
        self.here.names.append(run)
        await self.here._submit(run)

    async def _fate(self, when: str) -> None:
        """Where every call stands still."""
        self.waiting.append((when, told := self.loop.create_future()))
        match await told:
            case "dies":
                raise Died
            case "unknown":
                raise OutcomeUnknown("no answer")
            case "not sent" if when.startswith("before"):
                raise NotSent("no connection")

    @precondition(lambda self: len(self.here.names) < len(NAMES))
    @rule()
    def submit(self) -> None:
        self.do(self._submit(NAMES[len(self.here.names)]))

    def _ready(self) -> list[Stage]:
        return [record.stage for record in self.store._runs.values() if record.ready and record.stage]

    @precondition(lambda self: self._ready())
    @rule(which=st.integers(0, 9), process=processes)
    def claim(self, which: int, process: str) -> None:
        if process in self.dead:
            return
        stage = self._ready()[which % len(self._ready())]
        for claim in self.do(self.store.claim(stage, 2, process)):
            attempt = Attempt(self.here.parts, claim)
            task = self.loop.create_task(_unless_dead(attempt))
            self.attempts[task] = (attempt, process, claim.snapshot.claim_id)
        self.do(asyncio.sleep(0))

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 9), fate=st.sampled_from(FATES))
    def a_call_goes_on(self, which: int, fate: str) -> None:
        """Its worker may have lost its claim long ago."""
        if not self.waiting:
            return
        _, told = self.waiting.pop(which % len(self.waiting))
        if not told.done():
            told.set_result(fate)
        self.do(asyncio.sleep(0))

    @rule(seconds=st.sampled_from((0.5, *[TERMS.lease + 0.1] * 4, 12, 12, 190, 4000)))
    def time_passes(self, seconds: float) -> None:
        self.store.time += seconds

    @rule(leases=st.integers(1, 4))
    def time_passes_under_the_eyes_of_a_sweeper(self, leases: int) -> None:
        """After a long silence expired leases are held back; here there is none."""
        for _ in range(4 * leases):
            self.store.time += TERMS.lease / 4 + 0.1
            self.sweep()

    @rule()
    def sweep(self) -> None:
        async def sweep() -> None:
            for _ in range(2):
                await settle_overdue(self.store, await self.store.sweep(), self.deadlines)

        self.do(sweep())

    @rule(process=processes)
    def beat(self, process: str) -> None:
        """What it hears of is interrupted, as in a worker."""
        if process in self.dead:
            return
        mine = {attempt.run.run_id: (attempt, claim) for attempt, owner, claim in self._alive() if owner == process}
        told = Process(process, slots=4, stages=tuple(Stage))
        over = self.do(self.store.heartbeat(told, {run: claim for run, (_, claim) in mine.items()}))
        for run in over:
            self.loop.call_soon(mine[run][0].interrupt)
        self.do(asyncio.sleep(0))

    def _alive(self) -> list[tuple[Attempt, str, str]]:
        return [made for task, made in self.attempts.items() if not task.done()]

    @precondition(lambda self: self._alive())
    @rule(which=st.integers(0, 9))
    def drain(self, which: int) -> None:
        alive = self._alive()
        self.loop.call_soon(alive[which % len(alive)][0].interrupt)
        self.do(asyncio.sleep(0))

    @rule(process=processes)
    def a_process_dies(self, process: str) -> None:
        """Nobody listens any more; another one may have its name later."""
        self.dead ^= {process}

    @rule(process=processes)
    def retire(self, process: str) -> None:
        self.do(self.store.retire(process))

    @rule(run=runs, really=st.sampled_from((False, False, False, True)))
    def cancel(self, run: str, really: bool) -> None:
        if really:
            self._say(run, lambda: commands.cancel(self.store, run, reason="no more", deadlines=self.deadlines))

    @precondition(lambda self: self._in(State.AWAITING_APPROVAL))
    @rule(run=runs, yes=st.booleans(), same=st.booleans())
    def approve_or_reject(self, run: str, yes: bool, same: bool) -> None:
        who: dict[str, Any] = dict(by="ada", deadlines=self.deadlines)

        async def say() -> Any:
            lock = (await self.store.read(run)).run.lock
            plan = lock.plan_hash if lock and same else "0" * 64
            if yes:
                return await commands.approve(self.store, run, plan, **who)
            return await commands.reject(self.store, run, comment="", **who)

        self._say(run, say)

    @precondition(lambda self: self._in(State.NEEDS_REVIEW))
    @rule(run=runs, said=st.sampled_from(("resend", "abandon")))
    def review(self, run: str, said: Said) -> None:
        who: dict[str, Any] = dict(by="ada", comment="", deadlines=self.deadlines)
        self._say(run, lambda: commands.review(self.store, run, said, **who))

    def _in(self, state: State) -> bool:
        return any(record.state is state for record in self.store._runs.values())

    def _say(self, run: str, say: Any) -> None:
        async def said() -> None:
            with suppress(IllegalMove):
                await say()

        if run in self.here.names:
            self.do(said())

    @rule(stage=st.sampled_from(Stage), pause=st.sampled_from((False, False, False, True)))
    def pause_or_resume(self, stage: Stage, pause: bool) -> None:
        self.do(self.store.pause([stage], by="ada", reason="") if pause else self.store.resume([stage]))

    @invariant()
    def every_record_is_in_order(self) -> None:
        for name, record in self.store._runs.items():
            _is_in_order(record)
            _moves_on(record, self.seen.get(name))
            self.seen[name] = record.ver, record.epoch, record.state

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            history = self.do(self.here._history())
        finally:
            self._stop()
        for name in INVARIANTS.keys() - AT_THE_VERY_END:
            assert [str(violation) for violation in judge_one(name, history).violations] == []

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.do(asyncio.sleep(0))
        self.loop.close()
        self.patch.undo()


async def _unless_dead(attempt: Attempt) -> None:
    with suppress(Died):
        await attempt.make()


def _is_in_order(record: Record) -> None:
    """Of any record, at any moment: who looks at it next, and what it has put aside."""
    run = record.view().run
    live = record.state not in TERMINAL
    assert run.state is record.state
    assert (record.due is not None) == live
    assert (record.expires is None) == live
    assert bool(record.claim_id) == bool(record.owner) == bool(record.hard_stop)
    if record.claim_id:
        assert record.state in (*STAGES, State.CANCELLING)
        assert not record.ready
    if record.ready:
        assert record.state in STAGES
    entries = [Entry.model_validate_json(text) for text in record.journal.values()]
    reserved = sum((entry.quote_usd for entry in entries if entry.status == "started"), Decimal(0))
    assert run.reserved_usd == reserved
    assert run.spent_usd + run.reserved_usd <= run.budget_usd
    events = [parse(text) for text in record.events]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    ends = [event for event in events if event.type == "status" and cast(Any, event.payload).state in TERMINAL]
    assert len(ends) == (not live)
    assert not ends or ends == events[-1:]


def _moves_on(record: Record, before: tuple[int, int, State] | None) -> None:
    if before is None:
        return
    ver, epoch, state = before
    assert record.ver >= ver
    assert record.epoch >= epoch
    if state in TERMINAL:
        assert (record.ver, record.epoch, record.state) == before


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Lost claims are meant."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
