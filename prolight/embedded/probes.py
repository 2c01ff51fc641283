"""When a part counts as ready. Each makes a `Probe` (see `child.py`)."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from urllib.parse import urlsplit

from prolight.embedded import valkey
from prolight.embedded.child import Probe

ANSWER_WITHIN_SECONDS = 1.0
PROCESSES_KEY = "prolight:processes"
"""Hash in the store: one field per worker process, its value JSON with the `pid`."""
PROCESS_CHANNEL = "prolight:process:"
"""With the field's name behind it: a living process has subscribed to it."""


def serves_store(port: int) -> Probe:
    """The server on `port` answers PING, and is this very process."""

    async def probe(pid: int) -> bool:
        return await asyncio.to_thread(valkey.serves, port, pid)

    return probe


def answers(url: str) -> Probe:
    """`GET url` is answered with 200."""
    where = urlsplit(url)
    request = f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode()

    async def probe(_pid: int) -> bool:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                reader, writer = await asyncio.open_connection(where.hostname, where.port)
                with closing(writer):
                    writer.write(request)
                    status = await reader.readline()
        except (OSError, TimeoutError):
            return False
        return status.startswith(b"HTTP/1.1 200 ")

    return probe


def announced(redis_url: str) -> Probe:
    """The worker process has announced itself in the store.

    A pid alone may be that of a process from before: after a restart of a container they come again.
    """

    async def probe(pid: int) -> bool:
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        try:
            async with Redis.from_url(redis_url, decode_responses=True, socket_timeout=ANSWER_WITHIN_SECONDS) as store:
                processes = await store.hgetall(PROCESSES_KEY)
                channels = [f"{PROCESS_CHANNEL}{name!s}" for name, it in processes.items() if _has_pid(str(it), pid)]
                return any(count for _, count in await store.pubsub_numsub(*channels)) if channels else False
        except RedisError:
            return False

    return probe


def _has_pid(process: str, pid: int) -> bool:
    return bool(json.loads(process).get("pid") == pid)
