"""What all workers together know of those they call: a pause that was asked for, and what is left of a retry budget."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from prolight.adapters.memory_dependencies import MemoryDependencies
from prolight.adapters.redis_store import RedisStore
from prolight.ports import RunStore, Snapshot
from prolight.retry import DEFAULT_SPARING, Sparing
from tests.unit.strategies import UNHURRIED

from .backends import Backend, Losses, RedisBackend
from .runs import claimed, commit, held

BURST, WINDOW = DEFAULT_SPARING.burst, DEFAULT_SPARING.window.total_seconds()
MINUTE = timedelta(minutes=1)
NOW = timedelta(0)


def another_worker(backend: Backend) -> RunStore:
    """The store as another process sees it."""
    return RedisStore(backend.link.url, link=backend.link) if isinstance(backend, RedisBackend) else backend.store


async def begin(store: RunStore, base: Snapshot, asks: dict[str, int], op_id: str | None = None) -> Snapshot:
    """Write down that calls begin."""
    return await commit(store, base, held(base.run), asks=asks, op_id=op_id)


async def retries(store: RunStore, dependency: str = "world") -> int:
    """How many can be taken at once."""
    for taken in count():
        if await store.dependencies.take_retry(dependency):
            return taken
    raise AssertionError("unreachable")


async def test_whoever_writes_that_a_call_begins_learns_of_the_pause_that_another_worker_was_asked_for(
    backend: Backend, store: RunStore
) -> None:
    base = await claimed(backend)
    other = another_worker(backend)
    await other.dependencies.cool("world", MINUTE)
    now = await backend.now()
    await begin(store, base, {"else": 1, "world": 0})
    assert store.dependencies.cooling("else") is None
    until = store.dependencies.cooling("world")
    assert until is not None and now < until <= now + 60
    assert until == other.dependencies.cooling("world")


async def test_a_pause_is_over_by_the_clock_of_the_store(backend: Backend, store: RunStore) -> None:
    await store.dependencies.cool("world", MINUTE)
    await backend.advance(61)
    base = await claimed(backend)
    assert store.dependencies.cooling("world") is None
    await begin(store, base, {"world": 1})
    assert store.dependencies.cooling("world") is None


async def test_a_longer_pause_that_runs_stays_and_a_longer_one_takes_its_place(store: RunStore) -> None:
    await store.dependencies.cool("world", MINUTE)
    first = store.dependencies.cooling("world")
    await store.dependencies.cool("world", timedelta(seconds=1))
    assert first is not None and store.dependencies.cooling("world") == first
    await store.dependencies.cool("world", 2 * MINUTE)
    longer = store.dependencies.cooling("world")
    assert longer is not None and longer > first


async def test_no_pause_is_kept_longer_than_the_limit_and_none_is_too_short(backend: Backend, store: RunStore) -> None:
    await store.dependencies.cool("other", timedelta(microseconds=1))
    await store.dependencies.cool("world", timedelta.max)
    until = store.dependencies.cooling("world")
    assert until is not None and until <= await backend.now() + DEFAULT_SPARING.longest_pause.total_seconds()


@pytest.mark.needs("server")
async def test_the_pause_is_told_again_when_the_answer_was_lost(
    backend: Backend, store: RunStore, lossy: Losses
) -> None:
    base = await claimed(backend)
    await another_worker(backend).dependencies.cool("world", MINUTE)
    lossy.lose_next_answer()
    await begin(store, base, {"world": 1})
    assert lossy.lost == 1
    assert store.dependencies.cooling("world")


async def test_without_first_tries_the_burst_is_all_there_is_for_all_workers_together(
    backend: Backend, store: RunStore
) -> None:
    other = another_worker(backend)
    assert not await other.dependencies.take_retry("world")
    assert await retries(store) == BURST - 1
    assert await other.dependencies.take_retry("world") > NOW
    assert await retries(store, "else") == BURST


async def test_every_ten_first_tries_of_any_worker_give_one_retry_more(backend: Backend, store: RunStore) -> None:
    base = await begin(store, await claimed(backend), {"world": 40, "else": 7})
    await begin(another_worker(backend), base, {"world": 10})
    assert await retries(store) == BURST + 5


async def test_a_write_that_is_repeated_counts_its_first_tries_once(backend: Backend, store: RunStore) -> None:
    base = await claimed(backend)
    for _ in range(2):
        await begin(store, base, {"world": 10}, op_id=f"{base.claim_id}.1")
    assert await retries(store) == BURST + 1


async def test_after_the_wait_that_was_answered_there_is_a_retry_again(backend: Backend, store: RunStore) -> None:
    await retries(store)
    wait = await store.dependencies.take_retry("world")
    assert NOW < wait <= timedelta(seconds=WINDOW * 7 / 6)
    await backend.advance(wait.total_seconds())
    assert await retries(store) == BURST


async def test_first_tries_count_for_one_window(backend: Backend, store: RunStore) -> None:
    await begin(store, await claimed(backend), {"world": 100})
    await backend.advance(WINDOW)
    assert await retries(store) == BURST


async def test_while_a_dependency_cools_no_retry_is_taken_and_the_wait_is_the_pause(
    backend: Backend, store: RunStore
) -> None:
    other = another_worker(backend)
    await other.dependencies.cool("world", MINUTE)
    for _ in range(2 * BURST):
        assert NOW < await store.dependencies.take_retry("world") <= MINUTE
    assert store.dependencies.cooling("world")
    await backend.advance(61)
    assert await retries(store) == BURST


@pytest.mark.needs("server")
async def test_tries_are_counted_in_slices_that_expire(backend: Backend, store: RunStore, server: Redis) -> None:
    await begin(store, await claimed(backend), {"world": 1})
    await store.dependencies.take_retry("world")
    await store.dependencies.cool("world", MINUTE)
    keys = [key async for key in server.scan_iter("prolight:*:world*")]
    assert len(keys) == 3
    assert all([0 < await server.pttl(key) <= 2 * WINDOW * 1000 for key in keys])


STEPS = st.lists(st.tuples(st.sampled_from(("first", "retry", "wait")), st.integers(1, 30_000)), max_size=80)


@UNHURRIED
@given(steps=STEPS, share=st.sampled_from((0.0, 0.1, 0.5)), burst=st.integers(0, 4))
async def test_in_any_window_retries_stay_within_the_burst_and_their_share(
    steps: list[tuple[str, int]], share: float, burst: int
) -> None:
    now, window = 1_000_000, 60_000
    here = MemoryDependencies(Sparing(share, burst), lambda: now)
    firsts: list[int] = []
    taken: list[int] = []
    for step, number in steps:
        match step:
            case "first":
                here.asked({"world": number % 20})
                firsts += [now] * (number % 20)
            case "wait":
                now += number
            case "retry" if not await here.take_retry("world"):
                taken.append(now)
                recent = [sum(moment > now - window for moment in moments) for moments in (taken, firsts)]
                assert recent[0] <= burst + share * recent[1]
