"""How an attempt can end: a closed set. `conclude` turns each into what follows for the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from prolight import lifecycle
from prolight.decisions import Deadlines, Decision
from prolight.errors import ProLightError, ToolFailed
from prolight.schemas import Artifact, Check, Critique, Lock, Plan, Review, RunContext, RunError, Stage, State


@dataclass(frozen=True, slots=True)
class Planned:
    plan: Plan
    lock: Lock


@dataclass(frozen=True, slots=True)
class Judged:
    critique: Critique
    model: str
    denied: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Executed:
    outputs: tuple[Artifact, ...]
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    error: RunError


@dataclass(frozen=True, slots=True)
class BackingOff:
    wait: timedelta
    error: RunError


@dataclass(frozen=True, slots=True)
class Unclear:
    review: Review


@dataclass(frozen=True, slots=True)
class Released:
    """The worker drains, or has no room for it; the run goes on elsewhere, at once or `after` so long."""

    why: str = "this worker stops, another one goes on"
    after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Crashed:
    """What worked on the run died: tried again, unless that happens too often."""

    how: str


Outcome = Planned | Judged | Executed | Failed | BackingOff | Unclear | Released | Crashed


@dataclass(frozen=True, slots=True)
class Lost:
    """The claim ended meanwhile: somebody else decides. Nothing was written."""


def conclude(outcome: Outcome, run: RunContext, *, now: float, deadlines: Deadlines) -> Decision:
    """What the outcome means for the run as it stands now. A run that is being cancelled is let go."""
    if run.state is State.CANCELLING:
        return lifecycle.let_go(run, now=now, deadlines=deadlines)
    match outcome:
        case Planned(plan, lock):
            return lifecycle.planned(_by(run, lock.model_version), plan, lock, now=now, deadlines=deadlines)
        case Judged(critique, model, denied, asks):
            return lifecycle.judged(
                _by(run, model), critique, model=model, denied=denied, asks=asks, now=now, deadlines=deadlines
            )
        case Executed(outputs, checks):
            return lifecycle.executed(run, outputs, checks, now=now, deadlines=deadlines)
        case Failed(error):
            return lifecycle.failed(run, error, now=now, deadlines=deadlines)
        case BackingOff(wait, error):
            return lifecycle.backing_off(run, wait, error, now=now)
        case Unclear(review):
            return lifecycle.unclear(run, review, now=now, deadlines=deadlines)
        case Released(after=after):
            return lifecycle.released(run, after=after, now=now)
        case Crashed(how):
            return lifecycle.crashed(run, how, now=now)
        case _:
            assert_never(outcome)


def _by(run: RunContext, model: str) -> RunContext:
    """The turn names the model that did it."""
    turn = run.turn
    return run.evolve(turns=(*run.turns[:-1], turn.evolve(model=model))) if turn else run


def run_error(error: ProLightError, stage: Stage | None, *, attempt: int) -> RunError:
    code = error.tool_code if isinstance(error, ToolFailed) else error.code
    return RunError(
        code=code,
        message=str(error)[:600],
        stage=stage,
        step=error.step,
        attempt=attempt,
        retryable=error.retryable,
        cause=type(error.__cause__).__name__ if error.__cause__ else None,
    )
