"""The Critic on colour, size, masks, order and presets: each rule with its figure, its step and its remedy."""

from __future__ import annotations

from typing import Any

import pytest

from prolight.adapters.offline.critic import critique
from prolight.adapters.offline.planner import plan
from prolight.presets import preset
from prolight.schemas import Critique, Finding, Plan, Step, Target, Verdict

from .studio_tools import SCHEMAS
from .test_offline_critic import FILL, KEY, finding, plan_of, step

BRIEF = "export as jpeg"
AMAZON = preset("amazon-main").target
SEEN = {
    "width": 2000,
    "height": 1500,
    "sharpness": 300.0,
    "left_right_ev": 0.0,
    "clipped_high_percent": 0.0,
    "kelvin": 5500,
    "median_ev": -0.5,
    "mask_confidence": 0.9,
    "mask_trusted": True,
    "mask_reason": "",
}
SHOT = step("s1", "product_shot", fill_percent=90)
OUT = step("s2", "export", "$s1", format="jpeg")


def judged(
    *steps: Step, brief: str = BRIEF, target: Target | None = None, earlier: tuple[Finding, ...] = (), **seen: Any
) -> Critique:
    return critique(plan_of(*steps), brief, SCHEMAS, inspection={**SEEN, **seen}, earlier=earlier, target=target)


def ids(found: Critique) -> set[str]:
    return {one.id for one in found.findings}


def mended(*steps: Step, brief: str = BRIEF, target: Target | None = None, **seen: Any) -> tuple[Plan, Critique]:
    """The plan after the Planner has done what was asked, and what the Critic says of it then."""
    before = judged(*steps, brief=brief, target=target, **seen)
    assert before.verdict is Verdict.REVISE, before.findings
    after = plan(brief, SCHEMAS, findings=before.findings, previous=plan_of(*steps))
    return after, judged(*after.steps, brief=brief, target=target, earlier=before.findings, **seen)


def test_a_plan_that_makes_what_amazon_asks_for_is_accepted_without_a_remark() -> None:
    assert judged(SHOT, OUT, target=AMAZON).findings == ()


# Light


BLOWN: dict[str, Any] = {"left_right_ev": 1.2, "clipped_high_percent": 3.0}


def test_a_key_from_the_side_that_is_blown_out_is_moved_to_the_other() -> None:
    lit = step("s1", "relight", key=KEY)
    remark = finding(judged(lit, OUT, **BLOWN), "light.s1.key-from-blown-side")
    assert "1.2 EV brighter" in remark.message and "3 % of the picture" in remark.message
    assert (remark.step, remark.fix) == ("s1", "set key.azimuth_deg to 45")
    after, again = mended(lit, OUT, **BLOWN)
    assert after.steps[0].params["key"]["azimuth_deg"] == 45 and again.verdict is Verdict.ACCEPT


def test_where_the_brief_wants_it_from_there_it_is_said_and_left() -> None:
    found = judged(step("s1", "relight", key=KEY), OUT, brief="key from the left", **BLOWN)
    assert finding(found, "light.s1.key-from-blown-side").severity == "advice" and found.ok


@pytest.mark.parametrize(
    "seen", [{"left_right_ev": -1.2, "clipped_high_percent": 3.0}, {"left_right_ev": 1.2}, {"clipped_high_percent": 60}]
)
def test_from_the_dark_side_or_without_clipping_or_in_even_light_a_key_is_no_matter(seen: dict[str, Any]) -> None:
    assert "light.s1.key-from-blown-side" not in ids(judged(step("s1", "relight", key=KEY), OUT, **seen))


def test_an_exposure_beyond_the_room_of_the_highlights_is_lowered_to_it() -> None:
    brighter = step("s1", "adjust_exposure", ev=2)
    after, again = mended(brighter, OUT, median_ev=1.0)
    assert after.steps[0].params["ev"] == 1 and again.verdict is Verdict.ACCEPT


