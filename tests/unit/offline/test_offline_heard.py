"""What comes of briefs that the grammar was not written from: the steps asked for, no others, and the rest said."""

from __future__ import annotations

from typing import Any

import pytest

from prolight.adapters.offline.planner import plan
from prolight.adapters.offline.vocabulary import STOP_WORDS
from prolight.presets import names
from prolight.schemas import Plan

from .briefs_heard import HEARD
from .briefs_refused import REFUSED, REFUSED_IN_PART
from .briefs_tools import Job
from .briefs_traps import TRAPS
from .studio_tools import SCHEMAS

EXPORT = "studio.export"
CUT_OUT = {"studio.remove_background", "studio.crop_out_foreground"}
RESIZED = {"studio.product_shot", "studio.increase_resolution", "studio.resize"}
UNREACHED = {
    "There is an orange cast, please remove it.": "a cast is taken out only where the verb stands before it",
    "cut it out, trimmed with a 15% margin": "the margin is made, and `trimmed` said not to be understood",
    "resize to 640x480, padded with black": "`black` is said not to be understood, and the padding white",
    "resize to a height of 900 px": "900 px become the export's long side, and `height` is said not to be understood",
    "crop to 1080x1350": "the crop is made, and `crop` said not to be understood",
    "Sharpen it last. First kill the green cast. Save as png.": "`last` and `First` are said not to be understood",
    "match hero.jpg": "the name of a file is taken for a format, and an export made",
    "fake some bokeh lights": "`bokeh` is blurred, `fake` and `lights` said not to be understood",
    "white background, transparent": "the contradiction is not noticed: the ground is white, and nothing said",
    "key light 2x": "2x is taken for an enlargement, and nothing said",
}
"""Briefs that the grammar does not read as a person would, each with what it makes of them instead."""


def reached(jobs: tuple[Job, ...]) -> list[Any]:
    """The briefs as cases; those that are not reached must fail, so that one that comes to be read is noticed."""
    return [
        pytest.param(job, id=job.text, marks=pytest.mark.xfail(strict=True, reason=UNREACHED[job.text]))
        if job.text in UNREACHED
        else pytest.param(job, id=job.text)
        for job in jobs
    ]


every_job = pytest.mark.parametrize("job", [*HEARD, *REFUSED, *REFUSED_IN_PART, *TRAPS], ids=lambda job: job.text)


def made_as_asked(made: Plan, job: Job) -> None:
    assert job.steps or not made.steps
    steps = [step for step in made.steps if step.tool != EXPORT or any(one.tool == "export" for one in job.steps)]
    assert [step.tool for step in steps] == [f"studio.{asked.tool}" for asked in job.steps]
    for step, asked in zip(steps, job.steps, strict=True):
        assert _part(step.params, asked.params) == asked.params


def _part(params: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What the params say of those asked for; a light is compared by the fields that the brief decides."""
    return {
        name: _part(params.get(name) or {}, value) if isinstance(value, dict) else params.get(name)
        for name, value in asked.items()
    }


@pytest.mark.parametrize("job", reached(HEARD))
def test_a_brief_in_other_words_leads_to_the_steps_it_asks_for_and_leaves_nothing_unsaid(job: Job) -> None:
    made = plan(job.text, SCHEMAS)
    made_as_asked(made, job)
    assert made.not_understood == ()


@pytest.mark.parametrize("job", reached((*REFUSED, *REFUSED_IN_PART, *TRAPS)))
def test_what_no_tool_does_leads_to_no_step_and_is_said(job: Job) -> None:
    made = plan(job.text, SCHEMAS)
    made_as_asked(made, job)
    said = " ".join(made.not_understood).split()
    due = [word for phrase in job.not_understood for word in phrase.split() if word not in STOP_WORDS]
    assert [word for word in due if word not in said] == []


@every_job
def test_the_mask_is_the_inputs_only_while_the_picture_has_its_size_and_no_alpha(job: Job) -> None:
    steps = plan(job.text, SCHEMAS).steps
    changed = [at for at, step in enumerate(steps) if step.tool in RESIZED | CUT_OUT]
    behind = steps[changed[0] + 1 :] if changed else ()
    assert [step.tool for step in behind if "mask_of" in step.params] == []


@every_job
def test_a_transparent_picture_is_not_exported_as_jpeg(job: Job) -> None:
    steps = plan(job.text, SCHEMAS).steps
    formats = [step.params["format"] for step in steps if step.tool == EXPORT]
    if steps and CUT_OUT & {step.tool for step in steps}:
        assert formats and "jpeg" not in formats


@pytest.mark.parametrize("shop", names())
@pytest.mark.parametrize("text", ["cut it out", "remove the background", "blur the background", "keep the background"])
def test_only_the_briefs_own_words_are_said_not_to_be_understood(text: str, shop: str) -> None:
    made = plan(text, SCHEMAS, shop=shop)
    assert [said for said in made.not_understood if said not in text] == []
