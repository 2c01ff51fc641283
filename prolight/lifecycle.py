"""What may happen to a run, and what follows. Pure: no I/O, no clock but the argument `now`.

    PLANNING ─planned─► CRITIQUING ─accepted─► EXECUTING ─executed─► COMPLETED
        ▲                 │     │                  │
        └────revised──────┘   held               held / unclear
                                ▼                  ▼
                       AWAITING_APPROVAL      NEEDS_REVIEW

`TRANSITIONS` is the whole machine: state → move → state. A pair that is not in it is refused with
`IllegalMove`, and nothing has changed. No other file holds a rule about states.

Each function below takes a run and what happened, and answers with a `Decision` (`decisions.py`).

Two clocks: a *stage* has its deadline from its first claim (kept by the store, since only it sees
the claim); the *run* has `works_until`, which stands still while a person is awaited.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from prolight.decisions import Deadlines, Decision, Ended, Held, Parked, Placement, Queued
from prolight.errors import IllegalMove, NothingFinished
from prolight.events import Blocked, Failure, Judged, Payload, PlanMade, Result, Status, Warned
from prolight.schemas import (
    Approval,
    Artifact,
    Check,
    Critique,
    ExecutionResult,
    Lock,
    Plan,
    Recipe,
    Review,
    RunContext,
    RunError,
    RunRequest,
    Stage,
    State,
    Target,
    Turn,
    Usage,
    Verdict,
)


class Move(StrEnum):
    PLANNED = "planned"
    ACCEPTED = "accepted"
    REVISED = "revised"
    HELD = "held"
    DECLINED = "declined"
    APPROVED = "approved"
    EDITED = "edited"
    PUBLISHED = "published"
    EXECUTED = "executed"
    UNCLEAR = "unclear"
    RESOLVED = "resolved"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCEL = "cancel"
    LET_GO = "let_go"


TRANSITIONS: dict[State, dict[Move, State]] = {
    State.PLANNING: {
        Move.PLANNED: State.CRITIQUING,
        Move.FAILED: State.FAILED,
        Move.EXPIRED: State.FAILED,
        Move.CANCEL: State.CANCELLING,
    },
    State.CRITIQUING: {
        Move.ACCEPTED: State.EXECUTING,
        Move.HELD: State.AWAITING_APPROVAL,
        Move.REVISED: State.PLANNING,
        Move.DECLINED: State.REJECTED,
        Move.FAILED: State.FAILED,
        Move.EXPIRED: State.FAILED,
        Move.CANCEL: State.CANCELLING,
    },
    State.AWAITING_APPROVAL: {
        Move.APPROVED: State.EXECUTING,
        Move.EDITED: State.CRITIQUING,
        Move.PUBLISHED: State.COMPLETED,
        Move.DECLINED: State.REJECTED,
        Move.EXPIRED: State.REJECTED,
        Move.CANCEL: State.CANCELLING,
    },
    State.EXECUTING: {
        Move.EXECUTED: State.COMPLETED,
        Move.HELD: State.AWAITING_APPROVAL,
        Move.UNCLEAR: State.NEEDS_REVIEW,
        Move.FAILED: State.FAILED,
        Move.EXPIRED: State.FAILED,
        Move.CANCEL: State.CANCELLING,
    },
    State.NEEDS_REVIEW: {
        Move.RESOLVED: State.EXECUTING,
        Move.FAILED: State.FAILED,
        Move.EXPIRED: State.FAILED,
        Move.CANCEL: State.CANCELLING,
    },
    State.CANCELLING: {
        Move.LET_GO: State.CANCELLED,
        Move.EXPIRED: State.CANCELLED,
    },
    State.COMPLETED: {},
    State.FAILED: {},
    State.REJECTED: {},
    State.CANCELLED: {},
}

CRASH_PAUSE = timedelta(milliseconds=100)
"""A run whose attempt crashed is queued by the sweep, which judges it by all its crashes."""
ASKED_BY_CALLER = "the caller wants a person to see the plan first"
RESULT_ASKED_BY_CALLER = "the caller wants a person to see the pictures first"

TERMINAL = frozenset(state for state, moves in TRANSITIONS.items() if not moves)
PARKED = frozenset({State.AWAITING_APPROVAL, State.NEEDS_REVIEW})
STAGES: dict[State, Stage] = {
    State.PLANNING: Stage.PLAN,
    State.CRITIQUING: Stage.CRITIQUE,
    State.EXECUTING: Stage.EXECUTE,
}


def follow(state: State, move: Move) -> State:
    """The state after `move`. Raises `IllegalMove`."""
    try:
        return TRANSITIONS[state][move]
    except KeyError:
        raise IllegalMove(f"a run that is {state} cannot be {move}") from None


def submitted(
    request: RunRequest,
    run_id: str,
    *,
    recipe: Recipe | None = None,
    preset: Target | None = None,
    budget_usd: Decimal,
    now: float,
    deadlines: Deadlines,
) -> Decision:
    run = RunContext(
        run_id=run_id,
        asset_id=request.asset_id or request.picture_id,
        picture_id=request.picture_id if request.asset_id else "",
        brief=request.brief,
        metadata=request.metadata,
        ask=request.ask,
        approve_result=request.approve_result,
        recipe=recipe,
        preset=preset,
        budget_usd=budget_usd if request.budget_usd is None else request.budget_usd,
    )
    if request.deadline_seconds is not None:
        deadlines = replace(deadlines, run=timedelta(seconds=request.deadline_seconds))
    return begun(run, now=now, deadlines=deadlines)


def begun(run: RunContext, *, now: float, deadlines: Deadlines) -> Decision:
    """What is asked for becomes a run: the Planner has the first turn, and the clock of the run starts."""
    run = run.evolve(
        state=State.PLANNING,
        turns=(Turn(stage=Stage.PLAN, queued_at=now),),
        created_at=now,
        updated_at=now,
        works_until=now + deadlines.run.total_seconds(),
    )
    return Decision(run, (Status(state=State.PLANNING, stage=Stage.PLAN),), _placement(run, now, deadlines))


def planned(run: RunContext, plan: Plan, lock: Lock, *, now: float, deadlines: Deadlines) -> Decision:
    made = PlanMade(plan=plan, plan_hash=lock.plan_hash, model=lock.model_version, round=run.round)
    said = [
        Warned(code="not_understood", message=f"not understood, so not done: {', '.join(plan.not_understood)}"[:600])
    ] if plan.not_understood else []  # fmt: skip
    return move(run, Move.PLANNED, now, deadlines, made, *said, plan=plan, lock=lock, approval=None)


def judged(
    run: RunContext,
    critique: Critique,
    *,
    model: str,
    denied: tuple[str, ...] = (),
    asks: tuple[str, ...] = (),
    now: float,
    deadlines: Deadlines,
) -> Decision:
    """What follows from a verdict: go on, go back, ask a person, or end."""
    event = Judged(critique=critique, model=model, round=run.round)
    warned = tuple(
        Warned(code=finding.id, message=finding.message)
        for finding in critique.findings
        if finding.severity == "advice"
    )
    if denied:
        error = RunError(code="guardrail_denied", message="; ".join(denied)[:600], stage=Stage.CRITIQUE)
        return failed(run.evolve(critique=critique), error, now=now, deadlines=deadlines, before=(event, *warned))
    if critique.verdict is Verdict.REVISE and run.round < deadlines.critic_rounds and run.recipe is None:
        return move(run, Move.REVISED, now, deadlines, event, *warned, critique=critique, round=run.round + 1)
    if not critique.ok:
        asks = (*(finding.message for finding in critique.findings if finding.severity == "blocking"), *asks)
        asks = asks or (f"the Critic says {critique.verdict}",)
    if run.ask:
        asks = (*asks, ASKED_BY_CALLER)
    if asks:
        asked = Approval(subject="plan", reasons=asks, plan_hash=run.lock.plan_hash if run.lock else "")
        return _held(run.evolve(critique=critique), asked, (event, *warned), now, deadlines)
    return move(run, Move.ACCEPTED, now, deadlines, event, *warned, critique=critique)


def _held(run: RunContext, asked: Approval, before: tuple[Payload, ...], now: float, deadlines: Deadlines) -> Decision:
    until = now + deadlines.approval.total_seconds()
    blocked = Blocked(
        subject=asked.subject, reasons=asked.reasons, plan_hash=asked.plan_hash, pictures=asked.pictures, until=until
    )
    return move(run, Move.HELD, now, deadlines, *before, blocked, approval=asked.evolve(asked_at=now, until=until))


def executed(
    run: RunContext, outputs: tuple[Artifact, ...], checks: tuple[Check, ...] = (), *, now: float, deadlines: Deadlines
) -> Decision:
    """A preset that is missed is said, and fails no run."""
    result = (run.exec_result or ExecutionResult()).evolve(outputs=outputs, checks=checks)
    warned = tuple(Warned(code=check.code, message=text[:600]) for check in checks for text in check.sentences)
    if run.approve_result and outputs:
        asked = Approval(
            subject="result",
            reasons=(RESULT_ASKED_BY_CALLER, *(warning.message for warning in warned)),
            plan_hash=run.lock.plan_hash if run.lock else "",
            pictures=tuple(output.id for output in outputs),
        )
        return _held(run.evolve(exec_result=result), asked, warned, now, deadlines)
    return move(run, Move.EXECUTED, now, deadlines, *warned, Result(outputs=outputs), exec_result=result)


def given_out(run: RunContext, *, unapproved: bool) -> tuple[Artifact, ...]:
    """What may be given out as the run's pictures. Raises `NothingFinished`."""
    waits = run.state is State.AWAITING_APPROVAL and bool(run.outputs)
    if waits and not unapproved:
        raise NothingFinished(f"run {run.run_id} is finished, and nobody has approved its pictures yet")
    if not run.outputs or not (waits or run.state is State.COMPLETED):
        raise NothingFinished(f"run {run.run_id} is {run.state} and has no finished pictures")
    return run.outputs


