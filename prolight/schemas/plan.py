"""The Planner's plan and the Critic's answer to it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from prolight.schemas.values import Usd, Value, compact_json

MAX_STEPS = 24
MAX_PARAMS_BYTES = 24 * 1024  # of all steps of a plan together: it has to fit into the document
MAX_FINDINGS = 64

STEP_ID = r"^[a-z][a-z0-9_-]{0,31}$"
TOOL_NAME = r"^[a-z][a-z0-9_-]{0,31}\.[A-Za-z][A-Za-z0-9_-]{0,63}$"
INPUT = "$input"


class Step(Value):
    """One tool call of a plan.

    `params` go to the tool as they are, except for references: the string `$input` is the run's
    picture, and `$other-step` is the picture that the step `other-step` made.
    """

    id: str = Field(pattern=STEP_ID)
    tool: str = Field(pattern=TOOL_NAME, description="server.tool")
    params: dict[str, Any] = Field(default_factory=dict)
    depends_on: tuple[str, ...] = Field(default=(), max_length=MAX_STEPS)
    estimated_cost_usd: Usd = Decimal(0)
    why: str = Field(default="", max_length=400, description="one line for people: what of the brief this serves")

    @field_validator("params")
    @classmethod
    def _params_are_json(cls, params: dict[str, Any]) -> dict[str, Any]:
        """As they will be read back: what JSON cannot hold would change the plan silently."""
        try:
            text = compact_json(params)
            text.encode()
        except (TypeError, ValueError, RecursionError):
            raise ValueError("hold what JSON cannot: NaN, Infinity, a lone surrogate, or no JSON type") from None
        return dict(json.loads(text))

    @property
    def references(self) -> frozenset[str]:
        """The ids of the steps whose outputs the params name."""
        return frozenset(_references(self.params)) - {"input"}

    @property
    def needs(self) -> frozenset[str]:
        """What must be done before: named dependencies and referenced outputs."""
        return (self.references | frozenset(self.depends_on)) - {"input"}


def _references(value: Any) -> list[str]:
    match value:
        case str() if re.fullmatch(r"\$[a-z][a-z0-9_-]*", value):
            return [value[1:]]
        case dict():
            return [found for item in value.values() for found in _references(item)]
        case list() | tuple():
            return [found for item in value for found in _references(item)]
        case _:
            return []


class Plan(Value):
    """What the Planner proposes: steps in an order in which they can be carried out.

    Structure is checked here (unique ids, references only to earlier steps); whether the tools
    exist and may be used is the guardrails' business.
    """

    steps: tuple[Step, ...] = Field(min_length=0, max_length=MAX_STEPS)
    summary: str = Field(default="", max_length=600)
    not_understood: tuple[Annotated[str, Field(max_length=200)], ...] = Field(default=(), max_length=32)
    """Words of the brief that the planner could not turn into a step. Said, never guessed."""
    asks_approval: bool = False

    @model_validator(mode="after")
    def _steps_fit_together(self) -> Self:
        seen: set[str] = {"input"}
        for step in self.steps:
            if step.id in seen:
                raise ValueError(f"step id {step.id!r} is taken (ids are unique, and `input` is the run's picture)")
            if missing := step.needs - seen:
                raise ValueError(f"step {step.id!r} needs {sorted(missing)}, which no earlier step makes")
            seen.add(step.id)
        size = sum(len(compact_json(step.params).encode()) for step in self.steps)
        if size > MAX_PARAMS_BYTES:
            raise ValueError(f"params of all steps take {size} bytes, at most {MAX_PARAMS_BYTES}")
        return self


class Verdict(StrEnum):
    ACCEPT = "accept"
    REVISE = "revise"
    REJECT = "reject"


class Finding(Value):
    """One remark of the Critic. `id` says what it is about, and stays the same across rounds."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_.:-]{0,95}$")
    severity: Literal["blocking", "advice"]
    message: str = Field(max_length=600)
    step: str | None = None
    fix: str = Field(default="", max_length=400, description="how the Planner can mend it, if it can")


class Critique(Value):
    """The Critic's answer to one exact plan."""

    verdict: Verdict
    findings: tuple[Finding, ...] = Field(default=(), max_length=MAX_FINDINGS)
    plan_hash: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.ACCEPT
