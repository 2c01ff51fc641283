"""Everything a run tells the world, as one tagged union.

A payload is made by the core; the store stamps it with `run_id, seq, epoch, at` inside the commit
that it belongs to, so an event without its state change, or the reverse, cannot exist. `seq` counts
1, 2, 3 … without gaps per run. A new event type is one class here and an entry in `PAYLOADS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from pydantic import Field, SerializeAsAny, field_validator

from prolight.schemas import Artifact, Critique, Plan, RunError, Stage, State, Usd, Value, compact_json

if TYPE_CHECKING:
    from prolight.events.publish import publish_event

MAX_EVENT_BYTES = 8 * 1024
SHORT_TEXT_CHARS = 160
SHORT_LIST = 8
"""What is left of a text and of a list when an event has to be shortened."""


class Payload(Value):
    type: ClassVar[str]

    def body(self) -> str:
        """`{"type":…,"payload":…}`, as the store wants it."""
        for form in self._forms():
            content = form.model_dump_json(exclude_none=True)
            if len(content.encode()) <= MAX_EVENT_BYTES:
                break
        return f'{{"type":"{form.type}","payload":{content}}}'

    def _forms(self) -> Iterator[Payload]:
        yield self
        yield self._shortened()
        yield Note(message=f"a {self.type} event was larger than {MAX_EVENT_BYTES} bytes: read the run's record")

    def _shortened(self) -> Payload:
        return self


class Status(Payload):
    """The run is in a new state, or does something new in it."""

    type = "status"
    state: State
    previous: State | None = None
    stage: Stage | None = None
    reason: str | None = None

    def _shortened(self) -> Payload:
        return self.evolve(reason=_cut(self.reason))


class PlanMade(Payload):
    type = "plan"
    plan: Plan
    plan_hash: str
    model: str
    round: int

    def _shortened(self) -> Payload:
        bare = tuple(step.evolve(params={}, depends_on=(), why="") for step in self.plan.steps)
        return self.evolve(plan=self.plan.evolve(steps=bare, summary=_cut(self.plan.summary), not_understood=()))


class Judged(Payload):
    type = "critique"
    critique: Critique
    model: str
    round: int

    def _shortened(self) -> Payload:
        first = (
            finding.evolve(message=_cut(finding.message), fix="", step=_cut(finding.step))
            for finding in self.critique.findings[:SHORT_LIST]
        )
        return self.evolve(critique=self.critique.evolve(findings=tuple(first)))


class Blocked(Payload):
    """The run waits for a person."""

    type = "blocked"
    subject: Literal["plan", "result", "review"]
    reasons: tuple[str, ...]
    plan_hash: str = ""
    pictures: tuple[str, ...] = ()
    """The artifact ids that wait, where the result does."""
    at_risk_usd: Usd = Decimal(0)
    until: float

    def _shortened(self) -> Payload:
        return self.evolve(reasons=tuple(_cut(reason) for reason in self.reasons[:SHORT_LIST]))


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

    def _shortened(self) -> Payload:
        return self.evolve(error=self.error.evolve(message=_cut(self.error.message), cause=_cut(self.error.cause)))


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
        if not isinstance(payload, dict):
            return payload
        known = PAYLOADS.get(context.data.get("type"))
        if known is None:
            raise ValueError("an event of a type that this version does not know")
        return known.model_validate(payload)

    @property
    def final(self) -> bool:
        """Nothing follows."""
        return isinstance(self.payload, Status) and self.payload.state in _TERMINAL


@overload
def _cut(text: str) -> str: ...
@overload
def _cut(text: None) -> None: ...
def _cut(text: str | None) -> str | None:
    return text and text[:SHORT_TEXT_CHARS]


_TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.REJECTED, State.CANCELLED})


def stamp(body: str, *, run_id: str, seq: int, epoch: int, at: float) -> str:
    """The whole event from a payload's body. `lua/prelude.lua` does the same, byte for byte."""
    return f'{{"run_id":"{run_id}","seq":{seq},"epoch":{epoch},"at":{at:.3f},{body[1:]}'


def parse(text: str | bytes) -> Event:
    return Event.model_validate_json(text)


def __getattr__(name: str) -> Any:
    """The one function here with I/O is imported when it is asked for."""
    if name == "publish_event":
        from prolight.events.publish import publish_event

        return publish_event
    raise AttributeError(f"module 'prolight.events' has no attribute {name!r}")


__all__ = ["PAYLOADS", "Event", "Payload", "compact_json", "parse", "publish_event", "stamp"]
