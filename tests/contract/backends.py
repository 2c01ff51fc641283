"""The run stores under test, and the few things that a test does to the world around them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from prolight.adapters.keys import documented
from prolight.adapters.memory_store import MemoryStore
from prolight.adapters.redis_link import RedisLink
from prolight.adapters.redis_store import RedisStore
from prolight.batches import Batch
from prolight.errors import RunNotFound, StoreUnavailable
from prolight.ports import RunStore, Swept
from prolight.schemas import State

LEASE = timedelta(seconds=12)
CRASHES_TO_POISON = 5
SWEEP_EVERY_SECONDS = 1
WITHIN_SECONDS = 5.0

LACKS: dict[str, dict[str, str]] = {
    "memory": {
        "batches": "whoever works in one process loops over pictures himself",
        "bells": "there is no broker, so nothing is rung",
        "server": "there are no keys, channels or connections to look at",
    },
    "fakeredis": {
        "sweep": "it does not know INFO, from which sweep.lua learns that the server was restarted",
        "connections": "it has no connections that could break",
    },
}
"""What a backend cannot do, and why. Tests ask for it with `@pytest.mark.needs`."""


class Backend(ABC):
    store: RunStore

    @abstractmethod
    async def now(self) -> float:
        """The time of the store's last answer, after asking it something."""

    @abstractmethod
    async def advance(self, seconds: float) -> None:
        """Move the store's time forward, while nobody sweeps."""

    @abstractmethod
    async def connect(self, process: str) -> None:
        """The process listens on its channel."""

    @abstractmethod
    async def kill(self, process: str) -> None:
        """Nobody listens on the channel of this process any more."""

    async def close(self) -> None:
        return None

    async def live_on(self, seconds: float) -> Swept:
        """Let time pass while the sweepers go on; answers all that the sweeps found."""
        overdue: list[str] = []
        poisoned: list[str] = []
        while seconds > 0:
            await self.advance(min(seconds, SWEEP_EVERY_SECONDS))
            seconds -= SWEEP_EVERY_SECONDS
            swept = await self.store.sweep()
            overdue += swept.overdue
            poisoned += swept.poisoned
        return Swept(tuple(overdue), tuple(poisoned), crashes_to_poison=CRASHES_TO_POISON)


class MemoryBackend(Backend):
    def __init__(self) -> None:
        self._time = 1_760_000_000.0
        self._alive: set[str] = set()
        self.store = MemoryStore(
            lease=LEASE,
            crashes_to_poison=CRASHES_TO_POISON,
            clock=lambda: self._time,
            listens=lambda process: process in self._alive,
        )

    async def now(self) -> float:
        return self.store.now()

    async def advance(self, seconds: float) -> None:
        self._time += seconds

    async def connect(self, process: str) -> None:
        self._alive.add(process)

    async def kill(self, process: str) -> None:
        self._alive.discard(process)


class RedisBackend(Backend):
    """`client` looks at the server past the store. Time moves by the offset in `prolight:clock`."""

    def __init__(self, link: RedisLink) -> None:
        self.store: RedisStore = RedisStore(link.url, lease=LEASE, crashes_to_poison=CRASHES_TO_POISON, link=link)
        self.client: Redis = link.subscriber()
        self.link = link
        self._listening: dict[str, tuple[Redis, PubSub]] = {}

    async def now(self) -> float:
        with suppress(RunNotFound):
            await self.store.read("nobody")
        return round(self.store._told, 3)

    async def advance(self, seconds: float) -> None:
        await self.client.hincrby("prolight:clock", "offset", round(seconds * 1000))

    async def connect(self, process: str) -> None:
        client = self.link.subscriber()
        pubsub = client.pubsub()
        await pubsub.subscribe(f"prolight:process:{process}")
        self._listening[process] = client, pubsub
        await self._wait_for_listeners(process, 1)

    async def kill(self, process: str) -> None:
        client, pubsub = self._listening.pop(process)
        await pubsub.aclose()
        await client.aclose()
        await self._wait_for_listeners(process, 0)

    async def close(self) -> None:
        for client, pubsub in self._listening.values():
            await pubsub.aclose()
            await client.aclose()
        await self.client.aclose()
        await self.store.close()

    async def _wait_for_listeners(self, process: str, count: int) -> None:
        channel = f"prolight:process:{process}"

        async def counted() -> bool:
            return bool((await self.client.pubsub_numsub(channel))[0][1] == count)

        await eventually(counted)


class FakeLink(RedisLink):
    """The link to a `fakeredis` server."""

    def __init__(self) -> None:
        self.url = "redis://fake"
        self._server = FakeServer()
        self._client = self.subscriber()
        self._client.response_callbacks.clear()

    def call(self, *command: Any) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._client.execute_command(*command))

    def subscriber(self) -> Redis:
        return FakeAsyncRedis(server=self._server, decode_responses=True)

    async def close(self) -> None:
        await self._client.aclose()


class Losses:
    """Loses questions to a store, or its answers, when told to."""

    def __init__(self, link: RedisLink) -> None:
        self._call = link.call
        self._next: str = ""
        self._then: Callable[[], Awaitable[object]] | None = None
        self.lost = 0

    def lose_next_question(self) -> None:
        self._next = "question"

    def lose_next_answer(self, *, then: Callable[[], Awaitable[object]] | None = None) -> None:
        """`then` happens before the store asks again."""
        self._next, self._then = "answer", then

    def call(self, *command: Any) -> asyncio.Future[Any]:
        losing, self._next = self._next, ""
        if not losing:
            return self._call(*command)
        self.lost += 1
        return asyncio.ensure_future(self._lose(command if losing == "answer" else None))

    async def _lose(self, command: tuple[Any, ...] | None) -> None:
        if command:
            await self._call(*command)
        if self._then:
            await self._then()
        raise StoreUnavailable("the connection was lost")


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds. Raises `TimeoutError` after `WITHIN_SECONDS`."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await condition():
            await asyncio.sleep(0.001)


async def leaks(client: Redis) -> list[str]:
    """Keys that nothing will ever remove, though the header of `prelude.lua` does not say that they stay."""
    found = []
    async for key in client.scan_iter(count=1000):
        if await client.ttl(key) == -1 and not await _may_stay(client, key):
            found.append(key)
    return found


async def _may_stay(client: Redis, key: str) -> bool:
    for pattern, expires in documented():
        if pattern.fullmatch(key):
            live = {"with its run": _is_live, "with its batch": _is_a_live_batch}.get(expires)
            return not expires or (live is not None and await live(client, key))
    return False


async def _is_a_live_batch(client: Redis, key: str) -> bool:
    document = await client.hget(f"prolight:batch:{key.split(':', 2)[2]}", "document")
    return document is not None and Batch.model_validate_json(document).finished_at is None


async def _is_live(client: Redis, key: str) -> bool:
    """Whether the run that this key belongs to is live."""
    _, kind, run_id = key.split(":", 2)
    if kind == "idem":
        run_id = str(await client.get(key)).split()[0]
    state = await client.hget(f"prolight:run:{run_id}", "state")
    return state is not None and state not in {State.COMPLETED, State.FAILED, State.REJECTED, State.CANCELLED}