def unclear(run: RunContext, review: Review, *, now: float, deadlines: Deadlines) -> Decision:
    """A call may or may not have happened, or is not what was accepted: a person decides.

    A model's answer is no effect to review: before execution the run fails instead.
    """
    if run.state is not State.EXECUTING:
        error = RunError(code="outcome_unknown", message=review.message, stage=STAGES.get(run.state))
        return failed(run, error, now=now, deadlines=deadlines)
    until = now + deadlines.review.total_seconds()
    asked = review.evolve(asked_at=now, until=until)
    blocked = Blocked(subject="review", reasons=(review.message,), at_risk_usd=review.at_risk_usd, until=until)
    return move(run, Move.UNCLEAR, now, deadlines, blocked, review=asked)


def failed(
    run: RunContext, error: RunError, *, now: float, deadlines: Deadlines, before: tuple[Payload, ...] = ()
) -> Decision:
    return move(run, Move.FAILED, now, deadlines, *before, Failure(error=error), error=error)


def cancelled(run: RunContext, *, held: bool, reason: str, now: float, deadlines: Deadlines) -> Decision:
    """CANCELLING while somebody works on it, who then lets go; CANCELLED at once if nobody does."""
    costs = (
        [Warned(code="may_still_cost", message=f"calls under way may still cost {run.reserved_usd} USD")]
        if run.reserved_usd
        else []
    )
    asked = move(run, Move.CANCEL, now, deadlines, *costs, reason=reason)
    if held:
        return asked
    gone = let_go(asked.run, now=now, deadlines=deadlines)
    return replace(gone, events=asked.events + gone.events)


