"""The values that ProLight speaks of: frozen, validated, JSON in and out.

A `RunContext` is one run, whole: the request, what each agent made of it, and where it stands.
It is the document that the store keeps (at most `MAX_DOCUMENT_BYTES`); larger values are artifacts.
"""

from __future__ import annotations

import json
import re
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prolight.errors import InvalidInput

MAX_BRIEF_CHARS = 4_000
MAX_DOCUMENT_BYTES = 64 * 1024
MAX_METADATA_ENTRIES = 32
MAX_METADATA_CHARS = 512
MAX_STEPS = 24
MAX_PARAMS_BYTES = 24 * 1024  # of all steps of a plan together: it has to fit into the document
MAX_FINDINGS = 64

RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
STEP_ID = r"^[a-z][a-z0-9_-]{0,31}$"
TOOL_NAME = r"^[a-z][a-z0-9_-]{0,31}\.[A-Za-z][A-Za-z0-9_-]{0,63}$"
SHA256 = r"^[0-9a-f]{64}$"
INPUT = "$input"

RunId = Annotated[str, Field(pattern=RUN_ID)]
ArtifactId = Annotated[str, Field(pattern=SHA256)]
"""The sha256 of the bytes, in hex: an artifact is its content."""


def _plain(amount: Decimal) -> Decimal:
    """One way to write each amount: a plan must have the same hash whether it says 0, 0.0 or 0.00."""
    return Decimal(f"{abs(amount).normalize():f}")


Usd = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6), AfterValidator(_plain)]
"""Dollars, exact; a string in JSON."""


def usd(amount: Decimal) -> Decimal:
    """An amount as records keep it: rounded up to a millionth of a dollar."""
    return _plain(amount.quantize(Decimal("0.000001"), rounding=ROUND_CEILING))


class State(StrEnum):
    """Where a run stands. `lifecycle.TRANSITIONS` says how it leaves."""

    PLANNING = "PLANNING"
    CRITIQUING = "CRITIQUING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    EXECUTING = "EXECUTING"
    NEEDS_REVIEW = "NEEDS_REVIEW"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class Stage(StrEnum):
    """One agent's turn. The Celery task is `prolight.<stage>`, on the queue of the same name."""

    PLAN = "plan"
    CRITIQUE = "critique"
    EXECUTE = "execute"

    @property
    def queue(self) -> str:
        return f"prolight.{self.value}"


