"""What workers leave for others to read about them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from prolight import health
from prolight.cli.doctor import processes
from prolight.health import Health

NOW = 1_000_000.0
GOOD = Health(
    host=socket.gethostname(),
    pid=os.getpid(),
    at=NOW - 2,
    ok=True,
    what="",
    lag_ms=3,
    slots=64,
    working=5,
    last_claim=NOW - 1,
    last_heartbeat=NOW - 1,
)
WEDGED = replace(GOOD, ok=False, what="its loop has not ticked for 16 s")


@pytest.fixture(scope="module")
def gone() -> int:
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    health.write(tmp_path, GOOD)
    (tmp_path / f"{socket.gethostname()}-1.json").write_text('{"of": "another version"}')
    assert health.of_this_host(tmp_path) == [GOOD]
    health.forget(tmp_path, GOOD.pid)
    assert health.of_this_host(tmp_path) == []


def test_who_was_killed_is_forgotten_and_last_words_are_kept_for_a_day(tmp_path: Path, gone: int) -> None:
    health.write(tmp_path, replace(GOOD, pid=gone))
    health.write(tmp_path, GOOD)
    health.clear(tmp_path, NOW)
    assert health.of_this_host(tmp_path) == [GOOD]
    health.write(tmp_path, replace(WEDGED, pid=gone))
    health.clear(tmp_path, NOW)
    assert len(health.of_this_host(tmp_path)) == 2
    health.clear(tmp_path, NOW + 25 * 3600)
    assert health.of_this_host(tmp_path) == [GOOD]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "no worker"),
        ([GOOD], ""),
        ([WEDGED], "not ticked"),
        ([replace(GOOD, at=NOW - 31)], "frozen"),
        ([replace(GOOD, last_heartbeat=None)], "has not reached the store yet"),
    ],
    ids=["none", "good", "wedged", "silent", "starting"],
)
def test_a_health_check_asks_for_a_worker_without_trouble(found: list[Health], said: str) -> None:
    assert said in "".join(health.troubles(found, NOW))
    assert bool(health.troubles(found, NOW)) == bool(said)


def test_the_health_check_imports_neither_celery_nor_the_store() -> None:
    heavy = ("celery", "redis.asyncio", "mcp")
    program = f"import sys, prolight.health; print(*sys.modules.keys() & {heavy})"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == ""


def test_the_doctor_tells_of_the_living_and_of_those_that_gave_up(gone: int) -> None:
    good, wedged, dead = processes([GOOD, WEDGED, replace(WEDGED, pid=gone)], NOW)
    assert (good.ok, good.pid, "5 of 64 slots" in good.detail) == (True, os.getpid(), True)
    assert (wedged.ok, wedged.warning, wedged.detail) == (False, False, WEDGED.what)
    assert (dead.ok, dead.warning, "ended itself 2.00 s ago" in dead.detail) == (False, True, True)
    assert processes([replace(GOOD, pid=gone)], NOW) == []
