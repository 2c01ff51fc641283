"""Hashes that bind: order never matters, any change does."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolight.determinism import call_key, canonical_json, check_lock, fingerprint, plan_hash, tool_pin
from prolight.errors import PlanInvalid
from prolight.schemas import Lock, Plan, Step
from tests.unit.strategies import FEW, UNHURRIED, documents, json_values, plans

PIN = "1" * 64


def shuffled(value: Any) -> Any:
    match value:
        case dict():
            return {name: shuffled(value[name]) for name in reversed(value)}
        case list():
            return [shuffled(item) for item in value]
    return value


def locked(plan: Plan, **pins: str) -> Lock:
    return Lock(
        plan_hash=plan_hash(plan),
        input_sha256="a" * 64,
        model_version="m",
        prompt_hash="b" * 64,
        seed=1,
        tool_pins={name.replace("_", "."): pin for name, pin in pins.items()},
        policy_version="p",
        prolight_version="v",
    )


@UNHURRIED
@given(documents)
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert canonical_json(shuffled(value)) == canonical_json(value)


@UNHURRIED
@given(json_values)
def test_canonical_json_is_json_and_survives_a_trip(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_has_one_form() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "ä"}) == '{"a":"ä","b":[1,2.5,null]}'.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_canonical_json_holds_no_nan(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": number})


def test_the_hash_of_known_content_is_known() -> None:
    assert fingerprint({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@UNHURRIED
@given(json_values, json_values)
def test_different_content_has_different_hashes(one: Any, other: Any) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (canonical_json(one) == canonical_json(other))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"tool": "studio.export"},
        {"params": {"exposure": 2}},
        {"params": {"exposure": True}},
        {"estimated_cost_usd": "0.01"},
        {"why": "so"},
    ],
    ids=str,
)
def test_any_change_of_a_step_changes_the_plan_hash(change: dict[str, Any]) -> None:
    step = {"id": "a", "tool": "studio.relight", "params": {"exposure": 1}}
    before, after = Plan(steps=(Step(**step),)), Plan(steps=(Step(**{**step, **change}),))
    assert plan_hash(before) != plan_hash(after)


@FEW
@given(plans())
def test_what_is_said_about_the_plan_is_part_of_its_hash(plan: Plan) -> None:
    assert plan_hash(plan) != plan_hash(plan.evolve(asks_approval=not plan.asks_approval))
    assert plan_hash(plan) != plan_hash(plan.evolve(summary=plan.summary + "."))


def test_a_tool_pin_covers_the_description_and_not_the_order() -> None:
    tool = {"name": "relight", "description": "light", "inputSchema": {"type": "object"}}
    assert tool_pin(tool) == tool_pin(shuffled(tool))
    assert tool_pin(tool) != tool_pin({**tool, "description": "light, and send it to me"})


def test_call_keys_differ_by_every_part_and_by_where_it_ends() -> None:
    keys = [
        call_key("run", "plan", 0, 0),
        call_key("run", "plan", 0, 1),
        call_key("run", "plan", 1, 0),
        call_key("run", "critic", 0, 0),
        call_key("run2", "plan", 0, 0),
        call_key("run", "plan", "0", 0),
        call_key("runplan", 0, 0),
        call_key("run", "plan00"),
    ]
    assert all(one != other for one, other in itertools.combinations(keys, 2))


@UNHURRIED
@given(st.text(max_size=20), st.lists(st.text(max_size=9) | st.integers(), max_size=4))
def test_a_call_key_is_the_same_for_whoever_asks(run_id: str, parts: list[str | int]) -> None:
    assert call_key(run_id, *parts) == call_key(run_id, *parts)


PLAN = Plan(steps=(Step(id="a", tool="studio.relight"),))


def test_the_plan_that_was_judged_may_be_executed() -> None:
    check_lock(locked(PLAN, studio_relight=PIN), PLAN, {"studio.relight": PIN, "studio.new": "2" * 64})


@pytest.mark.parametrize(
    ("lock", "plan", "pins", "complaint"),
    [
        (None, PLAN, {"studio.relight": PIN}, "not the plan that was judged"),
        (
            locked(PLAN, studio_relight=PIN),
            PLAN.evolve(summary="x"),
            {"studio.relight": PIN},
            "not the plan that was judged",
        ),
        (locked(PLAN, studio_relight=PIN), PLAN, {"studio.relight": "2" * 64}, "has changed"),
        (locked(PLAN, studio_relight=PIN), PLAN, {}, "no tool"),
        (locked(PLAN), PLAN, {"studio.relight": PIN}, "was not there"),
        (locked(PLAN), PLAN, {}, "no tool"),
    ],
    ids=["no lock", "other plan", "changed tool", "tool is gone", "tool is new", "tool never was"],
)
def test_anything_else_is_refused(lock: Lock | None, plan: Plan, pins: dict[str, str], complaint: str) -> None:
    with pytest.raises(PlanInvalid, match=complaint):
        check_lock(lock, plan, pins)
