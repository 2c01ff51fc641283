"""Properties of reading: nothing is dropped in silence, nothing depends on chance, no text is too much."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prolight.adapters.offline.critic import critique
from prolight.adapters.offline.marks import marks
from prolight.adapters.offline.planner import plan
from prolight.adapters.offline.reading import Reading, read
from prolight.adapters.offline.vocabulary import PHRASES, STOP_WORDS, Kind, Meaning
from prolight.adapters.offline.words import tokenise
from prolight.schemas import MAX_BRIEF_CHARS, Plan

from .briefs import ALL
from .studio_tools import SCHEMAS

unhurried = settings(deadline=None)
KNOWN = sorted({word for phrase in PHRASES for word in phrase})
NUMBERS = ("45°", "-30°", "3200K", "2:1", "1/3 stop", "half a stop", "+0.7 EV", "2000 px", "#abc", "60 degrees", "1e9")
MARKS = (",", ".", "and", "with", "but", ";", "\n", "the", "from the", "no", "without", "very", "on", "a")
words = st.sampled_from([*KNOWN, *NUMBERS, *MARKS, "helmet", "gloss", "zzz", "ß", "🙂"])
photographers_salad = st.lists(words, max_size=40).map(" ".join)
briefs = st.one_of(
    photographers_salad, st.sampled_from([brief.text for brief in ALL]), st.text(max_size=MAX_BRIEF_CHARS)
)

SILENT = {Kind.GLUE, Kind.THE, Kind.ON, Kind.JOIN, Kind.COMMA, Kind.STOP, Kind.KEEP, Kind.TOUCH, Kind.PICTURE}
"""Words that say nothing by themselves: joints, `keep`, `change`, and the picture as such."""


def accounted_for(reading: Reading) -> set[int]:
    said = [mark for wishes in reading.wishes.values() for mark in wishes.said]
    return {at for mark in [*said, *reading.lost] for at in range(mark.first, mark.last + 1)}


@unhurried
@given(briefs)
def test_every_word_is_used_or_reported(text: str) -> None:
    reading = read(text)
    left = [mark for mark in reading.marks if not set(range(mark.first, mark.last + 1)) <= accounted_for(reading)]
    for mark in left:
        excluded = mark.kind is Kind.NOT or mark.value in reading.excluded or mark.kind is Kind.BACKGROUND
        spoken_of_before = mark.kind is Kind.BACKGROUND and "background" in reading.wishes
        generic = mark.kind is Kind.LIGHT and mark.value == "any" and reading.lights
        assert mark.kind in SILENT or generic or spoken_of_before or (excluded and reading.excluded), reading.words(
            mark
        )


@unhurried
@given(briefs)
def test_marks_cover_the_brief_without_gaps(text: str) -> None:
    reading = read(text)
    covered = {at for mark in reading.marks for at in range(mark.first, mark.last + 1)}
    assert covered == set(range(len(reading.tokens)))


@unhurried
@given(st.lists(st.sampled_from(["helmet", "gloss", "zzz", "fluffy", "12", "🙂"]), min_size=1, max_size=600))
def test_unknown_words_come_back_word_for_word_even_when_there_are_hundreds(unknown: list[str]) -> None:
    text = ", ".join(unknown)[:MAX_BRIEF_CHARS]
    assert "".join(plan(text, SCHEMAS).not_understood).replace(" ", "") == text.replace(" ", "").strip(",") or (
        plan(text, SCHEMAS).not_understood == tuple(text.split(", "))
    )


@unhurried
@given(briefs)
def test_any_text_becomes_a_valid_plan_that_the_critic_can_judge(text: str) -> None:
    made = plan(text, SCHEMAS)
    assert Plan.model_validate_json(made.model_dump_json()) == made
    critique(made, text, SCHEMAS)


@unhurried
@given(briefs)
def test_the_same_brief_gives_the_same_plan(text: str) -> None:
    assert plan(text, SCHEMAS).model_dump_json() == plan(text, SCHEMAS).model_dump_json()


lights = st.sampled_from(["key", "soft warm key", "fill", "hard rim", "cool kicker", "strong fill", "Rembrandt light"])
places = st.sampled_from(
    ["from the left", "camera left", "from the back left", "30° left", "at 70 degrees to the left", "upper left"]
)


@unhurried
@given(st.lists(st.tuples(lights, places), min_size=1, max_size=3, unique_by=lambda pair: pair[0]))
def test_the_mirrored_brief_gives_the_mirrored_lights(asked: list[tuple[str, str]]) -> None:
    text = ", ".join(f"{light} {place}" for light, place in asked)
    made, mirrored = plan(text, SCHEMAS), plan(text.replace("left", "right"), SCHEMAS)
    for role in ("key", "fill", "rim"):
        light, other = made.steps[0].params.get(role), mirrored.steps[0].params.get(role)
        assert (light is None) == (other is None)
        if light and other:
            assert other == {**light, "azimuth_deg": -light["azimuth_deg"]}


@unhurried
@given(
    st.sampled_from(["key", "fill", "rim", "hair light", "kicker"]), st.sampled_from(["no", "without", "don't add a"])
)
def test_a_light_that_is_not_wanted_is_never_made(light: str, negation: str) -> None:
    made = plan(f"white background, {negation} {light}", SCHEMAS)
    assert [step.tool for step in made.steps] == ["studio.replace_background", "studio.export"]


@pytest.mark.parametrize(
    "text",
    [
        "rim light off, white background",
        "the rim is not needed, white background",
        "white background, turn off the fill",
        "white background; I don't want it warm",
        "white background but never from the left",
        "white background, less fill",
        "white background, not too bright",
        "white background, isn't soft",
    ],
)
def test_a_negated_wish_never_becomes_its_opposite(text: str) -> None:
    assert [step.tool for step in plan(text, SCHEMAS).steps] == ["studio.replace_background", "studio.export"]


def lines_executed(text: str) -> int:
    """How many lines of Python planning takes: a clock that no busy machine can bend."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        plan(text, SCHEMAS)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "unit",
    ["key ", "soft, ", "key soft, ", "key warm left ", "three point soft ", "no rim or ", "a of ", "45° left up ",
     "zz,", "1x", "((", "½", "-", "key soft warm left on white background "],
)  # fmt: skip
def test_repetition_costs_no_more_than_its_length(unit: str) -> None:
    half, whole = ((unit * MAX_BRIEF_CHARS)[:size] for size in (MAX_BRIEF_CHARS // 2, MAX_BRIEF_CHARS))
    assert lines_executed(whole) < 3 * lines_executed(half)


@pytest.mark.parametrize(("phrase", "meanings"), PHRASES.items(), ids=lambda value: " ".join(map(str, value))[:40])
def test_every_phrase_of_the_vocabulary_is_read_as_what_it_means(
    phrase: tuple[str, ...], meanings: tuple[Meaning, ...]
) -> None:
    found = marks(tokenise(" ".join(phrase)))
    read_as = [meaning for mark in found for meaning in (Meaning(mark.kind, mark.value), *mark.preset)]
    alone = [Meaning(Kind.UNKNOWN, one.value) if one.kind is Kind.ADVERB else one for one in meanings]
    assert read_as == alone


def test_no_stop_word_has_a_meaning_of_its_own() -> None:
    meant = {phrase[0] for phrase in PHRASES if len(phrase) == 1}
    assert not meant & STOP_WORDS
