"""The values at the door: exact in JSON, closed, and every limit names itself."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel, ValidationError

from prolight.determinism import canonical_json, plan_hash
from prolight.errors import InvalidInput
from prolight.schemas import (
    MAX_BRIEF_CHARS,
    MAX_METADATA_BYTES,
    MAX_METADATA_CHARS,
    MAX_METADATA_ENTRIES,
    MAX_PARAMS_BYTES,
    MAX_STEPS,
    Critique,
    ExecutionResult,
    Plan,
    RunContext,
    RunRequest,
    Step,
    Usage,
    Value,
    refusal,
)
from tests.unit.strategies import FEW, critiques, plans, results, runs

PICTURE = "ab" * 32


def request(**changes: Any) -> RunRequest:
    return RunRequest.parse(**{"picture_id": PICTURE, "brief": "warm light", **changes})


def step(id: str = "light", **changes: Any) -> Step:
    return Step(id=id, tool="studio.relight", **changes)


@FEW
@given(runs)
def test_a_run_is_the_same_after_a_trip_through_json(run: RunContext) -> None:
    assert RunContext.from_json(run.to_json()) == run
    assert RunContext.from_dict(run.to_dict()) == run
    assert RunContext.from_dict(json.loads(json.dumps(run.to_dict()))) == run


@FEW
@given(plans())
def test_a_plan_keeps_its_hash_through_the_document(plan: Plan) -> None:
    kept = RunContext.from_json(RunContext(run_id="r", asset_id=PICTURE, plan=plan).to_json()).plan
    assert kept == plan
    assert kept is not None
    assert plan_hash(kept) == plan_hash(plan)


@pytest.mark.parametrize("cost", ["0.0", "0.00", "0", "0.10", "1E+2", "-0"])
def test_how_a_price_is_written_does_not_change_the_plan_hash(cost: str) -> None:
    written, plain = step(estimated_cost_usd=cost), step(estimated_cost_usd=Decimal(cost).normalize() + 0)
    assert plan_hash(Plan(steps=(written,))) == plan_hash(Plan(steps=(plain,)))


@FEW
@given(critiques)
def test_a_critique_is_the_same_after_a_trip_through_json(critique: Critique) -> None:
    assert Critique.model_validate_json(critique.model_dump_json()) == critique


@FEW
@given(results)
def test_a_result_is_the_same_after_a_trip_through_json(result: ExecutionResult) -> None:
    assert ExecutionResult.model_validate_json(result.model_dump_json(exclude_defaults=True)) == result


VALUES = [value for value in Value.__subclasses__() if value.__module__.startswith("prolight.schemas.")]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_an_unknown_field_is_refused(value: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as refused:
        value.model_validate({"no_such_field": 1})
    assert "extra_forbidden" in {error["type"] for error in refused.value.errors()}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_values_are_frozen(value: type[BaseModel]) -> None:
    empty = value.model_construct()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(empty, next(iter(value.model_fields)), None)


@pytest.mark.parametrize(
    ("field", "sent", "limit"),
    [
        ("brief", "x" * (MAX_BRIEF_CHARS + 1), str(MAX_BRIEF_CHARS)),
        ("brief", "", "1 character"),
        ("brief", " \n ", "says nothing"),
        ("brief", "a\x00b", "NUL"),
        ("picture_id", "a" * 63, "64"),
        ("picture_id", "A" * 64, "[0-9a-f]"),
        ("picture_id", PICTURE + "\n", "[0-9a-f]"),
        ("run_id", "x" * 129, "127"),
        ("run_id", "../etc", "[A-Za-z0-9]"),
        ("run_id", "run\n", "[A-Za-z0-9]"),
        ("run_id", "", "[A-Za-z0-9]"),
        ("idempotency_key", "", "1 character"),
        ("idempotency_key", "k" * 256, "255"),
        ("metadata", {str(n): "" for n in range(MAX_METADATA_ENTRIES + 1)}, str(MAX_METADATA_ENTRIES)),
        ("metadata", {"k": "v" * (MAX_METADATA_CHARS + 1)}, str(MAX_METADATA_CHARS)),
        ("metadata", {"k" * (MAX_METADATA_CHARS + 1): ""}, str(MAX_METADATA_CHARS)),
        ("metadata", {str(n): "ß" * MAX_METADATA_CHARS for n in range(MAX_METADATA_ENTRIES)}, str(MAX_METADATA_BYTES)),
        ("metadata", {"k": "a\x00"}, "NUL"),
        ("priority", 1, "not permitted"),
    ],
)
def test_a_request_beyond_a_limit_is_refused_by_field_and_limit(field: str, sent: Any, limit: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        request(**{field: sent})
    assert str(refused.value).startswith(field)
    assert limit in str(refused.value)


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidInput, match="brief"):
        request(brief="light \ud800")
    with pytest.raises(InvalidInput, match="metadata"):
        request(metadata={"k": "\udfff"})


def test_a_request_at_its_limits_is_taken() -> None:
    request(
        brief="x" * MAX_BRIEF_CHARS,
        run_id="x" * 128,
        idempotency_key="k" * 255,
        metadata={
            f"{n:0{MAX_METADATA_CHARS // 2}}": "v" * (MAX_METADATA_CHARS // 2) for n in range(MAX_METADATA_ENTRIES)
        },
    )


def test_a_refusal_never_quotes_the_value() -> None:
    with pytest.raises(ValidationError) as refused:
        RunRequest(picture_id="my secret", brief="x")
    assert "secret" not in str(refusal(refused.value))


def test_a_refusal_says_how_many_more_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"and 1 more"):
        RunRequest.parse(picture_id="x", brief="")


def test_the_picture_and_named_dependencies_need_no_step() -> None:
    lone = step(params={"picture": "$input", "nested": [{"mask": "$input"}]}, depends_on=("input",))
    assert lone.references == lone.needs == frozenset()


def test_references_are_found_at_any_depth_and_join_the_dependencies() -> None:
    deep = step(params={"a": "$one", "b": [{"c": ("$two", "costs $3", "$Not", "x$four")}]}, depends_on=("five",))
    assert deep.references == {"one", "two"}
    assert deep.needs == {"one", "two", "five"}


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ((step("a"), step("a")), "'a' is taken"),
        ((step("input"),), "'input' is taken"),
        ((step("a", depends_on=("a",)),), "no earlier step"),
        ((step("a", params={"picture": "$a"}),), "no earlier step"),
        ((step("a", params={"picture": "$b"}), step("b")), "no earlier step"),
        ((step("a", depends_on=("b",)), step("b", depends_on=("a",))), "no earlier step"),
        ((step("a", params={"picture": "$ghost"}),), "ghost"),
        (tuple(step(f"s{n}") for n in range(MAX_STEPS + 1)), str(MAX_STEPS)),
    ],
    ids=["twice", "input", "itself", "its own picture", "forward", "cycle", "nothing", "too many"],
)
def test_a_plan_that_cannot_be_carried_out_in_order_is_refused(steps: tuple[Step, ...], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Plan(steps=steps)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("params", ['{"x": %s}', '{"x": [{"y": %s}]}'])
def test_a_number_that_json_cannot_hold_is_refused_with_the_plan(params: str, number: str) -> None:
    with pytest.raises(ValidationError, match="params"):
        Plan.model_validate_json('{"steps": [{"id": "a", "tool": "s.t", "params": %s}]}' % (params % number))


@pytest.mark.parametrize("params", [{"x": "\ud800"}, {"x": object()}, {"x": 10**5000}])
def test_params_that_have_no_json_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="params"):
        step(params=params)


def test_params_are_what_json_will_give_back() -> None:
    assert step(params={"x": {1: (1, 2.0)}}).params == {"x": {"1": [1, 2.0]}}


def test_params_that_would_not_fit_the_document_are_refused_with_the_limit() -> None:
    large = step(params={"text": "x" * (MAX_PARAMS_BYTES // 2)})
    Plan(steps=(large,))
    with pytest.raises(ValidationError, match=str(MAX_PARAMS_BYTES)):
        Plan(steps=(large, large.evolve(id="more")))


@FEW
@given(plans())
def test_every_plan_that_is_taken_has_a_canonical_form(plan: Plan) -> None:
    assert canonical_json(plan.model_dump(mode="json"))


@pytest.mark.parametrize("cost", ["-0.01", "0.0000001", "1000000", "NaN", "Infinity"])
def test_money_is_exact_and_never_negative(cost: str) -> None:
    with pytest.raises(ValidationError, match="cost_usd"):
        Usage(cost_usd=Decimal(cost))


def test_usage_adds_up() -> None:
    assert Usage(input_tokens=1, cost_usd=Decimal("0.1")) + Usage(input_tokens=2, cost_usd=Decimal("0.2")) == Usage(
        input_tokens=3, cost_usd=Decimal("0.3")
    )


def test_a_step_that_ends_replaces_its_running_self() -> None:
    from prolight.schemas import StepResult

    running = StepResult(id="a", status="running", started_at=1)
    other = StepResult(id="b", status="running", started_at=1)
    done = running.evolve(status="done", finished_at=2.0)
    assert ExecutionResult(steps=(running, other)).with_step(done).steps == (other, done)
