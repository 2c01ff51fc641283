"""What lay in a stage's queue and is no bell: kept for people to look at, while the consumer goes on."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from datetime import timedelta
from typing import Any

from prolight.adapters.redis_store import ASIDE_KEPT, RedisStore
from prolight.errors import StoreError
from workers.messages import Reason

log = logging.getLogger(__name__)

GATHER = timedelta(milliseconds=100)
"""One write and one line of the log for what comes together."""


class Aside:
    """Lives on the runtime's loop. Holds no more than the store would keep, however long that is away."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._newest: deque[dict[str, Any]] = deque(maxlen=ASIDE_KEPT)
        self._writing = False

    async def put(self, store: RedisStore, queue: str, reason: Reason, size: int, beginning: str) -> None:
        """What comes while a write is under way goes with the next one."""
        self._counts[reason] += 1
        entry = {"at": round(store.now(), 3), "queue": queue, "reason": reason, "size": size}
        self._newest.append(entry | {"beginning": beginning})
        if not self._writing:
            self._writing = True
            try:
                while self._counts:
                    await asyncio.sleep(GATHER.total_seconds())
                    await self._write(store)
            finally:
                self._writing = False

    async def _write(self, store: RedisStore) -> None:
        counts, newest = dict(self._counts), list(self._newest)
        self._counts.clear()
        self._newest.clear()
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        log.warning("set aside what is no bell: %s; `prolight doctor` counts it", told)
        try:
            await store.set_aside(counts, newest)
        except StoreError as error:
            log.warning("and not kept: %s", error)
