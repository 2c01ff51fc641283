"""Time-outs that need a decision: the sweep finds them, the lifecycle decides, a commit carries it out."""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta

from prolight import lifecycle
from prolight.decisions import Deadlines, Decision
from prolight.errors import IllegalMove, RunNotFound, StoreRefused, StoreUnavailable, VersionConflict
from prolight.journal import closing
from prolight.lifecycle import TERMINAL, stage_budget
from prolight.ports import RunStore, Snapshot, Swept, Write
from prolight.schemas import State

log = logging.getLogger(__name__)

CLOCK_SLACK = timedelta(milliseconds=500)
"""Our idea of the store's time may lag behind the sweep by as much as an answer takes."""


async def settle_overdue(store: RunStore, swept: Swept, deadlines: Deadlines) -> None:
    """Decide what each overdue run comes to. Who is beaten to it by another sweeper leaves it alone."""
    for run_id in (*swept.overdue, *swept.poisoned):
        try:
            base = await store.read(run_id)
            now, poisoned = store.now(), run_id in swept.poisoned and base.crashes >= swept.crashes_to_poison
            if base.run.state not in TERMINAL and (poisoned or ran_out(base, now=now, deadlines=deadlines)):
                decision = overdue(base, poisoned=poisoned, now=now, deadlines=deadlines)
                journal = await closing(store, decision)
                await store.commit(Write(base, decision, op_id=uuid.uuid4().hex, journal=journal, holder=False))
        except (VersionConflict, RunNotFound, IllegalMove, StoreRefused) as beaten:
            log.info("overdue run %s: %s", run_id, beaten)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("overdue run %s cannot be decided", run_id)  # and must not hold up all others


def ran_out(base: Snapshot, *, now: float, deadlines: Deadlines) -> bool:
    """Is it still overdue? It may have moved on between the sweep and this look.

    A stage's deadline counts from its first claim, so it never lies before queued time + budget.
    """
    run = base.run
    if run.state is State.CANCELLING:
        return True
    stops = [base.hard_stop, run.works_until]
    if run.state is State.AWAITING_APPROVAL and run.approval:
        stops.append(run.approval.until)
    if run.state is State.NEEDS_REVIEW and run.review:
        stops.append(run.review.until)
    if run.turn:
        stops.append(run.turn.queued_at + stage_budget(run, run.turn.stage, deadlines).total_seconds())
    return any(stop is not None and stop <= now + CLOCK_SLACK.total_seconds() for stop in stops)


def overdue(base: Snapshot, *, poisoned: bool, now: float, deadlines: Deadlines) -> Decision:
    """The decision for a run whose time ran out."""
    if base.run.state is State.CANCELLING and not base.claim_id:
        return lifecycle.let_go(base.run, now=now, deadlines=deadlines)
    if poisoned:
        return lifecycle.poisoned(base.run, base.crashes, now=now, deadlines=deadlines)
    return lifecycle.expired(base.run, now=now, deadlines=deadlines)
