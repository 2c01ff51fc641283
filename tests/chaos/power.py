"""Cut the power of the store's machine: what the server had not synced is gone. Clients and workers are elsewhere.

`uv run python -m tests.chaos --power-cuts N --fsync always|everysec --seed N`. A `kill -9` proves nothing of syncing,
since the kernel keeps what was written. So a shim (`synced.c`, compiled here with `cc`) writes down how long each file
was when it was last synced; a cut kills the server and shortens its files to just that, the worst that a disk may do
which keeps its word, or to a part of what came after it. Names are taken to be durable: the server syncs the folder
when it makes one.

With `always` nothing that a client was told, and nothing that the World was asked for, may be gone: every invariant
holds, and no accepted run is missing. With `everysec` some has to be: that convicts the setting, and proves the shim.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from prolight.embedded.valkey import AppendFsync, ValkeyServer
from tests.chaos import dump
from tests.chaos.arena import Arena
from tests.chaos.histories import load
from tests.chaos.playing import Session, say
from tests.chaos.report import exit_code, summary
from tests.chaos.trial import CLASSES, LOOK_SECONDS, Trial

SHIM = Path(__file__).with_name("synced.c")
CUTS_A_TRIAL = 10
WORKERS = 2
RUNS_A_CUT = 6
"""So many are submitted while the power goes."""
WITHIN_SECONDS = 0.6
"""The power goes at a moment within so much time of those submits, when runs are in every stage."""
DOWN_SECONDS = 0.5
AT_WORK_SECONDS = 1.5
"""So long there is power before the next runs come: longer than a lease, which is how long nobody is taken over."""
PATIENCE = timedelta(seconds=60)
PATIENCE_WITH_LOST = timedelta(seconds=10)
"""Runs that are gone never end."""


class NoCompiler(Exception):
    """There is no `cc`, so power cuts cannot be emulated."""


def compiled(folder: Path) -> Path:
    """The shim. Raises `NoCompiler`."""
    if not shutil.which("cc"):
        raise NoCompiler("power cuts need a C compiler: apt install gcc libc6-dev")
    library = folder / "synced.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, SHIM, "-ldl"], check=True)
    return library


class Powered(ValkeyServer):
    """A server whose power may be cut."""

    def __init__(self, data_dir: Path, library: Path, *, appendfsync: AppendFsync, port: int) -> None:
        super().__init__(data_dir, appendfsync=appendfsync, port=port)
        self._synced = data_dir / "synced"
        self._argv = ("env", f"LD_PRELOAD={library}", f"SYNCED={self._synced}", *self._argv)

    def cut(self, torn: float = 0) -> int:
        """The server is dead; answers how many bytes are gone. Of what was not synced, the share `torn` is kept."""
        self.kill()
        lines = self._synced.read_text().splitlines() if self._synced.exists() else []
        on_disk = {file: int(size) for file, size in (line.split() for line in lines)}
        gone = 0
        for file in sorted((self.data_dir / "appendonlydir").iterdir()):
            status = file.stat()
            kept = on_disk.get(f"{status.st_dev}:{status.st_ino}", 0)
            kept += int(torn * max(0, status.st_size - kept))
            if kept < status.st_size:
                gone += status.st_size - kept
                os.truncate(file, kept)
        return gone


class PoweredArena(Arena):
    def __init__(self, home: Path, library: Path, fsync: AppendFsync) -> None:
        super().__init__(home)
        self.valkey.stop()
        shutil.rmtree(self.valkey.data_dir)
        self.powered = Powered(self.valkey.data_dir, library, appendfsync=fsync, port=self.valkey.port)
        self.valkey = self.powered
        self.valkey.start()


@dataclass
class Cuts:
    """What was done, and what is gone."""

    fsync: AppendFsync
    cuts: int = 0
    cuts_with_loss: int = 0
    bytes_lost: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """Of submits, by what their callers heard."""
    lost: int = 0
    """Runs that were accepted and are not in the store."""
    gave_up: int = 0
    """Workers whose watchdog ended them, and that were started again."""


async def cut_all(session: Session, count: int, fsync: AppendFsync) -> Cuts:
    """So many cuts, in trials of `CUTS_A_TRIAL`, each judged. Raises `NoCompiler`."""
    library = compiled(session.home)
    told = Cuts(fsync)
    async with PoweredArena(session.home / "arena", library, fsync) as arena:
        for _ in range(WORKERS):
            await arena.worker()
        supervisor = asyncio.create_task(_supervise(arena, told))
        while told.cuts < count:
            since, label = time.monotonic(), session.name()
            trial = Trial(arena, label, session.seed * 100_003 + session.played)
            await _play(arena, trial, min(CUTS_A_TRIAL, count - told.cuts), told)
            folder = session.home / label
            await trial.leave(folder)
            await dump.clear(arena.client.store)
            history = load(folder)
            told.answers.update(submit.answer for submit in history.client)
            accepted = {submit.run for submit in history.client if submit.answer == "accepted"}
            told.lost += len(accepted - history.end.runs.keys())
            session.judge(folder, f"power cuts, {fsync}", since)
        supervisor.cancel()
        await asyncio.gather(supervisor, return_exceptions=True)
    return told


async def _supervise(arena: PoweredArena, told: Cuts) -> None:
    """A worker that ends is started again: Celery waits ever longer for a server that is loading, and hears no bell."""
    while True:
        for worker in [worker for worker in arena.alive if worker.process.poll() is not None]:
            arena.gone(worker, "exited")
            told.gave_up += 1
            await arena.worker()
        await asyncio.sleep(LOOK_SECONDS)


async def _play(arena: PoweredArena, trial: Trial, count: int, told: Cuts) -> None:
    for number in range(count):
        # The first run of each cut is followed live: what its readers hear has to be what the store has after it.
        briefs = [trial.random.choice(CLASSES) for _ in range(RUNS_A_CUT)]
        submits = [asyncio.create_task(trial.submit(brief, follow=not place)) for place, brief in enumerate(briefs)]
        await asyncio.sleep(trial.random.uniform(0, WITHIN_SECONDS))
        # A server that had promised more is shown at its worst; one that keeps its word also has to read a torn end.
        torn = trial.random.choice((0, trial.random.random())) if told.fsync == "always" else 0
        gone = arena.powered.cut(torn)
        told.cuts, told.bytes_lost = told.cuts + 1, told.bytes_lost + gone
        told.cuts_with_loss += gone > 0
        await asyncio.sleep(trial.random.uniform(0, DOWN_SECONDS))
        arena.valkey.start()
        trial.landed("power_cut")
        await asyncio.gather(*submits)
        if number < count - 1:
            await asyncio.sleep(AT_WORK_SECONDS)
            for seen in await trial.look():
                await trial.answer(seen)
    await trial.quiet(PATIENCE if told.fsync == "always" else PATIENCE_WITH_LOST)


def record(session: Session, told: Cuts) -> dict[str, Any]:
    return {
        "power_cuts": told.cuts,
        "fsync": told.fsync,
        "cuts_with_loss": told.cuts_with_loss,
        "bytes_lost": told.bytes_lost,
        "submits": dict(told.answers),
        "accepted_and_lost": told.lost,
        "workers_that_gave_up": told.gave_up,
        **summary(session.seed, session.judged),
    }


def play(session: Session, count: int, fsync: AppendFsync) -> tuple[dict[str, Any], int]:
    """The record and the exit code: 1 when anything was lost or violated, 2 when it cannot be tried here."""
    try:
        told = asyncio.run(cut_all(session, count, fsync))
    except NoCompiler as missing:
        say(str(missing))
        return {"power_cuts": 0, "fsync": fsync, "why": str(missing)}, 2
    made = record(session, told)
    return made, exit_code(made)
