"""What Celery and Flower are shown of our work: Celery's own records of requests, and task events.

Celery's thread reads both without a lock, so it alone changes them. The loop leaves each change
here; they are carried out together, at most `GATHER` later.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

GATHER = timedelta(milliseconds=100)
"""Changes and events leave together, this often."""


class Board:
    def __init__(self) -> None:
        self._changes: deque[Callable[[], None]] = deque()
        self._armed = False
        self._consumer: Any = None

    # --- called on the loop ---

    def change(self, change: Callable[..., None], *args: Any) -> None:
        """Have Celery's thread do this, in the order of the calls."""
        self._changes.append(partial(change, *args))
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_later(GATHER.total_seconds(), self._wake)

    def tell(self, event: str, **fields: Any) -> None:
        """Send a task event, as of now."""
        self.change(self._send, event, {"timestamp": time.time(), **fields})

    def _wake(self) -> None:
        if self._consumer:
            self._consumer.hub.call_soon(self.catch_up)

    # --- called by Celery's thread ---

    def attach(self, consumer: Any) -> None:
        """The consumer is connected (again), with a new dispatcher."""
        self._consumer = consumer
        if dispatcher := consumer.event_dispatcher:
            dispatcher.buffer_limit = 10**9
            dispatcher.on_send_buffered = None  # `catch_up` flushes
        self.catch_up()

    def catch_up(self) -> None:
        """Nothing is lost while Celery has no dispatcher, between two connections: `attach` comes again."""
        self._armed = False
        if self._consumer and (dispatcher := self._consumer.event_dispatcher):
            while self._changes:
                self._changes.popleft()()
            dispatcher.flush()

    def keep_up(self) -> None:
        """Instead of Celery's loop while that stands still: heartbeats go on, or Flower says offline."""
        if self._consumer:
            self._consumer.hub.fire_timers()
        self.catch_up()

    def _send(self, event: str, fields: dict[str, Any]) -> None:
        if self._consumer.event_dispatcher.enabled:
            self._consumer.event_dispatcher.send(event, **fields)
