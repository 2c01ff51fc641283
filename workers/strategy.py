"""How a bell reaches the loop, and how what it led to is shown to Celery (Flower, `inspect`, `revoke`).

Celery's Request and tracer are left out: they cost more than the stage. Task events go out after the
claim, with the run's task id and arguments, so people see runs, not bells.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from celery.worker import state

from prolight.outcomes import BackingOff, Failed, Lost, Outcome, Released
from prolight.ports import Claim
from prolight.schemas import RunContext, Stage, Turn
from workers.runtime import runtime

GATHER = timedelta(milliseconds=100)
"""Task events leave together, this often."""


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """Celery's hook: called for each task at start and after each reconnect."""
    stage = Stage(task.name.rpartition(".")[2])
    bucket_of = consumer.task_buckets.__getitem__

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        runtime.heard()
        if bucket := bucket_of(task.name):
            consumer._limit_task(Bell(stage), bucket, 1)
        else:
            runtime.ring(stage)

    return on_message


class Bell:
    """A bell that waits for a rate limit."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.id = self.name = stage.queue

    def execute_using_pool(self, pool: Any, **_: Any) -> None:
        runtime.ring(self.stage)


class Row:
    """A claimed stage, as Celery shows it: what `inspect`, `revoke` and the reconnect code need of a request."""

    __slots__ = (
        "__weakref__",
        "eventer",
        "hostname",
        "id",
        "name",
        "parent_id",
        "root_id",
        "run_id",
        "stage",
        "time_start",
    )
    acknowledged = True
    worker_pid = os.getpid()

    def __init__(self, claim: Claim) -> None:
        run = claim.snapshot.run
        ids = [task_id(run, turn) for turn in run.turns]
        self.run_id, self.stage = run.run_id, run.turns[-1].stage
        self.id, self.root_id, self.parent_id = ids[-1], ids[0], ids[-2] if len(ids) > 1 else None
        self.name = self.stage.queue
        self.hostname = runtime.hostname
        self.time_start = time.time()
        self.eventer = None

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
            "delivery_info": {"routing_key": self.stage.queue},
            "worker_pid": self.worker_pid,
        }

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """A revoke of this task cancels the run."""
        runtime.cancel_run(self.run_id)

    cancel = terminate

    def started(self) -> None:
        state.task_reserved(self)
        state.task_accepted(self)
        runtime.tell(
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
        runtime.tell("task-started", uuid=self.id)

    def ended(self, outcome: Outcome | Lost) -> None:
        state.task_ready(self)
        match outcome:
            case BackingOff(error=error):
                runtime.tell("task-retried", uuid=self.id, exception=f"{error.code}: {error.message}", traceback="")
            case Failed(error):
                runtime.tell("task-failed", uuid=self.id, exception=f"{error.code}: {error.message}", traceback="")
            case Released() | Lost():
                runtime.tell("task-retried", uuid=self.id, exception=type(outcome).__name__, traceback="")
            case _:
                runtime.tell(
                    "task-succeeded", uuid=self.id, result=type(outcome).__name__, runtime=time.time() - self.time_start
                )


def task_id(run: RunContext, turn: Turn) -> str:
    """Of (run, stage, round) only, so that back-offs and takeovers stay one row."""
    return f"{run.run_id}.{turn.stage}.{turn.round}"
