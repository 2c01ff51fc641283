"""Workers with models and tool servers of the user's own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from prolight.embedded.stack import environment
from prolight.embedded.valkey import free_port
from prolight.errors import InvalidInput
from prolight.schemas import Critique, Plan, Stage, State, Step, Verdict
from prolight.settings import Settings
from tests.integration.fleet import ROOT, WITHIN, Fleet, until
from tests.integration.test_faults import picture
from tests.unit.scripted import ScriptedModel
from tests.unit.tool_server import served

PLAN = Plan(steps=(Step(id="light", tool="world.good", params={"picture": "$input"}),))


class WorldModel(ScriptedModel):
    """Plans one call of `world.good`, as often as it is asked."""

    def __init__(self) -> None:
        answers = {"planner": PLAN.model_dump_json(), "critic": Critique(verdict=Verdict.ACCEPT).model_dump_json()}
        super().__init__({role: [answer] * 100 for role, answer in answers.items()})


def world_model(settings: Settings) -> WorldModel:
    if settings.tools_file is None:
        raise InvalidInput("is needed", field="PROLIGHT_TOOLS_FILE")
    return WorldModel()


REFERENCE = "tests.integration.test_tools:world_model"


@pytest.fixture
def port(tmp_path: Path) -> int:
    return free_port()


@pytest.fixture
def file(tmp_path: Path, port: int) -> Path:
    file = tmp_path / "tools.toml"
    file.write_text(
        f'[servers.world]\nurl = "http://127.0.0.1:{port}/mcp"\n[servers.world.tools.good]\neffect = "billed"\n'
    )
    return file


@pytest.mark.integration
async def test_a_worker_uses_the_users_model_and_waits_for_the_users_server(
    tmp_path: Path, file: Path, port: int
) -> None:
    async with Fleet(tmp_path, model=REFERENCE, tools_file=file) as fleet:
        await fleet.start_worker()
        run_id = await fleet.client.submit(picture(), "warm")

        async def waits() -> bool:
            return (await fleet.client.get(run_id)).activity == "backing off"

        await until(waits, what="the run waits for the server that its plan needs")
        with served(port):
            (ended,) = await fleet.all_ended()
    run = ended.run
    assert (run.state, run.error) == (State.COMPLETED, None)
    assert [turn.model for turn in run.turns if turn.stage is not Stage.EXECUTE] == ["scripted-1", "scripted-1"]
    assert run.plan == PLAN


@pytest.mark.integration
async def test_a_users_server_that_is_down_is_no_matter_to_runs_of_the_studio(tmp_path: Path, file: Path) -> None:
    async with Fleet(tmp_path, tools_file=file) as fleet:
        await fleet.start_worker()
        await fleet.client.submit(picture(), "warm key from the left, png")
        (ended,) = await fleet.all_ended()
        assert (ended.run.state, ended.run.error) == (State.COMPLETED, None)
        assert "plans go without the tools of world" in fleet.log("worker1")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"model": "no_such_package:make"}, "setting PROLIGHT_MODEL: no_such_package:make gives no model"),
        ({"model": REFERENCE}, "setting PROLIGHT_MODEL: tests.integration.test_tools:world_model gives no model"),
        ({"tools_file": "/nowhere/tools.toml"}, "/nowhere/tools.toml: cannot be read: No such file or directory"),
    ],
)
async def test_a_worker_with_a_wrong_reference_ends_at_start_and_says_which(
    tmp_path: Path, given: dict[str, str], complaint: str
) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        settings = fleet.settings.model_copy(update={"model": "offline", "tools": "studio", **given})
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "celery", "-A", "workers", "worker"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**environment(settings), "PYTHONPATH": str(ROOT)},
        )
        async with asyncio.timeout(WITHIN.total_seconds()):
            said, _ = await worker.communicate()
        assert worker.returncode
        assert f"prolight worker: {complaint}" in said.decode()
        assert "Traceback" not in said.decode()
