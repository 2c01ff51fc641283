"""Everything a run tells the world, as one tagged union.

A payload is made by the core; the store stamps it with `run_id, seq, epoch, at` inside the commit
that it belongs to, so an event without its state change, or the reverse, cannot exist. `seq` counts
1, 2, 3 … without gaps per run. A new event type is one class here and an entry in `PAYLOADS`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator

from prolight.schemas import Artifact, Critique, Plan, RunError, Stage, State, Usd, Value, compact_json

MAX_EVENT_BYTES = 8 * 1024


class Payload(Value):
    type: ClassVar[str]

    def body(self) -> str:
        """`{"type":…,"payload":…}`, as the store wants it."""
        content = self.model_dump_json(exclude_none=True)
        if len(content) > MAX_EVENT_BYTES:
            content = self._shortened().model_dump_json(exclude_none=True)
        return f'{{"type":"{self.type}","payload":{content}}}'

    def _shortened(self) -> Payload:
        return Note(message=f"a {self.type} event was larger than {MAX_EVENT_BYTES} bytes: read the run's record")


class Status(Payload):
    """The run is in a new state, or does something new in it."""

    type = "status"
    state: State
    previous: State | None = None
    stage: Stage | None = None
    reason: str | None = None


class PlanMade(Payload):
    type = "plan"
    plan: Plan
    plan_hash: str
    model: str
    round: int

    def _shortened(self) -> Payload:
        bare = tuple(step.evolve(params={}, why="") for step in self.plan.steps)
        return self.evolve(plan=self.plan.evolve(steps=bare, not_understood=()))


class Judged(Payload):
    type = "critique"
    critique: Critique
    model: str
    round: int

    def _shortened(self) -> Payload:
        return self.evolve(critique=self.critique.evolve(findings=self.critique.findings[:8]))


class Blocked(Payload):
    """The run waits for a person."""

    type = "blocked"
    subject: Literal["plan", "result", "review"]
    reasons: tuple[str, ...]
    plan_hash: str = ""
    until: float


class Progress(Payload):
    type = "progress"
    stage: Stage
    message: str
    step: str | None = None
    fraction: float | None = None


class StepMoved(Payload):
    type = "step"
    step: str
    tool: str
    status: Literal["started", "done", "failed", "reused"]
    artifact: Artifact | None = None
    seconds: float | None = None
    message: str | None = None


class Result(Payload):
    type = "result"
    outputs: tuple[Artifact, ...]


class Warned(Payload):
    type = "warning"
    code: str
    message: str


class Failure(Payload):
    type = "error"
    error: RunError


class Cost(Payload):
    type = "cost"
    spent_usd: Usd
    reserved_usd: Usd
    budget_usd: Usd


class Note(Payload):
    type = "note"
    message: str
    fields: dict[str, Any] = Field(default_factory=dict)


PAYLOADS: dict[str, type[Payload]] = {
    payload.type: payload
    for payload in (
        Status, PlanMade, Judged, Blocked, Progress, StepMoved, Result, Warned, Failure, Cost, Note,
    )
}  # fmt: skip


class Event(Value):
    """One event as every reader sees it: stream, channel, SSE."""

    run_id: str
    seq: int
    epoch: int
    at: float
    type: str
    payload: SerializeAsAny[Payload]

    @field_validator("payload", mode="before")
    @classmethod
    def _typed(cls, payload: Any, context: Any) -> Any:
        return PAYLOADS[context.data["type"]].model_validate(payload) if isinstance(payload, dict) else payload

    @property
    def final(self) -> bool:
        """Nothing follows."""
        return isinstance(self.payload, Status) and self.payload.state in _TERMINAL


_TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.REJECTED, State.CANCELLED})


def stamp(body: str, *, run_id: str, seq: int, epoch: int, at: float) -> str:
    """The whole event from a payload's body. `lua/prelude.lua` does the same, byte for byte."""
    return f'{{"run_id":"{run_id}","seq":{seq},"epoch":{epoch},"at":{at:.3f},{body[1:]}'


def parse(text: str | bytes) -> Event:
    return Event.model_validate_json(text)


__all__ = ["PAYLOADS", "Event", "Payload", "compact_json", "parse", "stamp"]