class Value(BaseModel):
    """Frozen, closed: an unknown field is an error, never a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def evolve(self, **changes: Any) -> Self:
        """A copy with these fields changed. The caller vouches for their types."""
        return self.model_copy(update=changes)


class Artifact(Value):
    """A stored picture: its content's sha256 is its name."""

    id: ArtifactId
    media_type: str
    size_bytes: int = Field(ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class Usage(Value):
    """What a model call used. Zero for the offline rules."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Usd = Decimal(0)

    def __add__(self, other: Usage) -> Usage:
        return Usage.model_construct(
            **{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields}
        )


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


class StepResult(Value):
    """What one step came to."""

    id: str
    status: Literal["running", "done", "failed"]
    artifact: Artifact | None = None
    output: dict[str, Any] = Field(default_factory=dict)
    started_at: float
    finished_at: float | None = None
    cost_usd: Usd = Decimal(0)


class ExecutionResult(Value):
    """How far the Executor is, step by step; `outputs` are the finished pictures."""

    steps: tuple[StepResult, ...] = ()
    outputs: tuple[Artifact, ...] = ()

    def with_step(self, result: StepResult) -> ExecutionResult:
        others = tuple(step for step in self.steps if step.id != result.id)
        return self.evolve(steps=(*others, result))


class RunError(Value):
    """Why a run FAILED."""

    code: str
    message: str
    stage: Stage | None = None
    step: str | None = None
    attempt: int = 0
    retryable: bool = False
    cause: str | None = None


class Approval(Value):
    """What a person is asked, and what was answered."""

    subject: Literal["plan", "result"]
    reasons: tuple[str, ...]
    asked_at: float
    plan_hash: str = ""
    decision: Literal["approved", "rejected", "expired"] | None = None
    decided_by: str | None = None
    decided_at: float | None = None


class Lock(Value):
    """What a plan was made with, so that it can be held against what executes it."""

    plan_hash: str
    input_sha256: str
    model_version: str
    prompt_hash: str
    seed: int
    tool_pins: dict[str, str] = Field(default_factory=dict)
    policy_version: str
    prolight_version: str


class Turn(Value):
    """One stage of the timeline, in seconds of the store's clock."""

    stage: Stage
    round: int = 0
    queued_at: float
    started_at: float | None = None
    finished_at: float | None = None
    attempts: int = 0
    model: str = ""


class RunRequest(Value):
    """What a caller asks for. Everything is checked here, at the door."""

    asset_id: ArtifactId
    brief: str = Field(min_length=1, max_length=MAX_BRIEF_CHARS)
    metadata: dict[str, str] = Field(default_factory=dict)
    run_id: RunId | None = None
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=255)

    @field_validator("brief")
    @classmethod
    def _brief_says_something(cls, brief: str) -> str:
        if not brief.strip():
            raise ValueError("says nothing")
        return _plain_text(brief.strip(), "brief")

    @field_validator("metadata")
    @classmethod
    def _metadata_is_small(cls, metadata: dict[str, str]) -> dict[str, str]:
        if len(metadata) > MAX_METADATA_ENTRIES:
            raise ValueError(f"has {len(metadata)} entries, at most {MAX_METADATA_ENTRIES}")
        for key, value in metadata.items():
            if len(key) > MAX_METADATA_CHARS or len(value) > MAX_METADATA_CHARS:
                raise ValueError(f"entry {key[:40]!r} is longer than {MAX_METADATA_CHARS} characters")
            _plain_text(key + value, "metadata")
        return metadata

    @classmethod
    def parse(cls, **fields: Any) -> RunRequest:
        """Build a request from what a caller sent. Raises `InvalidInput` naming field and limit."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise refusal(error) from None


def _plain_text(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{field} holds a lone surrogate, which is no text") from None
    if "\x00" in text:
        raise ValueError(f"{field} holds a NUL character")
    return text


def refusal(error: ValidationError) -> InvalidInput:
    """The first complaint of pydantic, in our words: field and limit, never the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InvalidInput(first["msg"].removeprefix("Value error, ") + more, field=field)


class RunContext(Value):
    """One run, whole."""

    run_id: RunId
    asset_id: str = Field(max_length=128)
    brief: str = Field(default="", max_length=MAX_BRIEF_CHARS)
    metadata: dict[str, str] = Field(default_factory=dict)
    state: State = State.PLANNING
    plan: Plan | None = None
    critique: Critique | None = None
    exec_result: ExecutionResult | None = None

    round: int = 0
    """How often the Critic sent the plan back."""
    inspection: dict[str, Any] | None = None
    """What the tools' inspector measured on the picture."""
    error: RunError | None = None
    approval: Approval | None = None
    lock: Lock | None = None
    turns: tuple[Turn, ...] = ()
    usage: Usage = Usage()
    budget_usd: Usd = Decimal(1)
    reserved_usd: Usd = Decimal(0)
    spent_usd: Usd = Decimal(0)
    created_at: float = 0.0
    updated_at: float = 0.0
    finished_at: float | None = None
    works_until: float | None = None
    """The run deadline; None while a person is awaited, when `working_left_seconds` holds the rest."""
    working_left_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` gives back an equal value."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> RunContext:
        return cls.model_validate(document)

    def to_json(self) -> str:
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_json(cls, document: str | bytes) -> RunContext:
        return cls.model_validate_json(document)

    @property
    def turn(self) -> Turn | None:
        """The turn that is under way or waits."""
        return self.turns[-1] if self.turns and self.turns[-1].finished_at is None else None


def compact_json(value: Any) -> str:
    """One line, no spaces: the form of every record that ProLight prints or stores."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
