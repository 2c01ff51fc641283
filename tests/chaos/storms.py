"""Faults at random, by a seed, under many runs: workers killed, frozen and restarted, the store away, replies and bells
lost, World and LLM misbehaving. What happened is on record; which runs it hit is the lot's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from httpx import TransportError

from prolight.embedded import StackFailed
from prolight.errors import StoreUnavailable
from prolight.schemas import Stage
from tests.chaos.arena import Arena, Worker
from tests.chaos.trial import CLASSES, Trial

WORKERS = 2
AT_ONCE = 12
"""So many runs are under way at a time: a fault meets some of them in every stage."""
FOLLOWED = 5
"""Every n-th run is followed."""
SLOW_MS = 600
"""So long a tool takes, that a fault finds somebody at work."""
PATIENCE = timedelta(seconds=90)
WORLD_ACTS = (
    *("crash_before_apply", "crash_after_apply", "http_500", "http_503", "http_429", "refuse", "error_after_apply"),
    *("reset", "slow", "huge_result", "invalid_result", "wrong_picture", "hang_before_apply", "hang_after_apply"),
)
LLM_ACTS = (
    *("http_429", "http_529", "http_500", "http_503", "reset", "bad_body", "truncated", "slow", "hang", "hang_after"),
)

Fault = Callable[["Storm"], Awaitable[bool]]
"""Whether it happened."""


class Storm:
    """One trial of many runs. `faults` are drawn from, every `every` seconds, until all runs were submitted."""

    def __init__(self, arena: Arena, trial: Trial, *, runs: int, faults: Mapping[str, Fault], every: float) -> None:
        self.arena, self.trial = arena, trial
        self._runs, self._faults, self._every = runs, faults, every
        self.random = trial.random
        self._bursts: set[asyncio.Task[Any]] = set()

    async def play(self) -> None:
        if Storm.misbehave not in self._faults.values():
            await self.arena.tell_world.script("slow", times=None, ms=SLOW_MS)
        over = asyncio.Event()
        storm = asyncio.create_task(self._blow(over))
        try:
            await self._submit_all()
        finally:
            over.set()
            await storm
        if not self.trial.faults:
            self.trial.landed("any fault of the storm", landed=False)
        await self._calm()
        await self.trial.quiet(PATIENCE)

    async def _submit_all(self) -> None:
        """A new one for each that is over."""
        trial = self.trial
        while len(trial.runs) < self._runs:
            seen = await trial.look()
            over = sum(map(trial.over, seen))
            for each in seen:
                await trial.answer(each)
            for _ in range(min(self._runs - len(trial.runs), AT_ONCE - (len(trial.runs) - over))):
                await trial.submit(self._brief(), follow=len(trial.runs) % FOLLOWED == 0)
            await asyncio.sleep(0.1)

    def _brief(self) -> str:
        groups = []
        for _ in range(self.random.randint(1, 2)):
            groups.append("|".join(self.random.sample(CLASSES, self.random.randint(1, 2))))
        return ",".join(groups)

    async def _blow(self, over: asyncio.Event) -> None:
        """Until then; a fault that began is carried through, or its store stays away."""
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self._every * self.random.uniform(0.5, 1.5))
                return
            name = self.random.choice(sorted(self._faults))
            with suppress(StoreUnavailable):  # it came just when the store was away
                if await self._faults[name](self):
                    self.trial.landed(name)

    async def _calm(self) -> None:
        """Everything heals. What the faults began is let end first."""
        for worker in [worker for worker in self.arena.alive if worker.stopped]:
            self.arena.go_on(worker)
        await asyncio.gather(*self._bursts, return_exceptions=True)
        await self.arena.heal_world()
        await self.arena.tell_llm.clear()
        if self.arena.proxied:
            await self.arena.tell_proxy.faults()
        self.arena.disarm()
        while len(self.arena.alive) < WORKERS:
            await self.arena.worker()
        self.trial.landed("all heals")

    # --- what may happen ---

    def victim(self) -> Worker | None:
        alive = [worker for worker in self.arena.alive if not worker.stopped]
        return self.random.choice(alive) if alive else None

    async def kill(self) -> bool:
        victim = self.victim()
        if victim:
            self.arena.end(victim)
            self._later(self.arena.worker())
        return victim is not None

    async def roll(self) -> bool:
        """SIGTERM; the next one is started as it ends."""
        victim = self.victim()
        if victim:
            await self.arena.terminated(victim)
            self._later(self.arena.worker())
        return victim is not None

    async def freeze(self) -> bool:
        victim = self.victim()
        if victim:
            self.arena.stop(victim)
            self._later(self._thaw(victim, self.random.uniform(0.1, 3)))
        return victim is not None

    async def _thaw(self, victim: Worker, after: float) -> None:
        await asyncio.sleep(after)
        if victim in self.arena.alive and victim.stopped:
            self.arena.go_on(victim)

    async def restart_store(self) -> bool:
        self.arena.valkey.kill()
        await asyncio.sleep(self.random.uniform(0, 2))
        for _ in range(3):
            try:
                self.arena.valkey.start()
                break
            except StackFailed:
                await asyncio.sleep(0.1)
        return True

    async def bells(self) -> bool:
        """Lost or doubled from now on; and some that are no bells."""
        (self.arena.control_folder / "bells").write_text(self.random.choice(("lost", "doubled", "")))
        garbage = self.random.choice(("{", "\xff\xfe", '{"body": 1}', "[" * 500))
        await self.arena.client.store._ask("LPUSH", self.random.choice(list(Stage)).queue, garbage)
        return True

    async def misbehave(self) -> bool:
        """The World or the LLM, with one of the next calls."""
        if not self.arena.world_runs:
            await self.arena.restart_world()
        if self.random.random() < 0.3:
            await self.arena.tell_llm.script(self.random.choice(LLM_ACTS), ms=500, retry_after=1)
            return True
        try:
            await self.arena.tell_world.script(self.random.choice(WORLD_ACTS), ms=500, retry_after=1)
        except TransportError:  # it crashed just now
            return False
        return True

    async def lose_replies(self) -> bool:
        """The store carries out and nobody hears of it: one per cent, then ten, of what is asked."""
        rate = self.random.choice((0.01, 0.1))
        chance = {"rate": rate, "seed": self.random.randrange(10**6), "containing": "EVALSHA"}
        await self.arena.tell_proxy.faults(lose_reply=chance)
        return True

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._bursts.add(task)


STORMS: Mapping[str, Mapping[str, Fault]] = {
    "kills": {"kill": Storm.kill},
    "freezes": {"kill": Storm.kill, "freeze": Storm.freeze, "roll": Storm.roll},
    "store": {"restart_store": Storm.restart_store, "bells": Storm.bells},
    "outside": {"misbehave": Storm.misbehave, "misbehave more": Storm.misbehave, "kill": Storm.kill},
    "replies": {"lose_replies": Storm.lose_replies, "kill": Storm.kill, "bells": Storm.bells},
}
EVERY: Mapping[str, float] = {"kills": 2.0, "freezes": 1.0, "store": 2.0, "outside": 0.5, "replies": 1.0}
PROXIED = frozenset({"replies"})
