"""The store's own time."""

from __future__ import annotations

from .backends import Backend
from .runs import submit


async def test_it_never_goes_back(backend: Backend) -> None:
    await backend.advance(50)
    await submit(backend, "run-1")
    before = (await backend.store.read("run-1")).run.created_at
    await backend.advance(-30)
    assert before <= await backend.now() < before + 20


async def test_what_happens_after_a_step_back_is_not_younger_than_what_came_before(backend: Backend) -> None:
    await submit(backend, "z-before")
    await backend.advance(-30)
    await submit(backend, "y-meanwhile")
    await backend.advance(0.001)
    await submit(backend, "a-after")
    newest_first = [snapshot.run.run_id for snapshot in await backend.store.recent(3)]
    assert newest_first.index("a-after") == 0
    assert set(newest_first) == {"a-after", "y-meanwhile", "z-before"}


async def test_the_store_tells_the_time_of_its_last_answer_and_goes_on_from_there(backend: Backend) -> None:
    told = await backend.now()
    assert told - 0.001 <= backend.store.now() < told + 20
