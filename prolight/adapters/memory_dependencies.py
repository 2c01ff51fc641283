"""What `memory_store.py` knows of those that are called: pauses they ask for, and what is left of their retry budgets.

It behaves as `lua/retry.lua`, `lua/cool.lua` and the part of `lua/commit.lua` about `asks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from prolight.adapters.record import milliseconds
from prolight.retry import Sparing

SLICES = 6
"""Tries are counted in slices of time, so many in a window."""


class MemoryDependencies:
    """Implements `ports.Dependencies`. `time` gives milliseconds of the store's clock."""

    def __init__(self, sparing: Sparing, time: Callable[[], int]) -> None:
        self._sparing = sparing
        self._time = time
        self._slice = milliseconds(sparing.window) // SLICES
        self._until: dict[str, int] = {}
        self._firsts: Counter[tuple[str, int]] = Counter()
        self._retries: Counter[tuple[str, int]] = Counter()

    def asked(self, asks: Mapping[str, int]) -> None:
        self._firsts.update({(dependency, self._now()): firsts for dependency, firsts in asks.items()})

    def cooling(self, dependency: str) -> float | None:
        until = self._until.get(dependency, 0)
        return until / 1000 if until > self._time() else None

    async def cool(self, dependency: str, pause: timedelta) -> None:
        until = self._time() + max(1, milliseconds(min(pause, self._sparing.longest_pause)))
        self._until[dependency] = max(until, self._until.get(dependency, 0))

    async def take_retry(self, dependency: str) -> timedelta:
        now = self._now()
        if (pause := self._until.get(dependency, 0) - self._time()) > 0:
            return timedelta(milliseconds=pause)
        firsts = sum(self._firsts[dependency, past] for past in range(now - SLICES + 1, now + 1))
        retries = {past: self._retries[dependency, past] for past in range(now - SLICES, now + 1)}
        if sum(retries.values()) + 1 <= self._sparing.burst + self._sparing.share * firsts:
            self._retries[dependency, now] += 1
            return timedelta(0)
        oldest = next((past for past, count in retries.items() if count), now)
        return timedelta(milliseconds=(oldest + SLICES + 1) * self._slice - self._time())

    def _now(self) -> int:
        return self._time() // self._slice
