"""When a part counts as ready, against a real store and a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from prolight.embedded import start_valkey
from prolight.embedded.probes import announced, answers

from .conditions import WITHIN_SECONDS

PID = 4242


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Redis]:
    with start_valkey(tmp_path) as server:
        async with Redis.from_url(server.url) as client:
            yield client


def url_of(store: Redis) -> str:
    return f"redis://127.0.0.1:{store.connection_pool.connection_kwargs['port']}/0"


async def test_a_worker_is_ready_once_it_has_announced_its_pid_and_listens(store: Redis) -> None:
    probe = announced(url_of(store))
    assert not await probe(PID)
    async with store.pubsub() as channel:
        await channel.subscribe("prolight:process:one")
        await channel.get_message(timeout=WITHIN_SECONDS)
        assert not await probe(PID)
        await store.hset("prolight:processes", "one", json.dumps({"pid": PID}))
        assert await probe(PID)
        assert not await probe(PID + 1)


async def test_a_dead_process_that_had_the_same_pid_makes_no_worker_ready(store: Redis) -> None:
    await store.hset("prolight:processes", "dead", json.dumps({"pid": PID}))
    assert not await announced(url_of(store))(PID)


async def test_a_store_that_is_gone_makes_no_worker_ready() -> None:
    assert not await announced("redis://127.0.0.1:1/0")(PID)


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"", False),
    ],
)
async def test_a_server_is_ready_when_it_answers_200(answer: bytes, ready: bool) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await answers(f"http://127.0.0.1:{port}/healthz")(PID) is ready
    assert not await answers(f"http://127.0.0.1:{port}/healthz")(PID)
