"""Arbitrary values of the core's types, for properties."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from prolight.schemas import (
    Approval,
    Artifact,
    Critique,
    ExecutionResult,
    Finding,
    Lock,
    Plan,
    RunContext,
    RunError,
    Stage,
    State,
    Step,
    StepResult,
    Turn,
    Usage,
    Verdict,
)

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(UNHURRIED, max_examples=40)
"""For values that are costly to make. No property may fail because the machine is busy."""

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
moments = st.floats(min_value=0, max_value=4e9)
dollars = st.decimals(min_value=0, max_value=999, places=6) | st.sampled_from([Decimal("0.00"), Decimal("0.10")])
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
documents = st.dictionaries(words, json_values, max_size=3)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    ids = draw(st.lists(st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True), max_size=4, unique=True))
    ids = [id for id in ids if id != "input"]
    return Plan(
        steps=tuple(draw(_steps(id, ids[:place])) for place, id in enumerate(ids)),
        summary=draw(words),
        not_understood=tuple(draw(st.lists(words, max_size=3))),
        asks_approval=draw(st.booleans()),
    )


@st.composite
def _steps(draw: st.DrawFn, id: str, earlier: list[str]) -> Step:
    params = {name: value for name, value in draw(documents).items() if "$" not in repr(value)}
    params["picture"] = draw(st.sampled_from(["$input", *(f"${other}" for other in earlier)]))
    return Step(
        id=id,
        tool=draw(st.from_regex(r"[a-z]{1,5}\.[a-z]{1,8}", fullmatch=True)),
        params=params,
        depends_on=tuple(draw(st.lists(st.sampled_from(earlier), unique=True))) if earlier else (),
        estimated_cost_usd=draw(dollars),
        why=draw(words),
    )


findings = st.builds(
    Finding,
    id=st.from_regex(r"[a-z][a-z0-9_.:-]{0,20}", fullmatch=True),
    severity=st.sampled_from(["blocking", "advice"]),
    message=words,
    step=st.none() | words,
    fix=words,
)
critiques = st.builds(
    Critique,
    verdict=st.sampled_from(Verdict),
    findings=st.lists(findings, max_size=3).map(tuple),
    plan_hash=st.just("") | hashes,
)
artifacts = st.builds(
    Artifact,
    id=hashes,
    media_type=words,
    size_bytes=st.integers(0, 10**9),
    width=st.integers(1, 10**5),
    height=st.integers(1, 10**5),
)
step_results = st.builds(
    StepResult,
    id=words,
    status=st.sampled_from(["running", "done", "failed"]),
    artifact=st.none() | artifacts,
    output=documents,
    started_at=moments,
    finished_at=st.none() | moments,
    cost_usd=dollars,
)
results = st.builds(
    ExecutionResult,
    steps=st.lists(step_results, max_size=3).map(tuple),
    outputs=st.lists(artifacts, max_size=2).map(tuple),
)
turns = st.builds(
    Turn,
    stage=st.sampled_from(Stage),
    round=st.integers(0, 3),
    queued_at=moments,
    started_at=st.none() | moments,
    finished_at=st.none() | moments,
    attempts=st.integers(0, 9),
    model=words,
)
errors = st.builds(
    RunError, code=words, message=words, stage=st.none() | st.sampled_from(Stage), step=st.none() | words
)
approvals = st.builds(
    Approval,
    subject=st.sampled_from(["plan", "result"]),
    reasons=st.lists(words, max_size=2).map(tuple),
    asked_at=moments,
    until=moments,
    decision=st.sampled_from([None, "approved", "rejected", "expired"]),
)
locks = st.builds(
    Lock,
    plan_hash=hashes,
    input_sha256=hashes,
    model_version=words,
    prompt_hash=hashes,
    seed=st.integers(0, 2**32),
    tool_pins=st.dictionaries(words, hashes, max_size=2),
    policy_version=words,
    prolight_version=words,
)
usages = st.builds(Usage, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(0, 10**6), cost_usd=dollars)
_optional: dict[str, Any] = {
    "plan": plans(),
    "critique": critiques,
    "exec_result": results,
    "inspection": documents,
    "error": errors,
    "approval": approvals,
    "lock": locks,
    "finished_at": moments,
    "works_until": moments,
}
runs = st.builds(
    RunContext,
    run_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True),
    asset_id=hashes,
    brief=words,
    metadata=st.dictionaries(words, words, max_size=3),
    state=st.sampled_from(State),
    round=st.integers(0, 3),
    turns=st.lists(turns, max_size=4).map(tuple),
    usage=usages,
    budget_usd=dollars,
    reserved_usd=dollars,
    spent_usd=dollars,
    created_at=moments,
    updated_at=moments,
    working_left_seconds=moments,
    **{name: st.none() | values for name, values in _optional.items()},
)
