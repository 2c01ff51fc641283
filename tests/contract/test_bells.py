"""Celery messages that say "this stage has work": rung by the scripts, never more than there is work."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest
from redis.asyncio import Redis

from prolight.schemas import Stage

from .backends import LEASE, Backend
from .runs import announce, claim, claimed, commit, planned, submit

pytestmark = pytest.mark.needs("bells")


async def test_a_submission_rings_for_a_planner(backend: Backend, server: Redis) -> None:
    await submit(backend)
    assert await _bells(server) == {"plan": 1, "critique": 0, "execute": 0}


async def test_a_bell_is_a_celery_task_without_arguments_that_names_no_run(backend: Backend, server: Redis) -> None:
    await submit(backend)
    message = json.loads((await server.lrange("prolight.plan", 0, 0))[0])
    assert message["headers"]["task"] == message["properties"]["delivery_info"]["routing_key"] == "prolight.plan"
    assert json.loads(b64decode(message["body"]))[:2] == [[], {}]
    assert "run-1" not in json.dumps(message)


async def test_nobody_listening_two_bells_are_enough(backend: Backend, server: Redis) -> None:
    for n in range(5):
        await submit(backend, f"run-{n}")
    assert (await _bells(server))["plan"] == 2


async def test_a_commit_rings_for_the_next_stage(backend: Backend, server: Redis) -> None:
    base = await claimed(backend)
    await commit(backend.store, base, planned(base, await backend.now()))
    assert (await _bells(server))["critique"] == 1


async def test_a_claim_that_leaves_work_rings_again(backend: Backend, server: Redis) -> None:
    for n in range(5):
        await submit(backend, f"run-{n}")
    await server.delete("prolight.plan")
    await claim(backend.store, Stage.PLAN)
    assert (await _bells(server))["plan"] == 2


async def test_a_claim_that_leaves_none_does_not(backend: Backend, server: Redis) -> None:
    await submit(backend)
    await server.delete("prolight.plan")
    await claim(backend.store, Stage.PLAN)
    assert (await _bells(server))["plan"] == 0


@pytest.mark.needs("sweep")
class TestSweeps:
    async def test_a_lost_bell_is_rung_again(self, backend: Backend, server: Redis) -> None:
        await submit(backend)
        await server.delete("prolight.plan")
        await backend.store.sweep()
        assert (await _bells(server))["plan"] == 1

    async def test_a_run_taken_from_a_silent_holder_is_rung_for(self, backend: Backend, server: Redis) -> None:
        await claimed(backend)
        await server.delete("prolight.plan")
        await backend.live_on(LEASE.total_seconds() + 1)
        assert (await _bells(server))["plan"] == 1

    async def test_there_are_two_bells_for_each_living_slot_of_the_stage(self, backend: Backend, server: Redis) -> None:
        await announce(backend, "w1", slots=2)
        await announce(backend, "w2", slots=1)
        for n in range(10):
            await submit(backend, f"run-{n}")
        await backend.store.sweep()
        assert (await _bells(server))["plan"] == 6
        await backend.kill("w1")
        await server.delete("prolight.plan")
        await backend.live_on(3)
        assert (await _bells(server))["plan"] == 2

    async def test_never_more_than_runs_wait(self, backend: Backend, server: Redis) -> None:
        await announce(backend, "w1", slots=50)
        await backend.store.sweep()
        for n in range(3):
            await submit(backend, f"run-{n}")
        for _ in range(3):
            await backend.store.sweep()
        assert (await _bells(server))["plan"] == 3

    async def test_a_fleet_of_thousands_of_slots_finding_thousands_of_runs_is_rung_for(
        self, backend: Backend, server: Redis
    ) -> None:
        await announce(backend, "fleet", slots=5_000)
        await server.zadd("prolight:ready:plan", {f"run-{n}": n for n in range(12_000)})
        await backend.store.sweep()
        assert (await _bells(server))["plan"] == 10_000


async def _bells(server: Redis) -> dict[str, int]:
    return {stage.value: await server.llen(stage.queue) for stage in Stage}
