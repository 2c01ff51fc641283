"""How long a run stands still when the worker that holds it is killed: `kill -9` to the next useful call.

Two worker processes with default settings, and the real studio. The kill lands while the studio
relights; the other worker has to notice, claim the run and send the step again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from prolight.bench import parts
from prolight.bench.terms import BenchFailed, Effort, Figures, Goal, Say, percentile, rounded
from prolight.client import AsyncClient
from prolight.embedded import Child, start_valkey
from prolight.events import Event, StepMoved
from prolight.schemas import State

FULL, QUICK = Effort(repeat=2, runs=10), Effort(repeat=1, runs=3)
GOALS = (Goal("p50_seconds", at_most=3),)
WORKERS = 2
BRIEF = "soft warm key from the left, white background"
SLOW_TOOL = "studio.relight"
READY_WITHIN = timedelta(seconds=60)
RUN_WITHIN = timedelta(seconds=120)
MOST_VOID = 3
"""So many times as many void trials as wanted ones end the benchmark."""


@dataclass(slots=True)
class Trial:
    """One run, whose holder is killed at the start of its slow step."""

    epoch: int = 0
    killed_at: float | None = None
    seconds: float | None = None
    void: bool = False
    """The step was done before the kill landed."""

    def saw(self, event: Event) -> None:
        if self.killed_at is None or self.seconds is not None:
            return
        if event.epoch > self.epoch:
            self.seconds = time.monotonic() - self.killed_at
        elif _slow_step(event, "done"):
            self.void = True


async def measure(home: Path, effort: Effort, say: Say) -> Figures:
    """Seconds from the kill to the first event of the next claim: the step's call, recorded and about to be sent."""
    took: list[float] = []
    void = 0
    for turn in range(effort.repeat):
        async with _stack(home / str(turn)) as (client, workers):
            wanted = (turn + 1) * effort.runs
            while len(took) < wanted:
                trial = await _try(client, workers)
                if trial.seconds is None or trial.void:
                    void += 1
                    _check_void(void, effort)
                    continue
                took.append(trial.seconds)
                say(f"{len(took)}/{effort.repeat * effort.runs} {trial.seconds:.2f} s")
    return {
        "p50_seconds": rounded(statistics.median(took), 3),
        "p99_seconds": rounded(percentile(took, 99), 3),
        "least_seconds": rounded(min(took), 3),
        "most_seconds": rounded(max(took), 3),
        "trials": len(took),
        "void": void,
    }


def _check_void(void: int, effort: Effort) -> None:
    if void > MOST_VOID * effort.repeat * effort.runs:
        raise BenchFailed(f"{void} times the step was done before the kill landed: this machine is too busy to tell")


@asynccontextmanager
async def _stack(home: Path) -> AsyncIterator[tuple[AsyncClient, Sequence[Child]]]:
    with start_valkey(home / "valkey") as server:
        settings = parts.settings_for(home, server.url)
        workers = [parts.worker(settings, number) for number in range(1, WORKERS + 1)]
        async with (
            parts.running(parts.studio(settings), *workers) as children,
            AsyncClient(settings=settings) as client,
        ):
            yield client, children[1:]


async def _try(client: AsyncClient, workers: Sequence[Child]) -> Trial:
    await _all_at_work(client, workers)
    trial = Trial()
    run_id = await client.submit(parts.bundled_picture(), BRIEF)
    try:
        async with asyncio.timeout(RUN_WITHIN.total_seconds()):
            async for event in client.events(run_id):
                trial.saw(event)
                if trial.killed_at is None and _slow_step(event, "started"):
                    trial.epoch = event.epoch
                    os.kill(await _holder(client, run_id, workers), signal.SIGKILL)
                    trial.killed_at = time.monotonic()
    except TimeoutError:
        raise BenchFailed(f"a run did not end within {RUN_WITHIN.total_seconds():g} s of its start") from None
    ended = await client.get(run_id)
    if ended.run.state is not State.COMPLETED:
        raise BenchFailed(f"the run that was to survive is {ended.run.state}: {ended.run.error}")
    return trial


async def _all_at_work(client: AsyncClient, workers: Sequence[Child]) -> None:
    """Returns when the store knows just the workers that live now: the one killed last is forgotten and replaced."""

    async def known() -> bool:
        pids = {process.pid for process in await client.store.processes() if process.alive}
        return pids == {worker.pid for worker in workers if worker.running} and len(pids) == WORKERS

    await parts.until(known, "workers to kill", within=READY_WITHIN)


async def _holder(client: AsyncClient, run_id: str, workers: Sequence[Child]) -> int:
    """The pid of the worker that holds the run: one of ours, or nothing is killed."""
    owner = (await client.get(run_id)).owner
    pids = [process.pid for process in await client.store.processes() if process.id == owner]
    if not pids or pids[0] not in {worker.pid for worker in workers}:
        raise BenchFailed(f"the run is held by {owner or 'nobody'!r}, no worker of this benchmark: nothing was killed")
    return pids[0]


def _slow_step(event: Event, status: str) -> bool:
    step = event.payload
    return isinstance(step, StepMoved) and step.tool == SLOW_TOOL and step.status == status
