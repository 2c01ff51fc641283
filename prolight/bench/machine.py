"""The machine that measures: what it is, and where its processor time goes (Linux: /proc)."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prolight.bench.terms import BenchFailed, rounded
from prolight.embedded import StackFailed
from prolight.embedded.valkey import find_server

PROC = Path("/proc")
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
PPID, UTIME, CSTIME = 1, 11, 14
"""Fields of /proc/PID/stat, counted from behind the name; from user time to the system time of reaped children."""
IDLE, IOWAIT = 3, 4
"""Fields of the first line of /proc/stat, counted from behind its name."""
FSYNCS = 20


def describe(home: Path) -> dict[str, Any]:
    """Processor, cores, software, and how long the disk under `home` takes for an fsync."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "server": _server(),
        "prolight": version("prolight"),
        "commit": _commit(),
        "fsync_ms": rounded(_fsync_seconds(home) * 1000, 3),
        "load_average": rounded(os.getloadavg()[0], 3),
    }


def _cpu_model() -> str:
    with suppress(OSError):
        if found := re.search(r"^model name\s*:\s*(.+)$", (PROC / "cpuinfo").read_text(), re.MULTILINE):
            return f"{found[1]} ({platform.machine()})"
    return platform.processor() or platform.machine()


def _server() -> str | None:
    with suppress(StackFailed):
        printed = _printed(find_server(), "--version")
        if printed and (found := re.match(r"(\w+) server v=(\S+)", printed)):
            return f"{found[1]} {found[2]}"
    return None


def _commit() -> str | None:
    """The checkout that this code lies in, if it is one; `+` when it has changes."""
    folder = str(Path(__file__).parent)
    commit = _printed("git", "-C", folder, "rev-parse", "--short", "HEAD")
    changes = _printed("git", "-C", folder, "status", "--porcelain", "--untracked-files=no")
    return commit and commit + ("+" if changes else "")


def _printed(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _fsync_seconds(home: Path) -> float:
    """The median of a few: what every commit waits for at `appendfsync always`."""
    took = []
    with tempfile.TemporaryFile(dir=home) as file:
        for _ in range(FSYNCS):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of processor time since the machine, or the process, began."""

    at: float
    machine: float
    ours: float


def spent() -> Spent | None:
    """By the whole machine, and by this process and its descendants; None where there is no /proc."""
    if not PROC.is_dir():
        return None
    fields = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    busy = sum(fields) - fields[IDLE] - fields[IOWAIT]
    return Spent(time.monotonic(), busy * TICK_SECONDS, cpu_seconds(os.getpid()))


def others_share(before: Spent | None, after: Spent | None) -> float | None:
    """Which share of all cores other processes (and other guests of the host) took between the two."""
    if before is None or after is None:
        return None
    others = (after.machine - before.machine) - (after.ours - before.ours)
    return round(max(0.0, others / ((after.at - before.at) * (os.cpu_count() or 1))), 3)


def cpu_seconds(*roots: int) -> float:
    """User and system time of these processes and all their descendants, reaped ones included.

    Raises `BenchFailed` where there is no /proc, or for a process that has ended.
    """
    table = _process_table()
    if missing := set(roots) - table.keys():
        raise BenchFailed(f"processor time is read from /proc (Linux), which has no process {sorted(missing)}")
    counted, open_ = set[int](), list(roots)
    while open_:
        pid = open_.pop()
        counted.add(pid)
        open_ += [child for child, fields in table.items() if int(fields[PPID]) == pid and child not in counted]
    return sum(int(ticks) for pid in counted for ticks in table[pid][UTIME : CSTIME + 1]) * TICK_SECONDS


def _process_table() -> dict[int, list[str]]:
    table = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            table[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
    return table
