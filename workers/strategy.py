"""How a bell reaches the loop: Celery's hook between message and pool, without its Request and tracer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prolight.schemas import Stage
from workers.runtime import runtime


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """Called by Celery for each task, at start and after each reconnect."""
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