def test_lifting_what_is_clipped_already_is_advised_against() -> None:
    found = judged(step("s1", "adjust_exposure", highlights_ev=1), OUT, clipped_high_percent=12)
    assert "12 %" in finding(found, "exposure.s1.highlights").message and found.ok


# Colour


def test_a_white_balance_against_the_warmth_of_the_brief_is_made_neutral() -> None:
    steps = step("s1", "white_balance", kelvin=9000), step("s2", "relight", "$s1", key={**KEY, "kelvin": 3800})
    brief = "warm key from the left"
    remark = finding(judged(*steps, brief=brief), "colour.s1.against-the-brief")
    assert "9000 K" in remark.message and remark.fix == "set kelvin to 5500"
    _, again = mended(*steps, brief=brief)
    assert "colour.s1.against-the-brief" not in ids(again)


def test_a_look_and_a_light_that_work_against_each_other_are_remarked_on() -> None:
    found = judged(
        step("s1", "white_balance", kelvin=9000), step("s2", "relight", "$s1", fill={**FILL, "kelvin": 3200})
    )
    assert "9000 K and the fill is 3200 K" in finding(found, "colour.s2.fill-against-balance").message


def test_a_warm_light_on_a_picture_that_is_warm_already_is_remarked_on() -> None:
    warm = step("s1", "relight", key={**KEY, "kelvin": 3200})
    assert "3700 K already" in finding(judged(warm, kelvin=3700), "colour.s1.key-on-a-cast").message
    assert "colour.s1.key-on-a-cast" not in ids(judged(warm, kelvin=5000))


# Size, masks and formats


@pytest.mark.parametrize(
    ("sharpness", "factor", "fix"),
    [(10, 2, "drop the step"), (10, 4, "drop the step"), (40, 4, "set factor to 2"), (40, 2, ""), (70, 4, "")],
)
def test_an_enlargement_goes_as_far_as_the_sharpness_carries(sharpness: float, factor: int, fix: str) -> None:
    steps = step("s1", "increase_resolution", factor=factor), OUT
    found = judged(*steps, sharpness=sharpness)
    assert [one.fix for one in found.findings if one.id == "sharpness.s1"] == [fix][: bool(fix)]
    if fix:
        assert f"sharpness of {sharpness} " in finding(found, "sharpness.s1").message
        assert mended(*steps, sharpness=sharpness)[1].verdict is Verdict.ACCEPT


def test_an_export_that_enlarges_a_soft_picture_keeps_its_size() -> None:
    after, again = mended(step("s1", "export", format="jpeg", long_side_px=3000), sharpness=9)
    assert "long_side_px" not in after.steps[0].params and again.verdict is Verdict.ACCEPT


def test_a_preset_that_needs_the_size_gets_it_with_a_remark() -> None:
    ebay = preset("ebay").target
    found = judged(
        step("s1", "export", format="jpeg", long_side_px=1000), target=ebay, sharpness=9, width=600, height=450
    )
    assert finding(found, "sharpness.s1").severity == "advice" and found.ok


@pytest.mark.parametrize("sizing", ["resize", "increase_resolution", "crop_out_foreground", "product_shot"])
def test_a_mask_of_the_original_is_given_up_once_the_size_is_another(sizing: str) -> None:
    params: dict[str, Any] = {"width_px": 900} if sizing == "resize" else {}
    steps = (
        step("s1", sizing, **params),
        step("s2", "relight", "$s1", key=KEY, mask_of="$input"),
        step("s3", "export", "$s2", format="png"),
    )
    remark = finding(judged(*steps), "mask.s2.size")
    assert remark.fix == "set mask_of to null" and "s1" in remark.message
    after, again = mended(*steps)
    assert {one.id: one for one in after.steps}["s2"].params["mask_of"] is None
    assert "mask.s2.size" not in ids(again)


def test_a_mask_of_the_original_stays_where_the_size_is_the_same() -> None:
    lit = step("s2", "relight", "$s1", key=KEY, mask_of="$input")
    assert "mask.s2.size" not in ids(judged(step("s1", "white_balance"), lit))


