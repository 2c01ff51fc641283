"""A store that is out of memory, or whose disk is full, refuses and says why; what it accepted goes on afterwards."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from prolight.adapters import redis_store
from prolight.embedded import StackFailed
from prolight.embedded.valkey import AppendFsync, ValkeyServer
from prolight.errors import StoreUnavailable
from prolight.lifecycle import PARKED, TERMINAL
from prolight.schemas import State
from tests.chaos.arena import Arena
from tests.chaos.judge import judged
from tests.chaos.ledger import read
from tests.chaos.trial import CLASSES, Trial
from tests.integration.fleet import until

pytestmark = [pytest.mark.integration, pytest.mark.heavy]
DISK_BYTES = 8_000_000
MOST_ACCEPTED = 50
BALLAST_PIECE = b"x" * 4096


@pytest.fixture(autouse=True)
def _as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_script", "parse"):
        monkeypatch.setattr(redis_store, name, getattr(redis_store, name))


class Work:
    """A run of every effect class; the World has done what it was asked for, and its answers are held back."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.trial = Trial(arena, "full", 1)
        self.trial.keep_parked = True

    async def begin(self) -> None:
        await self.arena.worker()
        self.request = await self.trial.request("pure")
        labels = [f"full-{number}.{effect}-1" for number, effect in enumerate(CLASSES, 1)]
        for label in labels:
            await self.arena.tell_world.script("hold_after_apply", label=label)
        for effect in CLASSES:
            await self.trial.submit(effect)
        await asyncio.gather(*(self.arena.tell_world.held(label=label) for label in labels))

    async def refusal(self) -> str:
        """What a caller is told, sooner or later: the page that the store's file ends in may have room for some."""
        for number in range(len(CLASSES) + 1, MOST_ACCEPTED):
            run = f"full-{number}"
            request = self.request.model_copy(update={"brief": f"pure #{run}", "run_id": run})
            sent = time.time()
            try:
                await self.arena.client.enqueue(request)
            except StoreUnavailable as refused:
                self.trial.note_submit(request, "unknown", sent=sent, got=None, run=run)
                return str(refused)
            self.trial.runs.append(run)
            self.trial.note_submit(request, "accepted", sent=sent, got=time.time(), run=run)
        raise AssertionError(f"{MOST_ACCEPTED} runs were accepted")

    async def answers_come(self) -> None:
        """The worker has them, and has to write them down."""
        await self.arena.tell_world.release()

        async def told() -> bool:
            answered = [line for line in read(self.arena.world_ledger) if line["what"] == "answered"]
            return len(answered) == len(CLASSES)

        await until(told, what="the World has answered")

    async def ends_well(self, folder: Path) -> None:
        """Every run has its pictures, nothing was asked for twice, and all invariants hold."""

        async def over() -> bool:
            seen = await self.trial.look()
            return len(seen) == len(self.trial.runs) and all(each.run.state in TERMINAL | PARKED for each in seen)

        await until(over, what="every run has ended, or waits for a person")
        assert {each.run.run_id: each.run.state for each in await self.trial.look()} == dict.fromkeys(
            self.trial.runs, State.COMPLETED
        )
        assert list((await self.arena.tell_world.counts()).values()) == [1] * len(self.trial.runs)
        self.trial.landed("full")
        await self.trial.leave(folder)
        violations = [str(each) for verdict in judged(folder).verdicts.values() for each in verdict.violations]
        assert violations == []


async def test_a_store_out_of_memory_refuses_new_runs_and_says_so_and_the_accepted_ones_complete(
    tmp_path: Path,
) -> None:
    async with Arena(tmp_path / "arena") as arena:
        store = arena.client.store
        work = Work(arena)
        await work.begin()
        await store._ask("CONFIG", "SET", "maxmemory", "1")
        await work.answers_come()
        assert "cannot write now: command not allowed when used memory > 'maxmemory'" in await work.refusal()
        await store._ask("CONFIG", "SET", "maxmemory", "0")
        await work.ends_well(tmp_path / "trial")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(where)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk of its own needs the right to mount one")
    yield where
    subprocess.run(["umount", "--lazy", where], check=True)


@asynccontextmanager
async def on_disk(home: Path, disk: Path, fsync: AppendFsync) -> AsyncIterator[Arena]:
    """The store's files are on this disk; a server that ends is started again, as a supervisor does it."""
    arena = Arena(home)
    arena.valkey.stop()
    arena.valkey = ValkeyServer(disk / "valkey", appendfsync=fsync, port=arena.valkey.port)
    arena.valkey.start()

    async def supervise() -> None:
        while True:
            if arena.valkey._process is None or arena.valkey.process.poll() is not None:
                with suppress(StackFailed):
                    arena.valkey.kill()
                    arena.valkey.start()
            await asyncio.sleep(0.1)

    async with arena:
        supervisor = asyncio.create_task(supervise())
        try:
            yield arena
        finally:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)


@pytest.mark.parametrize(("fsync", "why"), [("always", "no answer from the store"), ("everysec", "cannot write now")])
async def test_a_store_whose_disk_is_full_refuses_new_runs_and_the_accepted_ones_complete(
    fsync: AppendFsync, why: str, tmp_path: Path, disk: Path
) -> None:
    async with on_disk(tmp_path / "arena", disk, fsync) as arena:
        work = Work(arena)
        await work.begin()
        ballast = disk / "ballast"
        _fill(ballast)
        await work.answers_come()
        assert why in await work.refusal()
        ballast.unlink()
        await work.ends_well(tmp_path / "trial")


def _fill(ballast: Path) -> None:
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(file, BALLAST_PIECE)
    os.close(file)
