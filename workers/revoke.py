"""A revoke of a task cancels its run, if the run is at that stage: never at a later one."""

from __future__ import annotations

import uuid

from prolight import lifecycle
from prolight.errors import VersionConflict
from prolight.lifecycle import Deadlines
from prolight.ports import RunStore, Write
from workers.row import StageOfRun


async def revoke(store: RunStore, named: StageOfRun, deadlines: Deadlines) -> bool:
    """Whether the run was cancelled by this: False when it is not at this stage.

    The check and the cancel are one commit, so the run cannot move on in between, and of all workers
    that heard the same revoke one carries it out.
    """
    while True:
        base = await store.read(named.run_id)
        turn = base.run.turn
        if turn is None or (turn.stage, turn.round) != (named.stage, named.round):
            return False
        held = bool(base.claim_id)
        decision = lifecycle.cancelled(base.run, held=held, reason="revoked", now=store.now(), deadlines=deadlines)
        try:
            await store.commit(Write(base, decision, op_id=uuid.uuid4().hex, holder=False))
        except VersionConflict:
            continue
        return True
