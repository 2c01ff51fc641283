"""Celery's consumer with our runtime tied to it."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer import Consumer

from prolight.schemas import Stage
from workers.runtime import runtime


class QuietConsumer(Consumer):
    """Without gossip (every worker would hear every heartbeat) and mingle (a second at each start)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "without_gossip": True, "without_mingle": True})

    def add_task_queue(self, queue: str, *args: Any, **options: Any) -> None:
        super().add_task_queue(queue, *args, **options)
        runtime.change(stages=stages_of(self.app))

    def cancel_task_queue(self, queue: str) -> None:
        super().cancel_task_queue(queue)
        runtime.change(stages=stages_of(self.app))


def stages_of(app: Any) -> tuple[Stage, ...]:
    """Whose queues are consumed from."""
    return tuple(stage for stage in Stage if stage.queue in app.amqp.queues.consume_from)


class RuntimeStep(bootsteps.StartStopStep):
    """Started last, so stopped first: while events can still be sent, and before the worker says that it is offline."""

    requires = ("celery.worker.consumer:Tasks", "celery.worker.consumer:Control", "celery.worker.consumer:Heart")

    def start(self, consumer: Any) -> None:
        runtime.attach(consumer)

    def stop(self, consumer: Any) -> None:
        if state.should_stop is not None and state.should_stop is not False:
            runtime.drain()
