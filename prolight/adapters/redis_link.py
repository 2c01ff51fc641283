"""One pipelined connection to Redis: all that is asked for in one turn of the loop leaves together.

redis-py's own client sends one command per round trip and repeats failed ones silently; a claim
repeated so would take other runs and forget the first. Here a lost connection is told to the
caller, who knows how to ask again.
"""

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from datetime import timedelta
from typing import Any, Self

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError, TimeoutError

from prolight.adapters.redis_url import safe_url, tls_trouble
from prolight.errors import StoreRefused, StoreUnavailable

ANSWER_WITHIN = timedelta(seconds=10)
"""A server that is silent for longer counts as gone (half-open connections)."""
NO_TIMEOUTS: dict[str, Any] = {"socket_timeout": None, "socket_connect_timeout": ANSWER_WITHIN.total_seconds()}
"""Of redis-py: it uses `asyncio.wait_for`, which before Python 3.12 may swallow a cancellation. Ours stand instead."""


class RedisLink:
    """Lives on one event loop. Connects at the first call, and again after a loss."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=True, **NO_TIMEOUTS)
        self._connection: AbstractConnection | None = None
        self._unsent: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._unanswered: deque[asyncio.Future[Any]] = deque()
        self._wanted = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """The reply, or an exception: `StoreUnavailable`, or what the server refused with."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._unsent.append((command, future))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return future

    def subscriber(self) -> Redis:
        """A client of its own, for a subscription."""
        return Redis.from_url(self.url, decode_responses=True, **NO_TIMEOUTS)

    async def close(self) -> None:
        await self._drop(StoreUnavailable("the connection was closed"))
        await self._pool.aclose()

    async def _send(self) -> None:
        try:
            connection = await self._connected()
            while self._unsent:
                batch, self._unsent = self._unsent, []
                self._unanswered.extend(future for _, future in batch)
                self._wanted.set()
                await connection.send_packed_command(connection.pack_commands([command for command, _ in batch]))
        except (ConnectionError, TimeoutError, OSError) as error:
            await self._drop(self._gone(error))
        except BaseException as error:  # noqa: BLE001 - told to everybody who waits
            await self._drop(error)
        finally:
            self._sending = None
            if self._unsent:
                self._sending = asyncio.create_task(self._send())

    async def _connected(self) -> AbstractConnection:
        if self._connection is None:
            connection = self._pool.make_connection()
            async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                await connection.connect()
            self._connection = connection
            self._work = asyncio.create_task(self._receive(connection))
        return self._connection

    async def _receive(self, connection: AbstractConnection) -> None:
        try:
            while True:
                self._wanted.clear()
                while self._unanswered:
                    await self._one_reply(connection)
                await self._wanted.wait()
        except (ConnectionError, TimeoutError, OSError) as error:
            self._work = None
            await self._drop(self._gone(error))

    async def _one_reply(self, connection: AbstractConnection) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                reply = await connection.read_response(disconnect_on_error=False)
        except (ConnectionError, TimeoutError, OSError):
            raise
        except RedisError as refused:
            self._settle(self._unanswered.popleft(), refused)
        except UnicodeDecodeError as error:
            self._settle(self._unanswered.popleft(), StoreRefused(f"an answer of the store is no text: {error.reason}"))
            raise ConnectionError("what follows that answer cannot be told apart") from error
        else:
            self._settle(self._unanswered.popleft(), reply)

    @staticmethod
    def _settle(future: asyncio.Future[Any], reply: Any) -> None:
        if future.done():
            return
        if isinstance(reply, BaseException):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    async def _drop(self, error: BaseException) -> None:
        """Forget the connection; whoever waits learns that nobody knows whether it was carried out."""
        connection, self._connection = self._connection, None
        work, self._work = self._work, None
        waiting = [*self._unanswered, *(future for _, future in self._unsent)]
        self._unanswered.clear()
        self._unsent.clear()
        if work:
            work.cancel()
        for future in waiting:
            self._settle(future, error)
        if connection:
            await connection.disconnect(nowait=True)

    def _gone(self, error: BaseException) -> StoreUnavailable:
        why = tls_trouble(error) or type(error).__name__
        if isinstance(error, builtins.TimeoutError) and self.url.startswith("rediss:") and self._connection is None:
            why += "; does that port speak TLS? Else write redis://"
        gone = StoreUnavailable(f"no answer from the store at {safe_url(self.url)} ({why})")
        gone.__cause__ = error
        return gone


class Listening:
    """A subscription that tells when something came. Reconnects by itself."""

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)

    async def __aenter__(self) -> Self:
        await self._subscribe()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._pubsub.aclose()
        await self._redis.aclose()

    async def __call__(self, timeout: timedelta) -> str | None:
        """The next message, or None after `timeout`."""
        if self._pubsub.connection is None:  # nobody answered yet
            await self._subscribe()
            return None
        try:
            message = await self._pubsub.get_message(timeout=timeout.total_seconds())
        except (RedisError, OSError):
            await asyncio.sleep(0.1)
            await self._subscribe()
            return None
        return message["data"] if message else None

    async def _subscribe(self) -> None:
        try:
            await self._pubsub.subscribe(self._channel)
        except (RedisError, OSError):
            await asyncio.sleep(0.1)
