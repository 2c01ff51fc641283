"""The two that are compared: ProLight's three stages, and a stock Celery chain of three no-op tasks."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis

from prolight.bench import parts
from prolight.bench.stock_chain import QUEUES, REQUEST
from prolight.bench.terms import BenchFailed, Figures, rounded
from prolight.client import AsyncClient
from prolight.determinism import sha256
from prolight.embedded.child import Part
from prolight.schemas import RunRequest, State
from prolight.settings import Settings

WORKERS = 2
ASIDE = "bench:aside:"
READY_SETS = ("ready:plan", "due")


class Side(Protocol):
    """How runs get in, wait aside, and are seen to end."""

    def parts(self) -> tuple[Part, ...]:
        """Its worker processes."""
        ...

    async def submit(self, count: int) -> list[str]:
        """Enqueue so many runs; answers their ids."""
        ...

    async def put_aside(self) -> None:
        """Hide what was submitted from the workers."""
        ...

    async def put_back(self) -> None: ...
    async def ended(self, ids: Sequence[str]) -> bool:
        """Whether all of these are over, as the store has it."""
        ...

    async def check(self, ids: Sequence[str]) -> Figures:
        """What else is known of these runs. Raises `BenchFailed` unless each came to a good end."""
        ...


Opened = Callable[[Path, str], AbstractAsyncContextManager[Side]]


class ProLight:
    """The path that ships, with a model and a tool that answer at once; each stage journals one call."""

    def __init__(self, settings: Settings, client: AsyncClient, redis: Redis) -> None:
        self._settings, self._client, self._redis = settings, client, redis

    def parts(self) -> tuple[Part, ...]:
        return tuple(parts.worker(self._settings, number) for number in range(1, WORKERS + 1))

    async def submit(self, count: int) -> list[str]:
        content = parts.bundled_picture()
        await self._client.artifact_store.put(content, media_type="image/jpeg")
        request = RunRequest.parse(picture_id=sha256(content), brief=REQUEST["brief"])
        return await asyncio.gather(*(self._client.enqueue(request) for _ in range(count)))

    async def put_aside(self) -> None:
        for name in READY_SETS:
            await self._redis.rename(f"prolight:{name}", ASIDE + name)
        await self._redis.delete("prolight.plan")

    async def put_back(self) -> None:
        """A sweep rings for what is in `ready`: that of a worker would, up to a second later."""
        for name in READY_SETS:
            await self._redis.rename(ASIDE + name, f"prolight:{name}")
        await self._client.store.sweep()

    async def ended(self, ids: Sequence[str]) -> bool:
        due = await self._redis.zmscore("prolight:due", [f"run:{run_id}" for run_id in ids])
        return all(time is None for time in due)

    async def check(self, ids: Sequence[str]) -> Figures:
        ended = [await self._client.get(run_id) for run_id in ids]
        if bad := [one.run.state for one in ended if one.run.state is not State.COMPLETED]:
            raise BenchFailed(f"{len(bad)} of {len(ids)} runs are not COMPLETED but {', '.join(sorted(set(bad)))}")
        return {
            "commits_per_run": rounded(statistics.fmean(one.ver for one in ended)),
            "events_per_run": rounded(statistics.fmean(one.seq for one in ended)),
        }


class StockChain:
    """A Celery app as its manual has it: prefork, JSON results, task events on."""

    def __init__(self, home: Path, redis_url: str, redis: Redis) -> None:
        self._home, self._url, self._redis = home, redis_url, redis

    def parts(self) -> tuple[Part, ...]:
        return tuple(_stock_worker(self._home, self._url, number) for number in range(1, WORKERS + 1))

    async def submit(self, count: int) -> list[str]:
        command = (sys.executable, "-m", "prolight.bench.stock_chain", self._url, str(count))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        printed, _ = await process.communicate()
        if process.returncode:
            raise BenchFailed(f"submitting stock chains ended with {process.returncode}; what it said is on stderr")
        keys = {f"celery-task-meta-{task_id}" for task_id in json.loads(printed)}
        if len(keys) != count:
            raise BenchFailed(f"{count} stock chains were to be submitted, but only {len(keys)} have ids of their own")
        return sorted(keys)

    async def put_aside(self) -> None:
        await self._redis.rename(QUEUES[0], ASIDE + QUEUES[0])

    async def put_back(self) -> None:
        await self._redis.rename(ASIDE + QUEUES[0], QUEUES[0])

    async def ended(self, ids: Sequence[str]) -> bool:
        return int(await self._redis.exists(*ids)) == len(ids)

    async def check(self, ids: Sequence[str]) -> Figures:
        results = [json.loads(text or "null") for text in await self._redis.mget(ids)]
        bad = [one for one in results if one["status"] != "SUCCESS" or one["result"] != REQUEST]
        if bad:
            raise BenchFailed(f"{len(bad)} of {len(ids)} stock chains did not hand the request on: {bad[0]}")
        return {}


def _stock_worker(home: Path, redis_url: str, number: int) -> Part:
    """A stock prefork worker with events on, for the chain of `stock_chain`."""
    server = ("-b", redis_url, "--result-backend", redis_url)
    options = ("-P", "prefork", "-c", "1", "-E", "--without-gossip", "--without-mingle", "-Q", ",".join(QUEUES))
    name = f"stock{number}"
    return Part(
        name=name,
        argv=(*parts.CELERY, "prolight.bench.stock_chain", *server, "worker", *options, "--hostname", f"{name}@%h"),
        ready=_lives,
        cwd=home,
        grace=parts.STOP_WITHIN,
    )


async def _lives(pid: int) -> bool:
    """Stock workers tell the store nothing; that they wait on their queues is seen from their connections."""
    return pid > 0


@asynccontextmanager
async def prolight(home: Path, redis_url: str) -> AsyncIterator[Side]:
    settings = parts.settings_for(home, redis_url, model="instant", tools="instant")
    async with AsyncClient(settings=settings) as client, Redis.from_url(redis_url, decode_responses=True) as redis:
        yield ProLight(settings, client, redis)


@asynccontextmanager
async def stock(home: Path, redis_url: str) -> AsyncIterator[Side]:
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        yield StockChain(home, redis_url, redis)
