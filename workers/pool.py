"""The pool that Celery sees: a shell. The work is on the runtime's event loop, in a thread beside Celery's own."""

from __future__ import annotations

from typing import Any

from celery.concurrency.base import BasePool

from prolight.errors import ProLightError
from prolight.settings import MAX_SLOTS
from workers.consumer import stages_of
from workers.runtime import runtime


class ShellPool(BasePool):
    body_can_be_buffer = True
    signal_safe = False
    limit: int

    def on_start(self) -> None:
        try:
            runtime.start(slots=self.limit, stages=stages_of(self.app))
        except ProLightError as error:
            raise SystemExit(f"prolight worker: {error}") from None

    def on_stop(self) -> None:
        runtime.stop()

    on_terminate = on_stop

    def grow(self, n: int = 1) -> None:
        self._resize(self.limit + n)

    def shrink(self, n: int = 1) -> None:
        self._resize(self.limit - n)

    def _resize(self, slots: int) -> None:
        self.limit = min(max(1, slots), MAX_SLOTS)
        runtime.change(slots=self.limit)

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "running": runtime.taken}
