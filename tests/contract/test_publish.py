"""What no commit tells of: notes on a run of the store, and events of a run that works elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.redis_store import RedisStore
from prolight.agents import AgentRunnerAsync, RunContext
from prolight.embedded.valkey import LOOPBACK, ValkeyServer, free_port
from prolight.errors import IdempotencyMismatch, IllegalMove, InvalidInput, RunNotFound, StoreUnavailable
from prolight.events import MAX_EVENT_BYTES, Note, Warned, parse, publish_event, stamp
from prolight.mcp import MCPClient
from prolight.schemas import State, compact_json
from prolight.settings import Settings

from .backends import WITHIN_SECONDS, Backend, Losses, leaks
from .runs import claimed, commit, failed, held, planned, submit

PHOTO = Path(__file__).parents[1] / "photos" / "demo-vase.jpg"


@pytest.fixture
def settings(valkey: ValkeyServer, tmp_path: Path) -> Settings:
    return Settings.load(redis_url=valkey.url, home=tmp_path)


@pytest.fixture
async def client(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client
        assert not await leaks(client), "no key may outlive its use"


@pytest.fixture
def redis(backend: Backend) -> RedisStore:
    assert isinstance(backend.store, RedisStore), "mark the test with needs('server')"
    return backend.store


def event(seq: Any = 1, run_id: str = "run-1", message: str = "é 光 💡") -> dict[str, Any]:
    text = stamp(Warned(code="c", message=message).body(), run_id=run_id, seq=7, epoch=1, at=1.5)
    return {**json.loads(text), "seq": seq}


async def mirror(store: RedisStore, given: dict[str, Any]) -> int:
    text = compact_json(given)
    return await store.mirror(parse(text), text)


async def seqs(store: RedisStore, run_id: str = "run-1") -> list[int]:
    return [parse(text).seq for text in await store.events(run_id)]


# Notes


@pytest.mark.needs("server")
async def test_a_note_gets_the_next_seq_of_a_live_run(backend: Backend, redis: RedisStore) -> None:
    before = (await claimed(backend)).seq
    assert await redis.note("run-1", Note(message="hello", fields={"a": 1})) == before + 1
    told = [parse(text) for text in await redis.events("run-1")]
    assert told[-1].payload == Note(message="hello", fields={"a": 1})


@pytest.mark.needs("server")
async def test_a_note_changes_nothing_else(backend: Backend, redis: RedisStore) -> None:
    """Its holder commits on, with the version and the claim that it has."""
    base = await claimed(backend)
    await redis.note("run-1", Note(message="hello"))
    done = await commit(redis, base, planned(base, await backend.now()))
    assert await seqs(redis) == list(range(1, done.seq + 1))


@pytest.mark.needs("server")
async def test_notes_and_commits_at_once_leave_no_gap(backend: Backend, redis: RedisStore) -> None:
    base = await claimed(backend)

    async def works() -> None:
        last = base
        for _ in range(10):
            last = await commit(redis, last, held(last.run))
        await commit(redis, last, planned(last, await backend.now()))

    noted, _ = await asyncio.gather(
        asyncio.gather(*(redis.note("run-1", Note(message=str(number))) for number in range(20))), works()
    )
    last = (await redis.read("run-1")).seq
    assert await seqs(redis) == list(range(1, last + 1))
    assert len(set(noted)) == 20 and last == base.seq + 22


@pytest.mark.needs("server")
async def test_a_note_whose_answer_is_lost_is_told_once(backend: Backend, redis: RedisStore, lossy: Losses) -> None:
    before = (await claimed(backend)).seq
    lossy.lose_next_answer()
    assert await redis.note("run-1", Note(message="hello")) == before + 1
    assert lossy.lost == 1 and await seqs(redis) == list(range(1, before + 2))


@pytest.mark.needs("server")
async def test_a_note_is_refused_where_nothing_may_follow(backend: Backend, redis: RedisStore) -> None:
    with pytest.raises(RunNotFound):
        await redis.note("run-1", Note(message="x"))
    base = await claimed(backend)
    await commit(redis, base, failed(base, await backend.now()))
    before = await redis.events("run-1")
    with pytest.raises(IllegalMove, match="has ended"):
        await redis.note("run-1", Note(message="x"))
    assert await redis.events("run-1") == before


# Mirrors


@pytest.mark.needs("server")
async def test_an_event_is_mirrored_once_and_the_second_time_changes_nothing(redis: RedisStore, server: Redis) -> None:
    async with server.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe("prolight:events:run-1")
        await heard.get_message(timeout=WITHIN_SECONDS)
        assert await mirror(redis, event(1)) == 1
        assert await mirror(redis, event(1)) == 1
        assert await mirror(redis, event(2)) == 2
        messages = [await heard.get_message(timeout=WITHIN_SECONDS) for _ in range(2)]
    stored = await redis.events("run-1")
    assert [message and message["data"] for message in messages] == stored
    assert [json.loads(text) for text in stored] == [event(1), event(2)]
    assert 0 < await server.pttl("prolight:events:run-1") <= timedelta(days=7).total_seconds() * 1000


@pytest.mark.needs("server")
async def test_a_mirror_out_of_order_is_an_error(redis: RedisStore) -> None:
    await mirror(redis, event(5))
    with pytest.raises(IllegalMove, match="in order"):
        await mirror(redis, event(4))
    assert await seqs(redis) == [5]


@pytest.mark.needs("server")
async def test_another_event_of_the_same_seq_is_an_error_and_not_swallowed(redis: RedisStore) -> None:
    """As when a run id is used for a second run."""
    await mirror(redis, event(1))
    with pytest.raises(IllegalMove, match="another event 1"):
        await mirror(redis, event(1, message="other"))
    assert [json.loads(text) for text in await redis.events("run-1")] == [event(1)]


@pytest.mark.needs("server")
async def test_a_run_of_the_store_takes_no_mirror(backend: Backend, redis: RedisStore) -> None:
    last = (await claimed(backend)).seq
    before = await redis.events("run-1")
    with pytest.raises(IllegalMove, match="a run of this store"):
        await mirror(redis, event(last + 1))
    assert await mirror(redis, event(last)) == last
    assert await redis.events("run-1") == before


@pytest.mark.needs("server")
async def test_a_mirrored_run_takes_no_note(redis: RedisStore) -> None:
    await mirror(redis, event(1))
    with pytest.raises(IllegalMove, match="works in another process"):
        await redis.note("run-1", Note(message="x"))
    assert await seqs(redis) == [1]


@pytest.mark.needs("server")
async def test_the_id_of_a_mirrored_run_is_taken(backend: Backend, redis: RedisStore) -> None:
    await mirror(redis, event(1))
    with pytest.raises(IdempotencyMismatch):
        await submit(backend)
    assert await redis.recent(9) == [] and await seqs(redis) == [1]
    assert await redis.claim(next(iter(await redis.backlog())), 1, "w1") == []


# publish_event


async def test_a_run_in_this_process_is_mirrored_as_it_works(settings: Settings, client: Redis) -> None:
    picture = await LocalArtifacts(settings.artifact_root).put(PHOTO.read_bytes(), media_type="image/jpeg")
    heard: list[dict[str, Any]] = []

    async def hook(run_id: str, given: dict[str, Any]) -> None:
        heard.append(given)
        assert await publish_event(run_id, given, settings=settings) == given["seq"]

    async with client.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe("prolight:events:run-1")
        await channel.get_message(timeout=WITHIN_SECONDS)
        runner = AgentRunnerAsync(MCPClient(settings=settings), hook, settings=settings)
        ctx = await runner.run_workflow(RunContext(run_id="run-1", asset_id=picture.id), human_approved=True)
        messages = [await channel.get_message(timeout=WITHIN_SECONDS) for _ in heard]
    entries: Any = await client.xrange("prolight:events:run-1")
    stored = [fields["e"] for _, fields in entries]
    assert ctx.state is State.COMPLETED and len(stored) == ctx.seq
    assert [message and message["data"] for message in messages] == stored
    assert [json.loads(text) for text in stored] == heard


async def test_what_has_no_seq_is_a_note_with_the_rest_as_its_fields(settings: Settings, client: Redis) -> None:
    store = RedisStore(settings.store_url)
    await submit(_Only(store))
    given = {"message": "half way", "type": "progress", "fraction": 0.5, "tags": ["a", None]}
    seq = await publish_event("run-1", given, settings=settings)
    only_typed = await publish_event("run-1", {"type": "note", "by": "me"}, settings=settings)
    told = [parse(text) for text in await store.events("run-1")]
    await store.close()
    assert [event.seq for event in told[-2:]] == [seq, only_typed]
    rest = {"type": "progress", "fraction": 0.5, "tags": ["a", None]}
    assert told[-2].payload == Note(message="half way", fields=rest)
    assert told[-1].payload == Note(message="note", fields={"by": "me"})


class _Only(Backend):
    def __init__(self, store: RedisStore) -> None:
        self.store = store

    async def now(self) -> float:
        return 1.0

    async def advance(self, seconds: float) -> None: ...
    async def connect(self, process: str) -> None: ...
    async def kill(self, process: str) -> None: ...


@pytest.mark.parametrize(
    ("run_id", "given"),
    [
        ("run-1", event(0)),
        ("run-1", event(-1)),
        ("run-1", event("1")),
        ("run-1", event(True)),
        ("run-1", event(None)),
        ("run-1", event(10**30)),
        ("run-2", event()),
        ("a:b c", event(run_id="a:b c")),
        ("run-1", {"seq": 1}),
        ("run-1", {**event(), "extra": 1}),
        ("run-1", {**event(), "at": float("nan")}),
        ("run-1", {**event(), "payload": {"code": "c", "message": "x" * (MAX_EVENT_BYTES + 2000)}}),
        ("run-1", {"message": "x", "blob": "y" * MAX_EVENT_BYTES}),
        ("run-1", {"message": "x", "blob": b"y"}),
        ("run-1", {"message": "\ud800"}),
        ("run-1", {"message": "x", "number": float("inf")}),
    ],
    ids=lambda value: compact_json(value)[:40] if value == "run-1" else None,
)
async def test_what_is_no_event_is_refused_before_a_server_is_asked(run_id: str, given: dict[str, Any]) -> None:
    nowhere = Settings.load(redis_url=f"redis://{LOOPBACK}:1/0")
    with pytest.raises(InvalidInput):
        await publish_event(run_id, given, settings=nowhere)


@pytest.mark.parametrize("given", [event(1), {"message": "x"}], ids=["mirror", "note"])
async def test_without_a_server_the_error_names_what_starts_one(given: dict[str, Any]) -> None:
    nowhere = Settings.load(redis_url=f"redis://{LOOPBACK}:{free_port()}/0")
    with pytest.raises(StoreUnavailable, match="prolight up"):
        await publish_event("run-1", given, settings=nowhere)
