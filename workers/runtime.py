"""The loop beside Celery: it claims, works, sweeps and drains.

Celery's consumer, timers, remote control and event dispatcher stay in the main thread. One asyncio
loop in a second thread holds claims, work, sweeper and the long-lived clients. The heartbeat has a
third thread with a connection of its own, so that a busy loop cannot lose its claims; it stops when
the loop has stopped ticking.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prolight.adapters.redis_store import RedisStore
from prolight.attempt import Attempt, Attempts
from prolight.bootstrap import OUTAGE, build_attempts, connect_artifacts, connect_store, connect_tools
from prolight.commands import revoke
from prolight.door import Door
from prolight.errors import RunNotFound, StoreError, StoreUnavailable
from prolight.outcomes import Lost, Outcome
from prolight.ports import Claim, Process, Snapshot
from prolight.rounds import carry_on
from prolight.schemas import Stage, State
from prolight.settings import Settings
from prolight.sweeper import settle_overdue
from workers.aside import Aside
from workers.board import GATHER, Board
from workers.dock import Dock, Suspect
from workers.ear import Ear
from workers.messages import Reason, beginning
from workers.row import Row, StageOfRun
from workers.watchdog import Signs, Watchdog

log = logging.getLogger(__name__)

TICK = timedelta(seconds=0.5)
SETTLE = timedelta(seconds=2)
"""At a drain, calls without effects may end by themselves for so long; then they are released."""


@dataclass(slots=True)
class Working:
    claim: Claim
    attempt: Attempt | Suspect
    task: asyncio.Task[None]


class Runtime:
    """One per worker process. `slots` bound how many stages are worked on, and bells held, at once."""

    def __init__(self) -> None:
        self.settings = Settings.load()
        self.slots = self.settings.slots
        self.stages: tuple[Stage, ...] = ()
        self.hostname = ""
        self.process_id = ""
        self.working: dict[str, Working] = {}
        self.ear = Ear()
        self._heard = self._answered = 0
        self._starved = False
        self._inbox: deque[Stage] = deque()
        self._armed = False
        self._draining = False
        self._board = Board()
        self._consumer: Any = None
        self._keep: set[asyncio.Task[Any]] = set()
        self._aside = Aside()
        self._dock = Dock(self.settings.suspects_at_once)
        self._ticked, self._ticks, self._lag = time.monotonic(), 0, 0.0
        self._last_claim: float | None = None
        self._last_heartbeat: float | None = None
        self._answering_since: float | None = None
        self._watchdog = Watchdog(self.settings, self._signs, self._hand_over)
        self._loop: asyncio.AbstractEventLoop
        self._store: RedisStore
        self._attempts: Attempts
        self._door: Door

    # --- called by Celery's thread ---

    def start(self, *, slots: int, stages: tuple[Stage, ...]) -> None:
        """Returns when the store is connected and this process is known to it. Raises `StoreRefused`."""
        self.slots, self.stages = slots, stages
        self.process_id = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}-{os.getpid()}"  # a fork is another process
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="prolight-loop", daemon=True).start()
        self._on_loop(self._open()).result()
        threading.Thread(target=self._beat, name="prolight-heartbeat", daemon=True).start()
        self._watchdog.start()

    def attach(self, consumer: Any) -> None:
        """The consumer is connected (again)."""
        self._consumer = consumer
        self.hostname = consumer.hostname
        consumer.task_consumer.channel.qos.can_consume = self.can_consume
        self._board.attach(consumer)

    @property
    def taken(self) -> int:
        return self._heard - self._answered

    @property
    def free(self) -> int:
        return self.slots - self.taken

    def can_consume(self) -> bool:
        if self.free > 0:
            return not self._draining
        self._starved = True
        return self.free > 0  # a slot may have become free before the flag was up

    def set_aside(self, queue: str, reason: Reason, raw: bytes) -> None:
        """Returns at once, whether the store answers or not."""
        size, start = len(raw), beginning(raw)  # the whole of it is not held on to
        put = self._aside.put
        self._loop.call_soon_threadsafe(lambda: self._background(put(self._store, queue, reason, size, start)))

    def ring(self, stage: Stage) -> None:
        """A bell for `stage`: many in one turn of Celery's loop wake ours once."""
        self._heard += 1
        self._inbox.append(stage)
        if not self._armed:
            self._armed = True
            self._loop.call_soon_threadsafe(self._answer_bells)

    def change(self, *, slots: int | None = None, stages: tuple[Stage, ...] | None = None) -> None:
        """What this process does, from now on; others count on what it announces."""
        self.slots = self.slots if slots is None else slots
        self.stages = self.stages if stages is None else stages
        self._on_loop(self._announce())

    def revoke(self, named: StageOfRun) -> None:
        self._on_loop(self._revoke(named))

    def drain(self) -> None:
        """Stop claiming, let work end or hand it over. Returns when this process holds nothing.

        It may take minutes, and Celery's thread waits here: what happens is shown meanwhile.
        """
        if not self._draining:
            self._draining = True
            drained = self._on_loop(self._drain())
            while not drained.done():
                concurrent.futures.wait([drained], timeout=GATHER.total_seconds())
                self._board.keep_up()
            drained.result()

    def stop(self) -> None:
        self.drain()
        self._watchdog.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _free_slots(self, count: int) -> None:
        self._answered += count
        if self._starved and self._consumer:
            self._starved = False
            self._consumer.hub.call_soon(lambda: None)

    # --- on the loop ---

    def _on_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._keep.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._keep.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.critical("%s ended by a defect", task.get_coro(), exc_info=error)

    async def _open(self) -> None:
        self._store = connect_store(self.settings, patience=OUTAGE)
        await self._store.open()
        self._door = Door(self._store, connect_artifacts(self.settings), self.settings)
        await self._store.identify_artifacts(self._door.artifacts.identity)
        log.info("store: %s", (await self._store.durability()).says)
        self._tools = connect_tools(self.settings)
        self._attempts = build_attempts(self.settings, self._store, self._tools)
        subscribed = self._loop.create_future()
        self._background(self._listen(subscribed))
        await subscribed
        await self._announce()
        self._background(self._sweep())
        self._background(self._tick())

    async def _announce(self) -> None:
        await self._store.heartbeat(self._process(), {})

    def _process(self) -> Process:
        return Process(self.process_id, self.slots, self.stages, host=socket.gethostname(), pid=os.getpid())

    def _answer_bells(self) -> None:
        self._armed = False
        bells: Counter[Stage] = Counter()
        while self._inbox:
            bells[self._inbox.popleft()] += 1
        for stage, count in bells.items():
            self._background(self._claim(stage, count))

    async def _claim(self, stage: Stage, count: int) -> None:
        claims: list[Claim] = []
        try:
            if not self._draining and stage in self.stages:
                claims = await self._store.claim(stage, count, self.process_id)
        except StoreError as error:
            log.warning("no claim: %s", error)
        finally:
            self._free_slots(count - len(claims))
        if claims:
            self._last_claim = time.time()
        for claim in claims:
            attempt = self._attempt(claim)
            task = self._background(self._work(claim, attempt))
            self.working[claim.run_id] = Working(claim, attempt, task)

    def _attempt(self, claim: Claim) -> Attempt | Suspect:
        if claim.snapshot.crashes >= self.settings.crashes_to_suspect:
            return Suspect(self._attempts, self._dock, claim)
        return Attempt(self._attempts, claim)

    async def _work(self, claim: Claim, attempt: Attempt | Suspect) -> None:
        row = self._row(claim.snapshot)
        outcome: Outcome | Lost = Lost()
        try:
            row.started()
            outcome = await attempt.make()
        except StoreError as error:
            log.error("run %s: given up: %s", claim.run_id, error)
        finally:
            row.ended(outcome, attempt.run)
            working = self.working.get(claim.run_id)
            if working and working.claim is claim:  # else it was lost, and claimed anew by this very process
                del self.working[claim.run_id]
            self._free_slots(1)

    async def _listen(self, subscribed: asyncio.Future[None]) -> None:
        """Whoever looks whether this process lives counts the subscribers of this channel."""
        async with self._store.listen(f"prolight:process:{self.process_id}") as heard:
            subscribed.set_result(None)
            while True:
                if word := await heard(timedelta(seconds=5)):
                    ended, _, run_id = word.rpartition(":")
                    if ended:
                        self._background(self._tell_end(run_id))
                    else:
                        self._interrupt(run_id)

    def _interrupt(self, run_id: str) -> None:
        if working := self.working.get(run_id):
            working.attempt.interrupt()

    def _row(self, snapshot: Snapshot) -> Row:
        return Row(snapshot, self._board, hostname=self.hostname)

    async def _tell_end(self, run_id: str) -> None:
        """A client or a sweeper ended this run: of all processes, this one shows it."""
        try:
            snapshot = await self._store.read(run_id)
        except (StoreError, RunNotFound) as error:
            log.warning("run %s: how it ended is not shown: %s", run_id, error)
        else:
            self._row(snapshot).settled(snapshot.run)

    async def _revoke(self, named: StageOfRun) -> None:
        try:
            if await revoke(self._store, named.run_id, named.stage, named.round, deadlines=self.settings.deadlines):
                log.info("run %s: revoked at %s", named.run_id, named.stage)
        except (StoreError, RunNotFound) as error:
            log.warning("run %s: not cancelled: %s", named.run_id, error)

    async def _sweep(self) -> None:
        while True:
            wait = self.settings.sweep_seconds * random.uniform(0.8, 1.2)
            try:
                swept = await self._store.sweep()
                await settle_overdue(self._store, swept, self.settings.deadlines)
                await carry_on(self._door, swept.batches)
                room = self.free > 0 and not self._draining
                await self.ear.after_a_sweep(self._store, self.stages, room=room)
                if swept.again is not None:
                    wait = min(wait, swept.again.total_seconds() + 0.002)
            except StoreError as error:
                log.warning("sweep: %s", error)
                self.ear.forgive()
            except Exception:
                log.exception("sweep failed")  # and must go on: dead workers' runs wait for it
            await asyncio.sleep(wait)

    async def _tick(self) -> None:
        while True:
            now = time.monotonic()
            self._lag = max(0.0, now - self._ticked - TICK.total_seconds())
            self._ticked, self._ticks = now, self._ticks + 1
            await asyncio.sleep(TICK.total_seconds())

    async def _drain(self) -> None:
        """Work without effects gets a moment to end, work with effects the whole grace; the rest is released."""
        await self._settle(SETTLE)
        for working in list(self.working.values()):
            working.attempt.interrupt(harmless_only=True)
        await self._settle(timedelta(seconds=self.settings.drain_seconds))
        for working in list(self.working.values()):
            working.attempt.interrupt()
        await self._settle(SETTLE)
        try:
            async with asyncio.timeout(SETTLE.total_seconds()):
                await self._store.retire(self.process_id)
        except (StoreUnavailable, TimeoutError):
            log.warning("the store does not answer: what this process held is taken over after the lease")

    async def _settle(self, within: timedelta) -> None:
        if tasks := [working.task for working in self.working.values()]:
            await asyncio.wait(tasks, timeout=within.total_seconds())

    # --- the heartbeat's thread ---

    def _beat(self) -> None:
        asyncio.run(self._beat_forever())

    async def _beat_forever(self) -> None:
        store = connect_store(self.settings, patience=OUTAGE)
        while not self._draining or self.working:
            if time.monotonic() - self._ticked < self.settings.loop_stall_seconds:
                held = {run_id: working.claim.snapshot.claim_id for run_id, working in list(self.working.items())}
                try:
                    over = await store.heartbeat(self._process(), held)
                except StoreError as error:
                    log.warning("heartbeat: %s", error)
                    self._answering_since = None
                else:
                    self._last_heartbeat = time.time()
                    self._answering_since = self._answering_since or time.monotonic()
                    for run_id in over:
                        self._on_loop(self._stop_if_over(run_id, held[run_id]))
            await asyncio.sleep(self.settings.heartbeat_seconds)

    # --- the watchdog's thread ---

    def _signs(self) -> Signs:
        return Signs(
            ticks=self._ticks,
            lag=timedelta(seconds=self._lag),
            slots=self.slots,
            working=len(self.working),
            overstayed=self._overstayed(),
            deaf_sweeps=self.ear.deaf_sweeps,
            last_claim=self._last_claim,
            last_heartbeat=self._last_heartbeat,
        )

    def _overstayed(self) -> int:
        """While the store is away nothing can be concluded: the time in which it could counts."""
        grace, since = self.settings.wedged_after_seconds, self._answering_since
        if since is None or time.monotonic() - since < grace:
            return 0
        stops = [working.claim.snapshot.hard_stop for working in list(self.working.values())]
        return sum(stop is not None and self._store.now() - stop > grace for stop in stops)

    def _hand_over(self) -> None:
        with suppress(StoreError, TimeoutError, concurrent.futures.TimeoutError):
            self._on_loop(self._store.retire(self.process_id)).result(SETTLE.total_seconds())

    async def _stop_if_over(self, run_id: str, claim_id: str) -> None:
        """The heartbeat says so; look again, since the stage may just have ended by our own commit."""
        working = self.working.get(run_id)
        if working and working.claim.snapshot.claim_id == claim_id:
            with suppress(RunNotFound):
                now = await self._store.read(run_id)
                if now.claim_id == claim_id and now.run.state is not State.CANCELLING:
                    return
            if self.working.get(run_id) is working:
                log.warning("run %s: cancelled, taken by somebody else, or gone: stopping", run_id)
                working.attempt.interrupt()


runtime = Runtime()
