"""What comes of the briefs of the table: steps, honesty about the rest, and agreement between planner and critic."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from prolight.adapters.offline.critic import critique
from prolight.adapters.offline.planner import plan
from prolight.schemas import Critique, Plan, Step, Verdict

from .briefs import ALL, IN_PART, NOT_AT_ALL, UNDERSTOOD, Brief
from .studio_tools import SCHEMAS

MAX_ROUNDS = 2
every_brief = pytest.mark.parametrize("brief", ALL, ids=lambda brief: brief.text)


def step_of(made: Plan, tool: str) -> Step | None:
    return next((step for step in made.steps if step.tool == f"studio.{tool}"), None)


def params_of(made: Plan, tool: str) -> dict[str, Any]:
    step = step_of(made, tool)
    return step.params if step else {}


def test_the_table_is_as_large_as_it_claims_to_be() -> None:
    assert len(UNDERSTOOD) >= 60
    assert len(IN_PART) + len(NOT_AT_ALL) >= 15
    assert len({brief.text for brief in ALL}) == len(ALL)


@every_brief
def test_the_lights_are_the_ones_asked_for(brief: Brief) -> None:
    relight = params_of(plan(brief.text, SCHEMAS), "relight")
    made: dict[str, Any] = {role: relight[role] for role in ("key", "fill", "rim") if role in relight}
    assert made.keys() == brief.lights.keys()
    for role, asked in brief.lights.items():
        assert {name: made[role][name] for name in asked} == asked


@every_brief
def test_exposure_background_and_export_are_the_ones_asked_for(brief: Brief) -> None:
    made = plan(brief.text, SCHEMAS)
    lit, whole = params_of(made, "relight").get("exposure_ev", 0), params_of(made, "adjust_exposure").get("ev", 0)
    assert (lit, whole) == ((brief.exposure, 0) if brief.lights else (0, brief.exposure))
    assert params_of(made, "replace_background").get("color") == brief.background
    asked = {"format": "jpeg", "quality": 92} | brief.export
    exported = {name: value for name, value in params_of(made, "export").items() if name != "picture"}
    assert exported == ({} if brief.does_nothing else asked)


@every_brief
def test_what_leads_to_nothing_is_said_word_for_word(brief: Brief) -> None:
    assert plan(brief.text, SCHEMAS).not_understood == brief.not_understood


@every_brief
def test_every_step_is_a_call_that_its_tool_takes(brief: Brief) -> None:
    verdict = critique(plan(brief.text, SCHEMAS), brief.text, SCHEMAS)
    if not any(finding.id.startswith("range.") for finding in verdict.findings):
        for step in plan(brief.text, SCHEMAS).steps:
            jsonschema.validate(step.params, SCHEMAS[step.tool])


@every_brief
def test_light_comes_first_the_export_last_and_the_mask_from_the_original(brief: Brief) -> None:
    made = plan(brief.text, SCHEMAS)
    order = ["studio.adjust_exposure", "studio.relight", "studio.replace_background", "studio.export"]
    assert [step.tool for step in made.steps] == [tool for tool in order if step_of(made, tool.split(".")[1])]
    pictures = ["$input", *(f"${step.id}" for step in made.steps)]
    assert [step.params["picture"] for step in made.steps] == pictures[: len(made.steps)]
    masked = [step for step in made.steps[1:] if step.tool == "studio.replace_background"]
    assert all(step.params["mask_of"] == "$input" for step in masked)


@pytest.mark.parametrize("brief", NOT_AT_ALL, ids=lambda brief: brief.text)
def test_a_brief_of_which_nothing_is_understood_gets_no_steps_and_is_rejected(brief: Brief) -> None:
    made = plan(brief.text, SCHEMAS)
    assert made.steps == ()
    verdict = critique(made, brief.text, SCHEMAS)
    assert verdict.verdict is Verdict.REJECT
    assert [finding.id for finding in verdict.findings] == ["brief.not-understood"]
    assert all(phrase in verdict.findings[0].message for phrase in brief.not_understood)


def revised_until_settled(text: str) -> tuple[Plan, Critique]:
    """Plan and critique in turn, as the engine does, for at most `MAX_ROUNDS` revisions."""
    made = plan(text, SCHEMAS)
    judged = critique(made, text, SCHEMAS)
    for _ in range(MAX_ROUNDS):
        if judged.verdict is not Verdict.REVISE:
            break
        made = plan(text, SCHEMAS, findings=judged.findings, previous=made)
        judged = critique(made, text, SCHEMAS, earlier=judged.findings)
    return made, judged


@pytest.mark.parametrize("brief", UNDERSTOOD, ids=lambda brief: brief.text)
def test_an_understood_brief_is_accepted_within_two_revisions(brief: Brief) -> None:
    made, judged = revised_until_settled(brief.text)
    assert judged.verdict is Verdict.ACCEPT
    for step in made.steps:
        jsonschema.validate(step.params, SCHEMAS[step.tool])


@pytest.mark.parametrize("brief", IN_PART, ids=lambda brief: brief.text)
def test_a_brief_understood_in_part_is_accepted_with_advice_unless_it_contradicts_itself(brief: Brief) -> None:
    _, judged = revised_until_settled(brief.text)
    contradictory = {finding.id for finding in judged.findings if finding.id.startswith("contradiction.")}
    assert judged.verdict is (Verdict.REJECT if contradictory else Verdict.ACCEPT)
    advised = [finding for finding in judged.findings if finding.id == "brief.not-understood"]
    assert [finding.severity for finding in advised] == ["advice"]
