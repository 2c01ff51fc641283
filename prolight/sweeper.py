"""Time-outs that need a decision: the sweep finds them, the lifecycle decides, a commit carries it out."""

from __future__ import annotations

import logging
import uuid

from prolight import lifecycle
from prolight.errors import IllegalMove, RunNotFound, StoreRefused, VersionConflict
from prolight.lifecycle import TERMINAL, Deadlines, Decision
from prolight.ports import RunStore, Snapshot, Swept, Write
from prolight.schemas import State

log = logging.getLogger(__name__)


async def settle_overdue(store: RunStore, swept: Swept, deadlines: Deadlines) -> None:
    """Decide what each overdue run comes to. Who is beaten to it by another sweeper leaves it alone."""
    for run_id in (*swept.overdue, *swept.poisoned):
        try:
            base = await store.read(run_id)
            if base.run.state not in TERMINAL:
                decision = overdue(base, poisoned=run_id in swept.poisoned, now=store.now(), deadlines=deadlines)
                await store.commit(Write(base, decision, op_id=uuid.uuid4().hex, holder=False))
        except (VersionConflict, RunNotFound, IllegalMove, StoreRefused) as beaten:
            log.info("overdue run %s: %s", run_id, beaten)


def overdue(base: Snapshot, *, poisoned: bool, now: float, deadlines: Deadlines) -> Decision:
    """The decision for a run whose time ran out."""
    if base.run.state is State.CANCELLING and not base.claim_id:
        return lifecycle.let_go(base.run, now=now, deadlines=deadlines)
    if poisoned:
        return lifecycle.poisoned(base.run, base.crashes, now=now, deadlines=deadlines)
    return lifecycle.expired(base.run, now=now, deadlines=deadlines)
