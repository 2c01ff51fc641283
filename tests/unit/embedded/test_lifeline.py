"""Children do not outlive who started them, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prolight.embedded import lifeline

from .conditions import alive, until

PARENT = """
import asyncio, os, subprocess, sys
from prolight.embedded.child import Part
from prolight.embedded.supervisor import Supervisor

LEAVES_ONE = "import subprocess, signal; print(subprocess.Popen(['sleep', '600']).pid, flush=True); signal.pause()"

async def ready(pid):
    return True

async def main():
    heard = asyncio.Queue()
    async with Supervisor(say=lambda name, line: heard.put_nowait(line)) as supervisor:
        part = Part(name="part", argv=(sys.executable, "-c", LEAVES_ONE), ready=ready)
        [child] = await supervisor.start(part)
        watcher = supervisor._watch._watcher.pid
        print(child.pid, await heard.get(), watcher, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
VALKEY_USER = """
import pathlib, signal, sys
from prolight.embedded import start_valkey
with start_valkey(pathlib.Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    signal.pause()
"""


@contextmanager
def started(program: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The running program, and the pids in the first line that it prints."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process, [int(word) for word in process.stdout.readline().split()]
        finally:
            process.kill()


def test_a_parent_that_is_killed_leaves_neither_child_nor_grandchild_nor_watcher() -> None:
    with started(PARENT) as (parent, pids):
        assert all(alive(pid) for pid in pids)
        parent.kill()
        for pid in pids:
            until(lambda pid=pid: not alive(pid))  # type: ignore[misc]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_the_kernel_ends_the_child_even_when_the_watcher_was_killed_before() -> None:
    with started(PARENT) as (parent, (child, grandchild, watcher)):
        os.kill(watcher, signal.SIGKILL)
        parent.kill()
        until(lambda: not alive(child))
        os.kill(grandchild, signal.SIGKILL)


def test_the_watcher_lives_as_long_as_its_parent_whatever_signal_goes_round() -> None:
    with started(PARENT) as (parent, (child, _, watcher)):
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(watcher, name)
        assert alive(watcher)
        parent.kill()
        until(lambda: not alive(watcher))
        until(lambda: not alive(child))


def test_a_child_whose_parent_is_already_gone_does_not_start(tmp_path: Path) -> None:
    somebody_else = "1"
    command = [sys.executable, "-I", "-S", lifeline.__file__, "exec", somebody_else, "", "touch", str(tmp_path / "ran")]
    assert subprocess.run(command, check=False).returncode == lifeline.CANNOT_RUN
    assert not (tmp_path / "ran").exists()


def test_a_program_that_is_killed_takes_its_valkey_along(tmp_path: Path) -> None:
    with started(VALKEY_USER, str(tmp_path)) as (program, [valkey]):
        program.kill()
        until(lambda: not alive(valkey))
