"""What policy says of a plan, and again of each call just before it is made. Pure.

A guardrail looks at the plan and yields objections: `deny` ends the run, `ask` wants a person,
`mend` is sent back to the Planner with the fix. A new guardrail is one function and one entry in
`GUARDRAILS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Literal

from prolight.determinism import canonical_json, fingerprint
from prolight.errors import CallRejected, GuardrailDenied
from prolight.ports import Tool
from prolight.schemas import SHA256, Finding, Plan, RunContext, Step

_LOCATION = re.compile(
    r"[a-z][a-z0-9+.-]*://"  # any URL
    r"|\b(?:file|data|blob|javascript):\S"  # those that need no //
    r"|^\s*(?:[/\\]|~[\w.-]*[/\\]|[a-z]:[/\\])"  # a path from a root, a home, or a drive
    r"|\.\.[/\\]",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$[a-z][a-z0-9_-]*")
_ANY_PICTURE = "0" * 64


@dataclass(frozen=True)
class Policy:
    max_steps: int = 24
    banned_tools: frozenset[str] = frozenset()
    allowed_tools: frozenset[str] = frozenset()
    """Empty: every tool that is offered and not banned."""
    approve_above_usd: Decimal | None = None

    @cached_property
    def version(self) -> str:
        return fingerprint(
            [self.max_steps, sorted(self.banned_tools), sorted(self.allowed_tools), str(self.approve_above_usd)]
        )[:16]

    def permits(self, tool: str) -> bool:
        return tool not in self.banned_tools and (not self.allowed_tools or tool in self.allowed_tools)


@dataclass(frozen=True, slots=True)
class Case:
    """What the guardrails judge."""

    plan: Plan
    tools: Mapping[str, Tool]
    policy: Policy
    budget_usd: Decimal


@dataclass(frozen=True, slots=True)
class Objection:
    kind: Literal["deny", "ask", "mend"]
    finding: Finding


@dataclass(frozen=True, slots=True)
class Ruling:
    """All objections, sorted by what they lead to."""

    denied: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=())


def rule(case: Case) -> Ruling:
    objections = [objection for guardrail in GUARDRAILS for objection in guardrail(case)]
    return Ruling(
        denied=tuple(o.finding.message for o in objections if o.kind == "deny"),
        asks=tuple(o.finding.message for o in objections if o.kind == "ask"),
        findings=tuple(o.finding for o in objections if o.kind != "ask"),
    )


def check_accepted(run: RunContext) -> None:
    """Raises `GuardrailDenied` unless exactly this plan was judged, and a person approved it where one was asked."""
    plan_hash = run.lock.plan_hash if run.lock else ""
    if run.critique is None or run.critique.plan_hash != plan_hash:
        raise GuardrailDenied("the Critic has not judged this plan")
    approval = run.approval
    approved = approval is not None and approval.decision == "approved" and approval.plan_hash == plan_hash
    if not approved and (run.ask or not run.critique.ok):
        raise GuardrailDenied("nobody approved this plan")


def _objection(
    kind: Literal["deny", "ask", "mend"], id: str, message: str, *, step: str | None = None, fix: str = ""
) -> Objection:
    severity: Literal["blocking", "advice"] = "advice" if kind == "ask" else "blocking"
    id = re.sub(r"[^a-z0-9_.:-]", "-", id.lower())[:96]
    return Objection(kind, Finding(id=id, severity=severity, message=message[:600], step=step, fix=fix[:400]))


def tools_are_allowed(case: Case) -> Iterator[Objection]:
    for step in case.plan.steps:
        if not case.policy.permits(step.tool):
            yield _objection("deny", f"tool.banned.{step.id}", f"tool {step.tool} is not allowed here", step=step.id)
        elif step.tool not in case.tools:
            offered = ", ".join(sorted(case.tools)) or "none"
            yield _objection(
                "mend", f"tool.unknown.{step.id}", f"there is no tool {step.tool}; offered: {offered}", step=step.id,
                fix="drop the step or use an offered tool",
            )  # fmt: skip


def steps_are_few(case: Case) -> Iterator[Objection]:
    count, limit = len(case.plan.steps), case.policy.max_steps
    if count > limit:
        yield _objection("mend", "plan.too-many-steps", f"{count} steps, at most {limit}", fix=f"at most {limit} steps")


def cost_is_within_budget(case: Case) -> Iterator[Objection]:
    cost = estimated_cost(case.plan, case.tools)
    if cost > case.budget_usd:
        yield _objection("deny", "cost.over-budget", f"would cost {cost} USD, the budget is {case.budget_usd} USD")
    elif case.policy.approve_above_usd is not None and cost > case.policy.approve_above_usd:
        limit = case.policy.approve_above_usd
        yield _objection("ask", "cost.asks", f"would cost {cost} USD, above {limit} USD a person decides")


def plan_asks_for_a_person(case: Case) -> Iterator[Objection]:
    if case.plan.asks_approval:
        yield _objection("ask", "plan.asks", "the plan itself asks for approval")


def pictures_are_references(case: Case) -> Iterator[Objection]:
    """No URL or path from a model ever reaches a tool: pictures are named by reference only."""
    for step in case.plan.steps:
        for text in _texts(step.params):
            if _LOCATION.search(text):
                yield _objection(
                    "deny", f"params.location.{step.id}", f"params hold a URL or path ({text[:60]!r})", step=step.id
                )
        tool = case.tools.get(step.tool)
        for name in (tool.picture_params if tool else frozenset()) & step.params.keys():
            value = step.params[name]
            if value is not None and not (isinstance(value, str) and _REFERENCE.fullmatch(value)):
                yield _objection(
                    "mend", f"params.picture.{step.id}.{name}", f"{name} must be $input or $step, not {value!r:.60}",
                    step=step.id, fix=f"{name}: $input",
                )  # fmt: skip


def arguments_fit_the_schema(case: Case) -> Iterator[Objection]:
    for step in case.plan.steps:
        if tool := case.tools.get(step.tool):
            for path, message in _misfits(tool, _with_pictures(step.params)):
                place = ".".join(path) or "params"
                id = f"range.{step.id}.{place}"
                yield _objection("mend", id, f"{place}: {message}", step=step.id, fix=f"{place}: {message}")


GUARDRAILS: tuple[Callable[[Case], Iterator[Objection]], ...] = (
    tools_are_allowed,
    steps_are_few,
    cost_is_within_budget,
    plan_asks_for_a_person,
    pictures_are_references,
    arguments_fit_the_schema,
)


def check_call(step: Step, arguments: Mapping[str, Any], tool: Tool, policy: Policy) -> None:
    """The last look, on resolved arguments. Raises `GuardrailDenied` or `CallRejected`."""
    if not policy.permits(tool.name):
        raise GuardrailDenied(f"step {step.id}: tool {tool.name} is not allowed here")
    for name in tool.picture_params & arguments.keys():
        if arguments[name] is not None and not re.fullmatch(SHA256, str(arguments[name])):
            raise GuardrailDenied(f"step {step.id}: {name} is not a picture of this store")
    for path, message in _misfits(tool, arguments):
        raise CallRejected(f"step {step.id}: {'.'.join(path)}: {message}")


def estimated_cost(plan: Plan, tools: Mapping[str, Tool]) -> Decimal:
    """The registry's price where there is one; a plan cannot talk it down."""
    return sum(
        (max(step.estimated_cost_usd, tools[step.tool].price_usd if step.tool in tools else Decimal(0))
         for step in plan.steps),
        Decimal(0),
    )  # fmt: skip