@pytest.mark.parametrize("cut", ["remove_background", "crop_out_foreground", "product_shot"])
def test_a_cut_by_a_mask_that_is_not_trusted_goes_to_a_person_with_the_reason(cut: str) -> None:
    found = judged(step("s1", cut), mask_trusted=False, mask_reason="Two objects.")
    assert found.verdict is Verdict.REJECT and "Two objects." in finding(found, "mask.not-trusted").message
    brought = judged(step("s1", cut, mask="$input"), mask_trusted=False, mask_reason="Two objects.")
    assert "mask.not-trusted" not in ids(brought)


def test_a_blur_by_a_mask_that_is_not_trusted_is_advice() -> None:
    found = judged(step("s1", "blur_background"), mask_trusted=False, mask_reason="Hair.")
    assert found.ok and "Hair." in finding(found, "mask.blur").message


def test_a_transparent_picture_is_exported_as_png_unless_jpeg_was_asked_for() -> None:
    steps = step("s1", "remove_background"), OUT
    after, again = mended(*steps, brief="key from the left")
    assert after.steps[1].params["format"] == "png" and "format.s2.transparency" not in ids(again)
    assert finding(judged(*steps), "format.s2.transparency").severity == "advice"


def test_a_cut_out_that_is_laid_on_a_colour_may_be_a_jpeg() -> None:
    laid = step("s3", "replace_background", "$s1", color="#ffffff"), step("s2", "export", "$s3", format="jpeg")
    found = judged(step("s1", "remove_background"), *laid, brief="key from the left")
    assert "format.s2.transparency" not in ids(found)


# Order and effect


def test_lights_before_the_white_balance_are_moved_behind_it_in_their_order() -> None:
    steps = (
        step("s1", "relight", key=KEY),
        step("s2", "relight", "$s1", fill=FILL),
        step("s3", "white_balance", "$s2"),
        step("s4", "export", "$s3", format="jpeg"),
    )
    after, again = mended(*steps)
    assert [one.id for one in after.steps] == ["s3", "s1", "s2", "s4"]
    assert again.verdict is Verdict.ACCEPT


def test_a_picture_is_cut_before_it_is_resized() -> None:
    steps = (
        step("s1", "resize", width_px=900),
        step("s3", "remove_background", "$s1"),
        step("s2", "export", "$s3", format="png"),
    )
    after, again = mended(*steps)
    assert [one.id for one in after.steps] == ["s3", "s1", "s2"] and again.verdict is Verdict.ACCEPT


@pytest.mark.parametrize(
    "idle",
    [
        step("s0", "adjust_exposure"),
        step("s0", "adjust_contrast", amount=0.0),
        step("s0", "enhance_image", denoise=0),
        step("s0", "white_balance", neutralise=0),
        step("s0", "blur_background", amount=0),
        step("s0", "resize"),
    ],
    ids=lambda idle: idle.tool,
)
def test_a_step_whose_numbers_leave_the_picture_alone_is_dropped(idle: Step) -> None:
    steps = idle, step("s2", "export", "$s0", format="jpeg")
    after, again = mended(*steps)
    assert [one.id for one in after.steps] == ["s2"] and again.verdict is Verdict.ACCEPT


@pytest.mark.parametrize("busy", [step("s0", "white_balance"), step("s0", "blur_background")], ids=lambda one: one.tool)
def test_a_step_that_works_by_its_defaults_stays(busy: Step) -> None:
    assert "effect.s0" not in ids(judged(busy, step("s2", "export", "$s0", format="jpeg")))


def test_the_same_step_twice_is_dropped_or_where_twice_is_more_remarked_on() -> None:
    once, twice = step("s0", "white_balance", kelvin=6000), step("s1", "white_balance", "$s0", kelvin=6000)
    after, again = mended(once, twice, OUT)
    assert [one.id for one in after.steps] == ["s0", "s2"] and again.verdict is Verdict.ACCEPT
    found = judged(step("s0", "adjust_exposure", ev=0.3), step("s1", "adjust_exposure", "$s0", ev=0.3), OUT)
    assert found.ok and finding(found, "effect.s1.again").severity == "advice"


