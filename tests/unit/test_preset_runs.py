"""A run with a preset: its finished pictures are checked, a miss is said everywhere, and fails nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.batches import result_of
from prolight.cli.page import page
from prolight.cli.rendering import summary
from prolight.decisions import Decision
from prolight.door import Door
from prolight.errors import CallRejected, InvalidInput, ToolFailed
from prolight.guardrails import Policy
from prolight.ports import Snapshot, ToolResult
from prolight.presets import preset
from prolight.report import render_report
from prolight.schemas import Plan, RunContext, Stage, State
from prolight.settings import Settings
from tests.unit.scripted import ScriptedModel, ScriptedTools, World, executing, picture, planning, steps, tool

PHOTOS = Path(__file__).parents[1] / "photos"
TARGET = preset("amazon-main").target
PLAN = steps("light")
MISS = {"rule": "fill", "wanted": "at least 85 %", "found": "61 %", "remedy": "set fill_percent to 87"}
MISSED = ToolResult({"met": False, "misses": [MISS], "advice": [], "figures": {"width": 7}})
MET = ToolResult({"met": True, "misses": [], "advice": []})
SENTENCE = "preset amazon-main missed, fill: wanted at least 85 %, found 61 %; set fill_percent to 87"


async def ready(*said: Any, plan: Plan = PLAN, checks: bool = True, **run: Any) -> World:
    """A run with a preset that waits for the Executor; the checker answers as said."""
    offered = {step.tool: tool(step.tool.partition(".")[2]) for step in plan.steps}
    tools = ScriptedTools(offered | ({"t.check_picture": tool("check_picture")} if checks else {}))
    tools.script["t.check_picture"] = [*said]
    here = World(tools)
    await here.add(executing(plan, tools, **{"preset": TARGET, **run}))
    return here


async def carried_out(*said: Any, **world: Any) -> tuple[World, RunContext]:
    here = await ready(*said, **world)
    await (await here.attempt()).make()
    return here, (await here.store.read("r")).run


async def test_a_picture_that_meets_the_preset_is_recorded_as_such_without_a_warning() -> None:
    here, run = await carried_out(MET)
    (check,) = run.checks
    assert (run.state, check.met, check.picture_id, check.preset) == (
        State.COMPLETED,
        True,
        run.outputs[0].id,
        "amazon-main",
    )
    assert (run.missed, await here.store.warnings()) == ((), [])


async def test_a_missed_preset_completes_and_says_so_with_rule_figure_and_remedy() -> None:
    here, run = await carried_out(MISSED)
    assert (run.state, run.missed) == (State.COMPLETED, (SENTENCE,))
    assert await here.store.warnings() == ["preset_missed"]
    assert result_of(run).reason == SENTENCE
    snapshot = await here.store.read("r")
    assert summary(snapshot)["checks"][0]["misses"] == [MISS]
    assert "found 61 %" in render_report(run, [], {})


async def test_a_person_who_approves_the_result_reads_what_it_misses() -> None:
    _, run = await carried_out(MISSED, approve_result=True)
    assert run.state is State.AWAITING_APPROVAL and run.approval
    assert SENTENCE in run.approval.reasons


def two_pictures(tools: ScriptedTools) -> None:
    tools.script |= {"t.one": [ToolResult({}, picture("b"))], "t.two": [ToolResult({}, picture("c"))]}


async def test_every_finished_picture_is_checked_and_none_in_between() -> None:
    here = await ready(MET, MISSED, plan=steps("one", "two"))
    two_pictures(here.tools)
    await (await here.attempt()).make()
    run = (await here.store.read("r")).run
    assert [(check.picture_id[0], check.met) for check in run.checks] == [("b", True), ("c", False)]
    chain, ended = await carried_out(MET, plan=steps("one", "two", after="chain"))
    assert chain.tools.names.count("t.check_picture") == len(ended.checks) == 1


async def test_without_a_preset_nothing_is_checked() -> None:
    here, run = await carried_out(preset=None)
    assert (here.tools.names, run.checks) == (["t.light"], ())


async def test_a_checker_that_says_missed_and_not_why_is_believed() -> None:
    _, run = await carried_out(ToolResult({"met": False, "misses": []}))
    assert run.missed == ("preset amazon-main missed",)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (ToolFailed("artifact_missing: gone"), "gone"),
        (CallRejected("no such argument"), "no such argument"),
        (ToolResult({"score": 3}), "something else than a check"),
    ],
)
async def test_a_checker_that_cannot_look_leaves_the_run_completed_and_not_checked(said: Any, why: str) -> None:
    here, run = await carried_out(said)
    (check,) = run.checks
    assert run.state is State.COMPLETED and check.met is None and why in check.why
    assert await here.store.warnings() == ["preset_unchecked"]


@pytest.mark.parametrize("banned", [True, False])
async def test_without_a_checker_the_record_says_that_nobody_looked(banned: bool) -> None:
    here = await ready(checks=banned)
    here.policy = Policy(banned_tools=frozenset({"t.check_picture"}))
    await (await here.attempt()).make()
    run = (await here.store.read("r")).run
    assert run.missed == ("preset amazon-main not checked: no tool check_picture is offered",)


async def test_who_takes_the_run_over_has_the_journals_answer_and_asks_only_what_is_open() -> None:
    hangs, reached = asyncio.Event(), asyncio.Event()

    async def never() -> ToolResult:
        reached.set()
        await hangs.wait()
        raise AssertionError("nobody lets it go")

    here = await ready(MISSED, never, MET, plan=steps("one", "two"))
    two_pictures(here.tools)
    first = asyncio.create_task((await here.attempt()).make())
    await reached.wait()
    await (await here.take_over()).make()
    run = (await here.store.read("r")).run
    assert [check.met for check in run.checks] == [False, True]
    assert here.tools.names.count("t.check_picture") == 3, "the first picture's check was not asked for again"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_planner_and_critic_are_told_the_preset_and_offered_no_checker() -> None:
    tools = ScriptedTools({"t.light": tool("light"), "t.check_picture": tool("check_picture")})
    here = World(tools, ScriptedModel({"planner": [PLAN.model_dump_json()]}))
    await here.add(planning(preset=TARGET))
    await (await here.attempt(Stage.PLAN)).make()
    (request,) = here.model.asked
    assert request.facts["preset"] == TARGET.told()
    assert list(request.facts["tools"]) == ["t.light"]


async def test_show_names_the_preset_and_what_became_of_it() -> None:
    here, _ = await carried_out(MISSED)
    console = Console(width=400)
    with console.capture() as shown:
        console.print(page(await here.store.read("r"), now=0.0))
    assert "amazon-main" in shown.get() and SENTENCE in shown.get()


async def door(tmp_path: Path) -> tuple[Door, str, list[RunContext]]:
    """A door whose store keeps what is created; and a picture that is already in."""
    created: list[RunContext] = []

    class Store:
        """The part of a run store that the door uses."""

        @staticmethod
        def now() -> float:
            return 1.0

        @staticmethod
        async def create(decision: Decision, **_: Any) -> tuple[str, bool]:
            created.append(decision.run)
            return decision.run.run_id, True

        @staticmethod
        async def read(run_id: str) -> Snapshot:
            return Snapshot(next(run for run in created if run.run_id == run_id), ver=1)

    artifacts = LocalArtifacts(tmp_path)
    kept = await artifacts.put((PHOTOS / "demo-vase.jpg").read_bytes(), media_type="image/jpeg")
    return Door(cast("Any", Store), artifacts, Settings()), kept.id, created


ASKED: dict[str, Any] = {"recipe": None, "preset": None, "deadline": None, "metadata": None}


async def test_at_the_door_a_preset_brings_its_brief_and_its_requirements_are_kept(tmp_path: Path) -> None:
    entrance, kept, created = await door(tmp_path)
    await entrance.submit(kept, "", **{**ASKED, "preset": "amazon-main"})
    await entrance.submit(kept, "warm key from the left", **{**ASKED, "preset": "ebay"})
    assert [run.brief for run in created] == [preset("amazon-main").brief, "warm key from the left"]
    assert [run.preset for run in created] == [TARGET, preset("ebay").target]


async def test_at_the_door_an_unknown_preset_is_refused_with_the_names(tmp_path: Path) -> None:
    entrance, kept, created = await door(tmp_path)
    for brief in ("", "warm key"):
        with pytest.raises(InvalidInput, match="amazon-main, ebay"):
            await entrance.submit(kept, brief, **{**ASKED, "preset": "amazon"})
    assert created == []


async def test_a_recipe_brings_the_preset_of_its_run_unless_another_is_named(tmp_path: Path) -> None:
    entrance, kept, created = await door(tmp_path)
    tools = ScriptedTools({"t.light": tool("light")})
    created.append(executing(PLAN, tools, preset=TARGET).evolve(state=State.COMPLETED, run_id="first"))
    await entrance.submit(kept, "", **{**ASKED, "recipe": "first"})
    await entrance.submit(kept, "", **{**ASKED, "recipe": "first", "preset": "etsy"})
    assert [run.preset for run in created[1:]] == [TARGET, preset("etsy").target]
    assert {run.brief for run in created} == {created[0].brief}
