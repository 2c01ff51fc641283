"""A stage of a run as Celery shows it: a row in Flower, a request in `inspect`.

A row goes up after the claim, with the run's task id and arguments: people see runs, not bells.
How it ends follows from what became of the run, not from what its worker meant to do.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, NamedTuple

from celery.utils.collections import AttributeDict
from celery.worker import state

from prolight.outcomes import BackingOff, Crashed, Lost, Outcome, Released, Unclear
from prolight.ports import Snapshot
from prolight.schemas import RunContext, Stage, State, Turn
from workers.board import Board

TASK_ID = re.compile(rf"([A-Za-z0-9][A-Za-z0-9._-]{{0,127}})\.({'|'.join(Stage)})\.([0-9]{{1,9}})", re.ASCII)

STOPPED = frozenset({State.FAILED, State.CANCELLED})
"""Where a run ends in the middle of a stage."""


class Row:
    """What `inspect` and Celery's reconnect and shutdown code need of a request."""

    __slots__ = (
        "__weakref__", "_attempt", "_board", "eventer", "hostname", "id", "name", "parent_id", "root_id", "run_id",
        "time_start",
    )  # fmt: skip
    acknowledged = True
    task = AttributeDict(acks_late=True)  # with `acknowledged`: a cold shutdown leaves it to our drain
    worker_pid = os.getpid()

    def __init__(self, snapshot: Snapshot, board: Board, *, hostname: str) -> None:
        run = snapshot.run
        ids = [task_id(run, turn) for turn in run.turns]
        self.run_id = run.run_id
        self.id, self.root_id, self.parent_id = ids[-1], ids[0], ids[-2] if len(ids) > 1 else None
        self.name = run.turns[-1].stage.queue
        self.hostname = hostname
        self.time_start = time.time()
        self.eventer = None
        self._attempt = snapshot.attempt
        self._board = board

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

    def started(self) -> None:
        """This process claimed the stage."""
        self._board.change(state.task_reserved, self)
        self._board.change(state.task_accepted, self)
        self._received()
        self._tell("started")

    def ended(self, outcome: Outcome | Lost, run: RunContext) -> None:
        """This process let go of the stage; `run` is what it last wrote."""
        self._board.change(state.task_ready, self)
        match outcome:
            case Lost():
                pass  # whoever took the run, or ended it, tells of it
            case _ if run.state in STOPPED:
                self._over(run)
            case BackingOff(error=error):
                self._retried(f"{error.code}: {error.message}")
            case Unclear(review):
                self._retried(f"a person decides: {review.message}")
            case Released(why=why):
                self._retried(why)
            case Crashed(how):
                self._retried(f"crashed: {how}")
            case _:
                self._succeeded(outcome, run)

    def settled(self, run: RunContext) -> None:
        """A client or a sweeper ended the run: cancelled it, or its time ran out. A person's no fails no stage."""
        if run.state in STOPPED:
            if not self._attempt:
                self._received()
            self._over(run)

    def _over(self, run: RunContext) -> None:
        if run.state is State.CANCELLED:
            self._tell("revoked", exception=None, terminated=True, signum=None, expired=False)
        elif run.error:
            self._tell("failed", exception=f"{run.error.code}: {run.error.message}")

    def _retried(self, why: str) -> None:
        self._tell("retried", exception=why)

    def _succeeded(self, outcome: Outcome, run: RunContext) -> None:
        result = f"{type(outcome).__name__}; the run is {run.state}"
        self._tell("succeeded", exception=None, result=result, runtime=time.time() - self.time_start)

    def _received(self) -> None:
        self._tell(
            "received",
            name=self.name,
            args=f"('{self.run_id}',)",
            kwargs="{}",
            root_id=self.root_id,
            parent_id=self.parent_id,
            retries=max(0, self._attempt - 1),
            eta=None,
            expires=None,
        )

    def _tell(self, what: str, **fields: Any) -> None:
        """A row keeps what it was told: `exception` None clears why an earlier attempt was given up."""
        self._board.tell(f"task-{what}", uuid=self.id, **fields)


class StageOfRun(NamedTuple):
    """What a task id names."""

    run_id: str
    stage: Stage
    round: int


def task_id(run: RunContext, turn: Turn) -> str:
    """Of (run, stage, round) only, so that back-offs and takeovers stay one row."""
    return f"{run.run_id}.{turn.stage}.{turn.round}"


def stage_of(task_id: str) -> StageOfRun | None:
    """The inverse of `task_id`; None for an id that is not ours."""
    if named := TASK_ID.fullmatch(task_id):
        return StageOfRun(named[1], Stage(named[2]), int(named[3]))
    return None
