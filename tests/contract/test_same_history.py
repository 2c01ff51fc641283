"""The store in memory and the scripts on a server give the same answers to any history.

Both clocks run: so waits are even numbers of seconds, and no limit that has to be *exceeded* is an
even number. What a history takes in real time is far below the one second that is left to each side.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis as SyncRedis

from prolight.adapters.redis_link import RedisLink
from prolight.decisions import Decision
from prolight.embedded.valkey import ValkeyServer
from prolight.errors import ProLightError
from prolight.events import parse
from prolight.ports import Claim, Process, Snapshot, Write
from prolight.schemas import Stage, State
from prolight.sweeper import settle_overdue

from .backends import Backend, MemoryBackend, RedisBackend
from .runs import (
    DEADLINES,
    accepted,
    backing_off,
    cancelled,
    crashed,
    failed,
    held,
    parked,
    planned,
    released,
    submission,
)

PROCESSES = ("w1", "w2")
WAITS = (2, 4, 14, 62, 182, 3602)
KINDS = ("go on", "go on", "go on", "hold", "back off", "release", "crash", "fail", "park")
RUNS = st.integers(0, 2)
Step = tuple[str, tuple[Any, ...]]
TWO_RUNS: list[Step] = [("submit", (1, "f", "a")), ("submit", (0, "f", None))]

CLAIMS = st.tuples(st.just("claim"), st.tuples(st.sampled_from(Stage), st.integers(1, 3), st.sampled_from(PROCESSES)))
WRITES = st.tuples(st.just("write"), st.tuples(RUNS, st.sampled_from(KINDS), st.booleans()))
STEPS = st.one_of(
    st.tuples(st.just("submit"), st.tuples(RUNS, st.sampled_from(("f", "g")), st.sampled_from((None, "a", "b")))),
    CLAIMS,
    WRITES,
    CLAIMS,
    WRITES,
    st.tuples(st.just("write_again"), st.tuples()),
    st.tuples(st.just("cancel"), st.tuples(RUNS)),
    st.tuples(st.just("wait"), st.tuples(st.sampled_from(WAITS))),
    st.tuples(st.just("sweep"), st.tuples(st.booleans())),
    st.tuples(st.just("live_on"), st.tuples(st.sampled_from((2, 8, 14)))),
    st.tuples(st.just("beat"), st.tuples(st.sampled_from(PROCESSES))),
    st.tuples(st.just("kill"), st.tuples(st.sampled_from(PROCESSES))),
    st.tuples(st.just("retire"), st.tuples(st.sampled_from(PROCESSES))),
)


class World:
    """One store, and what the processes that use it believe."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._store = backend.store
        self._bases: dict[str, Snapshot] = {}
        self._last: Write | None = None
        self._writes = 0
        self._alive: set[str] = set()

    async def take(self, step: Step) -> object:
        """The answer, without what is random or exact time."""
        name, arguments = step
        act: Callable[..., Awaitable[object]] = getattr(self, name)
        try:
            return await act(*arguments)
        except ProLightError as refused:
            return refused.code

    async def seen(self) -> object:
        processes = [(process.id, process.alive) for process in await self._store.processes()]
        return [_told(snapshot) for snapshot in await self._store.recent(10)], processes, await self._store.backlog()

    async def records(self) -> object:
        run_ids = [snapshot.run.run_id for snapshot in await self._store.recent(10)]
        return [(await self._events(run_id), await self._store.journal(run_id)) for run_id in run_ids]

    async def submit(self, n: int, fingerprint: str, key: str | None) -> object:
        await self._backend.advance(0.001)  # no two runs are of the same age
        decision = submission(f"run-{n}", await self._backend.now())
        return await self._store.create(decision, fingerprint=fingerprint, idempotency_key=key)

    async def claim(self, stage: Stage, count: int, process: str) -> object:
        claims: list[Claim] = await self._store.claim(stage, count, process)
        for claim in claims:
            self._bases[claim.run_id] = claim.snapshot
        return [(_told(claim.snapshot), claim.journal) for claim in claims]

    async def write(self, n: int, kind: str, progress: bool) -> object:
        base = self._bases.get(f"run-{n}")
        if base is None:
            return None
        decision = _decided(kind, base, await self._backend.now())
        self._writes += 1
        op_id = f"{base.claim_id}.{self._writes}"
        journal = {f"call {self._writes}": kind} if progress else {}
        self._last = Write(base, decision, op_id, journal=journal, progress=progress)
        return await self.write_again()

    async def write_again(self) -> object:
        if self._last is None:
            return None
        written = await self._store.commit(self._last)
        self._bases[written.run.run_id] = written
        return written.ver, written.run.state, bool(written.claim_id)

    async def cancel(self, n: int) -> object:
        base = await self._store.read(f"run-{n}")
        decision = cancelled(base, await self._backend.now())
        self._writes += 1
        written = await self._store.commit(Write(base, decision, f"client.{self._writes}", holder=False))
        return written.ver, written.run.state

    async def wait(self, seconds: int) -> None:
        await self._backend.advance(seconds)

    async def live_on(self, seconds: int) -> object:
        found = []
        for _ in range(0, seconds, 2):
            await self._backend.advance(2)
            found.append(await self.sweep(settle=False))
        return found

    async def sweep(self, settle: bool) -> object:
        swept = await self._store.sweep()
        if settle:
            await settle_overdue(self._store, swept, DEADLINES)
        return set(swept.overdue), set(swept.poisoned)

    async def beat(self, process: str) -> object:
        if process not in self._alive:
            self._alive.add(process)
            await self._backend.connect(process)
        worker = Process(process, slots=2, stages=tuple(Stage), host="here", pid=7)
        held = {run_id: base.claim_id for run_id, base in self._bases.items() if base.owner == process}
        return await self._store.heartbeat(worker, held)

    async def kill(self, process: str) -> None:
        if process in self._alive:
            self._alive.discard(process)
            await self._backend.kill(process)

    async def retire(self, process: str) -> None:
        await self._store.retire(process)

    async def _events(self, run_id: str) -> list[tuple[int, str, int]]:
        events = map(parse, await self._store.events(run_id))
        return [(event.seq, event.type, event.epoch) for event in events]


