"""The proxy breaks connections as told, counts what it broke, and else changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from prolight.adapters import redis_link
from prolight.adapters.mcp_tools import McpTools, pooled_http
from prolight.adapters.redis_link import RedisLink
from prolight.adapters.redis_store import RedisStore
from prolight.embedded.valkey import ValkeyServer, free_port
from prolight.errors import OutcomeUnknown, StoreUnavailable
from tests.chaos import resp
from tests.chaos.driving import ROOT, Control, Program
from tests.chaos.faults import Chance, Faults
from tests.chaos.proxy import Proxy
from tests.chaos.world import REGISTRY
from tests.contract.backends import RedisBackend
from tests.contract.runs import claimed, commit, held

LONG = timedelta(seconds=30)
SHORT = timedelta(milliseconds=200)
MESSAGES = [
    *(b"+OK\r\n", b"-ERR no\r\n", b":12\r\n", b"_\r\n", b",1.5\r\n", b"#t\r\n", b"(99\r\n", b"PING a\r\n"),
    *(b"$0\r\n\r\n", b"$4\r\na\r\nb\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"=5\r\ntxt:a\r\n"),
    *(b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", b"%1\r\n+k\r\n$1\r\nv\r\n", b"~1\r\n:1\r\n", b">2\r\n+a\r\n+b\r\n"),
    b"|1\r\n+ttl\r\n:3\r\n*1\r\n+x\r\n",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_ends_where_the_protocol_says_and_no_part_of_it_is_whole(message: bytes) -> None:
    assert [resp.end_of(message[:length]) for length in range(len(message))] == [None] * len(message)
    assert resp.end_of(message + b"+next") == len(message)


def test_a_request_says_its_command() -> None:
    assert resp.command_of(b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n") == b"GET"
    assert resp.command_of(b"ping x\r\n") == b"PING"


def test_the_seed_decides_which_requests_are_hit() -> None:
    def hits(**told: Any) -> list[bool]:
        chance = Chance(**told)
        return [chance.hits(b"EVALSHA") for _ in range(100)]

    assert hits(rate=0.3, seed=1) == hits(rate=0.3, seed=1) != hits(rate=0.3, seed=2)
    assert 10 < sum(hits(rate=0.3, seed=1)) < 50
    assert sum(hits(times=3)) == 3
    assert sum(hits(containing="EVAL")) == 100
    assert sum(hits(containing="GET")) == 0


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Proxy, Callable[[], Awaitable[Streams]]]]:
    """A proxy in this process before a server that sends back what it gets, and how to connect to it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(1_000):
                writer.write(piece)
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1], speaks="http")
    await proxy.start()
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> Streams:
        streams = await asyncio.open_connection("127.0.0.1", proxy.port)
        opened.append(streams[1])
        return streams

    try:
        yield proxy, connect
    finally:
        for writer in opened:
            writer.close()
        await proxy.close()
        server.close()


async def said(streams: Streams, content: bytes) -> bytes:
    streams[1].write(content)
    return await streams[0].readexactly(len(content))


async def test_without_faults_all_passes_and_ends_are_told() -> None:
    async with echoing() as (proxy, connect):
        reader, writer = streams = await connect()
        big = os.urandom(300_000)
        assert await said(streams, big) == big
        writer.write_eof()
        assert await reader.read() == b""
        assert (proxy.counts["connections"], proxy.counts["up_bytes"], proxy.counts["down_bytes"]) == (
            1,
            *[300_000] * 2,
        )


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_connection_is_cut_or_reset_after_so_many_bytes(way: str) -> None:
    async with echoing() as (proxy, connect):
        proxy.tell(Faults.model_validate({way: {"cut_after": 5}}))
        reader, writer = await connect()
        writer.write(b"hello world")
        expected = b"hello" if way == "down" else b""
        assert await reader.read() == expected
        proxy.tell(Faults.model_validate({way: {"reset_after": 5}}))
        reader, writer = await connect()
        writer.write(b"hello world")
        with pytest.raises(ConnectionResetError):
            while await reader.read(100):
                pass
        assert (proxy.counts["cut"], proxy.counts["reset"]) == (1, 1)


async def test_what_is_slow_arrives_whole() -> None:
    async with echoing() as (proxy, connect):
        proxy.tell(Faults.model_validate({"up": {"delay_ms": 5}, "down": {"bytes_per_second": 100_000}}))
        assert await said(await connect(), b"x" * 500) == b"x" * 500
        assert proxy.counts["delayed"] > 0
        assert proxy.counts["slowed"] > 0


