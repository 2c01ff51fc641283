"""When a call may leave: not while its dependency asks for a pause, and a retry only within the budget.

Both are known to all workers together (`ports.Dependencies`). What may not leave now costs no try: the run waits,
and holds no slot when that takes long.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from prolight.calls import Call
from prolight.errors import CallError, CoolingDown, NoRetryLeft, RateLimited
from prolight.ledger import Entry
from prolight.retry import RetryPolicy
from prolight.writer import Writer

SPREAD = 0.25
"""What many wait for takes up to so much longer, at random: they do not all come back at once."""


class Pacing:
    """Of the calls of one attempt."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._dependencies = writer.dependencies

    async def may_leave(self, call: Call, before: Entry | None, policy: RetryPolicy) -> None:
        """Raises as `call.ready` does, or what says when to ask again: `CoolingDown`, `NoRetryLeft` for a retry."""
        if pause := self.pause(call):
            raise pause
        await call.ready()
        if before is None or not (call.dependency and is_retry(before)):
            return
        wait = await self._dependencies.take_retry(call.dependency)
        if pause := self.pause(call):
            raise pause
        if wait:
            why = f"too many retries on {call.dependency} for now (at last: {before.reason})"
            raise NoRetryLeft(why, retry_after=_spread(min(wait, policy.cap)))

    def pause(self, call: Call) -> CoolingDown | None:
        """What keeps this call from being sent, as it is known here."""
        until = self._dependencies.cooling(call.dependency) if call.dependency else None
        if until is None:
            return None
        moment = datetime.fromtimestamp(until, UTC)
        why = f"cooling down: {call.dependency} asks for a pause until {moment:%H:%M:%S} UTC"
        return CoolingDown(why, retry_after=_spread(timedelta(seconds=until - self._writer.now())))

    async def heed(self, call: Call, error: CallError, longest: timedelta) -> None:
        """All workers leave a dependency alone that asks for a pause: so long as it says, else `longest`."""
        if call.dependency and isinstance(error, RateLimited):
            await self._dependencies.cool(call.dependency, error.retry_after or longest)


def is_retry(before: Entry) -> bool:
    """The try before was answered badly or not at all. Taking over from a dead worker is none, nor a person's word."""
    return before.status in ("refused", "unknown") and not before.unsent and before.cleared != before.tries


def _spread(wait: timedelta) -> timedelta:
    return wait * (1 + SPREAD * random.random())
