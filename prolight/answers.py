"""What a person says to a run that waits for one: plan or pictures approved or declined, a call reviewed. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

from prolight.decisions import Deadlines, Decision
from prolight.errors import IllegalMove, PicturesChanged, PlanChanged
from prolight.events import PlanMade, Result
from prolight.lifecycle import Move, failed, move
from prolight.schemas import Approval, Lock, Plan, Review, RunContext, RunError, Stage, State


def approved(run: RunContext, plan_hash: str, *, by: str, now: float, deadlines: Deadlines) -> Decision:
    """A person approves exactly the plan with this hash. Raises `IllegalMove`, or `PlanChanged` for another plan."""
    answer = _answered(run, plan_hash, by=by, now=now).evolve(decision="approved")
    decision = move(run, Move.APPROVED, now, deadlines, reason=f"approved by {by}", approval=answer)
    return replace(decision, valid_until=answer.until)


def edited(
    run: RunContext, plan_hash: str, plan: Plan, lock: Lock, *, by: str, now: float, deadlines: Deadlines
) -> Decision:
    """A person wants this plan instead of the one with that hash: the Critic judges it next. Raises as `approved`."""
    answer = _answered(run, plan_hash, by=by, now=now).evolve(decision="edited")
    made = PlanMade(plan=plan, plan_hash=lock.plan_hash, model=f"edited by {by}", round=run.round)
    decision = move(
        run, Move.EDITED, now, deadlines, made, reason=f"edited by {by}", approval=answer, plan=plan, lock=lock
    )
    return replace(decision, valid_until=answer.until)


def published(run: RunContext, pictures: Collection[str], *, by: str, now: float, deadlines: Deadlines) -> Decision:
    """A person approves exactly these finished pictures, by artifact id.

    Raises `IllegalMove`, or `PicturesChanged` where others wait.
    """
    asked = _open_approval(run, now, "result")
    if set(pictures) != set(asked.pictures):
        raise PicturesChanged(
            f"run {run.run_id} waits with the pictures {', '.join(asked.pictures)},"
            f" not {', '.join(sorted(pictures)) or 'none'}: look at them before you approve them"
        )
    answer = asked.evolve(decision="approved", decided_by=by, decided_at=now)
    reason = f"pictures approved by {by}"
    decision = move(run, Move.PUBLISHED, now, deadlines, Result(outputs=run.outputs), reason=reason, approval=answer)
    return replace(decision, valid_until=answer.until)


def declined(run: RunContext, *, by: str, comment: str, now: float, deadlines: Deadlines) -> Decision:
    """A person says no. Raises `IllegalMove`."""
    asked = _open_approval(run, now)
    answer = asked.evolve(decision="rejected", decided_by=by, decided_at=now, comment=comment)
    reason = f"rejected by {by}" + (f": {comment}" if comment else "")
    return move(run, Move.DECLINED, now, deadlines, reason=reason, approval=answer)


def _answered(run: RunContext, plan_hash: str, *, by: str, now: float) -> Approval:
    asked = _open_approval(run, now, "plan")
    if plan_hash != asked.plan_hash:
        raise PlanChanged(
            f"run {run.run_id} waits with the plan {asked.plan_hash}, not {plan_hash}: look at it before you approve it"
        )
    return asked.evolve(decided_by=by, decided_at=now)


def _open_approval(run: RunContext, now: float, subject: Literal["plan", "result"] | None = None) -> Approval:
    if run.state is not State.AWAITING_APPROVAL or run.approval is None:
        before = run.approval
        said = f"; its approval was {before.decision} by {before.decided_by}" if before and before.decided_by else ""
        raise IllegalMove(f"run {run.run_id} is {run.state} and waits for no approval{said}")
    if now >= run.approval.until:
        raise IllegalMove(f"run {run.run_id} waited for an approval, but its deadline has passed")
    if subject not in (None, run.approval.subject):
        raise IllegalMove(f"run {run.run_id} waits for an approval of its {run.approval.subject}, not of its {subject}")
    return run.approval


def resolved(run: RunContext, answer: Review, *, now: float, deadlines: Deadlines) -> Decision:
    """A person has decided about the call, or its late result has: execution goes on. Raises `IllegalMove`."""
    open_review(run, now)
    reason = f"{answer.call} {answer.decision} by {answer.decided_by}" + (
        f": {answer.comment}" if answer.comment else ""
    )
    decision = move(run, Move.RESOLVED, now, deadlines, reason=reason, review=answer)
    return replace(decision, valid_until=answer.until)


def abandoned(run: RunContext, answer: Review, *, now: float, deadlines: Deadlines) -> Decision:
    """A person gives the run up. Raises `IllegalMove`."""
    open_review(run, now)
    said = f": {answer.comment}" if answer.comment else ""
    error = RunError(
        code="abandoned",
        message=f"{answer.decided_by} gave it up{said}; {answer.message}"[:600],
        stage=Stage.EXECUTE,
        step=answer.step,
    )
    return failed(run.evolve(review=answer), error, now=now, deadlines=deadlines)


def open_review(run: RunContext, now: float) -> Review:
    """What waits for a person. Raises `IllegalMove`."""
    if run.state is not State.NEEDS_REVIEW or run.review is None:
        before = run.review
        said = f"; the last one was {before.decision} by {before.decided_by}" if before and before.decided_by else ""
        raise IllegalMove(f"run {run.run_id} is {run.state} and waits for no review{said}")
    if now >= run.review.until:
        raise IllegalMove(f"run {run.run_id} waited for a review, but its deadline has passed")
    return run.review
