"""What people and callers ask of a run that exists: cancel, approve, reject, fail.

Each reads the run, lets the lifecycle decide, and commits; where somebody else was faster, it reads and decides again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from prolight import answers, lifecycle
from prolight.decisions import Deadlines, Decision
from prolight.determinism import plan_hash as hash_of
from prolight.errors import IllegalMove, InvalidInput, VersionConflict
from prolight.journal import closing
from prolight.lifecycle import TERMINAL
from prolight.ports import RunStore, Snapshot, Write
from prolight.schemas import Lock, Plan, RunContext, RunError, Stage, State

MAX_PRINCIPAL_CHARS = 200
MAX_COMMENT_CHARS = 600


async def cancel(store: RunStore, run_id: str, *, reason: str, deadlines: Deadlines) -> Snapshot:
    """CANCELLED, or CANCELLING while a worker still holds it. Raises `IllegalMove` for a finished run."""

    def decide(base: Snapshot) -> Decision | None:
        if base.run.state is State.CANCELLING:
            return None
        if base.run.state in TERMINAL:
            raise IllegalMove(f"run {run_id} is {base.run.state}; a finished run cannot be cancelled")
        held = bool(base.claim_id)
        return lifecycle.cancelled(base.run, held=held, reason=reason, now=store.now(), deadlines=deadlines)

    return await _carry_out(store, run_id, decide)


async def revoke(store: RunStore, run_id: str, stage: Stage, round: int, *, deadlines: Deadlines) -> bool:
    """Cancel the run if it is at this stage and round, never at a later one. Whether it was cancelled by this.

    The check and the cancel are one commit, so of all who heard the same revoke one carries it out.
    """
    cancels = False

    def decide(base: Snapshot) -> Decision | None:
        nonlocal cancels
        turn, held = base.run.turn, bool(base.claim_id)
        cancels = turn is not None and (turn.stage, turn.round) == (stage, round)
        if not cancels:
            return None
        return lifecycle.cancelled(base.run, held=held, reason="revoked", now=store.now(), deadlines=deadlines)

    await _carry_out(store, run_id, decide)
    return cancels


async def approve(
    store: RunStore, run_id: str, plan_hash: str, *, by: str, deadlines: Deadlines, edited: Plan | None = None
) -> Snapshot:
    """The plan with this hash is carried out; with an edited plan, the Critic judges that one instead.

    Raises `PlanChanged` when another plan waits, `IllegalMove` when none does or the deadline has passed.
    """
    by = _principal(by)

    def decide(base: Snapshot) -> Decision:
        run, now = base.run, store.now()
        if edited is None:
            return answers.approved(run, plan_hash, by=by, now=now, deadlines=deadlines)
        lock = _lock_for(edited, run)
        return answers.edited(run, plan_hash, edited, lock, by=by, now=now, deadlines=deadlines)

    return await _carry_out(store, run_id, decide)


async def reject(store: RunStore, run_id: str, *, by: str, comment: str, deadlines: Deadlines) -> Snapshot:
    """REJECTED. Raises `IllegalMove` when the run waits for no approval."""
    by = _principal(by)
    if len(comment) > MAX_COMMENT_CHARS:
        raise InvalidInput(f"has {len(comment)} characters, at most {MAX_COMMENT_CHARS}", field="reason")
    return await _carry_out(
        store,
        run_id,
        lambda base: answers.declined(base.run, by=by, comment=comment, now=store.now(), deadlines=deadlines),
    )


async def fail(store: RunStore, run_id: str, error: RunError, *, deadlines: Deadlines) -> Snapshot:
    """FAILED for a reason that was found outside of any attempt. Raises `IllegalMove`."""
    return await _carry_out(
        store, run_id, lambda base: lifecycle.failed(base.run, error, now=store.now(), deadlines=deadlines)
    )


async def _carry_out(store: RunStore, run_id: str, decide: Callable[[Snapshot], Decision | None]) -> Snapshot:
    while True:
        base = await store.read(run_id)
        decision = decide(base)
        if decision is None:
            return base
        try:
            journal = await closing(store, decision)
            return await store.commit(Write(base, decision, op_id=uuid.uuid4().hex, journal=journal, holder=False))
        except VersionConflict:
            continue


def _principal(by: str) -> str:
    by = by.strip()
    if not by or len(by) > MAX_PRINCIPAL_CHARS or not by.isprintable():
        raise InvalidInput(f"names nobody: 1 to {MAX_PRINCIPAL_CHARS} printable characters", field="by")
    return by


def _lock_for(plan: Plan, run: RunContext) -> Lock:
    """The run's lock, for another plan. Raises `IllegalMove`, or `InvalidInput` for a tool that nobody pinned."""
    if run.lock is None:
        raise IllegalMove(f"run {run.run_id} has no plan yet")
    if unpinned := {step.tool for step in plan.steps} - run.lock.tool_pins.keys():
        known = ", ".join(sorted(run.lock.tool_pins))
        raise InvalidInput(f"uses {', '.join(sorted(unpinned))}; this run's lock pins {known}", field="plan")
    pins = {step.tool: run.lock.tool_pins[step.tool] for step in plan.steps}
    return run.lock.evolve(plan_hash=hash_of(plan), tool_pins=pins)