def _misfits(tool: Tool, arguments: Mapping[str, Any]) -> Iterator[tuple[list[str], str]]:
    """Where and why arguments do not fit the tool's schema; a schema that cannot be used fits nothing."""
    try:
        errors = list(_validator(canonical_json(tool.input_schema)).iter_errors(arguments))
    except Exception as broken:  # noqa: BLE001 - a foreign schema can break its validator in many ways
        yield [], f"the tool's schema cannot be used ({type(broken).__name__})"
        return
    for error in map(_most_telling, errors):
        yield [str(part) for part in error.absolute_path], error.message[:200]


def _most_telling(error: Any) -> Any:
    """Of an `anyOf` complaint, the one inside that says what is wrong."""
    from jsonschema.exceptions import best_match

    return best_match([error])


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    import json

    from jsonschema import Draft202012Validator
    from referencing import Registry

    # A registry of our own: the default one would fetch whatever address a tool server puts into `$ref`.
    return Draft202012Validator({"additionalProperties": False, **json.loads(schema)}, registry=Registry())


def _with_pictures(params: Any) -> Any:
    """Params with every reference replaced by some picture's id, to hold them against a schema."""
    match params:
        case str() if _REFERENCE.fullmatch(params):
            return _ANY_PICTURE
        case dict():
            return {name: _with_pictures(value) for name, value in params.items()}
        case list() | tuple():
            return [_with_pictures(value) for value in params]
        case _:
            return params


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, item in value.items():
                yield name
                yield from _texts(item)
        case list() | tuple():
            for item in value:
                yield from _texts(item)
