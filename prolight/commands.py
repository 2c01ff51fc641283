"""What people and callers ask of a run that exists: cancel, approve, publish, reject, review, fail.

Each reads the run, lets the lifecycle decide, and commits; where somebody else was faster, it reads and decides again.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from prolight import answers, lifecycle
from prolight.decisions import Deadlines, Decision
from prolight.determinism import plan_hash as hash_of
from prolight.errors import IllegalMove, InvalidInput, VersionConflict
from prolight.journal import closing
from prolight.ledger import Entry, Said, answered
from prolight.lifecycle import TERMINAL
from prolight.ports import RunStore, Snapshot, Write
from prolight.schemas import Doubt, Lock, Plan, Review, ReviewDecision, RunContext, RunError, Stage, State, Usage

MAX_PRINCIPAL_CHARS = 200
MAX_COMMENT_CHARS = 600


async def cancel(store: RunStore, run_id: str, *, reason: str, deadlines: Deadlines) -> Snapshot:
    """CANCELLED, or CANCELLING while a worker still holds it. Raises `IllegalMove` for a finished run."""

    async def decide(base: Snapshot) -> Decided:
        if base.run.state is State.CANCELLING:
            return None
        if base.run.state in TERMINAL:
            raise IllegalMove(f"run {run_id} is {base.run.state}; a finished run cannot be cancelled")
        held = bool(base.claim_id)
        return lifecycle.cancelled(base.run, held=held, reason=reason, now=store.now(), deadlines=deadlines), {}

    return await carry_out(store, run_id, decide)


async def revoke(store: RunStore, run_id: str, stage: Stage, round: int, *, deadlines: Deadlines) -> bool:
    """Cancel the run if it is at this stage and round, never at a later one. Whether it was cancelled by this.

    The check and the cancel are one commit, so of all who heard the same revoke one carries it out.
    """
    cancels = False

    async def decide(base: Snapshot) -> Decided:
        nonlocal cancels
        turn, held = base.run.turn, bool(base.claim_id)
        cancels = turn is not None and (turn.stage, turn.round) == (stage, round)
        if not cancels:
            return None
        return lifecycle.cancelled(base.run, held=held, reason="revoked", now=store.now(), deadlines=deadlines), {}

    await carry_out(store, run_id, decide)
    return cancels


async def approve(
    store: RunStore, run_id: str, plan_hash: str, *, by: str, deadlines: Deadlines, edited: Plan | None = None
) -> Snapshot:
    """The plan with this hash is carried out; with an edited plan, the Critic judges that one instead.

    Raises `PlanChanged` when another plan waits, `IllegalMove` when none does or the deadline has passed.
    """
    by = _principal(by)

    async def decide(base: Snapshot) -> Decided:
        run, now = base.run, store.now()
        if edited is None:
            return answers.approved(run, plan_hash, by=by, now=now, deadlines=deadlines), {}
        lock = _lock_for(edited, run)
        return answers.edited(run, plan_hash, edited, lock, by=by, now=now, deadlines=deadlines), {}

    return await carry_out(store, run_id, decide)


async def publish(
    store: RunStore, run_id: str, pictures: Collection[str], *, by: str, deadlines: Deadlines
) -> Snapshot:
    """COMPLETED with exactly these finished pictures.

    Raises `PicturesChanged` when others wait, `IllegalMove` when none do or the deadline has passed.
    """
    by = _principal(by)

    async def decide(base: Snapshot) -> Decided:
        return answers.published(base.run, pictures, by=by, now=store.now(), deadlines=deadlines), {}

    return await carry_out(store, run_id, decide)


async def reject(store: RunStore, run_id: str, *, by: str, comment: str, deadlines: Deadlines) -> Snapshot:
    """REJECTED. Raises `IllegalMove` when the run waits for no approval."""
    by = _principal(by)
    _check_comment(comment)

    async def decide(base: Snapshot) -> Decided:
        return answers.declined(base.run, by=by, comment=comment, now=store.now(), deadlines=deadlines), {}

    return await carry_out(store, run_id, decide)


DECISIONS: dict[Said, ReviewDecision] = {
    "adopt": "adopted",
    "resend": "resent",
    "allow": "allowed",
    "abandon": "abandoned",
}


async def review(
    store: RunStore,
    run_id: str,
    said: Said,
    *,
    by: str,
    comment: str,
    deadlines: Deadlines,
    result: dict[str, Any] | None = None,
) -> Snapshot:
    """A person's word about the call that a run waits with.

    `adopt` it with its `result` (`{"artifact": …, "output": …}`); `resend` it, once nothing of it can be under way
    any more; `allow` what has changed; or `abandon` the run. Raises `IllegalMove` when the run waits for no review,
    `InvalidInput` for a word that does not fit.
    """
    by = _principal(by)
    _check_comment(comment)

    async def decide(base: Snapshot) -> Decided:
        run, now = base.run, store.now()
        asked = answers.open_review(run, now)
        _check_fits(asked, said, result)
        answer = asked.evolve(decision=DECISIONS[said], decided_by=by, decided_at=now, comment=comment)
        if said == "abandon":
            return answers.abandoned(run, answer, now=now, deadlines=deadlines), {}
        if asked.why == "tool_changed" and run.lock:
            pins = {**run.lock.tool_pins, asked.call: asked.pin}
            run = run.evolve(lock=run.lock.evolve(tool_pins=pins))
            return answers.resolved(run, answer, now=now, deadlines=deadlines), {}
        if asked.why == "restored":
            return answers.resolved(run, answer, now=now, deadlines=deadlines), {}
        entries = await store.journal(run_id)  # after the run: changed since, its version has too
        entry = Entry.model_validate_json(entries[asked.key])
        if said != "resend" and entry.status == "started":
            run = lifecycle.spent(run, reserved=entry.quote_usd, usage=Usage(cost_usd=entry.quote_usd))
        kept = answered(entry, said, by=by, now=now, result=result).model_dump_json()
        return answers.resolved(run, answer, now=now, deadlines=deadlines), {asked.key: kept}

    return await carry_out(store, run_id, decide)


def _check_fits(asked: Review, said: Said, result: dict[str, Any] | None) -> None:
    fitting: dict[Doubt, tuple[Said, ...]] = {
        "outcome_unknown": ("adopt", "resend", "abandon"),
        "code_changed": ("allow", "abandon"),
        "tool_changed": ("allow", "abandon"),
        "restored": ("allow", "abandon"),
    }
    if said not in fitting[asked.why]:
        allowed = ", ".join(fitting[asked.why])
        raise InvalidInput(f"does not fit what is asked ({asked.why}): {allowed}", field=said)
    if (said == "adopt") != (result is not None):
        raise InvalidInput("needs what the call made, and nothing else takes that", field="adopt")


async def fail(store: RunStore, run_id: str, error: RunError, *, deadlines: Deadlines) -> Snapshot:
    """FAILED for a reason that was found outside of any attempt. Raises `IllegalMove`."""

    async def decide(base: Snapshot) -> Decided:
        return lifecycle.failed(base.run, error, now=store.now(), deadlines=deadlines), {}

    return await carry_out(store, run_id, decide)


Decided = tuple[Decision, Mapping[str, str]] | None
"""What follows, and the journal entries that change with it; None: nothing is to be done."""


async def carry_out(
    store: RunStore, run_id: str, decide: Callable[[Snapshot], Awaitable[Decided]], *, restores: bool = False
) -> Snapshot:
    """Decide and commit, as often as it takes; `restores` as in `Write`."""
    while True:
        base = await store.read(run_id)
        if (decided := await decide(base)) is None:
            return base
        decision, changed = decided
        journal = {**await closing(store, decision), **changed}
        write = Write(base, decision, uuid.uuid4().hex, journal=journal, holder=False, restores=restores)
        try:
            return await store.commit(write)
        except VersionConflict:
            continue


def _check_comment(comment: str) -> None:
    if len(comment) > MAX_COMMENT_CHARS:
        raise InvalidInput(f"has {len(comment)} characters, at most {MAX_COMMENT_CHARS}", field="reason")


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
