"""A thread that looks whether this process can still serve. When it cannot, it says why and ends the process.

    a stalled loop   it has not ticked for `loop_stall_seconds`: whatever blocks it holds up every stage here
    a wedged slot    an attempt goes on although its hard stop has long passed: it hears of no cancellation
    deaf             runs wait, slots are free, and no bell was heard during `deaf_sweeps` sweeps

An outage of the store is none of these: whoever waits for it, waits. Every few seconds a health file is written.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from prolight import health
from prolight.health import Health
from prolight.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=0.5)
EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h: a supervisor starts the worker again."""
HARD_LIMIT = 4
"""After so many times `loop_stall_seconds` without a look the interpreter itself is held: C code ends the process."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What the runtime shows of itself. Times are seconds of this host's clock; `overstayed` counts wedged slots."""

    ticks: int
    lag: timedelta
    slots: int
    working: int
    overstayed: int = 0
    deaf_sweeps: int = 0
    last_claim: float | None = None
    last_heartbeat: float | None = None


class Watchdog:
    def __init__(self, settings: Settings, signs: Callable[[], Signs], hand_over: Callable[[], None]) -> None:
        """`hand_over` is tried before the end, where the loop still ticks: no neighbour's claim counts as a crash."""
        self._settings = settings
        self._signs = signs
        self._hand_over = hand_over
        self._ticks = -1
        self._silent = 0.0
        self._written = 0.0
        self._warned = False
        self._stopped = threading.Event()

    def start(self) -> None:
        folder = self._settings.health_folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            health.clear(folder, time.time())
        except OSError as error:
            self._complain(error)
        threading.Thread(target=self._watch, name="prolight-watchdog", daemon=True).start()

    def stop(self) -> None:
        """A clean end leaves no file."""
        self._stopped.set()
        faulthandler.cancel_dump_traceback_later()
        health.forget(self._settings.health_folder, os.getpid())

    def judge(self, signs: Signs, elapsed: float) -> str:
        """Why this process cannot serve; empty when it can. `elapsed` is the time since the look before.

        While the whole process was frozen, time has passed in which nobody could tick.
        """
        if signs.ticks != self._ticks:
            self._ticks, self._silent = signs.ticks, 0.0
        else:
            self._silent += min(elapsed, 2 * LOOK_EVERY.total_seconds())
        if self.stalled:
            return f"its loop has not ticked for {self._silent:.0f} s"
        if signs.overstayed:
            return (
                f"{signs.overstayed} of {signs.slots} slots went on {self._settings.wedged_after_seconds:g} s too long"
            )
        if signs.deaf_sweeps > self._settings.deaf_sweeps:
            return f"runs wait, slots are free, and no bell was heard during {signs.deaf_sweeps} sweeps"
        return ""

    @property
    def stalled(self) -> bool:
        return self._silent > self._settings.loop_stall_seconds

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stopped.wait(LOOK_EVERY.total_seconds()):
            faulthandler.dump_traceback_later(HARD_LIMIT * self._settings.loop_stall_seconds, exit=True)
            now = time.monotonic()
            signs = self._signs()
            why = self.judge(signs, now - before)
            before = now
            if why or now - self._written > self._settings.health_seconds:
                self._written = now
                self._write(signs, why)
            if why:
                self._give_up(why)

    def _write(self, signs: Signs, why: str) -> None:
        said = Health(
            host=socket.gethostname(),
            pid=os.getpid(),
            at=time.time(),
            ok=not why,
            what=why,
            lag_ms=round(max(signs.lag.total_seconds(), self._silent) * 1000),
            slots=signs.slots,
            working=signs.working,
            last_claim=signs.last_claim,
            last_heartbeat=signs.last_heartbeat,
        )
        try:
            health.write(self._settings.health_folder, said)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("no health file: %s; PROLIGHT_HEALTH names another folder", error)

    def _give_up(self, why: str) -> None:
        log.critical("this worker cannot serve and ends now: %s. What its threads do:", why)
        faulthandler.dump_traceback(all_threads=True)
        if not self.stalled:
            self._hand_over()
        os._exit(EXIT_CODE)
