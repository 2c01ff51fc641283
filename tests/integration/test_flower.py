"""What Flower shows of runs, and what Celery's remote control does to them: a live Flower, live workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery

from prolight.embedded.stack import environment
from prolight.schemas import Stage, State
from tests.integration.fleet import ROOT, WITHIN, Fleet, until
from tests.integration.test_faults import fill

pytestmark = pytest.mark.integration

REAL: dict[str, Any] = {
    "studio": False,
    "model": "offline",
    "tools": "studio",
    "retry_base_seconds": 4,
    "retry_cap_seconds": 4,
}
"""Stages that need the studio, which is not up: it may be started later, or be a `silent_tools`."""
BRIEF = "warm key from the left"


async def watched(fleet: Fleet, *options: str, workers: int = 1) -> None:
    await asyncio.gather(fleet.start_flower(), *(fleet.start_worker(*options) for _ in range(workers)))


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("name", "state", "args", "kwargs", "root_id", "parent_id")}


async def ask(fleet: Fleet, command: str, **arguments: Any) -> dict[str, Any]:
    """What each worker replies to a remote control command."""
    with Celery("watcher", broker=fleet.valkey.url, set_as_current=False) as app:

        async def replies(command: str, seconds: float, **arguments: Any) -> dict[str, Any]:
            call = {"arguments": arguments, "reply": True, "limit": len(fleet.workers), "timeout": seconds}
            answered = await asyncio.to_thread(app.control.broadcast, command, **call)
            return {name: reply for each in answered for name, reply in each.items()}

        async def all_listen() -> bool:
            return len(await replies("ping", 1)) == len(fleet.workers)

        await until(all_listen, what="every worker listens")
        return await replies(command, WITHIN.total_seconds(), **arguments)


async def celery_control(fleet: Fleet, *argv: str) -> str:
    """`celery -A workers control …`, as people type it."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "celery", "-A", "workers", "control", *argv],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=WITHIN.total_seconds(),
        env={**environment(fleet.settings), "PYTHONPATH": str(ROOT)},
    )
    return done.stdout


@contextlib.asynccontextmanager
async def silent_tools() -> AsyncIterator[str]:
    """A tool server that takes every call and never answers: a stage stays at work."""
    ended = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    finally:
        ended.set()
        server.close()


async def state_of(fleet: Fleet, run_id: str) -> State:
    return (await fleet.client.get(run_id)).run.state


async def ends(fleet: Fleet, run_id: str, state: State) -> None:
    async def ended() -> bool:
        return await state_of(fleet, run_id) is state

    await until(ended, what=f"run {run_id} is {state}")


