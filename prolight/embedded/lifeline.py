"""Keeps children from outliving the process that started them, even when that dies by SIGKILL.

A script of its own, for the standard library alone (`python -I -S lifeline.py`), with two jobs:

`exec PARENT LOCK COMMAND…` turns into COMMAND, which then has the pid that the parent sees. Before
that, on Linux, it asks the kernel for SIGKILL when the parent goes (`PR_SET_PDEATHSIG`, prctl(2));
strictly that is when the *thread* that forked it ends, so whoever starts children stays as long as
they. LOCK, unless empty, is a file whose lock COMMAND then holds as long as it lives: two servers
never share a data directory, not even when the second starts while the first is still dying.

`watch` reads `+PID` and `-PID` lines from the parent, and kills the process groups that are left
when the pipe ends, on every system and with all descendants in the group. On Linux each job covers
the other's gaps. On macOS there is only the watcher: a child is orphaned if the parent is killed in
the microseconds between fork and `+PID`, or after the watcher was killed as well.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1
CANNOT_RUN = 127


def become(parent: int, lock: str, command: list[str]) -> None:
    """Replace this process by `command`; comes back never."""
    die_with(parent)
    if lock:
        _hold(lock)
    # Python ignores these two, and an ignored signal stays ignored across exec.
    for name in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(name, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 (to become that program is the point)
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.exit(CANNOT_RUN)


def die_with(parent: int) -> None:
    """On Linux: SIGKILL when that parent goes, or the end here and now when it has gone already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have gone before the kernel was asked.
    if os.getppid() != parent:
        sys.exit(CANNOT_RUN)


def _hold(path: str) -> None:
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"waits until another server lets go of {path}\n")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def watch() -> None:
    """Wait until the parent is gone; then kill what it left."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: list[int] = []
    for line in sys.stdin:
        change = groups.append if line[0] == "+" else groups.remove
        change(int(line[1:]))
    for group in reversed(groups):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch()
    else:
        become(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