def _decided(kind: str, base: Snapshot, now: float) -> Decision:
    match kind, base.run.state:
        case "back off", State.PLANNING | State.CRITIQUING | State.EXECUTING:
            return backing_off(base, now, timedelta(seconds=8))
        case "release", State.PLANNING | State.CRITIQUING | State.EXECUTING:
            return released(base, now)
        case "crash", State.PLANNING | State.CRITIQUING | State.EXECUTING:
            return crashed(base, now)
        case "fail", _:
            return failed(base, now)
        case "go on", State.PLANNING:
            return planned(base, now)
        case "go on", State.CRITIQUING:
            return accepted(base, now)
        case "park", State.CRITIQUING:
            return parked(base, now)
        case _:
            return held(base.run)


def _told(snapshot: Snapshot) -> tuple[str, ...]:
    told = (
        snapshot.run.state,
        snapshot.activity,
        snapshot.ver,
        snapshot.epoch,
        snapshot.owner,
        snapshot.attempt,
        snapshot.crashes,
        snapshot.seq,
        snapshot.hard_stop is None,
        snapshot.due_at is None,
    )
    return (snapshot.run.run_id, *map(str, told))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(STEPS, min_size=10, max_size=40))
async def test_any_history_is_answered_alike(valkey_server: ValkeyServer, history: list[Step]) -> None:
    with SyncRedis.from_url(valkey_server.url) as client:
        client.flushall()
    backends: list[Backend] = [MemoryBackend(), RedisBackend(RedisLink(valkey_server.url))]
    try:
        memory, server = [World(backend) for backend in backends]
        for step in [*TWO_RUNS, *history]:
            assert await memory.take(step) == await server.take(step), step
            assert await memory.seen() == await server.seen(), step
        assert await memory.records() == await server.records()
    finally:
        for backend in backends:
            await backend.close()