async def test_a_run_is_a_chain_of_three_rows_and_a_hundred_extra_bells_change_nothing(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        (unseen,) = await fill(fleet, 1)
        bell = str(await fleet.client.store._ask("LINDEX", Stage.PLAN.queue, 0))
        await fleet.client.cancel(unseen)
        await watched(fleet)
        (run_id,) = await fill(fleet, 1)
        plan, critique, _ = ids = [f"{run_id}.{stage}.0" for stage in Stage]
        chain = [await fleet.row(id, "SUCCESS") for id in ids]

        told = {"state": "SUCCESS", "args": f"('{run_id}',)", "kwargs": "{}", "root_id": plan}
        assert [shown(row) for row in chain] == [
            {**told, "name": "prolight.plan", "parent_id": None},
            {**told, "name": "prolight.critique", "parent_id": plan},
            {**told, "name": "prolight.execute", "parent_id": critique},
        ]
        assert [row["result"] for row in chain] == [
            "Planned; the run is CRITIQUING",
            "Judged; the run is EXECUTING",
            "Executed; the run is COMPLETED",
        ]
        assert chain[0]["children"] == [critique]

        before = await fleet.rows()
        for stage in Stage:
            bells = [bell.replace(Stage.PLAN.queue, stage.queue)] * 100
            assert await fleet.client.store._ask("LPUSH", stage.queue, *bells) >= 100

        async def heard() -> bool:
            left = [await fleet.client.store._ask("LLEN", stage.queue) for stage in Stage]
            (stats,) = (await ask(fleet, "stats")).values()
            return not any(left) and not stats["pool"]["running"]

        await until(heard, what="every bell was heard")
        (next_run,) = await fill(fleet, 1)
        await fleet.row(f"{next_run}.execute.0", "SUCCESS")  # what Flower hears is in order
        after = await fleet.rows()
        assert {id: row for id, row in after.items() if not id.startswith(next_run)} == before
        assert len(after) == 6


async def test_a_stage_that_backs_off_is_one_row_that_says_why_and_goes_on(tmp_path: Path) -> None:
    async with Fleet(tmp_path, **REAL) as fleet:
        await watched(fleet)
        (run_id,) = await fill(fleet, 1)
        waiting = await fleet.row(f"{run_id}.plan.0", "RETRY")
        assert waiting["exception"].startswith("not_sent: tool server ")
        assert waiting["traceback"] is None
        assert BRIEF not in json.dumps(waiting)

        await fleet.start_studio()
        await fleet.row(f"{run_id}.execute.0", "SUCCESS")
        rows = await fleet.rows()
        assert sorted(rows) == sorted(f"{run_id}.{stage}.0" for stage in Stage)
        assert rows[f"{run_id}.plan.0"]["state"] == "SUCCESS"
        assert rows[f"{run_id}.plan.0"]["retries"] >= 1
        assert rows[f"{run_id}.plan.0"]["exception"] is None
        assert rows[f"{run_id}.execute.0"]["retries"] == 0


async def test_a_failed_stage_shows_code_and_message_whether_its_worker_or_the_clock_failed_it(tmp_path: Path) -> None:
    async with (
        silent_tools() as url,
        Fleet(tmp_path, **REAL, studio_url=url, stage_deadline_seconds=1) as fleet,
    ):
        await watched(fleet)
        (run_id,) = await fill(fleet, 1)
        failed = await fleet.row(f"{run_id}.plan.0", "FAILURE")
        error = (await fleet.client.get(run_id)).run.error
        assert error
        assert failed["exception"] == f"{error.code}: {error.message}"
        assert error.code == "deadline_exceeded"
        assert (failed["traceback"], failed["result"]) == (None, None)
        for hidden in (BRIEF, str(fleet.home)):
            assert hidden not in json.dumps(failed)


async def test_a_stage_that_is_worked_on_lets_go_and_is_shown_as_revoked(tmp_path: Path) -> None:
    async with silent_tools() as url, Fleet(tmp_path, **REAL, studio_url=url) as fleet:
        await watched(fleet)
        run_ids = await fill(fleet, 4)
        tasks = [f"{run_id}.plan.0" for run_id in run_ids]
        for task_id in tasks:
            await fleet.row(task_id, "STARTED")

        said = await celery_control(fleet, "revoke", tasks[0])
        assert f"cancelling what is at {tasks[0]}" in said
        replies = await ask(fleet, "terminate", signal="SIGTERM", task_id=[tasks[1]])
        assert list(replies.values()) == [{"ok": f"cancelling what is at {tasks[1]}"}]
        await fleet.client.cancel(run_ids[2])

        for run_id, task_id in zip(run_ids[:3], tasks, strict=False):
            await ends(fleet, run_id, State.CANCELLED)
            assert (await fleet.row(task_id, "REVOKED"))["result"] is None
        active = [task["id"] for reply in (await ask(fleet, "active")).values() for task in reply]
        assert active == [tasks[3]]
        assert {reply for replies in (await ask(fleet, "revoked")).values() for reply in replies} == set(tasks[:2])

        assert await fleet.terminate(fleet.workers[0]) == 0
        assert "another one goes on" in (await fleet.row(tasks[3], "RETRY"))["exception"]
        assert {(w["status"], w["active"]) for w in (await fleet.flower("/workers?json=1")).json()["data"]} == {
            (False, 0)
        }


async def test_a_revoke_cancels_what_nobody_holds_and_never_another_stage(tmp_path: Path) -> None:
    async with Fleet(tmp_path, **REAL) as fleet:
        await watched(fleet, "-Q", Stage.PLAN.queue, workers=2)
        backing_off, cancelled, waiting, going_on = run_ids = await fill(fleet, 4)
        for run_id in run_ids:
            await fleet.row(f"{run_id}.plan.0", "RETRY")

        foreign = ["c60be250-fe52-48df-befb-ac66174076e6", "nobody.plan.0", f"{going_on}.plan.1", going_on]
        for ids in ([f"{backing_off}.plan.0", f"{going_on}.critique.0", *foreign], foreign[0], []):
            replies = await ask(fleet, "revoke", task_id=ids)
            assert [list(reply) for reply in replies.values()] == [["ok"], ["ok"]]
        await ends(fleet, backing_off, State.CANCELLED)
        await fleet.client.cancel(cancelled)
        for run_id in (backing_off, cancelled):
            assert (await fleet.row(f"{run_id}.plan.0", "REVOKED"))["exception"] is None

        await fleet.start_studio()
        for run_id in (waiting, going_on):
            await ends(fleet, run_id, State.CRITIQUING)  # where nobody takes it
        await ask(fleet, "revoke", task_id=[f"{going_on}.plan.0", f"{waiting}.critique.0"])
        await ends(fleet, waiting, State.CANCELLED)
        assert shown(await fleet.row(f"{waiting}.critique.0", "REVOKED")) == {
            "name": "prolight.critique",
            "state": "REVOKED",
            "args": f"('{waiting}',)",
            "kwargs": "{}",
            "root_id": f"{waiting}.plan.0",
            "parent_id": f"{waiting}.plan.0",
        }

        await fleet.start_worker("-Q", f"{Stage.CRITIQUE.queue},{Stage.EXECUTE.queue}")
        await ends(fleet, going_on, State.COMPLETED)
        await fleet.row(f"{going_on}.execute.0", "SUCCESS")
        not_done = {id for id, row in (await fleet.rows()).items() if row["state"] != "SUCCESS"}
        assert not_done == {f"{backing_off}.plan.0", f"{cancelled}.plan.0", f"{waiting}.critique.0"}


async def test_inspect_answers_with_runs(tmp_path: Path) -> None:
    async with silent_tools() as url, Fleet(tmp_path, **REAL, studio_url=url) as fleet:
        await fleet.start_worker("-c", "4")
        (run_id,) = await fill(fleet, 1)
        task_id = f"{run_id}.plan.0"

        async def only(command: str, **arguments: Any) -> Any:
            (reply,) = (await ask(fleet, command, **arguments)).values()
            return reply

        (active,) = await until(lambda: only("active"), what="a stage is worked on")
        assert (active["id"], active["name"], active["args"], active["kwargs"]) == (
            task_id,
            "prolight.plan",
            [run_id],
            {},
        )
        assert active["worker_pid"] == fleet.workers[0].pid
        assert (await only("query_task", ids=[task_id, "no-such"])) == {task_id: ["active", active]}
        assert await only("reserved") == []
        assert await only("scheduled") == []
        assert sorted(await only("registered")) == sorted(stage.queue for stage in Stage)
        queues = await only("active_queues")
        assert {queue["name"]: queue["no_ack"] for queue in queues} == {stage.queue: True for stage in Stage}
        stats = await only("stats")
        assert stats["pool"]["max-concurrency"] == 4
        assert stats["pool"]["running"] == 1
        assert stats["total"] == {"prolight.plan": 1}


async def test_a_rate_limit_holds_its_stage_back_and_no_other_and_loses_no_run(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker("-c", "1")  # a bell that waited in the only slot would stop all stages
        assert list((await ask(fleet, "rate_limit", task_name="prolight.plan", rate_limit="2/m")).values()) == [
            {"ok": "new rate limit set successfully"}
        ]
        run_ids = await fill(fleet, 6)

        async def first_completed() -> bool:
            return State.COMPLETED in [await state_of(fleet, run_id) for run_id in run_ids]

        await until(first_completed, what="one run went through")
        others = [snapshot for snapshot in await fleet.snapshots() if snapshot.run.state is not State.COMPLETED]
        assert [(other.run.state, other.attempt) for other in others] == [(State.PLANNING, 0)] * 5
        assert list((await ask(fleet, "reserved")).values()) == [[]]

        await ask(fleet, "rate_limit", task_name="prolight.plan", rate_limit=0)
        assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}


async def test_a_worker_takes_the_stages_that_it_was_last_told_to(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker("-c", "2")

        async def announces(*stages: Stage, slots: int = 2) -> None:
            async def so() -> bool:
                (process,) = await fleet.client.store.processes()
                return (set(process.stages), process.slots) == (set(stages), slots)

            await until(so, what=f"it announces {slots} slots for {stages}")

        async def told(command: str, queue: str) -> Any:
            (reply,) = (await ask(fleet, command, queue=queue)).values()
            return reply

        await told("cancel_consumer", "prolight.plan")
        await announces(Stage.CRITIQUE, Stage.EXECUTE)
        (first,) = await fill(fleet, 1)
        assert "no stage's queue" in (await told("add_consumer", "celery"))["error"]
        assert "no stage's queue" in (await told("cancel_consumer", "prolight.plam"))["error"]
        await announces(Stage.CRITIQUE, Stage.EXECUTE)
        assert (await fleet.client.get(first)).attempt == 0

        await told("add_consumer", "prolight.plan")
        await announces(*Stage)
        await ends(fleet, first, State.COMPLETED)
        (queues,) = (await ask(fleet, "active_queues")).values()
        assert {queue["name"]: queue["no_ack"] for queue in queues} == {stage.queue: True for stage in Stage}
        assert await fleet.client.store._ask("HLEN", "unacked") == 0

        await ask(fleet, "pool_grow", n=3)
        await announces(*Stage, slots=5)
        await ask(fleet, "pool_shrink", n=9)
        await announces(*Stage, slots=1)
        await fill(fleet, 5)
        assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}


async def test_no_page_of_flower_shows_a_brief_a_key_or_a_path(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ANTHROPIC_API_KEY", "sk-ant-shown-nowhere")
        patched.setenv("BRIA_AUTH_TOKEN", "bria-shown-nowhere")
        async with Fleet(tmp_path, studio=False) as fleet:
            await watched(fleet)
            (run_id,) = await fill(fleet, 1)
            await fleet.row(f"{run_id}.execute.0", "SUCCESS")
            (worker,) = (await ask(fleet, "ping")).keys()
            pages = ["/workers", f"/worker/{worker}", "/tasks", f"/task/{run_id}.plan.0", "/broker", "/metrics"]
            pages += ["/api/tasks", "/api/workers?refresh=1", f"/api/task/info/{run_id}.plan.0", "/api/queues/length"]
            texts = {page: (await fleet.flower(page)).text for page in pages}
            assert run_id in texts[f"/task/{run_id}.plan.0"]
            for hidden in (BRIEF, "shown-nowhere", str(fleet.home)):
                assert [page for page, text in texts.items() if hidden in text] == []
            async with httpx.AsyncClient() as stranger:
                answer = await stranger.get(f"{fleet.flower_url}/api/tasks")
            assert answer.status_code == 401
