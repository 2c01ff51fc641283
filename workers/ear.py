"""Whether this process hears bells. Each sweep rings for whatever waits, so whoever has room should hear that."""

from __future__ import annotations

from collections.abc import Collection

from prolight.ports import RunStore
from prolight.schemas import Stage


class Ear:
    def __init__(self) -> None:
        self._heard = self._heard_before = 0
        self.deaf_sweeps = 0
        """So many sweeps in a row runs waited, there was room, and no bell was heard."""

    def hear(self) -> None:
        """Bells came. From any thread."""
        self._heard += 1

    def forgive(self) -> None:
        """Nothing can be concluded: nobody could ring."""
        self.deaf_sweeps = 0

    async def after_a_sweep(self, store: RunStore, stages: Collection[Stage], *, room: bool) -> None:
        heard, self._heard_before = self._heard != self._heard_before, self._heard
        if heard or not room:
            self.deaf_sweeps = 0
            return
        backlog = await store.backlog()
        self.deaf_sweeps = self.deaf_sweeps + 1 if any(backlog[stage] for stage in stages) else 0
