"""The run store in the memory of one process, for unit tests and the in-process runner.

It behaves as the scripts in `lua/` do; each method can be read beside the script of its name.
Nothing outlives the process, and nobody hears bells here, so none are rung.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType

from prolight.adapters.memory_dependencies import MemoryDependencies
from prolight.adapters.memory_record import LOOK_AGAIN_MS, Record
from prolight.adapters.record import deadline_of, document_of, journal_of, milliseconds
from prolight.decisions import Decision, Queued
from prolight.errors import ClaimLost, IdempotencyMismatch, RunNotFound, VersionConflict
from prolight.events import Event, Payload, parse
from prolight.ports import Claim, Pause, Process, Snapshot, Swept, Write
from prolight.retry import DEFAULT_SPARING, Sparing
from prolight.schemas import RunContext, Stage, State

DUE_AT_A_TIME = 100
DEATH_AFTER_MS = 1_000
STOOD_STILL_MS = 3_000


@dataclass(slots=True)
class _Look:
    """One sweep: what it found, and when the next look is wanted."""

    now: int
    next_looks: list[int]
    overdue: list[str] = field(default_factory=list)
    poisoned: list[str] = field(default_factory=list)

    def decide(self, record: Record, answered: list[str]) -> None:
        record.decide_later(self.now)
        answered.append(record.run_id)


class MemoryStore:
    """Implements `ports.RunStore`.

    `clock` gives the time in seconds; a step back is absorbed by an offset. `listens` says whether the
    process of that id is alive. Both may be replaced at any time. `heard` is given each event as it is told.
    """

    def __init__(
        self,
        *,
        lease: timedelta = timedelta(seconds=12),
        crashes_to_poison: int = 5,
        clock: Callable[[], float] = time.time,
        listens: Callable[[str], bool] = lambda _process: True,
        heard: Callable[[str], None] = lambda _event: None,
        sparing: Sparing = DEFAULT_SPARING,
    ) -> None:
        self.clock = clock
        self.listens = listens
        self._lease = milliseconds(lease)
        self._crashes_to_poison = crashes_to_poison
        self._last = self._offset = 0
        self._swept: int | None = None
        self._hold_leases = 0
        self._runs: dict[str, Record] = {}
        self._keys: dict[str, str] = {}
        self._processes: dict[str, Process] = {}
        self._absent: dict[str, int] = {}
        self._paused: dict[Stage, Pause] = {}
        self._heard = heard
        self.dependencies = MemoryDependencies(sparing, self._time)
        self._told = asyncio.Event()

    def now(self) -> float:
        return self._time() / 1000

    async def create(
        self,
        decision: Decision,
        *,
        fingerprint: str,
        idempotency_key: str | None,
        journal: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[str, bool]:
        run, queued = decision.run, decision.placement
        assert isinstance(queued, Queued)
        assert queued.budget is not None
        document, entries, now = document_of(run), journal_of(run, journal), self._time()
        by_key = self._find(self._keys.get(idempotency_key or "", ""), now)
        known = by_key or self._find(run.run_id, now)
        if known and known.fingerprint != fingerprint:
            message = f"is taken by run {known.run_id}, which was asked for with other content"
            raise IdempotencyMismatch(message, field="idempotency_key" if by_key else "run_id")
        if idempotency_key:
            self._keys[idempotency_key] = known.run_id if known else run.run_id
        if known:
            return known.run_id, False
        budget = milliseconds(queued.budget)
        record = Record(run.run_id, fingerprint, document, run.state, budget, deadline_of(run), now)
        record.journal = dict(zip(entries[::2], entries[1::2], strict=True))
        self._runs[run.run_id] = record
        if run.parent and (parent := self._find(run.parent, now)):
            parent.child = run.run_id
        record.make_ready(now)
        self._tell(record, decision.events, now)
        return run.run_id, True

    def adopt(self, run: RunContext) -> None:
        """Take over a run that left another store while it was parked; its events are numbered on from `run.seq`."""
        record = Record(run.run_id, "", document_of(run), run.state, 0, deadline_of(run), self._time(), told=run.seq)
        record.epoch = sum(turn.attempts for turn in run.turns)
        record.due = 0 if run.approval is None else round(run.approval.until * 1000)
        self._runs[run.run_id] = record

    async def read(self, run_id: str) -> Snapshot:
        return self._get(run_id, self._time()).view()

    async def recent(self, limit: int, skip: int = 0) -> list[Snapshot]:
        now = self._time()
        alive = [record for record in self._runs.values() if not record.expired(now)]
        newest = sorted(alive, key=lambda record: record.age, reverse=True)
        return [record.view() for record in newest[skip : skip + max(0, limit)]]

    async def claim(self, stage: Stage, count: int, process: str) -> list[Claim]:
        now, claim_id = self._time(), uuid.uuid4().hex
        if stage in self._paused:
            return []
        waiting = [record for record in self._runs.values() if record.ready and record.stage is stage]
        heads = sorted(waiting, key=lambda record: record.age)[:count]
        taken = [record for record in heads if record.take(claim_id, process, now, self._lease)]
        return [Claim(record.view(), dict(record.journal)) for record in taken]

    async def commit(self, write: Write) -> Snapshot:
        run, base, now = write.decision.run, write.base, self._time()
        document, record = document_of(run), self._get(run.run_id, now)
        if answered := record.answered(write.op_id):
            return answered
        if write.holder and (not base.claim_id or record.claim_id != base.claim_id):
            record.take_crash_back(base.claim_id)
            raise ClaimLost(f"the claim of run {run.run_id} has ended")
        taken_back = not write.holder and record.crashes != base.crashes
        if (record.claim_id, record.ver) != (base.claim_id, base.ver) or taken_back:
            raise VersionConflict(f"run {run.run_id} has changed since it was read at version {base.ver}")
        if write.decision.valid_until is not None and now >= write.decision.valid_until * 1000:
            late = ClaimLost if write.holder else VersionConflict
            raise late(f"run {run.run_id}: the time for this has passed")
        record.write(write, document, now)
        self.dependencies.asked(write.asks)
        self._tell(record, write.decision.events, now)
        return record.remember(write, replace(record.view(), run=run))

    async def heartbeat(self, process: Process, claims: Mapping[str, str]) -> set[str]:
        now = self._time()
        self._processes[process.id] = replace(process, beat_at=now / 1000)
        over = set()
        for run_id, claim_id in claims.items():
            record = self._find(run_id, now)
            held = record and (record.claim_id, record.owner) == (claim_id, process.id)
            if record and held:
                record.prolong(now, self._lease)
            if record and not held:
                record.take_crash_back(claim_id)
            if not record or not held or record.state is State.CANCELLING:
                over.add(run_id)
        return over

    async def retire(self, process: str) -> None:
        self._sweep(retiring=process)

    async def sweep(self) -> Swept:
        return self._sweep()

    def _sweep(self, *, retiring: str = "") -> Swept:
        look = _Look(now := self._time(), [now + LOOK_AGAIN_MS])
        if self._swept is not None and now - self._swept > max(self._lease / 4, STOOD_STILL_MS):
            self._hold_leases = now + self._lease
        self._swept = now
        self._forget(now)
        if retiring:
            self._bury(retiring, look, crashed=False)
        for process in list(self._processes):
            self._look_after(process, look)
        for record in self._due(now):
            self._look_at(record, look)
        look.next_looks += [record.due for record in self._runs.values() if record.due is not None]
        again = timedelta(milliseconds=max(0, min(look.next_looks) - now))
        return Swept(tuple(look.overdue), tuple(look.poisoned), again, self._crashes_to_poison)

    def _look_after(self, process: str, look: _Look) -> None:
        if self.listens(process):
            self._absent.pop(process, None)
            return
        dead_at = self._absent.setdefault(process, look.now) + DEATH_AFTER_MS
        if dead_at <= look.now:
            self._bury(process, look, crashed=True)
        else:
            look.next_looks.append(dead_at)

    def _bury(self, process: str, look: _Look, *, crashed: bool) -> None:
        for record in self._runs.values():
            if record.owner == process:
                self._free(record, look, crashed=crashed)
        self._processes.pop(process, None)
        self._absent.pop(process, None)

    def _look_at(self, record: Record, look: _Look) -> None:
        if record.claim_id and record.hard_stop <= look.now:
            look.decide(record, look.overdue)
        elif record.claim_id and self._hold_leases > look.now:
            record.due = self._hold_leases
        else:
            self._free(record, look, crashed=bool(record.claim_id))

    def _free(self, record: Record, look: _Look, *, crashed: bool) -> None:
        """Nobody holds it (any more): claimable, or in need of a decision."""
        if crashed:
            record.crash()
        record.end_claim()
        if record.stage is None or record.stopped(look.now):
            look.decide(record, look.overdue)
        elif record.crashes >= self._crashes_to_poison:
            look.decide(record, look.poisoned)
        else:
            record.make_ready(look.now)

    def _due(self, now: int) -> list[Record]:
        due = [record for record in self._runs.values() if record.due is not None and record.due <= now]
        return sorted(due, key=lambda record: (record.due, record.run_id))[:DUE_AT_A_TIME]

    def _forget(self, now: int) -> None:
        """What is past its expiry goes."""
        self._runs = {run_id: record for run_id, record in self._runs.items() if not record.expired(now)}
        self._keys = {key: run_id for key, run_id in self._keys.items() if run_id in self._runs}

    async def processes(self) -> list[Process]:
        known = sorted(self._processes.values(), key=lambda process: process.id)
        return [replace(process, alive=process.id not in self._absent) for process in known]

    async def backlog(self) -> Mapping[Stage, int]:
        waiting = [record.stage for record in self._runs.values() if record.ready]
        return {stage: waiting.count(stage) for stage in Stage}

    async def pause(self, stages: Collection[Stage], *, by: str, reason: str) -> None:
        self._paused |= dict.fromkeys(stages, Pause(by, reason, self.now()))

    async def resume(self, stages: Collection[Stage]) -> None:
        self._paused = {stage: pause for stage, pause in self._paused.items() if stage not in stages}

    async def paused(self) -> Mapping[Stage, Pause]:
        return dict(self._paused)

    async def journal(self, run_id: str) -> Mapping[str, str]:
        record = self._find(run_id, self._time())
        return dict(record.journal) if record else {}

    async def keep_late(self, run_id: str, entries: Mapping[str, str]) -> None:
        while record := self._find(run_id, self._time()):
            record.journal = {**entries, **record.journal}
            run_id = record.child

    async def events(self, run_id: str, after: int = 0) -> list[str]:
        record = self._find(run_id, self._time())
        return record.events_after(after) if record else []

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[Event]:
        while True:
            record = self._get(run_id, self._time())
            for text in record.events_after(after):
                event = parse(text)
                after = event.seq
                yield event
            if after >= record.seq:
                if record.expires is not None:
                    return
                await self._told.wait()

    def _tell(self, record: Record, payloads: tuple[Payload, ...], now: int) -> None:
        for event in record.tell(payloads, now):
            self._heard(event)
        self._told.set()
        self._told = asyncio.Event()

    def _time(self) -> int:
        host = round(self.clock() * 1000)
        self._offset = max(self._offset, self._last - host)
        self._last = host + self._offset
        return self._last

    def _find(self, run_id: str, now: int) -> Record | None:
        record = self._runs.get(run_id)
        return None if record is None or record.expired(now) else record

    def _get(self, run_id: str, now: int) -> Record:
        if record := self._find(run_id, now):
            return record
        raise RunNotFound(run_id)
