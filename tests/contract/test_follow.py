"""Following a run's events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from prolight.errors import RunNotFound
from prolight.events import Event
from prolight.schemas import State

from .backends import WITHIN_SECONDS, Backend, eventually
from .runs import claimed, commit, executing, failed, held, planned, submit


async def test_all_events_of_a_finished_run_come_in_order_and_that_is_the_end(backend: Backend) -> None:
    base = await executing(backend)
    await commit(backend.store, base, failed(base, await backend.now()))
    events = await _all(backend.store.follow("run-1"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].final


async def test_they_come_from_any_seq_on(backend: Backend) -> None:
    base = await executing(backend)
    ended = await commit(backend.store, base, failed(base, await backend.now()))
    events = await _all(backend.store.follow("run-1", after=3))
    assert [event.seq for event in events] == list(range(4, ended.seq + 1))


async def test_who_has_seen_the_last_event_gets_none_and_need_not_wait(backend: Backend) -> None:
    base = await claimed(backend)
    ended = await commit(backend.store, base, failed(base, await backend.now()))
    assert await _all(backend.store.follow("run-1", after=ended.seq)) == []


async def test_who_is_ahead_of_a_finished_run_need_not_wait(backend: Backend) -> None:
    base = await claimed(backend)
    ended = await commit(backend.store, base, failed(base, await backend.now()))
    assert await _all(backend.store.follow("run-1", after=ended.seq + 5)) == []


async def test_new_events_come_as_they_happen(backend: Backend) -> None:
    base = await claimed(backend)
    following = backend.store.follow("run-1")
    first = await _next(following)
    assert (first.seq, first.type) == (1, "status")
    waiting = asyncio.create_task(_next(following))
    await asyncio.sleep(0)
    await commit(backend.store, base, planned(base, await backend.now()))
    assert (await waiting).type == "plan"
    assert (await _next(following)).seq == 3
    await following.aclose()


async def test_two_followers_see_the_same(backend: Backend) -> None:
    base = await claimed(backend)
    followers = [asyncio.create_task(_all(backend.store.follow("run-1"))) for _ in range(2)]
    await asyncio.sleep(0)
    await commit(backend.store, base, failed(base, await backend.now()))
    one, other = await asyncio.gather(*followers)
    assert one == other
    assert one[-1].payload.state is State.FAILED  # type: ignore[attr-defined]


async def test_an_unknown_run_is_not_followed(backend: Backend) -> None:
    with pytest.raises(RunNotFound):
        await _all(backend.store.follow("run-1"))


@pytest.mark.needs("server")
async def test_stream_and_channels_carry_the_same_bytes(backend: Backend, server: Redis) -> None:
    base = await claimed(backend)
    async with server.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe("prolight:events", "prolight:events:run-1")
        for _ in range(2):
            await heard.get_message(timeout=WITHIN_SECONDS)
        await commit(backend.store, base, held(base.run.evolve(brief="é 光 💡")))
        await commit(backend.store, await backend.store.read("run-1"), planned(base, await backend.now()))
        messages = [await heard.get_message(timeout=WITHIN_SECONDS) for _ in range(4)]
    by_channel = {
        channel: [message["data"] for message in messages if message and message["channel"] == channel]
        for channel in ("prolight:events", "prolight:events:run-1")
    }
    stored = await backend.store.events("run-1", after=1)
    assert by_channel == {"prolight:events": stored, "prolight:events:run-1": stored}


@pytest.mark.needs("server", "connections")
async def test_a_follower_whose_connection_breaks_misses_nothing(backend: Backend, server: Redis) -> None:
    base = await claimed(backend)
    following = asyncio.create_task(_all(backend.store.follow("run-1")))

    async def listens() -> bool:
        return bool((await server.pubsub_numsub("prolight:events:run-1"))[0][1] == 1)

    await eventually(listens)
    await server.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await commit(backend.store, base, failed(base, await backend.now()))
    async with asyncio.timeout(WITHIN_SECONDS):
        assert [event.type for event in await following] == ["status", "error", "status"]


async def test_following_a_run_changes_nothing(backend: Backend) -> None:
    await submit(backend)
    before = await backend.store.read("run-1")
    following = backend.store.follow("run-1")
    await _next(following)
    await following.aclose()
    assert await backend.store.read("run-1") == before


async def _all(following: AsyncIterator[Event]) -> list[Event]:
    async with asyncio.timeout(WITHIN_SECONDS):
        return [event async for event in following]


async def _next(following: AsyncIterator[Event]) -> Event:
    async with asyncio.timeout(WITHIN_SECONDS):
        return await anext(following)
