"""What the frame costs: ProLight against a stock Celery chain, on the same server, in turns.

Both by one rule: everything is submitted first and put aside under another name; two worker
processes start, carry out a few other runs, and wait, blocked on their queues; then the backlog is
put back in its place. Counted are the seconds until the last run is over, and the processor time of
workers, their children and the server until `AFTERMATH` later, so that what was put off counts too.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from prolight.bench import parts, sides
from prolight.bench.machine import cpu_seconds, others_share, spent
from prolight.bench.sides import Side
from prolight.bench.terms import BenchFailed, Effort, Figures, Goal, Say, rounded
from prolight.embedded import Child, ValkeyServer, start_valkey
from prolight.embedded.valkey import AppendFsync

FULL, QUICK = Effort(repeat=3, runs=1000), Effort(repeat=1, runs=200)
GOALS = (Goal("cpu_ratio", at_most=0.6), Goal("throughput_ratio", at_least=2))
FSYNCS: tuple[AppendFsync, ...] = ("everysec", "always")
SIDES: dict[str, sides.Opened] = {"stock": sides.stock, "prolight": sides.prolight}
WARM_RUNS = 50
LOOKED_AT = 50
"""Runs asked for at a time when looking whether all are over."""
AFTERMATH = timedelta(seconds=0.5)
READY_WITHIN = timedelta(seconds=60)
RUN_WITHIN = timedelta(seconds=1)
"""A backlog that takes longer than this for each run has stuck."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One backlog, worked off. Processor seconds."""

    runs: int
    seconds: float
    workers_cpu: float
    server_cpu: float
    others: float | None
    known: Figures = field(default_factory=dict)

    @property
    def cpu(self) -> float:
        return self.workers_cpu + self.server_cpu


async def measure(home: Path, effort: Effort, say: Say) -> Figures:
    """`cpu_ratio` and `throughput_ratio` are the worse of the settings of appendfsync, which follow by name."""
    cpu_seconds(os.getpid())  # where there is no /proc: refused before anything is started
    samples: dict[AppendFsync, dict[str, list[Sample]]] = {fsync: {name: [] for name in SIDES} for fsync in FSYNCS}
    for turn in range(effort.repeat):
        for fsync in FSYNCS:
            for name in sorted(SIDES, reverse=turn % 2 == 0):
                sample = await _sample(name, home / f"{turn}-{fsync}-{name}", fsync, effort.runs)
                samples[fsync][name].append(sample)
                say(f"{turn + 1}/{effort.repeat} {fsync:<8} {name:<8} {_told(sample)}")
    compared: Figures = {fsync: _compare(of["prolight"], of["stock"]) for fsync, of in samples.items()}
    return {
        "cpu_ratio": max(one["cpu_ratio"] for one in compared.values()),
        "throughput_ratio": min(one["throughput_ratio"] for one in compared.values()),
        **compared,
    }


async def _sample(name: str, home: Path, fsync: AppendFsync, runs: int) -> Sample:
    with start_valkey(home / "valkey", appendfsync=fsync) as server:
        async with SIDES[name](home, server.url) as side:
            backlog = await side.submit(runs)
            await side.put_aside()
            async with parts.running(*side.parts()) as workers:
                await _warm_up(side, server)
                return await _work_off(side, backlog, workers, server)


async def _warm_up(side: Side, server: ValkeyServer) -> None:
    """Returns when the workers have done a little work, and wait for more."""
    await _all_over(side, await side.submit(WARM_RUNS))
    async with Redis.from_url(server.url, decode_responses=True) as redis:

        async def waiting() -> bool:
            return sum(client["cmd"] == "brpop" for client in await redis.client_list()) == sides.WORKERS

        await parts.until(waiting, "workers that wait on their queues", within=READY_WITHIN)


async def _work_off(side: Side, backlog: list[str], workers: Sequence[Child], server: ValkeyServer) -> Sample:
    pids = [worker.pid for worker in workers]
    before, cpu_before = spent(), (cpu_seconds(*pids), cpu_seconds(server.pid))
    opened_at = time.monotonic()
    await side.put_back()
    await _all_over(side, backlog)
    seconds = time.monotonic() - opened_at
    await asyncio.sleep(AFTERMATH.total_seconds())
    if pids != [worker.pid for worker in workers]:
        raise BenchFailed("a worker ended while it was measured")
    workers_cpu, server_cpu = cpu_seconds(*pids) - cpu_before[0], cpu_seconds(server.pid) - cpu_before[1]
    others = others_share(before, spent())
    return Sample(len(backlog), seconds, workers_cpu, server_cpu, others, await side.check(backlog))


async def _all_over(side: Side, backlog: list[str]) -> None:
    open_ = list(backlog)

    async def over() -> bool:
        while open_ and await side.ended(open_[:LOOKED_AT]):
            del open_[:LOOKED_AT]
        return not open_

    await parts.until(over, "the end of the backlog", within=RUN_WITHIN * len(backlog) + READY_WITHIN)


def _compare(ours: list[Sample], stock: list[Sample]) -> dict[str, Any]:
    """Medians. Ratios are taken within a turn: a machine that changes its speed between turns moves them less."""
    turns = list(zip(ours, stock, strict=True))
    return {
        "cpu_ratio": _median(mine.cpu / theirs.cpu for mine, theirs in turns),
        "throughput_ratio": _median(theirs.seconds / mine.seconds for mine, theirs in turns),
        "workers_cpu_ratio": _median(mine.workers_cpu / theirs.workers_cpu for mine, theirs in turns),
        "cpu_ratios": [rounded(mine.cpu / theirs.cpu, 3) for mine, theirs in turns],
        "throughput_ratios": [rounded(theirs.seconds / mine.seconds, 3) for mine, theirs in turns],
        "prolight": _absolute(ours),
        "stock": _absolute(stock),
    }


def _absolute(samples: list[Sample]) -> dict[str, Any]:
    shares = [sample.others for sample in samples if sample.others is not None]
    return {
        "workers_cpu_seconds_per_1000": _median(sample.workers_cpu / sample.runs * 1000 for sample in samples),
        "server_cpu_seconds_per_1000": _median(sample.server_cpu / sample.runs * 1000 for sample in samples),
        "runs_per_second": _median(sample.runs / sample.seconds for sample in samples),
        "others_cpu_share": round(statistics.median(shares), 3) if shares else None,
        **samples[-1].known,
    }


def _median(values: Iterable[float]) -> float:
    return rounded(statistics.median(values))


def _told(sample: Sample) -> str:
    cpu = f"cpu {sample.workers_cpu:.2f} + {sample.server_cpu:.2f} s"
    return f"{sample.runs / sample.seconds:6.0f} runs/s  {cpu}  others took {sample.others or 0:.0%} of the machine"
