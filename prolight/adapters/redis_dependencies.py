"""What all workers together know of those they call, on the server: `cool`, `retry` and `commit` in `lua/`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from prolight.adapters.record import milliseconds
from prolight.retry import Sparing

Script = Callable[..., Awaitable[list[Any]]]


class RedisDependencies:
    """Implements `ports.Dependencies`. `script` runs a script of the store; `now` is the store's clock."""

    def __init__(self, sparing: Sparing, script: Script, now: Callable[[], float]) -> None:
        self._sparing, self._script, self._now = sparing, script, now
        self._window_ms = milliseconds(sparing.window)
        self._until: dict[str, float] = {}

    def asked(self, asks: Mapping[str, int]) -> tuple[Any, ...]:
        """For a commit: whom it is followed by calls to."""
        return (len(asks), self._window_ms, *(part for ask in asks.items() for part in ask))

    def heard(self, asks: Mapping[str, int], until: list[int]) -> None:
        """What the commit answers to that."""
        for dependency, moment in zip(asks, until, strict=True):
            self._until[dependency] = moment / 1000

    def cooling(self, dependency: str) -> float | None:
        until = self._until.get(dependency, 0.0)
        return until if until > self._now() else None

    async def cool(self, dependency: str, pause: timedelta) -> None:
        pause = min(pause, self._sparing.longest_pause)
        _, until = await self._script("cool", dependency, milliseconds(pause))
        self._until[dependency] = until / 1000

    async def take_retry(self, dependency: str) -> timedelta:
        sparing = self._sparing
        _, wait, until = await self._script("retry", dependency, sparing.share, sparing.burst, self._window_ms)
        self._until[dependency] = until / 1000
        return timedelta(milliseconds=wait)
