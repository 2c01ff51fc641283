"""Waiting for what other processes do, with a bound."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable

WITHIN_SECONDS = 30
POLL_SECONDS = 0.01


def until(condition: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, f"never came true: {condition}"
        time.sleep(POLL_SECONDS)


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not condition():
            await asyncio.sleep(POLL_SECONDS)


def alive(pid: int) -> bool:
    """A zombie that nobody has reaped yet is dead."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")