def let_go(run: RunContext, *, now: float, deadlines: Deadlines) -> Decision:
    return move(run, Move.LET_GO, now, deadlines)


def expired(run: RunContext, *, now: float, deadlines: Deadlines) -> Decision:
    """A deadline passed. What that means depends on where the run stands; a person's silence is a no."""
    state = follow(run.state, Move.EXPIRED)
    if state is State.FAILED:
        stage = STAGES.get(run.state)
        clock = "the run's deadline" if run.works_until and now >= run.works_until else "the stage's deadline"
        message = "nobody decided in time" if run.state in PARKED else f"{clock} passed in {run.state}"
        error = RunError(code="deadline_exceeded", message=message, stage=stage)
        review = (
            run.review.evolve(decision="expired", decided_at=now) if run.review and run.state in PARKED else run.review
        )
        return move(run, Move.EXPIRED, now, deadlines, Failure(error=error), error=error, review=review)
    changes: dict[str, Any] = {}
    if run.approval and state is State.REJECTED:
        changes["approval"] = run.approval.evolve(decision="expired", decided_at=now)
    return move(run, Move.EXPIRED, now, deadlines, reason="deadline passed", **changes)


def poisoned(run: RunContext, crashes: int, *, now: float, deadlines: Deadlines) -> Decision:
    message = f"whatever worked on this run died or froze, {crashes} times in a row; at last in a process of its own"
    error = RunError(code="poison", message=message, stage=STAGES.get(run.state))
    return failed(run, error, now=now, deadlines=deadlines)


