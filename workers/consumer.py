"""Celery's consumer with our runtime tied to it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer import Consumer

from prolight.schemas import Stage
from workers.runtime import runtime

RECONNECT_AFTER, RECONNECT_AFTER_MOST = timedelta(seconds=0.5), timedelta(seconds=2)
"""Between tries to connect to a broker that is away. Kombu's own 2, 4, 6 … 30 s would be time without a bell."""


class QuietConsumer(Consumer):
    """Without gossip (every worker would hear every heartbeat) and mingle (a second at each start)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "without_gossip": True, "without_mingle": True})

    def ensure_connected(self, conn: Any) -> Any:
        return super().ensure_connected(soon_again(conn))

    def add_task_queue(self, queue: str, *args: Any, **options: Any) -> None:
        super().add_task_queue(queue, *args, **options)
        runtime.change(stages=stages_of(self.app))

    def cancel_task_queue(self, queue: str) -> None:
        super().cancel_task_queue(queue)
        runtime.change(stages=stages_of(self.app))


def soon_again(connection: Any) -> Any:
    """The connection, which tries again soon when it finds nobody."""
    first, most = RECONNECT_AFTER.total_seconds(), RECONNECT_AFTER_MOST.total_seconds()
    connection.ensure_connection = partial(
        connection.ensure_connection, interval_start=first, interval_step=first, interval_max=most
    )
    return connection


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
