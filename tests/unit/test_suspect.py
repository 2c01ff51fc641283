"""What a worker and the child that works on a suspect say to each other."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from prolight.outcomes import BackingOff, Crashed, Executed, Failed, Judged, Lost, Outcome, Planned, Released, Unclear
from prolight.schemas import Critique, Lock, Review, RunError, Verdict
from prolight.suspect import read_claim, read_end, write_claim, write_end
from tests.unit.scripted import picture, steps, tool, world

ERROR = RunError(code="tool_failed", message="no light")
LOCK = Lock(
    plan_hash="a" * 64,
    input_sha256="b" * 64,
    model_version="rules",
    prompt_hash="c" * 64,
    seed=1,
    policy_version="1",
    prolight_version="0",
)
ENDS: list[Outcome | Lost] = [
    Planned(steps("a"), LOCK),
    Judged(Critique(verdict=Verdict.ACCEPT), "rules", asks=("costly",)),
    Executed((picture("a"),)),
    Failed(ERROR),
    BackingOff(timedelta(seconds=9), ERROR),
    Unclear(Review(call="t.a", why="outcome_unknown", message="who knows")),
    Released(after=timedelta(seconds=1)),
    Crashed("it died"),
    Lost(),
]


async def test_a_claim_arrives_as_it_was() -> None:
    here = await world(tool("a"), plan=steps("a"))
    claim = await here.claim()
    assert read_claim(write_claim(claim)) == claim


@pytest.mark.parametrize("outcome", ENDS, ids=lambda outcome: type(outcome).__name__)
async def test_every_end_arrives_as_it_was(outcome: Outcome | Lost) -> None:
    here = await world(tool("a"))
    run = (await here.store.read("r")).run
    line = write_end(outcome, run)
    assert line.count(b"\n") == 1
    assert read_end(json.loads(line)) == (outcome, run)
