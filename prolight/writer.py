"""All writes of one claim, in order: whatever waits is joined into one commit.

Parallel steps of a run so never fight over its version, and what a finished call left to write
travels with the next call's `started`, or with the outcome of the stage.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from prolight.decisions import Decision, Ended, Held
from prolight.errors import ClaimLost, ProLightError, VersionConflict
from prolight.events import Payload
from prolight.ports import Claim, Dependencies, RunStore, Snapshot, Write
from prolight.schemas import RunContext

LINGER = timedelta(milliseconds=20)
"""How long a write that nobody waits for may wait for company."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What one change makes of the run. `settled`: a call came to its end. `asks` as in `Write`."""

    run: RunContext
    events: tuple[Payload, ...] = ()
    journal: Mapping[str, str] = field(default_factory=dict)
    settled: bool = False
    asks: Mapping[str, int] = field(default_factory=dict)


Change = Callable[[RunContext], Changed]
"""Pure; may be applied again to a newer document. Raises to refuse itself alone."""
Conclusion = Callable[[RunContext], Decision]


class Writer:
    """`name` tells the writers of one claim apart, where it has several, one after the other."""

    def __init__(self, store: RunStore, claim: Claim, *, name: str = "") -> None:
        self._store = store
        self._base = _begun(claim.snapshot, store.now())
        self._claim_id = claim.snapshot.claim_id
        self._waiting: list[tuple[Change, asyncio.Future[None]]] = []
        self._busy = asyncio.Lock()
        self._commits = 0
        self._name = name
        self._flush: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.closing: Callable[[], Mapping[str, str]] = dict
        """The journal entries that a commit which ends the run has to leave behind."""
        self._ended: Exception | None = None
        """Why nothing more can be written: a write whose fate is unknown must not be followed by others."""

    @property
    def run(self) -> RunContext:
        """The document as last committed."""
        return self._base.run

    @property
    def snapshot(self) -> Snapshot:
        return self._base

    @property
    def dependencies(self) -> Dependencies:
        return self._store.dependencies

    def now(self) -> float:
        return self._store.now()

    def left(self) -> timedelta:
        """Until the hard stop of this claim."""
        stop = self._base.hard_stop
        return timedelta.max if stop is None else timedelta(seconds=max(0.0, stop - self.now()))

    async def write(self, change: Change) -> None:
        """Returns when it is committed. Raises what the change raised, or `ClaimLost`."""
        future = self._enqueue(change)
        self._flush_soon()
        await future

    def write_later(self, change: Change) -> asyncio.Future[None]:
        """Goes with the next commit, or alone after `LINGER`. Nobody has to wait for it."""
        future = self._enqueue(change)
        future.add_done_callback(_heard)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LINGER.total_seconds(), self._flush_soon)
        return future

    async def finish(self, conclusion: Conclusion) -> Snapshot:
        """Everything that waits, and the outcome, in one commit; it ends the claim."""
        async with self._busy:
            if self._ended:
                raise self._ended
            return await self._end(self._take(), conclusion)

    async def abandon(self, conclusion: Conclusion) -> Snapshot:
        """The outcome alone, on the document as last committed: what waits cannot be written."""
        async with self._busy:
            return await self._end([], conclusion)

    async def _end(self, waiting: list[tuple[Change, asyncio.Future[None]]], conclusion: Conclusion) -> Snapshot:
        try:
            await self._commit(waiting, conclusion)
        except Exception as error:
            self._break(waiting, error)
            raise
        self._break([], ClaimLost(f"the claim of run {self._base.run.run_id} was given back"))
        return self._base

    def _break(self, waiting: list[tuple[Change, asyncio.Future[None]]], error: Exception) -> None:
        self._ended = error
        for _, future in (*waiting, *self._take()):
            _settle(future, error)

    def _enqueue(self, change: Change) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._ended:
            future.set_exception(self._ended)
        else:
            self._waiting.append((change, future))
        return future

    def _flush_soon(self) -> None:
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_all())

    async def _flush_all(self) -> None:
        async with self._busy:
            while waiting := self._take():
                try:
                    await self._commit(waiting, None)
                except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
                    self._break(waiting, error)

    def _take(self) -> list[tuple[Change, asyncio.Future[None]]]:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        return waiting

    async def _commit(self, waiting: list[tuple[Change, asyncio.Future[None]]], conclusion: Conclusion | None) -> None:
        while True:
            accepted, write = self._join(waiting, conclusion)
            if not accepted and not conclusion:
                return
            try:
                self._base = await self._store.commit(write)
            except VersionConflict:
                self._base = await self._reread()
            else:
                for future in accepted:
                    _settle(future, None)
                return

    def _join(
        self, waiting: list[tuple[Change, asyncio.Future[None]]], conclusion: Conclusion | None
    ) -> tuple[list[asyncio.Future[None]], Write]:
        run, settled = self._base.run, False
        events: list[Payload] = []
        journal: dict[str, str] = {}
        asks: Counter[str] = Counter()
        accepted = []
        for change, future in waiting:
            try:
                changed = change(run)
            except ProLightError as refused:
                _settle(future, refused)
                continue
            run = changed.run
            events += changed.events
            journal |= changed.journal
            settled |= changed.settled
            asks.update(changed.asks)
            accepted.append(future)
        decision = conclusion(run) if conclusion else self._goes_on(run)
        if isinstance(decision.placement, Ended):
            journal = {**self.closing(), **journal}
        decision = replace(decision, events=(*events, *decision.events))
        self._commits += 1
        op_id = f"{self._claim_id}.{self._name}{self._commits}"
        return accepted, Write(self._base, decision, op_id, journal=journal, progress=settled, asks=asks)

    def _goes_on(self, run: RunContext) -> Decision:
        """The stage is worked on, up to its hard stop and no longer."""
        return Decision(run.evolve(updated_at=self.now()), (), Held(), valid_until=self._base.hard_stop)

    async def _reread(self) -> Snapshot:
        snapshot = await self._store.read(self._base.run.run_id)
        if snapshot.claim_id != self._claim_id:
            raise ClaimLost(f"the claim of run {snapshot.run.run_id} has ended")
        return _begun(snapshot, self.now())


def _begun(snapshot: Snapshot, now: float) -> Snapshot:
    """The turn shows when it was first worked on, and how often."""
    turn = snapshot.run.turn
    if turn is None:
        return snapshot
    turn = turn.evolve(started_at=now if turn.started_at is None else turn.started_at, attempts=snapshot.attempt)
    return replace(snapshot, run=snapshot.run.evolve(turns=(*snapshot.run.turns[:-1], turn)))


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _heard(future: asyncio.Future[None]) -> None:
    """Nobody waits for it: every later write, and the outcome, meets the same error."""
    if not future.cancelled():
        future.exception()
