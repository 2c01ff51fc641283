"""A paused stage is not claimed, and nothing of it is lost."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from prolight.schemas import Stage

from .backends import Backend
from .runs import announce, claim, submit


async def test_a_paused_stage_gives_no_claims_until_it_goes_on(backend: Backend) -> None:
    await submit(backend)
    await backend.store.pause([Stage.PLAN], by="ann", reason="new lights")
    assert await backend.store.claim(Stage.PLAN, 1, "w1") == []
    assert (await backend.store.read("run-1")).activity == "queued"
    await backend.store.resume([Stage.PLAN])
    assert (await claim(backend.store, Stage.PLAN)).run_id == "run-1"


async def test_who_paused_a_stage_and_why_is_kept(backend: Backend) -> None:
    await backend.now()
    await backend.store.pause([Stage.PLAN, Stage.EXECUTE], by="ann", reason="new lights")
    paused = await backend.store.paused()
    assert {(stage, pause.by, pause.reason) for stage, pause in paused.items()} == {
        (Stage.PLAN, "ann", "new lights"),
        (Stage.EXECUTE, "ann", "new lights"),
    }
    await backend.store.resume([Stage.PLAN])
    assert set(await backend.store.paused()) == {Stage.EXECUTE}


async def test_what_is_worked_on_goes_on(backend: Backend) -> None:
    await submit(backend)
    held = await claim(backend.store, Stage.PLAN)
    await backend.store.pause([Stage.PLAN], by="ann", reason="")
    assert (await backend.store.read("run-1")).claim_id == held.snapshot.claim_id


@pytest.mark.needs("bells", "server", "sweep")
async def test_a_paused_stage_rings_no_bell_and_rings_when_it_goes_on(backend: Backend, server: Redis) -> None:
    await announce(backend)
    await backend.store.pause([Stage.PLAN], by="ann", reason="")
    await submit(backend)
    await backend.store.sweep()
    assert await server.llen("prolight.plan") == 0
    await backend.store.resume([Stage.PLAN])
    assert await server.llen("prolight.plan") == 1
