"""What each worker process says of itself in a file, which a container or `prolight doctor` reads without asking it.

`python -m prolight.health` is for a container's health check: it needs neither Celery nor the store. It ends with 0
when this host has a worker and no worker of it has trouble.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from prolight.settings import Settings
from prolight.spoken import duration

SILENT_AFTER = timedelta(seconds=30)
"""A worker writes every few seconds: a live one whose file is older is frozen."""
LAST_WORDS_KEPT = timedelta(days=1)
"""What a worker wrote before it gave itself up stays for so long."""


@dataclass(frozen=True, slots=True)
class Health:
    """Times are seconds of this host's clock; None: never. `what` says what is wrong."""

    host: str
    pid: int
    at: float
    ok: bool
    what: str
    lag_ms: int
    slots: int
    working: int
    last_claim: float | None
    last_heartbeat: float | None

    @property
    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def trouble(self, now: float) -> str:
        """What is wrong with a live worker; empty when nothing is."""
        if now - self.at > SILENT_AFTER.total_seconds():
            return f"has written nothing for {duration(now - self.at)}: frozen, or its disk is full"
        if not self.ok:
            return self.what
        return "" if self.last_heartbeat else "has not reached the store yet"

    def sentence(self, now: float) -> str:
        claim = f"{duration(now - self.last_claim)} ago" if self.last_claim else "none yet"
        beat = f"{duration(now - self.last_heartbeat)} ago" if self.last_heartbeat else "none yet"
        slots = f"{self.working} of {self.slots} slots at work"
        return f"{slots}, loop {self.lag_ms} ms late, last claim {claim}, last heartbeat {beat}"


def write(folder: Path, health: Health) -> None:
    """Whole or not at all. Raises `OSError`."""
    draft = _file(folder, health.pid).with_suffix(".draft")
    draft.write_text(json.dumps(asdict(health)))
    draft.replace(_file(folder, health.pid))


def forget(folder: Path, pid: int) -> None:
    _file(folder, pid).unlink(missing_ok=True)


def of_this_host(folder: Path) -> list[Health]:
    found = []
    for file in sorted(folder.glob(f"{socket.gethostname()}-*.json")):
        with suppress(OSError, ValueError, TypeError):  # it has just gone, or is of another version
            found.append(Health(**json.loads(file.read_text())))
    return found


def clear(folder: Path, now: float) -> None:
    """Forget workers that were killed; last words are kept for a while."""
    for health in of_this_host(folder):
        if not health.alive and (health.ok or now - health.at > LAST_WORDS_KEPT.total_seconds()):
            forget(folder, health.pid)


def troubles(found: Sequence[Health], now: float) -> list[str]:
    live = [health for health in found if health.alive]
    if not live:
        return ["no worker of this host says anything"]
    return [f"worker {health.pid}: {trouble}" for health in live if (trouble := health.trouble(now))]


def _file(folder: Path, pid: int) -> Path:
    return folder / f"{socket.gethostname()}-{pid}.json"


def main() -> None:
    if wrong := troubles(of_this_host(Settings.load().health_folder), time.time()):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
