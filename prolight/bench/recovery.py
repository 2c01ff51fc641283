"""How long a run stands still when the worker that holds it fails: from the failure to the next useful call.

Two worker processes with default settings, and the real studio. The failure comes while the studio relights (of a
wedged loop: while it plans); the other worker has to notice, claim the run and send the step again.

    killed        kill -9: the kernel closes its connections
    stopped       SIGSTOP: everything of it stands still, and its connections stay
    partitioned   it works, and nothing passes between it and the store any more
    wedged        its event loop is blocked: its watchdog has to see that
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from prolight.bench import parts, wedge
from prolight.bench.relay import Relay
from prolight.bench.terms import BenchFailed, Effort, Figures, Goal, Say, percentile, rounded
from prolight.client import AsyncClient
from prolight.embedded import Child, start_valkey
from prolight.embedded.valkey import LOOPBACK
from prolight.events import Event, StepMoved
from prolight.schemas import State
from prolight.settings import Settings

Failure = Literal["killed", "stopped", "partitioned", "wedged"]

FULL, QUICK = Effort(repeat=2, runs=10), Effort(repeat=1, runs=3)
LEASE_SECONDS: float = Settings.model_fields["lease_seconds"].default
STALL_SECONDS: float = Settings.model_fields["loop_stall_seconds"].default
GOALS = (
    Goal("p50_seconds", at_most=2),
    Goal("p99_seconds", at_most=5),
    Goal("stopped_most_seconds", at_most=LEASE_SECONDS + 2),
    Goal("partitioned_most_seconds", at_most=LEASE_SECONDS + 2),
    Goal("wedged_most_seconds", at_most=STALL_SECONDS + LEASE_SECONDS + 2),
)
SLOW_FAILURES: tuple[Failure, ...] = ("stopped", "partitioned", "wedged")
KILLS_FOR_A_SLOW_ONE = 5
"""Each of those takes a lease and more, so there is one of them for so many kills, and at least one."""
WORKERS = 2
BRIEF = "soft warm key from the left, white background"
SLOW_TOOL = "studio.relight"
READY_WITHIN = timedelta(seconds=60)
RUN_WITHIN = timedelta(seconds=120)
MOST_VOID = 3
"""So many times as many void trials as wanted ones end the benchmark."""


@dataclass(slots=True)
class Trial:
    """One run, whose holder fails."""

    epoch: int = 0
    failed_at: float | None = None
    seconds: float | None = None
    void: bool = False
    """The step was done before the failure landed."""

    def saw(self, event: Event) -> None:
        if self.failed_at is None or self.seconds is not None:
            return
        if event.epoch > self.epoch:
            self.seconds = time.monotonic() - self.failed_at
        elif _slow_step(event, "done"):
            self.void = True


@dataclass(slots=True)
class Stack:
    """What is measured on. `relays` are the workers' ways to the store, where they have one of their own."""

    settings: Settings
    client: AsyncClient
    workers: Sequence[Child]
    relays: Sequence[Relay] = ()
    victims: set[int] = field(default_factory=set)
    """Pids of workers that failed. The store and the supervisor may take one for alive a moment after its end."""

    def fail(self, how: Failure, pid: int) -> None:
        match how:
            case "killed":
                os.kill(pid, signal.SIGKILL)
            case "stopped":
                os.kill(pid, signal.SIGSTOP)
            case "partitioned":
                self.relays[[worker.pid for worker in self.workers].index(pid)].part()

    def clear_away(self, pid: int) -> None:
        """What failed and lives is killed, and comes back by its supervisor."""
        self.victims.add(pid)
        if pid in [worker.pid for worker in self.workers if worker.running]:
            os.kill(pid, signal.SIGKILL)
        for relay in self.relays:
            relay.heal()


