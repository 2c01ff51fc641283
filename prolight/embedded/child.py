"""One part of the stack as a child process: started until ready, stopped, its last words kept."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from prolight.embedded.errors import StackFailed
from prolight.embedded.guard import Watch, guarded
from prolight.embedded.valkey import LAST_LINES, STOP_WITHIN, last_lines

READY_WITHIN = timedelta(seconds=60)
"""Only a part that hangs takes it all: one that ends is noticed at once."""
PROBE_EVERY_SECONDS = 0.03
LAST_WORDS_WITHIN_SECONDS = 1.0
"""How long an ended part's pipe may stay open: a descendant that left the group may hold it."""
MAX_LINE_BYTES = 16 * 1024

Probe = Callable[[int], Awaitable[bool]]
"""Whether the part with this pid is ready. Asked until it says so; it answers within a second or two."""
Say = Callable[[str, str], None]
"""Takes the name of a part and one line of its log."""


def silent(_name: str, _line: str) -> None:
    """Says nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """What to run, and when it counts as ready.

    `env` is the whole environment. Parts of a higher `tier` are stopped before those of a lower one.
    Output goes to the file `log` if there is one, else line by line to the supervisor.
    """

    name: str
    argv: tuple[str, ...]
    ready: Probe
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    tier: int = 0
    cwd: Path | None = None
    log: Path | None = None
    lock: Path | None = None
    ready_within: timedelta = READY_WITHIN
    grace: timedelta = STOP_WITHIN


class Child:
    """A part and the process that it is now; a restart gives it another one."""

    def __init__(self, part: Part, watch: Watch, say: Say) -> None:
        self.part = part
        self._watch = watch
        self._say = say
        self._tail: deque[str] = deque(maxlen=LAST_LINES)
        self._log_offset = 0
        self._log_ended = asyncio.Event()
        self._pipe: asyncio.ReadTransport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready_at: float | None = None
        self._trouble: str | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process, f"{self.part.name} was not started"
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def lived(self) -> timedelta:
        """For how long it has been ready; zero for one that never was."""
        if self._ready_at is None:
            return timedelta()
        return timedelta(seconds=asyncio.get_running_loop().time() - self._ready_at)

    @property
    def end(self) -> str:
        """How it ended, or why it was ended before it was ready, in words."""
        return self._trouble or self._exit

    @property
    def _exit(self) -> str:
        code = self.process.returncode
        if code is not None and code < 0:
            return f"was ended by signal {-code} ({signal.strsignal(-code)})"
        return f"exited with {code}"

    def say(self, line: str) -> None:
        self._say(self.part.name, line)

    def failure(self, what: str) -> StackFailed:
        """What happened to the part, with its last lines."""
        part = self.part
        lines = last_lines(part.log, offset=self._log_offset) if part.log else self._tail
        words = "its last lines:\n" + "\n".join(f"  {line}" for line in lines) if lines else "it said nothing"
        return StackFailed(f"{part.name} {what}; {words}")

    async def start(self) -> None:
        """Returns when the part is ready. Raises `StackFailed`, and then nothing of it is left."""
        self._ready_at = None
        try:
            await self._spawn()
        except OSError as error:
            self._trouble = f"cannot be started: {error}"
            raise self.failure(self._trouble) from error
        self._trouble = await self._wait_until_ready()
        if self._trouble:
            await self._kill()
            raise self.failure(self._trouble)
        self._ready_at = asyncio.get_running_loop().time()

    async def _spawn(self) -> None:
        part = self.part
        with await self._output() as output:
            self._process = await asyncio.create_subprocess_exec(
                *guarded(part.argv, lock=part.lock),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(part.env),
                cwd=part.cwd,
                start_new_session=True,
            )
        self._watch.add(self.pid)

    async def _output(self) -> BinaryIO:
        """Where the next process writes. A pipe of our own: asyncio's would make `wait` wait for
        whatever descendant holds it."""
        self._tail.clear()
        self._log_ended = asyncio.Event()
        if self.part.log:
            self._log_ended.set()
            output = self.part.log.open("ab")
            self._log_offset = output.tell()
            return output
        read, write = os.pipe()
        reader = _Lines(self._heard, self._log_ended)
        loop = asyncio.get_running_loop()
        self._pipe, _ = await loop.connect_read_pipe(lambda: reader, os.fdopen(read, "rb"))
        return os.fdopen(write, "wb")

    def _heard(self, line: str) -> None:
        if line:
            self._tail.append(line)
            self.say(line)

    async def _wait_until_ready(self) -> str | None:
        """None once the part is ready, else why it is not."""
        try:
            async with asyncio.timeout(self.part.ready_within.total_seconds()):
                while True:
                    ready = await self.part.ready(self.pid)
                    if not self.running:
                        return f"{self._exit} before it was ready"
                    if ready:
                        return None
                    await asyncio.sleep(PROBE_EVERY_SECONDS)
        except TimeoutError:
            return f"was not ready within {self.part.ready_within.total_seconds():g} s"

    async def ended(self) -> None:
        """Returns when the process has ended and what it left is cleared away."""
        await self.process.wait()
        await self._clear_away()

    async def stop(self, hurried: asyncio.Event) -> None:
        """SIGTERM, then SIGKILL after the part's grace or as soon as `hurried` is set."""
        if self.running:
            with suppress(ProcessLookupError):
                self.process.terminate()
            waits = [asyncio.ensure_future(self.process.wait()), asyncio.ensure_future(hurried.wait())]
            grace = self.part.grace.total_seconds()
            await asyncio.wait(waits, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if self.running:
            self.say("is killed: " + ("asked to hurry" if hurried.is_set() else f"not ended within {grace:g} s"))
        if self._process:
            await self._kill()

    async def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.ended()

    async def _clear_away(self) -> None:
        self._watch.remove(self.pid)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._log_ended.wait(), LAST_WORDS_WITHIN_SECONDS)
        if self._pipe:
            self._pipe.close()


class _Lines(asyncio.Protocol):
    """Cuts what comes out of a pipe into lines."""

    def __init__(self, take: Callable[[str], None], ended: asyncio.Event) -> None:
        self._take = take
        self._ended = ended
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._take(line.decode(errors="replace").rstrip())

    def connection_lost(self, _error: Exception | None) -> None:
        if self._rest:
            self._take(self._rest.decode(errors="replace").rstrip())
        self._ended.set()
