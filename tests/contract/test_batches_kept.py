"""A batch, its list, its open pictures and their results, on the server."""

from __future__ import annotations

from decimal import Decimal

import pytest

from prolight import batches
from prolight.adapters.redis_batches import AT_A_TIME, BatchNotFound
from prolight.batches import BatchRequest, BatchState, Picture, Result, Round, run_id_of
from prolight.errors import StoreRefused, VersionConflict
from prolight.schemas import State

from .backends import RedisBackend
from .runs import awaiting_approval, cancelled, commit, submit

pytestmark = pytest.mark.needs("batches")

REQUEST = BatchRequest(brief="warm", run_budget_usd=Decimal(1))


def pictures(count: int) -> list[Picture]:
    return [Picture(name=f"{number}.jpg", picture_id=f"{number:064x}") for number in range(count)]


async def created(backend: RedisBackend, count: int = 3) -> None:
    batch = batches.begun("b", REQUEST, count, now=await backend.now())
    await backend.store.batches.create(batch, pictures(count))


async def opened(backend: RedisBackend, *numbers: int) -> None:
    look = await backend.store.batches.look("b")
    await backend.store.batches.commit(look, Round(look.batch.evolve(opened=len(numbers)), {}, numbers))


async def test_a_batch_is_read_as_it_was_created_with_its_list_in_order(backend: RedisBackend) -> None:
    count = AT_A_TIME + 7
    await created(backend, count)
    look = await backend.store.batches.look("b")
    assert (look.batch.request, look.batch.total, look.open, look.over, look.missing) == (REQUEST, count, 0, {}, ())
    assert list((await backend.store.batches.pictures("b", range(count))).values()) == pictures(count)
    assert [batch.batch_id for batch in await backend.store.batches.recent(9)] == ["b"]


async def test_created_again_it_is_the_same_batch(backend: RedisBackend) -> None:
    await created(backend)
    await opened(backend, 0)
    await created(backend)
    assert (await backend.store.batches.look("b")).batch.opened == 1


async def test_a_batch_without_its_whole_list_does_not_begin(backend: RedisBackend) -> None:
    batch = batches.begun("b", REQUEST, 3, now=await backend.now())
    with pytest.raises(StoreRefused, match="not whole"):
        await backend.store.batches.create(batch, pictures(2))
    with pytest.raises(BatchNotFound):
        await backend.store.batches.look("b")
    assert await backend.client.pttl("prolight:pictures:b") > 0


async def test_an_open_picture_is_missing_until_its_run_is_there_and_over_when_that_has_ended(
    backend: RedisBackend,
) -> None:
    await created(backend)
    await opened(backend, 0, 1)
    await submit(backend, run_id_of("b", 0))
    look = await backend.store.batches.look("b")
    assert (look.open, look.missing, look.over, look.waiting) == (2, (1,), {}, 0)
    base = await backend.store.read(run_id_of("b", 0))
    await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
    look = await backend.store.batches.look("b")
    assert (look.missing, list(look.over)) == ((1,), [0])
    assert look.over[0].state is State.CANCELLED


async def test_an_open_picture_whose_run_waits_for_a_person_is_counted(backend: RedisBackend) -> None:
    await created(backend)
    await opened(backend, 0)
    await awaiting_approval(backend, run_id_of("b", 0))
    look = await backend.store.batches.look("b")
    assert (look.open, look.waiting, look.over) == (1, 1, {})


async def test_a_closed_picture_leaves_its_result_and_is_open_no_more(backend: RedisBackend) -> None:
    await created(backend)
    await opened(backend, 0, 1)
    look = await backend.store.batches.look("b")
    result = Result(state="FAILED", reason="no", spent_usd=Decimal("0.2"))
    await backend.store.batches.commit(look, Round(look.batch, {1: result}, (2,)))
    assert await backend.store.batches.open_numbers("b") == [0, 2]
    assert await backend.store.batches.results("b", range(3)) == {1: result}


async def test_of_two_rounds_from_one_look_the_second_changes_nothing(backend: RedisBackend) -> None:
    await created(backend)
    look = await backend.store.batches.look("b")
    await backend.store.batches.commit(look, Round(look.batch.evolve(opened=1), {}, (0,)))
    with pytest.raises(VersionConflict):
        await backend.store.batches.commit(look, Round(look.batch.evolve(opened=2), {}, (0, 1)))
    assert await backend.store.batches.open_numbers("b") == [0]


@pytest.mark.needs("sweep")
async def test_a_sweep_finds_a_live_batch_about_once_a_second_and_none_that_is_over(backend: RedisBackend) -> None:
    await created(backend)
    assert (await backend.store.sweep()).batches == ("b",)
    assert (await backend.store.sweep()).batches == (), "whoever found it has a moment for its round"
    look = await backend.store.batches.look("b")
    await backend.store.batches.commit(look, Round(look.batch, {}, ()))
    await backend.advance(1)
    assert (await backend.store.sweep()).batches == ("b",)
    look = await backend.store.batches.look("b")
    over = look.batch.evolve(state=BatchState.DONE, finished_at=look.now)
    await backend.store.batches.commit(look, Round(over, {}, ()))
    await backend.advance(60)
    assert (await backend.store.sweep()).batches == ()
    assert await backend.client.pttl("prolight:batch:b") > 0


@pytest.mark.needs("sweep")
async def test_a_due_entry_of_a_batch_that_is_gone_goes(backend: RedisBackend) -> None:
    await created(backend)
    await backend.client.delete("prolight:batch:b", "prolight:pictures:b")
    assert (await backend.store.sweep()).batches == ()
    assert await backend.client.zscore("prolight:due", "batch:b") is None
