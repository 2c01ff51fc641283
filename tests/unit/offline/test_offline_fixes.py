"""The Planner carries out what the Critic asks for, says so, and leaves alone what it does not understand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prolight.adapters.offline import fixes
from prolight.adapters.offline.planner import plan
from prolight.schemas import Finding, Plan

from .studio_tools import SCHEMAS

unhurried = settings(deadline=None)
BRIEF = "soft warm key from the left, rim from behind, white background"


def asked(fix: str, step: str | None = "s1", severity: Any = "blocking") -> Finding:
    return Finding(id="a.finding", severity=severity, message="because", step=step, fix=fix)


def made_of(*findings: Finding) -> Plan:
    return plan(BRIEF, SCHEMAS, findings=findings, previous=plan(BRIEF, SCHEMAS))


def test_a_value_is_set_where_the_fix_says() -> None:
    assert made_of(asked("set key.ev to 4")).steps[0].params["key"]["ev"] == 4


def test_the_step_says_what_was_changed_and_why_it_is_there() -> None:
    why = made_of(asked("set key.ev to 4")).steps[0].why
    assert why == "soft warm key from the left, rim from behind; revised (a.finding): set key.ev to 4"


def test_the_summary_tells_of_the_mended_plan() -> None:
    assert "+4 EV" in made_of(asked("set key.ev to 4")).summary


def test_a_dropped_step_hands_its_picture_on() -> None:
    made = made_of(asked("drop the step"))
    assert [(step.id, step.params["picture"]) for step in made.steps] == [("s2", "$input"), ("s3", "$s2")]


def test_a_step_is_dropped_when_a_guardrail_offers_that_as_one_of_two_ways() -> None:
    made = made_of(asked("drop the step or use an offered tool", "s2"))
    assert [step.id for step in made.steps] == ["s1", "s3"]


def test_a_dropped_param_is_gone() -> None:
    params = made_of(asked("drop rim")).steps[0].params
    assert "rim" not in params
    assert "softness" not in made_of(asked("drop key.softness")).steps[0].params["key"]


def test_a_revised_plan_is_within_range_whatever_words_asked_for_it() -> None:
    brief = "key from the left at +6 EV"
    made = plan(brief, SCHEMAS, findings=[asked("lower the key a bit, please")], previous=plan(brief, SCHEMAS))
    assert made.steps[0].params["key"]["ev"] == 4
    assert "set key.ev to 4" in made.steps[0].why


@pytest.mark.parametrize(
    "finding",
    [asked("set key.ev to 4", step="s9"), asked("make it pop"), asked("move after s9"), asked("set key.ev to 4", None)],
    ids=["unknown step", "prose", "unknown target", "no step"],
)
def test_what_cannot_be_carried_out_changes_nothing(finding: Finding) -> None:
    assert made_of(finding).steps == plan(BRIEF, SCHEMAS).steps


def test_findings_without_a_fix_leave_the_plan_of_the_brief() -> None:
    assert made_of(asked("")) == plan(BRIEF, SCHEMAS)


def test_a_fix_that_would_break_the_plan_is_left_out() -> None:
    assert made_of(asked('set picture to "$nobody"')).steps == plan(BRIEF, SCHEMAS).steps


@unhurried
@given(st.sampled_from(["key.ev", "rim", "exposure_ev"]), st.floats(-4, 4) | st.dictionaries(st.text(), st.integers()))
def test_what_the_critic_writes_the_planner_reads(path: str, value: Any) -> None:
    params: Any = made_of(asked(fixes.set_to(path, value)[:400])).steps[0].params
    for name in path.split("."):
        params = params[name]
    assert params == value or len(fixes.set_to(path, value)) > 400


moves = st.sampled_from(["move to the end", "drop the step", "drop rim", *(f"move after s{at}" for at in (1, 2, 3))])


@unhurried
@given(st.lists(st.tuples(st.sampled_from(["s1", "s2", "s3"]), moves), max_size=8))
def test_moves_and_drops_always_leave_one_chain_of_pictures(wanted: list[tuple[str, str]]) -> None:
    made = made_of(*(asked(fix, step) for step, fix in wanted))
    pictures = ["$input", *(f"${step.id}" for step in made.steps)]
    assert [step.params["picture"] for step in made.steps] == pictures[:-1]
