"""One run: what is asked for, and the record of what became of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, field_validator

from prolight.schemas.plan import Critique, Plan
from prolight.schemas.preset import Check, Target
from prolight.schemas.values import Artifact, ArtifactId, AssetId, RunId, Stage, State, Usage, Usd, Value

MAX_BRIEF_CHARS = 4_000
MAX_DOCUMENT_BYTES = 64 * 1024
MAX_METADATA_ENTRIES = 32
MAX_METADATA_CHARS = 512
MAX_METADATA_BYTES = 16 * 1024


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
    """How far the Executor is, step by step; `outputs` are the finished pictures, `checks` what the preset says."""

    steps: tuple[StepResult, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    checks: tuple[Check, ...] = ()

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
    asked_at: float = 0.0
    until: float = 0.0
    """Silence up to here means no."""
    plan_hash: str = ""
    pictures: tuple[str, ...] = ()
    """The artifact ids that wait, where the result does."""
    decision: Literal["approved", "edited", "rejected", "expired"] | None = None
    decided_by: str | None = None
    decided_at: float | None = None
    comment: str = ""


Doubt = Literal["outcome_unknown", "code_changed", "tool_changed", "restored"]
ReviewDecision = Literal["adopted", "resent", "allowed", "abandoned", "expired"]


class Review(Value):
    """A call that a person has to look at, and what was said of it."""

    key: str = ""
    """Of the call, in the journal; empty where the doubt is not about one try."""
    call: str
    step: str | None = None
    why: Doubt
    message: str
    at_risk_usd: Usd = Decimal(0)
    pin: str = ""
    """What a changed tool is now."""
    asked_at: float = 0.0
    until: float = 0.0
    decision: ReviewDecision | None = None
    decided_by: str | None = None
    decided_at: float | None = None
    comment: str = ""


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


class Recipe(Value):
    """The plan of a finished run, for another picture; with the tools and the picture that it was made for."""

    run_id: RunId
    plan: Plan
    tool_pins: dict[str, str]
    figures: dict[str, Any] | None = None


class RunRequest(Value):
    """What a caller asks for. Everything is checked here, at the door."""

    picture_id: ArtifactId
    asset_id: AssetId | None = None
    """The name that the caller has for the picture; by default its id."""
    brief: str = Field(min_length=1, max_length=MAX_BRIEF_CHARS)
    metadata: dict[str, str] = Field(default_factory=dict)
    ask: bool = False
    """A person has to approve the plan before it is carried out."""
    approve_result: bool = False
    """A person has to approve the finished pictures before anything gives them out as finished."""
    recipe: RunId | None = None
    """The plan of this run is applied; no model is asked."""
    preset: str | None = Field(default=None, max_length=512)
    """What the finished pictures are held to, by its name; by default that of the recipe's run."""
    budget_usd: Usd | None = None
    deadline_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of working time: the clock stands still while a person is awaited."""
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
        if (size := sum(len((key + value).encode()) for key, value in metadata.items())) > MAX_METADATA_BYTES:
            raise ValueError(f"takes {size} bytes, at most {MAX_METADATA_BYTES}")
        return metadata


def _plain_text(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{field} holds a lone surrogate, which is no text") from None
    if "\x00" in text:
        raise ValueError(f"{field} holds a NUL character")
    return text


class RunContext(Value):
    """One run, whole."""

    run_id: RunId
    asset_id: str = Field(max_length=128)
    """The picture as its caller names it: its artifact id, or an alias of it."""
    picture_id: str = ""
    """The artifact that an alias stood for when the run was accepted."""
    brief: str = Field(default="", max_length=MAX_BRIEF_CHARS)
    metadata: dict[str, str] = Field(default_factory=dict)
    ask: bool = False
    """A person has to approve the plan before it is carried out."""
    approve_result: bool = False
    """A person has to approve the finished pictures before anything gives them out as finished."""
    recipe: Recipe | None = None
    preset: Target | None = None
    """What the finished pictures are held to, as it was when the run was handed in."""
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
    review: Review | None = None
    """The last call that a person had to look at, or has to."""
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
    seq: int = 0
    """The number of the last event, in a context that left its store (in-process use)."""
    parent: RunId | None = None
    """The failed run that this one goes on from."""
    origin: RunId | None = None
    """The first run of that line."""

    @property
    def outputs(self) -> tuple[Artifact, ...]:
        """The finished pictures, approved or not."""
        return self.exec_result.outputs if self.exec_result else ()

    @property
    def checks(self) -> tuple[Check, ...]:
        """The finished pictures, held against the preset."""
        return self.exec_result.checks if self.exec_result else ()

    @property
    def missed(self) -> tuple[str, ...]:
        """Why the preset is not known to be met: a sentence each."""
        return tuple(sentence for check in self.checks for sentence in check.sentences)

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
    def picture(self) -> str:
        """The artifact id of the picture that came in."""
        return self.picture_id or self.asset_id

    @property
    def journal_id(self) -> str:
        """What the keys of its calls are made with: a child finds what its parents have bought."""
        return self.origin or self.run_id

    @property
    def turn(self) -> Turn | None:
        """The turn that is under way or waits."""
        return self.turns[-1] if self.turns and self.turns[-1].finished_at is None else None
