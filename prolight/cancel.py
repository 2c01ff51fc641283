"""Stop a run: at once when nobody holds it, else by asking its holder to let go."""

from __future__ import annotations

import uuid

from prolight import lifecycle
from prolight.errors import IllegalMove, VersionConflict
from prolight.lifecycle import TERMINAL, Deadlines
from prolight.ports import RunStore, Snapshot, Write
from prolight.schemas import State


async def cancel(store: RunStore, run_id: str, *, reason: str, deadlines: Deadlines) -> Snapshot:
    """CANCELLED, or CANCELLING while a worker still holds it. Raises `IllegalMove` for a finished run."""
    while True:
        base = await store.read(run_id)
        if base.run.state is State.CANCELLING:
            return base
        if base.run.state in TERMINAL:
            raise IllegalMove(f"run {run_id} is {base.run.state}; a finished run cannot be cancelled")
        decision = lifecycle.cancelled(
            base.run, held=bool(base.claim_id), reason=reason, now=store.now(), deadlines=deadlines
        )
        try:
            return await store.commit(Write(base, decision, op_id=uuid.uuid4().hex, holder=False))
        except VersionConflict:
            continue
