"""A run that kills whatever works on it ends as poison; what is worked on beside it completes, and hardly later."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from prolight.adapters.instant import InstantModel
from prolight.ports import ChatReply, ChatRequest, Snapshot
from prolight.schemas import RunRequest, State
from prolight.settings import Settings
from tests.integration.fleet import Fleet, until
from tests.integration.test_faults import held_in, picture

pytestmark = pytest.mark.integration

POISON = "poison"
NEIGHBOURS = 30


class DeadlyModel(InstantModel):
    """Kills its process over the brief `poison`, or never answers; over others it thinks for a moment.

    What it is about to do, and where, is written down first.
    """

    def __init__(self, settings: Settings) -> None:
        self._deaths = settings.home / "deaths"

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply:
        brief = request.facts.get("brief")
        if brief != "good":
            with self._deaths.open("a") as deaths:
                deaths.write(f"{brief} {os.getpid()}\n")
        match brief:
            case "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            case "is wedged":
                time.sleep(1000)
            case "hangs":
                await asyncio.sleep(1000)
        await asyncio.sleep(0.2)
        return await super().complete(request, deadline=deadline)


REFERENCE = "tests.integration.test_poison:DeadlyModel"


async def submit_all(fleet: Fleet, *briefs: str) -> list[str]:
    first = await fleet.client.submit(picture(), "good")
    asset = (await fleet.client.get(first)).run.asset_id
    return [await fleet.client.enqueue(RunRequest(picture_id=asset, brief=brief)) for brief in briefs]


async def ended_with_restarts(fleet: Fleet) -> tuple[list[Snapshot], int]:
    """Every worker that dies is started again, as a supervisor does; answers how often that was."""
    deaths = 0

    async def restart() -> None:
        nonlocal deaths
        while True:
            for worker in [worker for worker in fleet.workers if worker.poll() is not None]:
                fleet.workers.remove(worker)
                deaths += 1
                await fleet.start_worker()
            await asyncio.sleep(0.05)

    restarting = asyncio.create_task(restart())
    try:
        return await fleet.all_ended(), deaths
    finally:
        restarting.cancel()


async def test_poison_is_convicted_in_children_and_takes_none_of_its_thirty_neighbours_with_it(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, model=REFERENCE) as fleet:
        good = ["good"] * (NEIGHBOURS // 2)
        run_ids = await submit_all(fleet, *good, POISON, *good)
        poison = run_ids[len(good)]
        await fleet.start_worker()

        ended, worker_deaths = await ended_with_restarts(fleet)

        states = {snapshot.run.run_id: snapshot.run.state for snapshot in ended}
        assert states.pop(poison) is State.FAILED
        assert set(states.values()) == {State.COMPLETED}
        error = (await fleet.client.get(poison)).run.error
        assert error
        assert (error.code, "in a process of its own" in error.message) == ("poison", True)
        assert worker_deaths == 2
        assert len((tmp_path / "deaths").read_text().splitlines()) == 5
        assert all(worker.poll() is None for worker in fleet.workers)
        events = [json.loads(event) for event in await fleet.client.store.events(poison)]
        warned = [event["payload"]["message"] for event in events if event["type"] == "warning"]
        assert len(warned) == 3
        assert all("signal 9" in message for message in warned)


async def suspected(fleet: Fleet, brief: str) -> str:
    """A run that is told to have crashed two workers, and works alone now."""
    (run_id,) = await submit_all(fleet, brief)
    await fleet.client.store._ask("HSET", f"prolight:run:{run_id}", "crashes", 2)
    await fleet.start_worker()
    await until(lambda: at_work(fleet.home / "deaths", brief), what="the child is at work")
    return run_id


async def at_work(deaths: Path, brief: str) -> bool:
    return deaths.exists() and brief in deaths.read_text()


@pytest.mark.parametrize("brief", ["hangs", pytest.param("is wedged", marks=pytest.mark.heavy)])
async def test_a_suspect_that_is_cancelled_lets_go_or_its_child_is_killed(brief: str, tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, model=REFERENCE) as fleet:
        run_id = await suspected(fleet, brief)
        await fleet.client.cancel(run_id)
        await fleet.all_ended()
        kept = await fleet.client.get(run_id)
        assert (kept.run.state, kept.crashes) == (State.CANCELLED, 2)


@pytest.mark.heavy
async def test_a_worker_that_drains_takes_its_suspects_with_it_and_counts_no_crash(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, model=REFERENCE) as fleet:
        run_id = await suspected(fleet, "hangs")
        assert await fleet.terminate(fleet.workers[-1]) == 0
        kept = await fleet.client.get(run_id)
        assert (kept.claim_id, kept.crashes) == ("", 2)


@pytest.mark.heavy
async def test_a_run_that_loses_the_studio_counts_a_crash_and_completes_when_it_is_back(tmp_path: Path) -> None:
    async with Fleet(tmp_path) as fleet:
        assert fleet.studio
        run_id = await fleet.client.submit(picture(800), "warm key from the left, white background")
        await fleet.start_worker()
        await until(lambda: held_in(fleet, State.EXECUTING), what="the run is executing")
        await until(fleet.calls, what="the studio is asked")
        fleet.studio.kill()
        fleet.studio.wait()
        await fleet.start_studio()
        (ended,) = await fleet.all_ended()
        assert ended.run.state is State.COMPLETED
        events = [json.loads(event) for event in await fleet.client.store.events(run_id)]
        assert "crashed" in {event["payload"].get("code") for event in events}


@pytest.mark.heavy
async def test_a_suspects_studio_is_inside_its_child(tmp_path: Path) -> None:
    """The studio is away, and the run completes all the same."""
    async with Fleet(tmp_path) as fleet:
        assert fleet.studio
        run_id = await fleet.client.submit(picture(), "warm key from the left")
        planner = await fleet.start_worker("-Q", "prolight.plan,prolight.critique")
        await until(lambda: waits(fleet, run_id), what="the run waits to be executed")
        fleet.kill(planner)
        fleet.studio.kill()
        await fleet.client.store._ask("HSET", f"prolight:run:{run_id}", "crashes", 2)
        await fleet.start_worker("-Q", "prolight.execute")
        (ended,) = await fleet.all_ended()
        assert (ended.run.state, ended.run.error) == (State.COMPLETED, None)


async def waits(fleet: Fleet, run_id: str) -> bool:
    return (await fleet.client.get(run_id)).run.state is State.EXECUTING
