"""What is expected of the briefs heard elsewhere, the studio could carry out: its tools, their ranges, its order."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from .briefs import ALL
from .briefs_heard import HEARD
from .briefs_refused import REFUSED, REFUSED_IN_PART
from .briefs_tools import UNDERSTOOD, Job
from .briefs_traps import TRAPS
from .briefs_unknown import IN_PART, NOT_AT_ALL
from .studio_tools import SCHEMAS

ANOTHERS = (*UNDERSTOOD, *IN_PART, *NOT_AT_ALL)
HERE = (*HEARD, *REFUSED, *REFUSED_IN_PART, *TRAPS)
TONES = ("white_balance", "adjust_exposure", "relight", "adjust_contrast", "enhance_image")
GROUNDS = ("replace_background", "remove_background", "crop_out_foreground", "blur_background", "product_shot")
ORDER = (*TONES, *GROUNDS, "increase_resolution", "resize", "export")


def without_required(schema: Any) -> Any:
    """A brief decides some of a step's params, so that none is required of the table."""
    if isinstance(schema, dict):
        return {name: without_required(part) for name, part in schema.items() if name != "required"}
    return [without_required(part) for part in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("job", HERE, ids=lambda job: job.text)
def test_every_expected_step_is_in_the_range_of_its_tool(job: Job) -> None:
    for step in job.steps:
        jsonschema.validate(step.params, without_required(SCHEMAS[f"studio.{step.tool}"]))


@pytest.mark.parametrize("job", HERE, ids=lambda job: job.text)
def test_the_expected_steps_are_in_the_order_of_the_studio(job: Job) -> None:
    places = [ORDER.index(step.tool) for step in job.steps]
    assert places == sorted(set(places))


def test_every_phrase_that_must_be_said_is_in_its_brief() -> None:
    assert [phrase for job in HERE for phrase in job.not_understood if phrase not in job.text] == []


def test_no_brief_here_is_counted_twice_or_stands_in_the_other_tables() -> None:
    texts = [brief.text for brief in ALL] + [job.text for job in (*ANOTHERS, *HERE)]
    assert [job.text for job in HERE if texts.count(job.text) > 1] == []
