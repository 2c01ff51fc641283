"""What comes of the briefs for the whole studio: the steps, in order, and honesty about the rest."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from prolight.adapters.offline.critic import critique
from prolight.adapters.offline.planner import plan
from prolight.presets import names, preset
from prolight.schemas import INPUT, Plan, Verdict

from . import briefs, briefs_unknown
from .briefs_tools import SHOPS, UNDERSTOOD, Job, Step, do
from .studio_tools import SCHEMAS

EXPORTED = do("export", format="jpeg", quality=92)
RESIZING = {"crop_out_foreground", "product_shot", "increase_resolution", "resize"}
every_job = pytest.mark.parametrize(
    "job", [*UNDERSTOOD, *briefs_unknown.IN_PART, *briefs_unknown.NOT_AT_ALL], ids=lambda job: job.text
)


def tools_of(made: Plan) -> list[str]:
    return [step.tool.removeprefix("studio.") for step in made.steps]


def decided(asked: Any, got: Any) -> Any:
    """Of what was got, only what was asked for."""
    return {name: decided(asked[name], got.get(name)) for name in asked} if isinstance(asked, dict) else got


def expected(job: Job) -> list[Step]:
    finished = job.steps and job.steps[-1].tool != "export"
    return [*job.steps, EXPORTED] if finished else list(job.steps)


def test_the_tables_are_as_large_as_they_claim_to_be() -> None:
    understood = [*(brief.text for brief in briefs.UNDERSTOOD), *(job.text for job in UNDERSTOOD)]
    others = [brief.text for brief in (*briefs.IN_PART, *briefs.NOT_AT_ALL)]
    others += [job.text for job in (*briefs_unknown.IN_PART, *briefs_unknown.NOT_AT_ALL)]
    assert len(understood) >= 200
    assert len(others) >= 60
    assert len({*understood, *others}) == len(understood) + len(others)


@every_job
def test_the_steps_are_the_ones_asked_for_in_their_order(job: Job) -> None:
    made = plan(job.text, SCHEMAS)
    assert tools_of(made) == [step.tool for step in expected(job)]
    for step, asked in zip(made.steps, expected(job), strict=True):
        assert decided(asked.params, step.params) == asked.params


@every_job
def test_what_no_tool_can_do_is_said_word_for_word(job: Job) -> None:
    assert plan(job.text, SCHEMAS).not_understood == job.not_understood


@every_job
def test_each_step_works_on_the_picture_before_it_and_is_a_call_that_its_tool_takes(job: Job) -> None:
    made = plan(job.text, SCHEMAS)
    pictures = [INPUT, *(f"${step.id}" for step in made.steps)]
    assert [step.params["picture"] for step in made.steps] == pictures[: len(made.steps)]
    for step in made.steps:
        jsonschema.validate(step.params, SCHEMAS[step.tool])


@every_job
def test_the_originals_mask_is_used_as_long_as_it_fits(job: Job) -> None:
    fits = False
    for tool, step in zip(tools_of(made := plan(job.text, SCHEMAS)), made.steps, strict=True):
        takes_one = "mask_of" in SCHEMAS[step.tool]["properties"]
        assert step.params.get("mask_of") == (INPUT if fits and takes_one else None)
        fits = (fits or step is made.steps[0]) and tool not in RESIZING | {"remove_background"}


@pytest.mark.parametrize("job", briefs_unknown.NOT_AT_ALL, ids=lambda job: job.text)
def test_nothing_is_done_and_a_person_is_asked_where_nothing_is_understood(job: Job) -> None:
    judged = critique(plan(job.text, SCHEMAS), job.text, SCHEMAS)
    assert judged.verdict is Verdict.REJECT


@every_job
def test_the_summary_tells_every_step(job: Job) -> None:
    made = plan(job.text, SCHEMAS)
    assert made.summary.count(";") + 1 >= len(made.steps)
    assert "call studio" not in made.summary


@pytest.mark.parametrize("name", names())
def test_a_presets_own_brief_is_understood_whole_and_makes_what_it_delivers(name: str) -> None:
    made, shop = plan(preset(name).brief, SCHEMAS), preset(name).deliver
    assert made.not_understood == ()
    sized = next(step.params for step in made.steps if "width_px" in step.params)
    assert (sized["width_px"], sized["height_px"]) == (shop.width_px, shop.height_px)
    assert sized.get("fill_percent") == shop.fill_percent
    assert made.steps[-1].params["format"] == shop.format


def test_a_runs_preset_fills_in_what_its_brief_leaves_open() -> None:
    made = plan("soft key from the left, on light grey", SCHEMAS, shop="amazon-main")
    assert tools_of(made) == ["relight", "product_shot", "export"]
    shot = made.steps[1].params
    assert (shot["color"], shot["width_px"], shot["fill_percent"]) == ("#d3d3d3", 2000, 90)


def test_a_shop_that_the_brief_names_goes_before_the_runs_preset() -> None:
    made = plan("for Etsy", SCHEMAS, shop="amazon-main")
    assert made.steps[0].params["shadow"] == "contact"


@pytest.mark.parametrize("job", SHOPS, ids=lambda job: job.text)
def test_a_tool_that_is_not_offered_is_not_planned_and_its_words_are_reported(job: Job) -> None:
    only_export = {"studio.export": SCHEMAS["studio.export"]}
    made = plan(job.text, only_export)
    assert tools_of(made) in (["export"], [])
    assert made.not_understood
