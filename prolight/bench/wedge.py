"""The offline model, but it blocks the loop of the worker that asks it, when it is told to: for `bench recovery`."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from prolight.adapters.offline_model import OfflineModel
from prolight.ports import ChatReply, ChatRequest
from prolight.settings import Settings

MODEL = f"{__name__}:WedgingModel"
"""For the setting `model`."""
FOR_EVER_SECONDS = 3600.0


def told_file(home: Path) -> Path:
    """While it exists, the next worker that asks takes it away and is wedged."""
    return home / "wedge"


def wedged_file(home: Path) -> Path:
    """When that was, in seconds of this machine's monotonic clock."""
    return home / "wedged"


class WedgingModel(OfflineModel):
    def __init__(self, settings: Settings) -> None:
        self._home = settings.home

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply:
        try:
            told_file(self._home).unlink()
        except FileNotFoundError:
            return await super().complete(request, deadline=deadline)
        wedged_file(self._home).write_text(repr(time.monotonic()))
        time.sleep(FOR_EVER_SECONDS)  # noqa: ASYNC251 - blocking the loop is the point
        raise AssertionError("its watchdog ends the process long before")