async def measure(home: Path, effort: Effort, say: Say) -> Figures:
    """Seconds from the failure to the first event of the next claim: a call, recorded and about to be sent."""
    killed, void = await _measured("killed", home, effort, say)
    slow = Effort(effort.repeat, max(1, effort.runs // KILLS_FOR_A_SLOW_ONE))
    figures: Figures = {
        "p50_seconds": rounded(statistics.median(killed), 3),
        "p99_seconds": rounded(percentile(killed, 99), 3),
        "least_seconds": rounded(min(killed), 3),
        "most_seconds": rounded(max(killed), 3),
        "trials": len(killed),
    }
    for how in SLOW_FAILURES:
        took, more_void = await _measured(how, home, slow, say)
        void += more_void
        figures |= {
            f"{how}_p50_seconds": rounded(statistics.median(took), 3),
            f"{how}_most_seconds": rounded(max(took), 3),
            f"{how}_trials": len(took),
        }
    return {**figures, "void": void}


async def _measured(how: Failure, home: Path, effort: Effort, say: Say) -> tuple[list[float], int]:
    """The seconds, and how many trials were void."""
    took: list[float] = []
    void = 0
    for turn in range(effort.repeat):
        async with _stack(how, home / f"{how}-{turn}") as stack:
            wanted = (turn + 1) * effort.runs
            while len(took) < wanted:
                trial = await _try(how, stack)
                if trial.seconds is None or trial.void:
                    void += 1
                    _check_void(void, effort)
                    continue
                took.append(trial.seconds)
                say(f"{how} {len(took)}/{effort.repeat * effort.runs} {trial.seconds:.2f} s")
    return took, void


def _check_void(void: int, effort: Effort) -> None:
    if void > MOST_VOID * effort.repeat * effort.runs:
        raise BenchFailed(f"{void} times the step was done before the failure landed: this machine is too busy to tell")


@asynccontextmanager
async def _stack(how: Failure, home: Path) -> AsyncIterator[Stack]:
    async with AsyncExitStack() as undo:
        server = undo.enter_context(start_valkey(home / "valkey"))
        more: dict[str, Any] = {"model": wedge.MODEL} if how == "wedged" else {}
        settings = parts.settings_for(home, server.url, **more)
        relays = []
        if how == "partitioned":
            relays = [await undo.enter_async_context(Relay(server.port)) for _ in range(WORKERS)]
        urls = [f"redis://{LOOPBACK}:{relay.port}/0" for relay in relays] or [server.url] * WORKERS
        workers = [
            parts.worker(settings.model_copy(update={"redis_url": url}), number) for number, url in enumerate(urls, 1)
        ]
        children = await undo.enter_async_context(parts.running(parts.studio(settings), *workers))
        client = await undo.enter_async_context(AsyncClient(settings=settings))
        yield Stack(settings, client, children[1:], relays)


async def _try(how: Failure, stack: Stack) -> Trial:
    await _all_at_work(stack)
    client = stack.client
    trial = Trial()
    if how == "wedged":
        wedge.told_file(stack.settings.home).touch()
    run_id = await client.submit(parts.bundled_picture(), BRIEF)
    victim = 0
    try:
        async with asyncio.timeout(RUN_WITHIN.total_seconds()):
            async for event in client.events(run_id):
                if how == "wedged" and trial.failed_at is None:
                    victim, trial.epoch, trial.failed_at = await _wedged(stack, run_id)
                trial.saw(event)
                if trial.failed_at is None and _slow_step(event, "started"):
                    trial.epoch = event.epoch
                    victim = await _holder(stack, run_id)
                    stack.fail(how, victim)
                    trial.failed_at = time.monotonic()
    except TimeoutError:
        raise BenchFailed(f"a run did not end within {RUN_WITHIN.total_seconds():g} s of its start") from None
    finally:
        stack.clear_away(victim)
    ended = await client.get(run_id)
    if ended.run.state is not State.COMPLETED:
        raise BenchFailed(f"the run that was to survive is {ended.run.state}: {ended.run.error}")
    return trial


async def _wedged(stack: Stack, run_id: str) -> tuple[int, int, float]:
    """Pid, epoch and time of the worker that is wedged over this run, once it is."""
    file = wedge.wedged_file(stack.settings.home)

    async def written() -> bool:
        return file.exists() and file.stat().st_size > 0

    await parts.until(written, "a wedged worker", within=READY_WITHIN)
    since = float(file.read_text())
    file.unlink()
    return await _holder(stack, run_id), (await stack.client.get(run_id)).epoch, since


async def _all_at_work(stack: Stack) -> None:
    """Returns when the store knows just the workers that live now: the last victim is forgotten and replaced."""

    async def known() -> bool:
        pids = {process.pid for process in await stack.client.store.processes() if process.alive}
        running = {worker.pid for worker in stack.workers if worker.running} - stack.victims
        return pids == running and len(pids) == WORKERS

    await parts.until(known, "workers that may fail", within=READY_WITHIN)


async def _holder(stack: Stack, run_id: str) -> int:
    """The pid of the worker that holds the run: one of ours, or nothing is done to it."""
    owner = (await stack.client.get(run_id)).owner
    pids = [process.pid for process in await stack.client.store.processes() if process.id == owner]
    if not pids or pids[0] not in {worker.pid for worker in stack.workers}:
        raise BenchFailed(f"the run is held by {owner or 'nobody'!r}, no worker of this benchmark: nothing was done")
    return pids[0]


def _slow_step(event: Event, status: str) -> bool:
    step = event.payload
    return isinstance(step, StepMoved) and step.tool == SLOW_TOOL and step.status == status
