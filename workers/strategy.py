"""How a bell reaches the loop: Celery's hook between message and pool, without its Request and tracer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from prolight.schemas import Stage
from workers.runtime import runtime

NEXT_LOOK = timedelta(milliseconds=100)
"""How often a bell whose time has come looks whether a slot is free, at most."""


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """Called by Celery for each task, at start and after each reconnect."""
    stage = Stage(task.name.rpartition(".")[2])
    limited = LimitedStage(stage, consumer)

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        if limited.bucket:
            limited.hear()
        else:
            runtime.ring(stage)

    return on_message


class LimitedStage:
    """A stage under `control rate_limit`: one bell waits for its turn, without a slot, and others are let go.

    Bells name no run, so none is missed: the store rings again while runs wait.
    """

    def __init__(self, stage: Stage, consumer: Any) -> None:
        self._stage = stage
        self._consumer = consumer
        self._waits = False

    @property
    def bucket(self) -> Any:
        """Celery's, for this task; None without a limit."""
        return self._consumer.task_buckets[self._stage.queue]

    def hear(self) -> None:
        if not self._waits:
            self._waits = True
            self._look()

    def _look(self) -> None:
        """The limit may have changed, or gone, while the bell waited."""
        bucket = self.bucket
        if bucket is None or (runtime.free > 0 and bucket.can_consume(1)):
            self._waits = False
            runtime.ring(self._stage)
        else:
            wait = max(bucket.expected_time(1), NEXT_LOOK.total_seconds())
            self._consumer.timer.call_after(wait, self._look)
