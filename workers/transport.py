"""kombu's Redis transport, taking several bells at once, and surviving what is no message."""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis

from workers.messages import STAGE_QUEUES, Reason, fault, read
from workers.runtime import runtime

log = logging.getLogger(__name__)

AT_ONCE = 8
"""More would let one worker take what others could do."""


class Channel(redis.Channel):
    def _brpop_read(self, **options: Any) -> bool:
        """One blocking pop, then what else lies there, up to the free slots, over the same idle connection."""
        connection = self.client.connection
        try:
            try:
                popped = self.client.parse_response(connection, "BRPOP", **options)
                if not popped:
                    raise Empty
                runtime.ear.hear()
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
        if count <= 0 or _text(queue) not in STAGE_QUEUES:  # replies to remote control are waited for one by one
            return []
        connection.send_command("RPOP", queue, count)
        return self.client.parse_response(connection, "RPOP") or []

    def _deliver_or_drop(self, raw: Any, queue: str) -> None:
        raw = raw.encode() if isinstance(raw, str) else raw
        message = read(raw, queue)
        if not isinstance(message, Reason):
            self.connection._deliver(message, queue)
        elif queue in STAGE_QUEUES:
            runtime.set_aside(queue, message, raw)
        else:
            log.error("dropped what is no reply from %s: %s", queue, message)

    def _receive_one(self, c: Any) -> Any:
        """Something that was said to all: a control command, or an event. kombu catches only a `ValueError` here."""
        try:
            return super()._receive_one(c)
        except RecursionError:
            log.error("dropped what was said to all: %s", Reason.TOO_DEEP)
            raise Empty from None

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        if reason := fault(message):
            log.error("dropped what was said to all in %s: %s", exchange, reason)
            return False
        return bool(super()._deliver_fanout_message(message, exchange))


class Transport(redis.Transport):
    Channel = Channel


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value