# Presets


@pytest.mark.parametrize(
    ("wrong", "about", "params"),
    [
        ({"color": "#f0f0f0"}, "preset.ground", {"color": "#ffffff"}),
        ({"shadow": "contact"}, "preset.shadow", {"shadow": "none"}),
        ({"fill_percent": 60}, "preset.fill", {"fill_percent": 90}),
        ({"width_px": 800, "height_px": 800}, "preset.size.width_px", {"width_px": 2000, "height_px": 2000}),
    ],
)
def test_a_product_shot_that_misses_the_preset_is_set_to_what_meets_it(
    wrong: dict[str, Any], about: str, params: dict[str, Any]
) -> None:
    made = step("s1", "product_shot", **{"fill_percent": 90, **wrong})
    assert "amazon-main" in finding(judged(made, OUT, target=AMAZON), about).message
    after, again = mended(made, OUT, target=AMAZON)
    assert params.items() <= after.steps[0].params.items() and again.verdict is Verdict.ACCEPT


def test_a_plan_that_leaves_the_fill_to_chance_is_told_so() -> None:
    laid = step("s1", "replace_background", color="#ffffff")
    found = judged(laid, OUT, target=AMAZON)
    assert found.ok and "85 % of the frame" in finding(found, "preset.fill").message


def test_a_format_that_the_preset_does_not_take_is_changed() -> None:
    after, again = mended(SHOT, step("s2", "export", "$s1", format="webp"), target=AMAZON)
    assert after.steps[1].params["format"] == "jpeg" and again.verdict is Verdict.ACCEPT


def test_an_export_that_shrinks_a_product_shot_below_the_preset_leaves_its_size() -> None:
    after, again = mended(SHOT, step("s2", "export", "$s1", format="jpeg", long_side_px=600), target=AMAZON)
    assert "long_side_px" not in after.steps[1].params and again.verdict is Verdict.ACCEPT


def test_a_resize_to_another_shape_is_set_to_the_presets_and_crops() -> None:
    square = preset("instagram-square").target
    after, again = mended(step("s1", "resize", width_px=900), OUT, target=square)
    shaped = {"width_px": 1080, "height_px": 1080, "fit": "cover"}
    assert shaped.items() <= after.steps[0].params.items() and again.verdict is Verdict.ACCEPT


@pytest.mark.parametrize(
    ("made", "target", "about"),
    [
        (step("s1", "relight", key=KEY), AMAZON, "preset.ground"),
        (step("s1", "relight", key=KEY), preset("instagram-square").target, "preset.size"),
        (step("s1", "white_balance"), preset("instagram-portrait").target, "preset.format"),
    ],
)
def test_a_plan_without_the_step_that_the_preset_needs_is_planned_again_and_then_goes_to_a_person(
    made: Step, target: Target, about: str
) -> None:
    found = judged(made, target=target)
    assert finding(found, about).fix == "plan again from the brief"
    assert found.verdict is Verdict.REVISE
    assert judged(made, target=target, earlier=found.findings).verdict is Verdict.REJECT


@pytest.mark.parametrize(
    ("seen", "about", "says"),
    [
        ({"width": 240, "height": 200}, "preset.too-small", "asks for 1000 px, and the picture has 240"),
        ({"mask_confidence": 0.0, "mask_trusted": False, "mask_reason": "No edge."}, "preset.no-subject", "No edge."),
    ],
)
def test_a_preset_that_cannot_be_met_goes_to_a_person(seen: dict[str, Any], about: str, says: str) -> None:
    found = judged(SHOT, OUT, target=AMAZON, **seen)
    assert says in finding(found, about).message and found.verdict is Verdict.REJECT


def test_a_picture_that_is_large_enough_at_four_times_its_size_can_meet_it() -> None:
    assert "preset.too-small" not in ids(judged(SHOT, OUT, target=AMAZON, width=250, height=200))
