"""A worker that cannot serve says why and ends; another one goes on with what it held."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from prolight import health
from prolight.adapters.instant import InstantModel
from prolight.cli.doctor import examine
from prolight.client import AsyncClient
from prolight.embedded.stack import Stack, environment
from prolight.ports import ChatReply, ChatRequest
from prolight.schemas import State
from prolight.settings import Settings
from tests.integration.fleet import WITHIN, Fleet, until
from tests.integration.test_faults import picture
from tests.integration.test_poison import submit_all
from workers.watchdog import EXIT_CODE

pytestmark = pytest.mark.integration

QUICK: dict[str, Any] = {"loop_stall_seconds": 2, "health_seconds": 0.2, "lease_seconds": 4, "heartbeat_seconds": 1}


class BlockingModel(InstantModel):
    """Over the brief `block` it blocks the loop, over `overstay` it hears of no cancellation; once for each."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply:
        brief = str(request.facts.get("brief"))
        done = self._home / f"did-{brief}"
        if brief in ("block", "overstay") and not done.exists():
            done.touch()
            if brief == "block":
                time.sleep(1000)
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(1000)
        return await super().complete(request, deadline=deadline)


REFERENCE = "tests.integration.test_wedged_workers:BlockingModel"


async def exit_code(worker: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(worker.wait, WITHIN.total_seconds())


async def test_a_worker_whose_loop_is_blocked_ends_and_its_runs_complete_elsewhere(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, model=REFERENCE, **QUICK) as fleet:
        worker = await fleet.start_worker()
        await submit_all(fleet, "block", "good", "good")
        assert await exit_code(worker) == EXIT_CODE
        log = (tmp_path / "worker1.log").read_text()
        assert "its loop has not ticked" in log
        assert "in complete" in log, "the stacks of all threads"
        (said,) = health.of_this_host(fleet.settings.health_folder)
        assert (said.pid, said.ok, "not ticked" in said.what, said.alive) == (worker.pid, False, True, False)

        await fleet.start_worker()
        assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}


async def test_a_worker_says_that_it_is_well_and_leaves_no_file_when_it_stops(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, **QUICK) as fleet:
        worker = await fleet.start_worker()
        folder = fleet.settings.health_folder

        async def told() -> bool:
            return any(said.last_heartbeat for said in health.of_this_host(folder))

        await until(told, what="the health file tells of a heartbeat")
        check = [sys.executable, "-m", "prolight.health"]
        assert (await asyncio.to_thread(subprocess.run, check, env=environment(fleet.settings))).returncode == 0
        (part,) = [part for part in await examine(fleet.settings) if part.part == "worker"]
        assert (part.ok, part.pid) == (True, worker.pid)
        assert await fleet.terminate(worker) == 0
        assert list(folder.iterdir()) == []


@pytest.mark.heavy
async def test_a_worker_with_a_wedged_slot_hands_the_rest_over_and_ends(tmp_path: Path) -> None:
    settings = {**QUICK, "stage_deadline_seconds": 3, "wedged_after_seconds": 2}
    async with Fleet(tmp_path, studio=False, model=REFERENCE, **settings) as fleet:
        worker = await fleet.start_worker()
        (run_id,) = await submit_all(fleet, "overstay")
        assert await exit_code(worker) == EXIT_CODE
        assert "slots went on" in (tmp_path / "worker1.log").read_text()
        assert await fleet.client.store.processes() == [], "it signed off"
        await fleet.start_worker()
        await fleet.all_ended()
        error = (await fleet.client.get(run_id)).run.error
        assert error
        assert error.code == "deadline_exceeded"


@pytest.mark.heavy
async def test_a_worker_that_hears_no_bells_ends(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, **{**QUICK, "deaf_sweeps": 3}) as fleet:
        deaf = await fleet.start_worker(app="tests.integration.deaf")
        await submit_all(fleet)
        assert await exit_code(deaf) == EXIT_CODE
        assert "no bell was heard" in (tmp_path / "worker1.log").read_text()
        await fleet.start_worker()
        assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}


@pytest.mark.heavy
async def test_an_outage_of_the_store_is_no_reason_to_end(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, **QUICK, wedged_after_seconds=1) as fleet:
        worker = await fleet.start_worker()
        fleet.valkey.kill()
        with pytest.raises(subprocess.TimeoutExpired):
            await asyncio.to_thread(worker.wait, 6)
        fleet.valkey.start()
        await submit_all(fleet)
        assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}
        assert worker.poll() is None


@pytest.mark.heavy
async def test_prolight_up_starts_a_wedged_worker_again(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path, model=REFERENCE, tools="instant", **QUICK)
    async with Stack(settings) as stack, AsyncClient(settings=stack.settings) as client:
        first = stack.workers[0].pid
        run_id = await client.submit(picture(), "block")
        assert (await client.wait(run_id, timeout=WITHIN.total_seconds())).run.state is State.COMPLETED
        assert stack.workers[0].pid != first
