"""kombu's Redis transport, taking several bells at once, and surviving what is no message."""

from __future__ import annotations

import json
import logging
from queue import Empty
from typing import Any

from kombu.transport import redis

from prolight.schemas import Stage
from workers.runtime import runtime

log = logging.getLogger(__name__)

AT_ONCE = 8
"""More would let one worker take what others could do."""

TASKS = frozenset(stage.queue for stage in Stage)
"""Where bells lie. In other queues lie replies to remote control: without an id, and waited for one by one."""


class Channel(redis.Channel):
    def _brpop_read(self, **options: Any) -> bool:
        """One blocking pop, then what else lies there, up to the free slots, over the same idle connection."""
        connection = self.client.connection
        try:
            try:
                popped = self.client.parse_response(connection, "BRPOP", **options)
                if not popped:
                    raise Empty
                queue, first = popped
                bells = [first, *self._more(connection, queue)]
            except self.connection_errors:
                connection.disconnect()
                raise
            name = _text(queue)
            self._queue_cycle.rotate(name)
            for bell in bells:
                self._deliver_or_drop(bell, name)
            return True
        finally:
            self._in_poll = False
            self._flush_brpop_reauth()

    def _more(self, connection: Any, queue: Any) -> list[Any]:
        count = min(AT_ONCE, runtime.free) - 1
        if count <= 0 or _text(queue) not in TASKS:
            return []
        connection.send_command("RPOP", queue, count)
        return self.client.parse_response(connection, "RPOP") or []

    def _deliver_or_drop(self, raw: Any, queue: str) -> None:
        try:
            message = json.loads(_text(raw))
            if "delivery_tag" not in message["properties"] or (queue in TASKS and "id" not in message["headers"]):
                raise KeyError("id")
        except (ValueError, KeyError, TypeError):
            log.error("dropped what is no message from %s: %.80r", queue, raw)
        else:
            self.connection._deliver(message, queue)


class Transport(redis.Transport):
    Channel = Channel


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value
