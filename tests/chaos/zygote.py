"""Where an arena's processes come from: one that has loaded all that they need, and forks.

`python -m tests.chaos.zygote ADDRESS` has a Unix socket for stdin; each line on it asks, and gets a line. A child is
what `python -m MODULE ARGV` would be: a session, an environment and a log of its own, and it opens itself whatever it
uses. Only the seconds that Python takes to load the same modules again are saved. At ADDRESS its workers ask for the
process that their suspects come from, as `suspect.py` says.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from prolight import suspect
from prolight.embedded.guard import guarded
from prolight.embedded.lifeline import die_with
from tests.chaos import failpoints
from tests.chaos.driving import ROOT, WITHIN_SECONDS

NEEDED = (
    *("celery.bin.celery", "celery.bin.worker", "celery.apps.worker", "celery.worker.consumer", "celery.fixups.django"),
    *("kombu.transport.redis", "kombu.asynchronous.hub", "kombu.utils.eventio", "celery.app.amqp"),
    *("celery.app.control", "workers.consumer", "workers.pool", "workers.strategy", "workers.tasks", "workers.control"),
    *("workers.transport", "mcp.client.streamable_http", "tests.chaos.guards", "tests.chaos.recording"),
    *(*suspect.NEEDED, "tests.chaos.llm", "tests.chaos.world", "uvicorn.loops.asyncio", "uvicorn.lifespan.on"),
)
ADDRESS_VARIABLE = "CHAOS_ZYGOTE"
POLL_SECONDS = 0.005


class Forked:
    """A child of the zygote's, to the driver what a `Popen` is."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote, self.pid = zygote, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._zygote.ask(ended=self.pid)
        return self.returncode

    def wait(self, timeout: float = WITHIN_SECONDS) -> int:
        """Its exit code. Raises `subprocess.TimeoutExpired`."""
        give_up = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout)
            time.sleep(POLL_SECONDS)
        return code

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)


class Zygote:
    """It, and all that it forked, ends with this process; the thread that makes it has to live as long."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        address = str(home / "zygote")
        here, there = socket.socketpair()
        with there, (home / "zygote.log").open("ab") as log:
            self._process = subprocess.Popen(
                guarded([sys.executable, "-m", "tests.chaos.zygote", address]),
                stdin=there.fileno(),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
                env={**environment, ADDRESS_VARIABLE: address},
            )
        self._socket, self._answers = here, here.makefile("r")
        self._one_at_a_time = threading.Lock()

    def start(self, module: str, *argv: str, log: Path, **environment: str) -> Forked:
        """Start `python -m MODULE ARGV`."""
        return Forked(self, self.ask(module=module, argv=argv, log=str(log), environment=environment))

    def ask(self, **question: Any) -> Any:
        with self._one_at_a_time:
            self._socket.sendall(json.dumps(question).encode() + b"\n")
            return json.loads(self._answers.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(WITHIN_SECONDS)
        self._answers.close()
        self._socket.close()


def main(address: str) -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for module in NEEDED:
        import_module(module)
    assert threading.active_count() == 1, "what has threads cannot fork"
    gc.collect()
    gc.freeze()
    Parent(address).serve()


class Parent:
    """The zygote's own end. Whatever it forks leaves `serve` by `SystemExit`."""

    def __init__(self, address: str) -> None:
        self._driver = socket.socket(fileno=os.dup(0))
        self._births = socket.socket(socket.AF_UNIX)
        self._births.bind(address)
        self._births.listen()
        self._pid = os.getpid()

    def serve(self) -> None:
        while True:
            asking, _, _ = select.select([self._driver, self._births], [], [])
            if self._births in asking:
                self._bear_suspects()
            elif asked := self._question():
                answer = _ended(**asked) if "ended" in asked else self._fork(partial(_module, **asked))
                self._driver.sendall(json.dumps(answer).encode() + b"\n")
            else:
                return

    def _question(self) -> dict[str, Any] | None:
        line = b""
        while not line.endswith(b"\n"):
            if not (part := self._driver.recv(65536)):
                return None
            line += part
        return dict(json.loads(line))

    def _bear_suspects(self) -> None:
        asking, _ = self._births.accept()
        with asking:
            _, fds, *_ = socket.recv_fds(asking, 1, 2)
            environment = json.loads(b"".join(iter(lambda: asking.recv(65536), b"")))
        self._fork(partial(_suspects, fds, environment))
        for fd in fds:
            os.close(fd)

    def _fork(self, become: Callable[[], None]) -> int:
        if child := os.fork():
            return child
        die_with(self._pid)
        os.setsid()
        self._driver.close()
        self._births.close()
        become()
        sys.exit()


def _ended(ended: int) -> int | None:
    found, status = os.waitpid(ended, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _module(module: str, argv: Sequence[str], log: str, environment: Mapping[str, str]) -> None:
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _stand(os.open(os.devnull, os.O_RDONLY), said)
    os.environ.update(environment)
    sys.argv = [module, *argv]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _suspects(fds: Sequence[int], environment: Mapping[str, str]) -> None:
    _stand(*fds)
    os.environ.update(environment)
    os.environ[failpoints.ALONE_VARIABLE] = "1"
    import_module("tests.chaos.worker")  # it patches
    suspect.main()


def _stand(source: int, said: int) -> None:
    for fd, places in ((source, (0,)), (said, (1, 2))):
        for place in places:
            os.dup2(fd, place)
        os.close(fd)


if __name__ == "__main__":
    main(sys.argv[1])
