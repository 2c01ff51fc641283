"""Where suspects are worked: each in a child process of its own, whose death convicts nobody else."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import socket
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Any

from prolight.attempt import Attempts
from prolight.embedded.guard import guarded
from prolight.errors import ClaimLost, IllegalMove, RunNotFound
from prolight.ledger import settled
from prolight.outcomes import Crashed, Lost, Outcome, Released, conclude
from prolight.ports import Claim
from prolight.schemas import RunContext
from prolight.suspect import INTERRUPT, INTERRUPT_HARMLESS, MAX_LINE_BYTES, read_end, write_claim
from prolight.writer import Writer

log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-m", "prolight.suspect")
KILL_AFTER = timedelta(seconds=5)
"""A child that was told to stop, and does not, is killed."""
ROOM_AFTER = timedelta(seconds=1)
"""A suspect for which there is no room is tried again about so much later, here or elsewhere."""


class Dock:
    """Room for so many suspects at once, and the process that their children come from. Lives on one event loop.

    Who finds no room gives its claim back: a process that dies over one suspect must not die over others that wait.
    """

    def __init__(self, room: int) -> None:
        self.room = asyncio.Semaphore(room)
        self._births: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def child(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a new child. Raises `OSError`."""
        here, there = socket.socketpair()
        with there:
            try:
                socket.send_fds(await self._started(), [b"+"], [there.fileno()])
            except BrokenPipeError:  # it was killed, and those who worked there with it
                self._births = None
                socket.send_fds(await self._started(), [b"+"], [there.fileno()])
        return await asyncio.open_unix_connection(sock=here, limit=MAX_LINE_BYTES)

    async def _started(self) -> socket.socket:
        async with self._starting:
            if self._births is None:
                here, there = socket.socketpair()
                with there:
                    await asyncio.create_subprocess_exec(
                        *guarded(PROGRAM), stdin=there.fileno(), start_new_session=True
                    )
                self._births = here
        return self._births


class Suspect:
    """A claimed run at work in a child process: to the runtime what an `Attempt` is."""

    def __init__(self, parts: Attempts, dock: Dock, claim: Claim) -> None:
        self.run: RunContext = claim.snapshot.run
        self._parts = parts
        self._dock = dock
        self._claim = claim
        self._orders: asyncio.StreamWriter | None = None
        self._pid = 0
        self._stopped = False

    async def make(self) -> Outcome | Lost:
        """Returns when the child has committed an outcome, or its end without one is committed as a crash."""
        if self._dock.room.locked():
            why = "it crashed its workers, and waits for a process of its own"
            return await self._finish(Released(why, ROOM_AFTER * random.uniform(0.5, 1)))
        async with self._dock.room:
            try:
                said = await self._work()
            except OSError as error:
                return await self._finish(Released(f"no process of its own: {error}", ROOM_AFTER))
        if "kind" in said:
            outcome, self.run = read_end(said)
            return outcome
        if self._stopped or "ended" not in said:  # we killed it, or what it came from was killed: that is no crash
            return await self._finish(Released())
        return await self._finish(Crashed(f"the process that worked on this run alone {said['ended']}"))

    def interrupt(self, *, harmless_only: bool = False) -> None:
        """As `Attempt.interrupt`; only the child knows what is under way."""
        self._tell(INTERRUPT_HARMLESS if harmless_only else INTERRUPT)
        if not harmless_only:
            self._stopped = True
            asyncio.get_running_loop().call_later(KILL_AFTER.total_seconds(), self._kill)

    async def _work(self) -> dict[str, Any]:
        """All that the child and its sitter say."""
        log.warning("run %s: crashed %s times: works alone", self.run.run_id, self._claim.snapshot.crashes)
        answers, self._orders = await self._dock.child()
        said: dict[str, Any] = {}
        try:
            self._tell(write_claim(self._claim))
            if self._stopped:
                self._tell(INTERRUPT)
            while line := await answers.readline():
                said |= json.loads(line)
                self._pid = 0 if "ended" in said else said.get("pid", 0)
        finally:
            self._orders.close()
        return said

    async def _finish(self, outcome: Outcome) -> Outcome | Lost:
        """End the claim in the child's place."""
        store, deadlines = self._parts.store, self._parts.deadlines
        writer = Writer(store, self._claim, name="dock")
        entries = await store.journal(self.run.run_id)
        writer.closing = lambda: settled(entries, now=writer.now())
        try:
            written = await writer.finish(lambda run: conclude(outcome, run, now=writer.now(), deadlines=deadlines))
        except (ClaimLost, RunNotFound, IllegalMove) as lost:
            log.warning("run %s: %s", self.run.run_id, lost)
            return Lost()
        self.run = written.run
        return outcome

    def _tell(self, line: bytes) -> None:
        if self._orders:
            self._orders.write(line)

    def _kill(self) -> None:
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
