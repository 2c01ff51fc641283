"""`prolight demo --kill`: a worker dies in the middle of a step, and another one goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prolight.cli.failures import Refused
from prolight.cli.output import say
from prolight.events import Event, StepMoved

if TYPE_CHECKING:
    from prolight.client import AsyncClient

LOOKS_ONLY = frozenset({"studio.inspect_image", "studio.check_picture"})
"""Tools that make no picture: killing during one would show little."""


@dataclass(slots=True)
class Takeover:
    """Watches a run's events, kills its worker once, and times how long the run stood still."""

    client: AsyncClient
    workers: frozenset[int]
    """The pids that may be killed: those that this demo started."""
    finished: frozenset[str] = frozenset()
    """The keys of the calls that were done when the worker died."""
    killed_at: float | None = None
    epoch: int = 0
    seconds: float | None = None

    async def saw(self, event: Event) -> None:
        if self.killed_at is None:
            if _makes_a_picture(event):
                await self._kill_holder(event)
        elif self.seconds is None and event.epoch > self.epoch:
            self.seconds = time.monotonic() - self.killed_at
            say(f"     another worker took the run over {self.seconds:.2f} s after the kill")

    async def _kill_holder(self, event: Event) -> None:
        snapshot = await self.client.get(event.run_id)
        pid = pid_of(snapshot.owner)
        if pid not in self.workers:
            raise Refused(
                f"the run is held by {snapshot.owner or 'nobody'!r}, no worker of this demo: nothing was killed"
            )
        os.kill(pid, signal.SIGKILL)
        self.killed_at, self.epoch = time.monotonic(), snapshot.epoch
        self.finished = done(await self.client.store.journal(event.run_id))
        say(f"     kill -9 {pid}: the worker that held the run is gone")


def _makes_a_picture(event: Event) -> bool:
    step = event.payload
    return isinstance(step, StepMoved) and step.status == "started" and step.tool not in LOOKS_ONLY


def pid_of(owner: str) -> int | None:
    """The pid at the end of a process id; None where there is none."""
    tail = owner.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else None


def done(journal: Mapping[str, str]) -> frozenset[str]:
    """The keys of the finished calls of a run."""
    return frozenset(key for key, entry in journal.items() if json.loads(entry)["status"] == "done")


def repeated(calls: Iterable[Mapping[str, Any]], finished: Set[str]) -> int:
    """How many of the finished calls the tool server got once more, by its own count."""
    received = Counter(call["key"] for call in calls)
    return sum(received[key] - 1 for key in finished if received[key] > 1)
