"""The plan of a finished run is applied to pictures like its own; what is unlike goes to a person. No model asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from prolight.determinism import plan_hash
from prolight.errors import InvalidInput
from prolight.ports import ToolResult
from prolight.recipes import departures, recipe_of
from prolight.schemas import Plan, Recipe, Stage, State, Step
from tests.unit.scripted import PIN, ScriptedTools, World, executing, planning, steps, tool

PLAN = steps("light")
OWN = {
    "median_ev": -0.5,
    "left_right_ev": 0.2,
    "kelvin": 5500,
    "subject_fill_percent": 30.0,
    "sharpness": 200.0,
    "clipped_high_percent": 0.1,
    "clipped_low_percent": 0.0,
    "mask_trusted": True,
    "width": 4000,
}
RECIPE = Recipe(run_id="first", plan=PLAN, tool_pins={"t.light": PIN}, figures=OWN)
PINS = {"t.light": PIN}


def found(figures: Mapping[str, Any] | None, recipe: Recipe = RECIPE, pins: Mapping[str, str] = PINS) -> list[str]:
    return list(departures(recipe, figures, pins))


def test_a_picture_like_the_recipes_own_departs_in_nothing() -> None:
    assert found(OWN) == []
    assert found({**OWN, "width": 200, "median_ev": 0.4, "kelvin": 4500}) == []


@pytest.mark.parametrize(
    ("figure", "value", "says"),
    [
        ("median_ev", 0.6, "more than 1 from the -0.5"),
        ("median_ev", -1.6, "more than 1 from"),
        ("left_right_ev", 1.3, "more than 1 from"),
        ("kelvin", 7000, "more than 1.25 times or less than 1/1.25 of the 5500"),
        ("kelvin", 4000, "1.25"),
        ("subject_fill_percent", 61.0, "more than 2 times"),
        ("sharpness", 49.0, "less than 1/4"),
        ("clipped_high_percent", 2.2, "more than 2 above the 0.1"),
        ("mask_trusted", False, "mask"),
    ],
)
def test_a_figure_out_of_range_is_named_with_both_values_and_the_limit(figure: str, value: object, says: str) -> None:
    (said,) = found({**OWN, figure: value})
    assert says in said
    assert figure in said or "mask" in said


def test_less_clipping_than_the_recipes_picture_is_no_departure() -> None:
    assert (
        found({**OWN, "clipped_high_percent": 0.0}, RECIPE.evolve(figures={**OWN, "clipped_high_percent": 9.0})) == []
    )


def test_a_picture_that_nobody_measured_goes_to_a_person_where_the_recipes_was_measured() -> None:
    assert "not measured" in found(None)[0]
    assert found(None, RECIPE.evolve(figures=None)) == []


@pytest.mark.parametrize("figures", [{}, {"median_ev": "bright"}, {"median_ev": True}])
def test_figures_that_are_missing_or_are_none_say_nothing(figures: dict[str, Any]) -> None:
    assert found(figures) == []


def test_a_tool_that_has_changed_since_goes_to_a_person() -> None:
    assert found(OWN, pins={"t.light": "2" * 64}) == ["t.light has changed since run first was made"]


def test_only_a_completed_runs_plan_is_a_recipe() -> None:
    run = executing(PLAN, ScriptedTools({"t.light": tool("light")}))
    with pytest.raises(InvalidInput, match="only a COMPLETED run's plan"):
        recipe_of(run)
    made = recipe_of(run.evolve(state=State.COMPLETED, inspection=OWN))
    assert (made.plan, made.figures, made.tool_pins) == (PLAN, OWN, PINS)


async def carried(figures: dict[str, Any], recipe: Recipe = RECIPE) -> World:
    """A run by the recipe, as far as it goes without a person."""
    offered = {"t.light": tool("light"), "t.inspect_image": tool("inspect_image"), "studio.relight": tool("light")}
    tools = ScriptedTools(offered)
    tools.script["t.inspect_image"] = [ToolResult(figures)]
    here = World(tools)
    await here.add(planning(recipe=recipe))
    await (await here.attempt(Stage.PLAN)).make()
    await (await here.attempt(Stage.CRITIQUE)).make()
    return here


async def test_the_recipes_plan_is_carried_out_and_no_model_is_asked() -> None:
    here = await carried(OWN)
    await (await here.attempt()).make()
    run = (await here.store.read("r")).run
    assert (run.state, run.plan, here.model.asked) == (State.COMPLETED, PLAN, [])
    assert run.lock
    assert (run.lock.model_version, run.lock.plan_hash) == ("recipe first", plan_hash(PLAN))
    assert here.tools.names == ["t.inspect_image", "t.light"]


async def test_a_picture_unlike_the_recipes_own_waits_for_a_person_with_the_figure() -> None:
    here = await carried({**OWN, "median_ev": -3.0})
    run = (await here.store.read("r")).run
    assert (run.state, here.tools.names) == (State.AWAITING_APPROVAL, ["t.inspect_image"])
    assert run.approval
    assert run.approval.reasons == ("median_ev is -3, more than 1 from the -0.5 of run first's picture",)


async def test_what_the_rules_would_change_goes_to_a_person_and_not_back_to_a_planner() -> None:
    idle = Plan(steps=(Step(id="s1", tool="studio.relight", params={"picture": "$input"}),))
    here = await carried(OWN, RECIPE.evolve(plan=idle, tool_pins={}))
    run = (await here.store.read("r")).run
    assert (run.state, run.round, here.model.asked) == (State.AWAITING_APPROVAL, 0, [])