async def test_what_is_stalled_goes_on_when_it_is_healed() -> None:
    async with echoing() as (proxy, connect):
        streams = await connect()
        proxy.tell(Faults(stall=True))
        answer = asyncio.create_task(said(streams, b"hello"))
        while not proxy.counts["stalled"]:
            await asyncio.sleep(0)
        assert not answer.done()
        proxy.tell(Faults())
        assert await answer == b"hello"


@pytest.mark.parametrize("told", [{"up": {"blackhole": True}}, {"down": {"blackhole": True}}])
async def test_a_connection_that_lost_bytes_is_silent_for_good_and_a_new_one_is_not(told: dict[str, Any]) -> None:
    async with echoing() as (proxy, connect):
        proxy.tell(Faults.model_validate(told))
        reader, writer = await connect()
        writer.write(b"lost")
        while proxy.counts["swallowed_bytes"] < 4:
            await asyncio.sleep(0)
        proxy.tell(Faults())
        writer.write(b"lost too")
        while proxy.counts["swallowed_bytes"] < 12:
            await asyncio.sleep(0)
        assert await said(await connect(), b"hello") == b"hello"
        assert not reader.at_eof()


@pytest.mark.parametrize("how", ["cut", "reset", "silence"])
async def test_present_connections_can_be_ended_each_in_its_way(how: Any) -> None:
    async with echoing() as (proxy, connect):
        reader, writer = streams = await connect()
        assert await said(streams, b"hello") == b"hello"
        assert proxy.end(how) == 1
        if how == "cut":
            assert await reader.read() == b""
        elif how == "reset":
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            writer.write(b"lost")
            while proxy.counts["swallowed_bytes"] < 4:
                await asyncio.sleep(0)
            writer.close()
        while proxy.connections:
            await asyncio.sleep(0)
        assert await said(await connect(), b"again") == b"again"
        assert proxy.counts[how] == 1


async def test_a_server_that_is_away_looks_like_that() -> None:
    proxy = Proxy(free_port())
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert proxy.counts["refused"] == 1
    await proxy.close()


