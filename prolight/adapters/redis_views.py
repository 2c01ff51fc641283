"""What the scripts of `redis_store.py` answer, as values."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from prolight.ports import Claim, Process, Snapshot
from prolight.schemas import RunContext, Stage

log = logging.getLogger(__name__)


def readable(answers: list[Any]) -> Iterator[Claim]:
    """A record that this version cannot read is left to its lease; its neighbours are worked on."""
    for run_id, view, journal in answers:
        try:
            yield Claim(snapshot_of(view), pairs(journal))
        except ValidationError as error:
            log.error("run %s: its record is not readable here: %s", run_id, error)


def snapshot_of(view: list[Any]) -> Snapshot:
    document, ver, epoch, claim_id, owner, attempt, crashes, seq, hard_stop, ready, due, child = view
    return Snapshot(
        run=RunContext.from_json(document),
        ver=int(ver),
        epoch=int(epoch),
        claim_id=claim_id,
        owner=owner,
        attempt=int(attempt),
        crashes=int(crashes),
        seq=int(seq),
        ready=bool(ready),
        due_at=float(due) / 1000 if due else None,
        hard_stop=float(hard_stop) / 1000 if float(hard_stop) else None,
        child=child,
    )


def process_of(id: str, described: dict[str, Any], *, alive: bool) -> Process:
    stages = tuple(Stage(stage) for stage in described["stages"])
    return Process(
        id=id,
        slots=described["slots"],
        stages=stages,
        host=described["host"],
        pid=described["pid"],
        beat_at=described["beat"] / 1000,
        alive=alive,
    )


def pairs(reply: Any) -> dict[str, str]:
    """RESP2 and scripts answer hashes as lists, RESP3 as maps."""
    return dict(reply) if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
