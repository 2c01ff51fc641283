"""What workers do when nothing is wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import sys
from pathlib import Path

import pytest

from prolight.embedded.stack import environment
from prolight.schemas import Stage, State
from tests.integration.fleet import ROOT, Fleet
from tests.integration.test_faults import fill, picture

pytestmark = pytest.mark.integration


async def test_one_pool_for_each_stage_carries_a_run_through(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        for stage in Stage:
            await fleet.start_worker("-Q", stage.queue, "-c", "4")
        assert {process.stages: process.slots for process in await fleet.client.store.processes()} == {
            (stage,): 4 for stage in Stage
        }
        await fill(fleet, 20)
        assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}


async def test_who_inspects_the_workers_hears_their_replies(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker()
        inspect = fleet._spawn("inspect", *("-m", "celery", "-A", "workers", "inspect", "ping", "--timeout", "2"))
        fleet.workers.append(inspect)
        assert await asyncio.to_thread(inspect.wait, 60) == 0, fleet.log("inspect")
        assert "pong" in fleet.log("inspect")


async def test_every_picture_is_the_one_that_its_step_recorded(tmp_path: Path) -> None:
    async with Fleet(tmp_path) as fleet:
        await fleet.start_worker()
        run_id = await fleet.client.submit(picture(), "warm key from the left, white background, 200 px, png")
        (ended,) = await fleet.all_ended()

        run, journal = ended.run, await fleet.client.store.journal(run_id)
        assert (run.state, run.error) == (State.COMPLETED, None)
        assert run.plan and run.exec_result
        done = [json.loads(entry)["result"].get("artifact") for entry in journal.values()]
        recorded = {artifact["id"] for artifact in done if artifact}
        assert recorded == {step.artifact.id for step in run.exec_result.steps if step.artifact}
        assert len(recorded) == len(run.plan.steps) == 3
        for artifact_id in recorded:
            assert hashlib.sha256(await fleet.client.download(artifact_id)).hexdigest() == artifact_id
        assert [turn.model for turn in run.turns[:2]] == ["offline-rules-2", "offline-rules-2"]


async def test_a_run_that_is_cancelled_at_work_lets_go_and_ends(tmp_path: Path) -> None:
    async with Fleet(tmp_path) as fleet:
        worker = await fleet.start_worker()
        run_ids = await fill(fleet, 8)
        for run_id in run_ids:
            await fleet.client.cancel(run_id)
        ended = await fleet.all_ended()
        assert {snapshot.run.state for snapshot in ended} == {State.CANCELLED}
        assert worker.poll() is None


async def test_a_worker_answers_to_celerys_remote_control(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker()
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "celery", "-A", "workers", "inspect", "ping", "--json", "--timeout", "10"),
            *("--destination", f"worker1@{socket.gethostname()}"),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=environment(fleet.settings),
        )
        answer, _ = await asked.communicate()
        assert asked.returncode == 0
        assert list(json.loads(answer).values()) == [{"ok": "pong"}]