def backing_off(run: RunContext, wait: timedelta, error: RunError, *, now: float) -> Decision:
    """The same stage again after `wait`, which no slot is held for. Not a move: the state stays."""
    stage = STAGES[run.state]
    message = f"{error.message}; next try in {wait.total_seconds():.0f} s"
    warned = Warned(code=error.code, message=message)
    return Decision(run.evolve(updated_at=now), (warned,), Queued(stage, after=wait))


def released(run: RunContext, *, now: float, after: timedelta = timedelta(0)) -> Decision:
    """The holder gives the run back: somebody else may go on, at once or after so long."""
    return Decision(run.evolve(updated_at=now), (), Queued(STAGES[run.state], after=after))


def crashed(run: RunContext, how: str, *, now: float) -> Decision:
    """The same stage again, after an attempt that counts as a crash."""
    warned = Warned(code="crashed", message=how[:600])
    return Decision(run.evolve(updated_at=now), (warned,), Queued(STAGES[run.state], after=CRASH_PAUSE, crashed=True))


def spent(run: RunContext, *, reserved: Decimal, usage: Usage) -> RunContext:
    """A call was settled: its reservation is returned, its cost is booked."""
    return run.evolve(
        reserved_usd=run.reserved_usd - reserved,
        spent_usd=run.spent_usd + usage.cost_usd,
        usage=run.usage + usage,
    )


def move(
    run: RunContext,
    how: Move,
    now: float,
    deadlines: Deadlines,
    *events: Payload,
    reason: str | None = None,
    **changes: Any,
) -> Decision:
    state = follow(run.state, how)
    moved = run.evolve(
        **changes, state=state, updated_at=now, turns=_turns(run, state, now, changes), **_clock(run, state, now)
    )
    if state in TERMINAL:
        moved = moved.evolve(finished_at=now, spent_usd=moved.spent_usd + moved.reserved_usd, reserved_usd=Decimal(0))
    status = Status(state=state, previous=run.state, stage=STAGES.get(state), reason=reason)
    return Decision(moved, (*events, status), _placement(moved, now, deadlines))


def _turns(run: RunContext, state: State, now: float, changes: dict[str, Any]) -> tuple[Turn, ...]:
    turns = run.turns
    if run.turn:
        turns = (*turns[:-1], run.turn.evolve(finished_at=now))
    if stage := STAGES.get(state):
        turns = (*turns, Turn(stage=stage, round=changes.get("round", run.round), queued_at=now))
    return turns


def _clock(run: RunContext, state: State, now: float) -> dict[str, Any]:
    if state in PARKED and run.works_until is not None:
        return {"works_until": None, "working_left_seconds": max(0.0, run.works_until - now)}
    if run.state in PARKED and state in STAGES:
        return {"works_until": now + run.working_left_seconds, "working_left_seconds": 0.0}
    return {}


def _placement(run: RunContext, now: float, deadlines: Deadlines) -> Placement:
    if run.state in TERMINAL:
        return Ended(deadlines.retention)
    if run.state is State.AWAITING_APPROVAL:
        return Parked(deadlines.approval)
    if run.state is State.NEEDS_REVIEW:
        return Parked(deadlines.review)
    if run.state is State.CANCELLING:
        return Held()
    stage = STAGES[run.state]
    return Queued(stage, budget=stage_budget(run, stage, deadlines))


def stage_budget(run: RunContext, stage: Stage, deadlines: Deadlines) -> timedelta:
    """How long a stage may take from its first claim: execution by its steps, the others as set."""
    if stage is Stage.EXECUTE and run.plan:
        return deadlines.step * max(1, len(run.plan.steps))
    return deadlines.stage
