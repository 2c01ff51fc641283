"""Attacks on what runs beside the workers: whoever has the broker can ring bells and disturb, and nothing else."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from prolight.schemas import RunRequest, State
from prolight.settings import MAX_SLOTS
from tests.integration.fleet import ROOT, Fleet, until
from tests.integration.test_faults import fill, picture
from tests.unit.bells import changed
from workers.messages import Reason

pytestmark = pytest.mark.integration


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._folder,)


def body(content: bytes) -> str:
    return base64.b64encode(content).decode()


def forged(trap: Path, victim: str) -> dict[str, tuple[bytes, Reason | None]]:
    """By what they try: messages for the planner's queue, and why they are no bells; None: each is one, and no more."""
    more = {"task": "prolight.execute", "args": [victim], "kwargs": {}, "options": {"queue": "prolight.execute"}}
    embed = {"callbacks": [more], "errbacks": [more], "chain": [more], "chord": more}
    yaml = body(f"!!python/object/apply:os.mkdir ['{trap}']".encode())
    return {
        "a pickle": (_with(body(pickle.dumps(Trap(trap))), "application/x-python-serialize"), Reason.FOREIGN_CONTENT),
        "yaml": (_with(yaml, "application/x-yaml"), Reason.FOREIGN_CONTENT),
        "a pickle that says it is JSON": (_with(body(pickle.dumps(Trap(trap)))), None),
        "a task of Celery's": (changed("headers", "task", to="celery.chord_unlock"), Reason.FOREIGN_TASK),
        "a task of a module": (changed("headers", "task", to="os.system"), Reason.FOREIGN_TASK),
        "a chain, callbacks and a chord": (_with(body(json.dumps([[], {}, embed]).encode())), None),
        "another run": (_with(body(json.dumps([[victim], {"tenant": "other"}, {}]).encode())), None),
        "a far time": (changed("headers", "eta", to="2999-01-01T00:00:00+00:00"), None),
        "a time that has passed": (changed("headers", "expires", to="1999-01-01T00:00:00+00:00"), None),
        "a reply": (changed("properties", "reply_to", to="prolight.execute"), None),
    }


def _with(content: str, content_type: str = "application/json") -> bytes:
    message = json.loads(changed("body", to=content))
    return json.dumps({**message, "content-type": content_type}).encode()


async def test_what_somebody_puts_into_the_broker_rings_bells_and_runs_nothing(tmp_path: Path) -> None:
    """S19: foreign content and tasks, forged chains, callbacks, runs and times; `unacked` edited."""
    async with Fleet(tmp_path, studio=False) as fleet:
        ask = fleet.client.store._ask
        await fleet.start_worker("-c", "4")
        waits = await fleet.client.submit(picture(), "warm key from the left", ask=True)
        await until(lambda: _is(fleet, waits, State.AWAITING_APPROVAL), what="the plan waits")
        before, trap = await fleet.client.get(waits), tmp_path / "trap"
        messages = forged(trap, waits)
        for tag, (raw, _) in messages.items():
            await ask("LPUSH", "prolight.plan", raw)
            await ask("HSET", "unacked", tag, json.dumps([json.loads(raw), "", "prolight.plan"]))
            await ask("ZADD", "unacked_index", "0", tag)
        for run_id in await fill(fleet, 20):
            await until(partial(_is, fleet, run_id, State.COMPLETED), what="a good run completes")
        refused = [reason for _, reason in messages.values() if reason]

        async def set_aside() -> bool:
            return sum((await fleet.client.store.aside()).values()) >= len(refused)

        await until(set_aside, what="what is no bell is set aside")
        assert not trap.exists()
        after = await fleet.client.get(waits)
        assert (after.ver, after.run) == (before.ver, before.run)
        strange = {key for key in await ask("KEYS", "*") if not key.startswith(("prolight", "unacked", "_kombu"))}
        assert strange == set()


async def _is(fleet: Fleet, run_id: str, state: State) -> bool:
    return (await fleet.client.get(run_id)).run.state is state


