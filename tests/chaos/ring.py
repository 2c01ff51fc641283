"""What every play has at hand: a worker and a spare one, a run of each effect class, waits for what is to happen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from prolight.errors import IllegalMove
from prolight.schemas import State
from tests.chaos.arena import LANDS_WITHIN, Arena, Worker
from tests.chaos.trial import CLASSES, Trial
from tests.integration.fleet import comes


class Ring:
    """An arena with a worker at work and a spare one; whoever dies is replaced while the trial goes on."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.victim: Worker
        self._coming: asyncio.Task[Worker] | None = None

    async def start(self) -> None:
        self.victim = await self.arena.worker()
        self._order()

    def _order(self) -> None:
        self._coming = asyncio.create_task(self.arena.worker(gated=True))

    async def spare(self) -> Worker:
        assert self._coming
        return await self._coming

    async def take_over(self) -> None:
        """The spare works from now on, and gets a spare of its own."""
        self.victim = await self.spare()
        self.arena.ungate(self.victim)
        self._order()

    async def close(self) -> None:
        if self._coming:
            await self._coming


Play = Callable[[Ring, Trial], Awaitable[None]]


async def parked(trial: Trial) -> bool:
    states = [seen.run.state for seen in await trial.look()]
    return states == [State.AWAITING_APPROVAL] * len(trial.runs)


async def submit_all(trial: Trial) -> None:
    for brief in CLASSES:
        await trial.submit(brief)


async def hold_all(ring: Ring, trial: Trial, act: str) -> None:
    labels = [f"{trial.name}-{number}.{brief}-1" for number, brief in enumerate(CLASSES, 1)]
    for label in labels:
        await ring.arena.tell_world.script(act, label=label)
    await submit_all(trial)
    await asyncio.gather(*(ring.arena.tell_world.held(label=label) for label in labels))


async def cancel_all(ring: Ring, trial: Trial) -> bool:
    """Whether there was one left that could be cancelled: a call that is held too long is given up, and made again."""
    cancelled = 0
    for run in trial.runs:
        with suppress(IllegalMove):
            await ring.arena.client.cancel(run, reason="no more")
            cancelled += 1
    return cancelled > 0


async def dead(ring: Ring, trial: Trial, where: str) -> None:
    arm = (ring.arena.control_folder / "arm").read_text() if (ring.arena.control_folder / "arm").exists() else "{}"
    victim = await ring.arena.hit()
    trial.landed(f"killed_{where}", victim is not None, arm=arm)
    if victim:
        await asyncio.to_thread(ring.arena.gone, victim)
        await ring.take_over()


async def happens(condition: Callable[[], Awaitable[Any]], *, within: timedelta = LANDS_WITHIN) -> bool:
    return await comes(condition, within=within) is not None