class Before:
    """A proxy process before a server, its port, and its control face."""

    def __init__(self, program: Program) -> None:
        self.port = int(program.said.split()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.control = Control(program.url)

    async def close(self) -> None:
        await self.control.faults()
        await self.control.__aexit__()


@pytest.fixture(scope="module")
def line(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    log = tmp_path_factory.mktemp("proxy") / "log"
    with Program("tests.chaos.proxy", "--to", str(valkey_server.port), log=log) as program:
        yield program


@pytest.fixture
async def before(line: Program, valkey: ValkeyServer) -> AsyncIterator[Before]:
    before = Before(line)
    yield before
    await before.close()


@pytest.fixture
async def direct(valkey: ValkeyServer) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(RedisLink(valkey.url))
    yield backend
    await backend.close()


@asynccontextmanager
async def store_at(url: str, *, patience: timedelta = timedelta(0)) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, patience=patience)
    yield store
    await store.close()


@pytest.mark.parametrize("then", ["reset", "cut"])
async def test_a_commit_whose_reply_is_lost_is_unavailable_and_asked_again_is_the_same_commit(
    before: Before, direct: RedisBackend, then: str
) -> None:
    base = await claimed(direct)
    base = await commit(direct.store, base, held(base.run))
    lost = (await before.control.counts()).get("lost_replies", 0)
    async with store_at(before.url) as store:
        await before.control.faults(lose_reply={"containing": "EVALSHA", "times": 1, "then": then})
        with pytest.raises(StoreUnavailable):
            await commit(store, base, held(base.run.evolve(round=1)), op_id="op")
        ran = await direct.store.read("run-1")
        again = await commit(store, base, held(base.run.evolve(round=1)), op_id="op")
    assert (ran.ver, ran.run.round) == (base.ver + 1, 1)
    assert (again.ver, (await direct.store.read("run-1")).ver) == (ran.ver, ran.ver)
    assert (await before.control.counts())["lost_replies"] == lost + 1


async def test_commits_over_a_line_that_loses_every_third_reply_are_each_carried_out_once(
    before: Before, direct: RedisBackend
) -> None:
    base = await claimed(direct)
    lost = (await before.control.counts()).get("lost_replies", 0)
    await before.control.faults(lose_reply={"rate": 0.33, "seed": 5})
    async with store_at(before.url, patience=LONG) as store:
        written = base
        for number in range(12):
            written = await commit(store, written, held(base.run.evolve(round=number)))
    assert written.ver == (await direct.store.read("run-1")).ver == base.ver + 12
    assert (await before.control.counts())["lost_replies"] > lost


async def test_silence_after_a_commit_is_unavailable_when_the_patience_of_the_link_ends(
    before: Before, direct: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "ANSWER_WITHIN", SHORT)
    base = await claimed(direct)
    async with store_at(before.url) as store:
        await store.read("run-1")
        await before.control.faults(lose_reply={"containing": "EVAL", "times": 1, "then": "silence"})
        with pytest.raises(StoreUnavailable):
            await store.read("run-1")
        assert (await store.read("run-1")).ver == base.ver
        await before.control.end("silence")
        with pytest.raises(StoreUnavailable):
            await store.read("run-1")
        assert (await store.read("run-1")).ver == base.ver


async def test_replies_behind_a_lost_one_are_lost_too_and_never_answer_another_question(before: Before) -> None:
    link = RedisLink(before.url)
    await before.control.faults(lose_reply={"containing": "key-5", "times": 1})
    answers = await asyncio.gather(*(link.call("ECHO", f"key-{n}") for n in range(10)), return_exceptions=True)
    assert answers[:5] == [f"key-{n}" for n in range(5)]
    assert {type(answer) for answer in answers[5:]} == {StoreUnavailable}
    assert await link.call("ECHO", "next") == "next"
    await link.close()


async def test_a_duplicated_command_is_carried_out_twice_and_answered_once(before: Before) -> None:
    link = RedisLink(before.url)
    duplicated = (await before.control.counts()).get("duplicated", 0)
    await before.control.faults(duplicate={"containing": "INCR", "times": 1})
    answers = await asyncio.gather(*(link.call("INCR", "n") for _ in range(3)))
    assert answers == [1, 3, 4]
    assert (await before.control.counts())["duplicated"] == duplicated + 1
    await link.close()


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_subscriber_gets_its_messages_whatever_is_lost_elsewhere(before: Before, protocol: int) -> None:
    await before.control.faults(lose_reply={}, duplicate={})
    async with Redis.from_url(before.url, protocol=protocol) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("channel")
        assert (await pubsub.get_message(timeout=30) or {})["type"] == "subscribe"
        await before.control.faults()
        assert await client.publish("channel", "hello") == 1
        assert (await pubsub.get_message(timeout=30) or {})["data"] == b"hello"


async def test_a_fault_that_the_proxy_does_not_know_is_refused(before: Before) -> None:
    with pytest.raises(AssertionError, match="loose_reply"):
        await before.control.faults(loose_reply={})


async def test_a_call_to_the_world_whose_reply_is_lost_was_applied_and_a_repeated_one_twice(tmp_path: Path) -> None:
    world = Program("tests.chaos.world", "--ledger", tmp_path / "ledger", log=tmp_path / "world.log")
    with world:
        port = world.url.rpartition(":")[2]
        proxy = Program("tests.chaos.proxy", "--to", port, "--speaks", "http", log=tmp_path / "proxy.log")
        with proxy:
            before, control = Before(proxy), Control(world.url)
            http, url = pooled_http(), f"http://127.0.0.1:{before.port}/mcp"
            tools = McpTools(url, namespace="world", registry=REGISTRY, http=http)

            async def call(name: str) -> None:
                arguments = {"picture": "a" * 64, "label": ""}
                await tools.call((await tools.tools())[f"world.{name}"], arguments, key=name, deadline=LONG)

            await tools.tools()
            await before.control.faults(lose_reply={"containing": "tools/call", "times": 1})
            with pytest.raises(OutcomeUnknown):
                await call("blind")
            assert await control.counts() == {"blind": 1}

            await before.control.faults(duplicate={"containing": "tools/call"})
            await call("keyed")
            await call("billed")
            while (await before.control.counts()).get("duplicates_answered", 0) < 2:
                pass
            assert await control.counts() == {"blind": 1, "keyed": 1, "billed": 2}
            await http.aclose()
            await control.__aexit__()
            await before.close()


def test_a_program_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\nfrom tests.chaos.driving import Program\n"
        "p = Program('tests.chaos.proxy', '--to', '1', log=pathlib.Path(sys.argv[1]))\n"
        "p.start()\nprint(p.said.split()[1], flush=True)\nos.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    parent = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    assert parent.returncode == -signal.SIGKILL
    with pytest.raises(ConnectionRefusedError):
        while True:  # until the kernel has taken it away
            with suppress(ConnectionResetError):
                socket.create_connection(("127.0.0.1", int(parent.stdout)), timeout=30).close()
