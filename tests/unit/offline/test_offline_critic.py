"""What the Critic remarks on, what it asks for, and when it gives up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prolight.adapters.offline.critic import critique
from prolight.adapters.offline.planner import plan
from prolight.schemas import Critique, Finding, Plan, Step, Verdict

from .studio_tools import SCHEMAS

unhurried = settings(deadline=None)
KEY = {"azimuth_deg": -45, "elevation_deg": 30, "ev": 0, "kelvin": 5500, "softness": 0.5}
FILL = {**KEY, "azimuth_deg": 45, "ev": -1}
RIM = {**KEY, "azimuth_deg": 135}
NEUTRAL_BRIEF = "key from the left"


def step(step_id: str, tool: str, picture: str = "$input", **params: Any) -> Step:
    return Step(id=step_id, tool=f"studio.{tool}", params={"picture": picture, **params})


def plan_of(*steps: Step, **more: Any) -> Plan:
    return Plan(steps=steps, **more)


def relight_and_export(**relight: Any) -> Plan:
    return plan_of(step("s1", "relight", **relight), step("s2", "export", "$s1", format="jpeg"))


def judged(made: Plan, brief: str = NEUTRAL_BRIEF, **more: Any) -> Critique:
    return critique(made, brief, SCHEMAS, **more)


def finding(found: Critique, finding_id: str) -> Finding:
    return {one.id: one for one in found.findings}[finding_id]


def mended(made: Plan, brief: str = NEUTRAL_BRIEF) -> Plan:
    return plan(brief, SCHEMAS, findings=judged(made, brief).findings, previous=made)


def test_a_sound_plan_is_accepted_without_a_remark() -> None:
    found = judged(relight_and_export(key=KEY, fill=FILL, rim=RIM))
    assert (found.verdict, found.findings) == (Verdict.ACCEPT, ())


def test_a_number_beyond_its_range_names_the_limit_and_the_fix() -> None:
    remark = finding(judged(relight_and_export(key={**KEY, "ev": 6})), "range.s1.key.ev")
    assert remark.message == "key.ev is 6; studio.relight takes -4 to 4"
    assert remark.fix == "set key.ev to 4"
    assert (remark.step, remark.severity) == ("s1", "blocking")


@unhurried
@given(st.sampled_from(sorted(KEY)), st.floats(-1e6, 1e6))
def test_after_the_fix_every_number_is_within_range(name: str, value: float) -> None:
    made = mended(relight_and_export(key={**KEY, name: value}))
    assert not [one for one in judged(made).findings if one.id.startswith("range.")]


def test_background_before_light_is_moved_behind_it() -> None:
    made = plan_of(
        step("s1", "replace_background", color="#ffffff"),
        step("s2", "relight", "$s1", key=KEY),
        step("s3", "export", "$s2", format="jpeg"),
    )
    assert finding(judged(made), "order.background-after-light").fix == "move after s2"
    after = mended(made)
    assert [(one.id, one.params["picture"]) for one in after.steps] == [("s2", "$input"), ("s1", "$s2"), ("s3", "$s1")]
    assert after.steps[1].params["mask_of"] == "$input"
    assert judged(after).verdict is Verdict.ACCEPT


def test_an_export_in_the_middle_is_moved_to_the_end() -> None:
    made = plan_of(step("s1", "export", format="png"), step("s2", "relight", "$s1", key=KEY))
    assert finding(judged(made), "order.export-last").fix == "move to the end"
    after = mended(made)
    assert [(one.id, one.params["picture"]) for one in after.steps] == [("s2", "$input"), ("s1", "$s2")]
    assert judged(after).verdict is Verdict.ACCEPT


def test_an_export_in_the_middle_is_dropped_where_another_ends_the_plan() -> None:
    made = plan_of(
        step("s1", "export", format="png"),
        step("s2", "relight", "$s1", key=KEY),
        step("s3", "export", "$s2", format="jpeg"),
    )
    assert finding(judged(made), "order.export-last").fix == "drop the step"
    assert [(one.id, one.params["picture"]) for one in mended(made).steps] == [("s2", "$input"), ("s3", "$s2")]


def test_a_plan_without_an_export_gets_advice_only() -> None:
    found = judged(plan_of(step("s1", "relight", key=KEY)))
    assert found.verdict is Verdict.ACCEPT
    assert finding(found, "order.export-missing").severity == "advice"


@pytest.mark.parametrize(
    "idle",
    [
        step("s0", "relight"),
        step("s0", "relight", exposure_ev=0),
        step("s0", "replace_background", color="#000000"),
    ],
    ids=["no light", "no exposure", "background set twice"],
)
def test_a_step_without_effect_is_dropped(idle: Step) -> None:
    made = plan_of(
        idle,
        step("s1", "relight", "$s0", key=KEY),
        step("s2", "replace_background", "$s1", color="#ffffff"),
        step("s3", "export", "$s2", format="jpeg"),
    )
    assert finding(judged(made), "effect.s0").fix == "drop the step"
    after = mended(made)
    assert [one.id for one in after.steps] == ["s1", "s2", "s3"]
    assert after.steps[0].params["picture"] == "$input"


def test_a_picture_that_nobody_takes_is_a_step_without_effect() -> None:
    made = plan_of(step("s1", "relight", key=KEY), step("s2", "export", format="jpeg"))
    assert "no later step takes its picture" in finding(judged(made), "effect.s1").message


def test_a_fill_brighter_than_the_key_comes_down_to_it() -> None:
    made = relight_and_export(key=KEY, fill={**FILL, "ev": 1})
    assert finding(judged(made), "light.s1.fill-over-key").fix == "set fill.ev to 0"
    assert judged(mended(made)).verdict is Verdict.ACCEPT


def test_a_fix_never_asks_for_what_is_out_of_range() -> None:
    made = mended(relight_and_export(key={**KEY, "ev": -9}, fill={**FILL, "ev": 9}))
    assert made.steps[0].params["key"]["ev"] == made.steps[0].params["fill"]["ev"] == -4
    assert judged(made).verdict is Verdict.ACCEPT


@pytest.mark.parametrize(("azimuth", "behind"), [(-45, -135), (30, 135), (0, 135)])
def test_a_rim_in_front_goes_behind_on_its_side_or_away_from_the_key(azimuth: float, behind: float) -> None:
    made = relight_and_export(key=KEY, rim={**RIM, "azimuth_deg": azimuth})
    assert finding(judged(made), "light.s1.rim-in-front").fix == f"set rim.azimuth_deg to {behind}"


def test_a_rim_from_overhead_may_come_from_any_side() -> None:
    assert judged(relight_and_export(key=KEY, rim={**RIM, "azimuth_deg": 0, "elevation_deg": 80})).findings == ()


@pytest.mark.parametrize(
    ("key_ev", "exposure", "fixes"),
    [
        (0, 1, ["set exposure_ev to 0.5"]),
        (1, 1, ["set exposure_ev to 0", "set key.ev to 0.5"]),
        (0, 0.5, []),
        (1, -1, []),
    ],
)
def test_exposure_gives_way_before_the_key_when_highlights_would_clip(
    key_ev: float, exposure: float, fixes: list[str]
) -> None:
    made = relight_and_export(key={**KEY, "ev": key_ev}, exposure_ev=exposure)
    found = judged(made, inspection={"median_ev": 1.5})
    assert [one.fix for one in found.findings] == fixes


def test_clipped_highlights_are_worth_a_word_when_more_light_is_asked_for() -> None:
    found = judged(relight_and_export(exposure_ev=1), "a stop brighter", inspection={"clipped_high_percent": 12.0})
    assert found.verdict is Verdict.ACCEPT
    assert finding(found, "exposure.highlights").severity == "advice"


@pytest.mark.parametrize(
    ("brief", "finding_id"),
    [
        ("warm key from the left, the key is cool", "contradiction.key.kelvin"),
        ("key from the left, key from the right", "contradiction.key.side"),
        ("3200 K key, key at 6500 K", "contradiction.key.kelvin"),
        ("soft key, hard key", "contradiction.key.softness"),
        ("rim from behind, no rim", "contradiction.rim.wanted"),
        ("key left, white background, black background", "contradiction.background.color"),
        ("high key, low key", "contradiction.picture.style"),
    ],
)
def test_a_brief_that_contradicts_itself_is_for_a_person_to_settle(brief: str, finding_id: str) -> None:
    made = plan(brief, SCHEMAS)
    found = judged(made, brief)
    assert found.verdict is Verdict.REJECT
    assert finding(found, finding_id).fix == ""


def test_high_key_on_black_is_rejected_and_low_key_on_white_is_remarked_on() -> None:
    high, low = "high key on a black background", "low key on a white background"
    assert finding(judged(plan(high, SCHEMAS), high), "style.high-key-on-dark").severity == "blocking"
    assert judged(plan(high, SCHEMAS), high).verdict is Verdict.REJECT
    assert finding(judged(plan(low, SCHEMAS), low), "style.low-key-on-bright").severity == "advice"
    assert judged(plan(low, SCHEMAS), low).verdict is Verdict.ACCEPT


def test_a_light_of_the_brief_that_no_step_makes_is_put_in() -> None:
    brief = "key from the left and a cool rim"
    made = relight_and_export(key=KEY)
    assert judged(made, brief).verdict is Verdict.REVISE
    after = mended(made, brief)
    assert after.steps[0].params["rim"] == plan(brief, SCHEMAS).steps[0].params["rim"]
    assert judged(after, brief).verdict is Verdict.ACCEPT


def test_a_plan_that_lights_nothing_is_planned_again() -> None:
    made = plan_of(step("s1", "export", format="jpeg"))
    after = mended(made)
    assert after.steps == plan(NEUTRAL_BRIEF, SCHEMAS).steps
    assert judged(after).verdict is Verdict.ACCEPT


@pytest.mark.parametrize(
    ("key", "finding_id"),
    [({**KEY, "azimuth_deg": 45}, "brief.key.side"), ({**KEY, "kelvin": 8000}, "brief.key.kelvin")],
)
def test_a_light_on_the_wrong_side_or_of_the_wrong_warmth_is_set_right(key: dict[str, float], finding_id: str) -> None:
    brief = "warm key from the left"
    made = relight_and_export(key=key)
    assert finding(judged(made, brief), finding_id).severity == "blocking"
    assert judged(mended(made, brief), brief).verdict is Verdict.ACCEPT


def test_what_the_brief_does_not_want_is_taken_out() -> None:
    brief = "key from the left, no rim, don't touch the background"
    made = plan_of(
        step("s1", "relight", key=KEY, rim=RIM),
        step("s2", "replace_background", "$s1", color="#ffffff"),
        step("s3", "export", "$s2", format="jpeg"),
    )
    after = mended(made, brief)
    assert [one.id for one in after.steps] == ["s1", "s3"]
    assert "rim" not in after.steps[0].params
    assert judged(after, brief).verdict is Verdict.ACCEPT


def test_a_new_background_without_a_usable_mask_is_rejected() -> None:
    brief = "white background"
    unusable = {"mask_confidence": 0.02, "mask_trusted": False, "mask_reason": "the subject fills the frame"}
    found = judged(plan(brief, SCHEMAS), brief, inspection=unusable)
    assert found.verdict is Verdict.REJECT
    assert "the subject fills the frame" in finding(found, "mask.none").message


def test_a_doubtful_mask_is_said_and_accepted() -> None:
    doubtful = {"mask_confidence": 0.4, "mask_trusted": False, "mask_reason": "busy backdrop"}
    found = judged(relight_and_export(key=KEY), inspection=doubtful)
    assert (found.verdict, finding(found, "mask.doubtful").severity) == (Verdict.ACCEPT, "advice")


def test_a_trusted_mask_is_no_remark() -> None:
    assert judged(relight_and_export(key=KEY), inspection={"mask_confidence": 0.9, "mask_trusted": True}).findings == ()


def test_a_finding_that_comes_back_unchanged_is_a_rejection() -> None:
    made = relight_and_export(key={**KEY, "ev": 6})
    first = judged(made)
    assert first.verdict is Verdict.REVISE
    assert judged(made, earlier=first.findings).verdict is Verdict.REJECT


def test_advice_that_comes_back_stays_advice() -> None:
    made = plan("key from the left, gloss", SCHEMAS)
    first = judged(made, "key from the left, gloss")
    again = judged(made, "key from the left, gloss", earlier=first.findings)
    assert first.findings and again.verdict is Verdict.ACCEPT


odd = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.lists(st.integers(), max_size=2)
)
odd_light = st.dictionaries(st.sampled_from(sorted(KEY)), odd, max_size=5)


@unhurried
@given(
    st.fixed_dictionaries(
        {}, optional={"key": odd | odd_light, "fill": odd_light, "rim": odd_light, "exposure_ev": odd}
    )
)
def test_params_of_any_type_are_judged_without_a_crash(params: dict[str, Any]) -> None:
    made = relight_and_export(**params)
    found = judged(made, "high key, key from the left, fill, rim", inspection={"median_ev": 1.0})
    plan(NEUTRAL_BRIEF, SCHEMAS, findings=found.findings, previous=made)
