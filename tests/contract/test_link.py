"""The connection to a server that other things go wrong on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from prolight.adapters.redis_store import RedisStore
from prolight.embedded.valkey import LOOPBACK, ValkeyServer, free_port
from prolight.errors import StoreError, StoreUnavailable
from prolight.schemas import Stage

from .backends import WITHIN_SECONDS, Backend, RedisBackend
from .runs import claim, submit

pytestmark = pytest.mark.needs("server", "connections")


async def test_a_value_that_is_no_text_is_an_error_and_the_link_goes_on(backend: Backend, server: Redis) -> None:
    await server.hset("prolight:journal:run-1", "call", b"\xff\xfe")
    async with asyncio.timeout(WITHIN_SECONDS):
        with pytest.raises(StoreError):
            await backend.store.journal("run-1")
        await server.delete("prolight:journal:run-1")
        assert await submit(backend) == ("run-1", True)


async def test_a_broken_connection_is_made_anew(backend: Backend, server: Redis) -> None:
    await submit(backend)
    await server.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert (await claim(backend.store, Stage.PLAN)).run_id == "run-1"


async def test_what_was_asked_for_together_is_answered_each_its_own(backend: Backend) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        answers = await asyncio.gather(*(submit(backend, f"run-{n}") for n in range(50)))
    assert sorted(answers) == sorted((f"run-{n}", True) for n in range(50))


async def test_who_stops_waiting_does_not_disturb_the_others(backend: Backend) -> None:
    assert isinstance(backend, RedisBackend)
    first = asyncio.ensure_future(backend.link.call("ECHO", "first"))
    second = asyncio.ensure_future(backend.link.call("ECHO", "second"))
    first.cancel()
    assert await second == "second"


async def test_no_server_is_an_error_when_patience_is_spent() -> None:
    nowhere = RedisStore(f"redis://{LOOPBACK}:{free_port()}/0", patience=timedelta(0))
    with pytest.raises(StoreError, match="no answer from the store at redis://127"):
        await nowhere.read("run-1")
    await nowhere.close()


async def test_who_listens_while_no_server_answers_hears_nothing_until_one_does(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path, appendfsync="no")
    store = RedisStore(server.url, patience=timedelta(0))
    async with store.listen("news") as woken:
        assert await woken(timedelta(0)) is None
        with server:
            server.start()
            async with asyncio.timeout(WITHIN_SECONDS), Redis.from_url(server.url) as publisher:
                while not await publisher.publish("news", "it is here"):
                    assert await woken(timedelta(0)) is None
                while (heard := await woken(timedelta(seconds=WITHIN_SECONDS))) is None:
                    pass
        assert heard == "it is here"
    await store.close()


@pytest.mark.parametrize(
    ("full", "free"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", LOOPBACK, "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["out of memory", "a replica"],
)
async def test_what_a_server_cannot_write_now_is_asked_for_again_until_it_can(
    full: tuple[str, ...], free: tuple[str, ...], backend: Backend, server: Redis
) -> None:
    assert isinstance(backend, RedisBackend)
    hurried = RedisStore(backend.store.url, patience=timedelta(0))
    await server.execute_command(*full)
    try:
        with pytest.raises(StoreUnavailable, match="the store cannot write now"):
            await hurried.pause([Stage.PLAN], by="ada", reason="none")
        waiting = asyncio.ensure_future(submit(backend))
        assert not (await asyncio.wait([waiting], timeout=0.1))[0]
    finally:
        await server.execute_command(*free)
        await hurried.close()
    assert await waiting == ("run-1", True)
