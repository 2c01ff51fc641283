"""What policy says of a plan and of each call: every guardrail has a case that it allows and one that it does not."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolight.errors import CallRejected, GuardrailDenied
from prolight.guardrails import GUARDRAILS, Case, Objection, Policy, check_call, estimated_cost, rule
from prolight.ports import Tool
from prolight.schemas import Finding, Plan, Step
from tests.unit.strategies import UNHURRIED

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "picture": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "exposure": {"type": "number", "minimum": -4, "maximum": 4},
        "side": {"anyOf": [{"type": "integer", "minimum": 16, "maximum": 10_000}, {"type": "null"}]},
        "mood": {"type": "string"},
        "light": {"type": "object"},
        "lights": {"type": "array"},
        "Mask_Of": {},
    },
    "required": ["picture"],
}
RELIGHT = Tool(
    name="studio.relight",
    description="light",
    input_schema=SCHEMA,
    pin="1" * 64,
    effect="pure",
    price_usd=Decimal("0.04"),
    picture_params=frozenset({"picture", "Mask_Of"}),
)
PICTURE = "ab" * 32


def plan(*many: Mapping[str, Any], tool: str = "studio.relight", cost: str = "0", **changes: Any) -> Plan:
    steps = tuple(
        Step(id=f"s{n}", tool=tool, params={"picture": "$input", **params}, estimated_cost_usd=Decimal(cost))
        for n, params in enumerate(many or ({},))
    )
    return Plan(steps=steps, **changes)


def objections(plan: Plan, policy: Policy | None = None, budget: str = "1") -> list[Objection]:
    case = Case(plan, {RELIGHT.name: RELIGHT}, policy or Policy(), Decimal(budget))
    return [objection for guardrail in GUARDRAILS for objection in guardrail(case)]


def kinds(plan: Plan, policy: Policy | None = None, budget: str = "1") -> list[tuple[str, str]]:
    return [(objection.kind, objection.finding.id) for objection in objections(plan, policy, budget)]


def test_a_plan_within_every_limit_meets_no_objection() -> None:
    fine = plan({"exposure": 1, "side": None, "mood": "3/4 view, key:fill 2:1, ~2 stops, and/or file under 'soft'"})
    assert kinds(fine) == []
    ruling = rule(Case(fine, {RELIGHT.name: RELIGHT}, Policy(), Decimal(1)))
    assert (ruling.denied, ruling.asks, ruling.findings) == ((), (), ())


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (Policy(), True),
        (Policy(allowed_tools=frozenset({"studio.relight"})), True),
        (Policy(banned_tools=frozenset({"studio.export"})), True),
        (Policy(banned_tools=frozenset({"studio.relight"})), False),
        (Policy(allowed_tools=frozenset({"studio.export"})), False),
        (Policy(allowed_tools=frozenset({"studio.relight"}), banned_tools=frozenset({"studio.relight"})), False),
    ],
)
def test_banned_tools_are_denied(policy: Policy, allowed: bool) -> None:
    assert kinds(plan(), policy) == ([] if allowed else [("deny", "tool.banned.s0")])


def test_an_unknown_tool_is_to_be_mended_and_the_offer_is_named() -> None:
    (objection,) = objections(plan(tool="studio.sparkle"))
    assert (objection.kind, objection.finding.id) == ("mend", "tool.unknown.s0")
    assert "studio.relight" in objection.finding.message


@pytest.mark.parametrize(("limit", "met"), [(3, []), (2, [("mend", "plan.too-many-steps")])])
def test_steps_are_counted(limit: int, met: list[tuple[str, str]]) -> None:
    assert kinds(plan({}, {}, {}), Policy(max_steps=limit)) == met


@pytest.mark.parametrize(
    ("budget", "above", "met"),
    [
        ("0.08", None, []),
        ("0.079999", None, [("deny", "cost.over-budget")]),
        ("1", "0.08", []),
        ("1", "0.07", [("ask", "cost.asks")]),
        ("0.05", "0.01", [("deny", "cost.over-budget")]),
    ],
)
def test_cost_is_held_against_budget_and_approval_limit(
    budget: str, above: str | None, met: list[tuple[str, str]]
) -> None:
    policy = Policy(approve_above_usd=Decimal(above) if above else None)
    assert kinds(plan({}, {}), policy, budget) == met


@UNHURRIED
@given(said=st.decimals(0, 100, places=2))
def test_a_plan_cannot_talk_the_registrys_price_down(said: Decimal) -> None:
    assert estimated_cost(plan({}, {}, cost=str(said)), {RELIGHT.name: RELIGHT}) == 2 * max(said, Decimal("0.04"))


def test_what_an_unknown_tool_is_said_to_cost_counts() -> None:
    assert estimated_cost(plan(tool="studio.other", cost="3"), {}) == 3


def test_a_plan_may_ask_for_a_person() -> None:
    assert kinds(plan(asks_approval=True)) == [("ask", "plan.asks")]


LOCATIONS = [
    "http://evil.example/x",
    "HTTPS://evil.example",
    "see ftp://evil.example",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "FILE:secret.png",
    "data:image/png;base64,AAAA",
    " data:image/png;base64,AAAA",
    "use data:text/html,x",
    "blob:x",
    "/etc/passwd",
    " /etc/passwd",
    "\n/etc/passwd",
    "~/.ssh/id_rsa",
    "~root/x",
    "../secret",
    "a/../../b",
    "..\\secret",
    "C:\\Windows\\x",
    "c:/windows/x",
    "\\\\host\\share",
    "//host/share",
]


@pytest.mark.parametrize("where", [lambda x: {"mood": x}, lambda x: {"light": {"a": [{"b": x}]}}, lambda x: {x: 1}])
@pytest.mark.parametrize("location", LOCATIONS)
def test_no_url_or_path_reaches_a_tool_at_any_depth(location: str, where: Any) -> None:
    assert ("deny", "params.location.s0") in kinds(plan(where(location)))


@pytest.mark.parametrize("value", [PICTURE, "input", "$Input", "$input.png", "", 3, ["$input"], {"id": "$input"}])
def test_a_picture_is_named_by_reference_only(value: Any) -> None:
    assert ("mend", "params.picture.s0.picture") in kinds(plan({"picture": value}))


def test_an_optional_picture_may_be_left_out() -> None:
    assert kinds(plan({"Mask_Of": None})) == []


def test_a_finding_has_an_id_whatever_the_param_is_called() -> None:
    assert ("mend", "params.picture.s0.mask_of") in kinds(plan({"Mask_Of": "x"}))


@pytest.mark.parametrize(
    ("params", "place", "limit"),
    [
        ({"exposure": 9}, "exposure", "maximum of 4"),
        ({"exposure": "bright"}, "exposure", "not of type 'number'"),
        ({"side": 5}, "side", "minimum of 16"),
        ({"side": 99_999}, "side", "maximum of 10000"),
        ({"sparkle": 1}, "params", "'sparkle' was unexpected"),
    ],
)
def test_arguments_that_do_not_fit_are_to_be_mended_and_the_limit_is_named(
    params: dict[str, Any], place: str, limit: str
) -> None:
    (objection,) = objections(plan(params))
    assert (objection.kind, objection.finding.id, objection.finding.step) == ("mend", f"range.s0.{place}", "s0")
    assert limit in objection.finding.message
    assert limit in objection.finding.fix


def test_a_missing_argument_is_to_be_mended() -> None:
    (objection,) = objections(Plan(steps=(Step(id="a", tool="studio.relight"),)))
    assert "'picture' is a required property" in objection.finding.message


def test_a_ruling_sorts_objections_by_what_they_lead_to() -> None:
    case = Case(plan({"exposure": 9, "mood": "/x"}, asks_approval=True), {RELIGHT.name: RELIGHT}, Policy(), Decimal(1))
    ruling = rule(case)
    assert [("URL or path" in reason) for reason in ruling.denied] == [True]
    assert ruling.asks == ("the plan itself asks for approval",)
    assert [finding.severity for finding in ruling.findings] == ["blocking", "blocking"]


@UNHURRIED
@given(st.dictionaries(st.text(max_size=200), st.text(max_size=2000), max_size=5))
def test_whatever_a_plan_says_the_findings_are_well_formed(params: dict[str, str]) -> None:
    try:
        whole = plan(params)
    except ValueError:
        return
    for objection in objections(whole):
        Finding.model_validate(objection.finding.model_dump())


@pytest.mark.parametrize(
    "change",
    [
        {"max_steps": 3},
        {"banned_tools": frozenset({"a.b"})},
        {"allowed_tools": frozenset({"a.b"})},
        {"approve_above_usd": Decimal(1)},
    ],
)
def test_a_changed_policy_has_another_version(change: dict[str, Any]) -> None:
    assert Policy(**change).version != Policy().version
    assert Policy(**change).version == Policy(**change).version


# The last look, on resolved arguments

STEP = Step(id="a", tool="studio.relight")


def test_a_call_with_resolved_pictures_may_be_made() -> None:
    check_call(STEP, {"picture": PICTURE, "Mask_Of": None, "exposure": 1}, RELIGHT, Policy())


@pytest.mark.parametrize(
    "value", ["$input", "/etc/passwd", PICTURE + "\n", PICTURE.upper(), PICTURE + "0", 3, [PICTURE]]
)
def test_a_call_with_anything_else_for_a_picture_is_denied(value: Any) -> None:
    with pytest.raises(GuardrailDenied, match="picture is not a picture"):
        check_call(STEP, {"picture": value}, RELIGHT, Policy())


def test_a_call_of_a_tool_that_was_banned_meanwhile_is_denied() -> None:
    with pytest.raises(GuardrailDenied, match=r"studio\.relight is not allowed"):
        check_call(STEP, {"picture": PICTURE}, RELIGHT, Policy(banned_tools=frozenset({"studio.relight"})))


@pytest.mark.parametrize("arguments", [{"exposure": 5}, {"side": 1}, {"extra": 1}])
def test_a_call_whose_arguments_do_not_fit_is_rejected(arguments: dict[str, Any]) -> None:
    with pytest.raises(CallRejected, match="step a: "):
        check_call(STEP, {"picture": PICTURE, **arguments}, RELIGHT, Policy())


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema"},
        {"properties": {"picture": {"$ref": "file:///etc/passwd"}}},
        {"properties": {"picture": {"type": "no such type"}}},
        {"properties": {"picture": {"pattern": "("}}},
    ],
)
def test_a_schema_that_cannot_be_used_rejects_the_call_and_fetches_nothing(schema: dict[str, Any]) -> None:
    broken = Tool(name="studio.relight", description="", input_schema=schema, pin="1" * 64)
    with pytest.raises(CallRejected, match="schema"):
        check_call(STEP, {"picture": PICTURE}, broken, Policy())
    (objection,) = rule(Case(plan(), {broken.name: broken}, Policy(), Decimal(1))).findings
    assert "schema" in objection.message
