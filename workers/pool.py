"""The pool that Celery sees: a shell. The work is on the runtime's event loop, in a thread beside Celery's own."""

from __future__ import annotations

from typing import Any

from celery.concurrency.base import BasePool

from prolight.errors import ProLightError
from prolight.schemas import Stage
from workers.runtime import runtime


class ShellPool(BasePool):
    body_can_be_buffer = True
    signal_safe = False
    limit: int

    def on_start(self) -> None:
        queues = self.app.amqp.queues.consume_from
        stages = tuple(stage for stage in Stage if stage.queue in queues)
        try:
            runtime.start(slots=self.limit, stages=stages)
        except ProLightError as error:
            raise SystemExit(f"prolight worker: {error}") from None

    def on_stop(self) -> None:
        runtime.stop()

    on_terminate = on_stop

    def grow(self, n: int = 1) -> None:
        self.limit += n
        runtime.slots = self.limit

    def shrink(self, n: int = 1) -> None:
        self.limit = max(1, self.limit - n)
        runtime.slots = self.limit

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """Celery asks for this on a revoke; `Row.terminate` has done it."""

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "running": runtime.taken}
