"""What a run tells the world: whole, within its size, and readable again."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prolight.events import (
    MAX_EVENT_BYTES,
    PAYLOADS,
    Blocked,
    Cost,
    Event,
    Failure,
    Judged,
    Note,
    Payload,
    PlanMade,
    Progress,
    Result,
    Status,
    StepMoved,
    Warned,
    parse,
    stamp,
)
from prolight.schemas import Artifact, Critique, Finding, Plan, RunError, Stage, State, Step, Verdict
from tests.unit.strategies import FEW, artifacts, critiques, documents, errors, plans, words

EXAMPLES = st.one_of(
    st.builds(
        Status,
        state=st.sampled_from(State),
        previous=st.none() | st.sampled_from(State),
        stage=st.none() | st.sampled_from(Stage),
        reason=st.none() | words,
    ),
    st.builds(PlanMade, plan=plans(), plan_hash=words, model=words, round=st.integers(0, 3)),
    st.builds(Judged, critique=critiques, model=words, round=st.integers(0, 3)),
    st.builds(Blocked, subject=st.just("plan"), reasons=st.lists(words).map(tuple), until=st.floats(0, 4e9)),
    st.builds(Progress, stage=st.sampled_from(Stage), message=words, fraction=st.none() | st.floats(0, 1)),
    st.builds(StepMoved, step=words, tool=words, status=st.just("done"), artifact=st.none() | artifacts),
    st.builds(Result, outputs=st.lists(artifacts, max_size=3).map(tuple)),
    st.builds(Warned, code=words, message=words),
    st.builds(Failure, error=errors),
    st.builds(Cost, spent_usd=st.just(Decimal(1)), reserved_usd=st.just(Decimal(0)), budget_usd=st.just(Decimal(2))),
    st.builds(Note, message=words, fields=documents),
)
PICTURE = Artifact(id="a" * 64, media_type="image/png", size_bytes=1, width=1, height=1)


def stamped(payload: Payload) -> Event:
    return parse(stamp(payload.body(), run_id="r", seq=1, epoch=2, at=3.0))


def test_the_list_of_names_is_complete() -> None:
    assert set(PAYLOADS) == {
        "status", "plan", "critique", "blocked", "progress", "step", "result", "warning", "error", "cost", "note",
    }  # fmt: skip
    ours = {payload for payload in Payload.__subclasses__() if payload.__module__ == Payload.__module__}
    assert set(PAYLOADS.values()) == ours


@FEW
@given(EXAMPLES, st.integers(1, 10**9), st.integers(0, 10**6), st.integers(0, 4 * 10**12))
def test_a_stamped_event_reads_back_as_it_was(payload: Payload, seq: int, epoch: int, at_ms: int) -> None:
    text = stamp(payload.body(), run_id="run-1", seq=seq, epoch=epoch, at=at_ms / 1000)
    event = parse(text)
    assert (event.run_id, event.seq, event.epoch, event.type) == ("run-1", seq, epoch, payload.type)
    assert event.at == at_ms / 1000
    assert event.payload == payload
    assert list(json.loads(text)) == ["run_id", "seq", "epoch", "at", "type", "payload"]
    assert "\n" not in text


LONG = "☀" * 600
BIG: list[Payload] = [
    Status(state=State.CANCELLED, reason="because " * 5_000),
    PlanMade(
        plan=Plan(
            steps=tuple(
                Step(
                    id=f"s{n}" + "x" * 29,
                    tool=f"studio.{'t' * 60}",
                    params={"text": LONG[:300]},
                    depends_on=tuple(f"s{m}" + "x" * 29 for m in range(10, n)),
                    why=LONG[:400],
                )
                for n in range(10, 34)
            ),
            summary=LONG,
        ),
        plan_hash="a" * 64,
        model="m",
        round=0,
    ),
    Judged(
        critique=Critique(
            verdict=Verdict.REVISE,
            findings=tuple(Finding(id=f"f{n}", severity="blocking", message=LONG, fix=LONG[:400]) for n in range(64)),
        ),
        model="m",
        round=0,
    ),
    Blocked(subject="plan", reasons=(LONG,) * 64, plan_hash="a" * 64, until=1.0),
    Progress(stage=Stage.EXECUTE, message=LONG * 20),
    StepMoved(step="a", tool="studio.relight", status="failed", message=LONG * 20),
    Result(outputs=(PICTURE,) * 200),
    Warned(code="tool", message=LONG * 20),
    Failure(error=RunError(code="x", message=LONG * 20, cause=LONG * 20)),
    Note(message="n", fields={"x": LONG * 20}),
]


@pytest.mark.parametrize("payload", BIG, ids=lambda payload: payload.type)
def test_an_event_that_is_too_large_is_shortened_and_stays_readable(payload: Payload) -> None:
    assert len(payload.model_dump_json().encode()) > MAX_EVENT_BYTES
    body = payload.body()
    assert len(body.encode()) <= MAX_EVENT_BYTES + 100
    assert stamped(payload).run_id == "r"


@pytest.mark.parametrize("payload", BIG[:4], ids=lambda payload: payload.type)
def test_what_readers_act_on_keeps_its_type_when_it_is_shortened(payload: Payload) -> None:
    assert stamped(payload).type == payload.type


def test_a_long_reason_does_not_hide_that_the_run_has_ended() -> None:
    event = stamped(BIG[0])
    assert event.final
    assert isinstance(event.payload, Status)
    assert (event.payload.reason or "").startswith("because")


def test_a_long_error_still_names_its_code() -> None:
    event = stamped(Failure(error=RunError(code="poison", message=LONG * 20)))
    assert isinstance(event.payload, Failure)
    assert event.payload.error.code == "poison"


@pytest.mark.parametrize("state", State)
def test_only_a_terminal_status_is_final(state: State) -> None:
    from prolight.lifecycle import TERMINAL

    assert stamped(Status(state=state)).final == (state in TERMINAL)
    assert not stamped(Warned(code="x", message=state)).final


@pytest.mark.parametrize(
    "change", [{"type": "gossip"}, {"type": 1}, {"payload": {}}, {"payload": None}, {"seq": "x"}, {"extra": 1}]
)
def test_what_is_no_event_is_refused(change: dict[str, Any]) -> None:
    event = json.loads(stamp(Warned(code="c", message="m").body(), run_id="r", seq=1, epoch=1, at=1.0))
    with pytest.raises(ValidationError):
        parse(json.dumps({**event, **change}))
