"""`prolight up`: everything that a run needs, in one terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from prolight.cli.output import Json, console, record, say, wait_for
from prolight.embedded.errors import StackFailed
from prolight.embedded.stack import FLOWER_PORT, Stack
from prolight.schemas import compact_json
from prolight.settings import Settings

NAME_WIDTH = 8
COLOURS = {"valkey": 35, "studio": 36, "flower": 33}
"""ANSI codes; every other part is a worker."""
WORKER_COLOUR = 32
ELSEWHERE = ("PROLIGHT_REDIS_URL", "REDIS_URL", "PROLIGHT_STUDIO_URL")
"""Variables that send commands of this shell to other servers than those that `up` starts."""


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the store; 0 takes a free one.")] = 0,
    flower: Annotated[bool, typer.Option("--flower/--no-flower", help="Show what goes on in a browser.")] = True,
    flower_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Flower.")] = FLOWER_PORT,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    json: Json = False,
) -> None:
    """Start everything here: store, tools, worker, Flower. Ctrl-C stops it, in order; again: at once."""
    if sys.platform == "win32":
        raise StackFailed("`prolight up` needs Linux or macOS: use it in WSL")
    settings = Settings.load()
    with only_one(settings):
        stack = Stack(
            settings,
            workers=workers,
            flower=flower,
            redis_port=port,
            flower_port=flower_port,
            say=LogPrinter(sys.stderr),
        )
        wait_for(run_until_stopped(stack, as_json=json))


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Holds the home's lock. Raises `StackFailed` when another `prolight up` holds it."""
    import fcntl

    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackFailed(
                f"`prolight up` already runs for {settings.home} (pid {lock.read().strip()}): use that one, "
                "stop it with Ctrl-C, or set PROLIGHT_HOME to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


async def run_until_stopped(stack: Stack, *, as_json: bool) -> None:
    """Returns after SIGINT, SIGTERM or SIGHUP, with nothing left running. Raises `StackFailed`."""
    work = asyncio.create_task(_serve(stack, as_json=as_json))

    def stop() -> None:
        if work.cancelling() or stack.stopping:
            stack.hurry()
        else:
            work.cancel()
            say("stopping; what is under way may finish (Ctrl-C again: at once)")

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup the end of the terminal is no reason to stop.
        if name != signal.SIGHUP or signal.getsignal(name) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(name, stop)
    await asyncio.wait({work})
    if not work.cancelled():
        work.result()


async def _serve(stack: Stack, *, as_json: bool) -> None:
    runtime_file = stack.settings.runtime_file
    async with stack:
        stack.on_restart = lambda: write_private(runtime_file, stack.addresses())
        stack.on_restart()
        try:
            announce(stack, as_json=as_json)
            await stack.keep()
        finally:
            # Before the stop, which may take minutes: nobody new is sent to a store that goes.
            runtime_file.unlink(missing_ok=True)


def write_private(path: Path, value: dict[str, Any]) -> None:
    """Replace the file, whole, by one that only its owner can read."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w") as file:
        file.write(compact_json(value) + "\n")
    Path(draft).replace(path)


def announce(stack: Stack, *, as_json: bool) -> None:
    """Say on stdout that all is ready. The password of Flower is only in the runtime file."""
    if as_json:
        public = {name: value for name, value in stack.addresses().items() if name != "flower_password"}
        record({"ready": True, **public, "runtime_file": str(stack.settings.runtime_file)})
    else:
        _print_table(stack)
    for name in ELSEWHERE:
        if os.environ.get(name):
            say(f"warning: {name} is set, so commands in such a shell go there and not to this stack: unset it")


def _print_table(stack: Stack) -> None:
    from rich.table import Table

    where = stack.addresses()
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_row("store", stack.redis_url, f"pid {where['valkey_pid']}, data in {stack.settings.home / 'valkey'}")
    table.add_row("tools", stack.studio_url, f"pid {where['studio_pid']}")
    table.add_row("pictures", str(stack.settings.artifact_root))
    table.add_row("workers", ", ".join(f"pid {pid}" for pid in where["worker_pids"]))
    if stack.flower_url:
        login = f"user {where['flower_user']}, password in {stack.settings.runtime_file}"
        table.add_row("Flower", stack.flower_url, login)
    table.add_row("submit", 'prolight submit PICTURE "soft warm key from the left" --wait')
    table.add_row("stop", "Ctrl-C")
    console().print("ProLight is up.", table, sep="\n")


class LogPrinter:
    """Prints `part | line`; the part in its colour on a terminal, unless NO_COLOR is set."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = stream.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, name: str, line: str) -> None:
        label = f"{name:<{NAME_WIDTH}} |"
        if self._coloured:
            label = f"\x1b[{COLOURS.get(name, WORKER_COLOUR)}m{label}\x1b[0m"
        # A terminal that was closed, or `| head`, must not take the stack with it.
        with suppress(OSError, ValueError):
            self._stream.write(f"{label} {line}\n")
            self._stream.flush()
