"""A claimed stage, as Celery shows it (Flower, `inspect`, `revoke`).

Task events go out after the claim, with the run's task id and arguments: people see runs, not bells.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from celery.worker import state

from prolight.outcomes import BackingOff, Failed, Lost, Outcome, Released
from prolight.ports import Claim
from prolight.schemas import RunContext, Turn


class Row:
    """What `inspect`, `revoke` and Celery's reconnect code need of a request."""

    __slots__ = (
        "__weakref__", "_cancel", "_tell", "eventer", "hostname", "id", "name", "parent_id", "root_id", "run_id",
        "time_start",
    )  # fmt: skip
    acknowledged = True
    worker_pid = os.getpid()

    def __init__(
        self, claim: Claim, *, hostname: str, tell: Callable[..., None], cancel: Callable[[str], None]
    ) -> None:
        run = claim.snapshot.run
        ids = [task_id(run, turn) for turn in run.turns]
        self.run_id = run.run_id
        self.id, self.root_id, self.parent_id = ids[-1], ids[0], ids[-2] if len(ids) > 1 else None
        self.name = run.turns[-1].stage.queue
        self.hostname = hostname
        self.time_start = time.time()
        self.eventer = None
        self._tell = tell
        self._cancel = cancel

    def info(self, safe: bool = False) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "type": self.name,
            "args": [self.run_id],
            "kwargs": {},
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": True,
            "delivery_info": {"routing_key": self.name},
            "worker_pid": self.worker_pid,
        }

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """A revoke of this task cancels the run."""
        self._cancel(self.run_id)

    cancel = terminate

    def started(self) -> None:
        state.task_reserved(self)
        state.task_accepted(self)
        self._tell(
            "task-received",
            uuid=self.id,
            name=self.name,
            args=f"('{self.run_id}',)",
            kwargs="{}",
            root_id=self.root_id,
            parent_id=self.parent_id,
            retries=0,
            eta=None,
            expires=None,
        )
        self._tell("task-started", uuid=self.id)

    def ended(self, outcome: Outcome | Lost) -> None:
        state.task_ready(self)
        match outcome:
            case BackingOff(error=error):
                self._tell("task-retried", uuid=self.id, exception=f"{error.code}: {error.message}", traceback="")
            case Failed(error):
                self._tell("task-failed", uuid=self.id, exception=f"{error.code}: {error.message}", traceback="")
            case Released() | Lost():
                self._tell("task-retried", uuid=self.id, exception=type(outcome).__name__, traceback="")
            case _:
                seconds = time.time() - self.time_start
                self._tell("task-succeeded", uuid=self.id, result=type(outcome).__name__, runtime=seconds)


def task_id(run: RunContext, turn: Turn) -> str:
    """Of (run, stage, round) only, so that back-offs and takeovers stay one row."""
    return f"{run.run_id}.{turn.stage}.{turn.round}"