async def test_remote_control_by_a_stranger_ends_a_worker_at_most_and_loses_nothing(tmp_path: Path) -> None:
    """S19: `pidbox` with a shutdown, and with a pool that would be larger than everything."""
    async with Fleet(tmp_path, studio=False) as fleet:
        worker = await fleet.start_worker("-c", "4")
        await control(fleet, "pool_grow", str(10**9))

        async def announced() -> int | None:
            slots = [process.slots for process in await fleet.client.store.processes()]
            return slots[0] if slots and slots[0] > 4 else None

        assert await until(announced, what="the pool has grown") == MAX_SLOTS
        run_ids = await fill(fleet, 50)
        await control(fleet, "shutdown")
        assert await asyncio.to_thread(worker.wait, 60) == 0
        await fleet.start_worker()
        ended = await fleet.all_ended()
        assert {one.run.run_id: one.run.state for one in ended} == dict.fromkeys(run_ids, State.COMPLETED)


async def control(fleet: Fleet, *words: str) -> None:
    said = fleet._spawn("control", *("-m", "celery", "-A", "workers", "control", "--timeout", "2"), *words)
    await asyncio.to_thread(said.wait, 60)


async def test_a_poisoned_result_backend_is_never_read(tmp_path: Path) -> None:
    """S20: results that name an exception class to be built, under the very ids of our tasks (CVE-2021-23727)."""
    from workers.app import app

    with pytest.raises(NotImplementedError, match="No result backend"):
        app.AsyncResult("r.plan.0").get()
    trap = tmp_path / "trap"
    built = {"exc_type": "mkdir", "exc_module": "os", "exc_message": [str(trap)]}
    async with Fleet(tmp_path, studio=False) as fleet:
        ask = fleet.client.store._ask
        keys = [f"celery-task-meta-r.{stage}.0" for stage in ("plan", "critique", "execute")]
        for key in keys:
            await ask("SET", key, json.dumps({"status": "FAILURE", "result": built, "task_id": key}))
        await fleet.start_worker()
        kept = await fleet.client.artifact_store.put(picture(), media_type="image/png")
        await fleet.client.enqueue(RunRequest(picture_id=kept.id, brief="warm", run_id="r"))
        await until(lambda: _is(fleet, "r", State.COMPLETED), what="the run completes")
        assert sorted(await ask("KEYS", "celery-task-meta-*")) == sorted(keys)
    assert not trap.exists()


def test_no_code_of_ours_builds_objects_or_code_from_data() -> None:
    """S29: what the sources say."""
    assert [found for file in _sources() for found in _dangers(file)] == []


def _sources() -> Iterator[Path]:
    for package in ("prolight", "workers"):
        yield from (ROOT / package).rglob("*.py")


def _dangers(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Import(names):
                modules = [name.name for name in names]
            case ast.ImportFrom(module=module):
                modules = [module or ""]
            case ast.Call(func=ast.Name(id="eval" | "exec" | "compile" | "__import__" as name)):
                modules = [name]
            case _:
                continue
        for module in modules:
            if module.partition(".")[0] in DANGEROUS:
                yield f"{file.relative_to(ROOT)}:{node.lineno}: {module}"


DANGEROUS = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "yaml"}) | frozenset(
    {"eval", "exec", "compile", "__import__"}
)


UNPICKLES = "import base64, os, pickle, tests.integration.audited; pickle.loads(base64.b64decode(os.environ['CANARY']))"
"""Shows that the instrument hears."""


async def test_nothing_that_a_worker_reads_becomes_an_object_or_code(tmp_path: Path) -> None:
    """S29: what the interpreter itself tells of a worker that works, is sent forged messages, and is controlled."""
    heard = tmp_path / "heard"
    told = {
        **os.environ,
        "AUDIT_FILE": str(heard),
        "PYTHONPATH": str(ROOT),
        "CANARY": body(pickle.dumps(Trap(tmp_path))),
    }
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", UNPICKLES], env=told, cwd=ROOT, timeout=60)
    assert "pickle.find_class" in heard.read_text()
    async with Fleet(tmp_path) as fleet:
        await fleet.start_worker(app="tests.integration.audited", AUDIT_FILE=str(heard))
        await fleet.client.wait(await fleet.client.submit(picture(), "warm key from the left"), timeout=60)
        heard.write_text("")  # what is imported late is code of ours
        for raw, _ in forged(tmp_path / "trap", "nobody").values():
            await fleet.client.store._ask("LPUSH", "prolight.plan", raw)
        await control(fleet, "enable_events")
        run_ids = [await fleet.client.submit(picture(), "warm key from the left, white background") for _ in range(3)]
        for run_id in run_ids:
            await fleet.client.wait(run_id, timeout=60)
    assert heard.read_text() == ""
