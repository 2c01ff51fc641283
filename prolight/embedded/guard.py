"""The parent's end of `lifeline.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LIFELINE = (sys.executable, "-I", "-S", str(Path(__file__).with_name("lifeline.py")))


def guarded(argv: Sequence[str], *, lock: Path | None = None) -> list[str]:
    """The command that becomes `argv`, tied to this process, and holds `lock` while it lives."""
    return [*_LIFELINE, "exec", str(os.getpid()), str(lock or ""), *argv]


class Watch:
    """Kills the process groups that it was told of if this process ends without telling it more.

    Groups are named by the pid of their leader: children are to be started in sessions of their own.
    """

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._watcher = subprocess.Popen(
            [*_LIFELINE, "watch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, pid: int) -> None:
        self._groups.add(pid)
        self._tell(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        """Kill what is left of the group whose leader has ended, and forget it; once."""
        if pid not in self._groups:
            return
        self._groups.remove(pid)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        assert self._watcher.stdin
        self._watcher.stdin.close()
        self._watcher.wait()

    def _tell(self, line: str) -> None:
        assert self._watcher.stdin
        # Somebody may have killed the watcher; that must not take the parts with it.
        with suppress(BrokenPipeError):
            os.write(self._watcher.stdin.fileno(), line.encode())
