"""What a newcomer adds, and in how many places: numbered below, at most three each."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prolight import assets, events, guardrails
from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.memory_store import MemoryStore
from prolight.agents import AgentRunnerAsync
from prolight.bootstrap import connect_tools
from prolight.cli.rendering import event_line
from prolight.decisions import Decision, Held
from prolight.events import Event, Payload, parse
from prolight.guardrails import Case, Objection, Policy, rule
from prolight.pictures import PictureLimits
from prolight.ports import Tool, Write
from prolight.schemas import Finding, Plan, RunContext, Stage, State, Step, Usd
from prolight.settings import Settings
from tests.fundamentals.test_tour import accepted_by
from tests.integration.test_faults import picture
from tests.unit.scripted import ScriptedModel
from tests.unit.tool_server import served


async def test_a_tool_server_is_a_few_lines_of_a_file(tmp_path: Path) -> None:
    plan = Plan(steps=(Step(id="retouch", tool="house.measures", params={"picture": "$input"}),))
    with served() as url:
        # 1. the file that PROLIGHT_TOOLS_FILE names: its address, and what a repeat of each tool would do
        file = tmp_path / "tools.toml"
        file.write_text(f'[servers.house]\nurl = "{url}"\n[servers.house.tools.measures]\neffect = "billed"\n')

        settings = Settings.load(home=tmp_path, tools_file=file, tool_server_url=url)
        chair = await assets.take_in(LocalArtifacts(settings.artifact_root), picture(), PictureLimits())
        model = ScriptedModel({"planner": [plan.model_dump_json()], "critic": ['{"verdict": "accept"}']})
        tools = connect_tools(settings)
        runner = AgentRunnerAsync(tools, settings=settings, model=model)
        done = await runner.run_workflow(RunContext(run_id="r", asset_id=chair.id), human_approved=True)
        await tools.close()
    assert (done.state, done.error) == (State.COMPLETED, None)
    assert done.exec_result
    assert [(step.id, step.status) for step in done.exec_result.steps] == [("retouch", "done")]


# 1. a function
def enlarged_once(case: Case) -> Iterator[Objection]:
    """Enlarging twice invents what is not there."""
    steps = [step for step in case.plan.steps if step.tool == "studio.increase_resolution"]
    for step in steps[1:]:
        finding = Finding(id=f"enlarged.{step.id}", severity="blocking", message="enlarged already", step=step.id)
        yield Objection("deny", finding)


def test_a_guardrail_is_a_function_and_an_entry_in_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2. the list
    monkeypatch.setattr(guardrails, "GUARDRAILS", (*guardrails.GUARDRAILS, enlarged_once))

    tool = Tool("studio.increase_resolution", "enlarges", {"type": "object"}, "1")
    step = Step(id="one", tool=tool.name)
    twice = Plan(steps=(step, step.evolve(id="two")))
    assert rule(Case(twice, {tool.name: tool}, Policy(), Decimal(1))).denied == ("enlarged already",)
    assert rule(Case(Plan(steps=(step,)), {tool.name: tool}, Policy(), Decimal(1))).denied == ()


# 1. a class
class Invoiced(Payload):
    type = "invoiced"
    number: str
    amount_usd: Usd


async def test_an_event_type_is_a_class_and_an_entry_in_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2. the list
    monkeypatch.setitem(events.PAYLOADS, Invoiced.type, Invoiced)

    invoice = Invoiced(number="2026-17", amount_usd=Decimal("0.04"))
    store = MemoryStore()
    await accepted_by(store)
    [claim] = await store.claim(Stage.PLAN, 1, "worker-1")
    snapshot = claim.snapshot
    await store.commit(Write(snapshot, Decision(snapshot.run, (invoice,), Held()), op_id="1"))
    told: list[Event] = [parse(text) for text in await store.events("r")]
    assert told[-1].payload == invoice
    shown: Any = event_line(told[-1])
    assert "2026-17" in shown.plain
