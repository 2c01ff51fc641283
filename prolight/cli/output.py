"""Where a command's words go: records and data to stdout, everything else to stderr.

Off a terminal there is no colour, no spinner and no line breaking; rich honours `NO_COLOR`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from rich.text import Text

Answer = TypeVar("Answer")

Json = Annotated[bool, typer.Option("--json", help="Each record is one line of compact JSON on stdout.")]

By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; by default you, as USER@HOST.")]

WIDTH_OFF_TERMINAL = 1_000
"""Columns. A file or a pipe has no width: nothing is wrapped or cut for it."""


class ExitCode(IntEnum):
    """What the shell is told. Scripts rely on these: they never change their meaning."""

    OK = 0
    FAILED = 1
    USAGE = 2
    """The command line or what it names (picture, brief, setting) was refused."""
    STOPPED = 3
    """Cancelled, or a time-out passed."""
    AUTH = 4
    RUN_FAILED = 5
    """The command worked; the run that it watched ended FAILED or REJECTED."""
    WAITS = 6
    """The run waits for a person."""
    DETACHED = 130
    """Ctrl-C. What runs goes on."""


@cache
def console(*, stderr: bool = False) -> Console:
    """For people. Text is taken as it is: no markup, no emoji codes, no guessed colours."""
    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = WIDTH_OFF_TERMINAL
    return made


def say(words: str | Text) -> None:
    """A message or progress, on stderr."""
    console(stderr=True).print(words)


def record(value: Mapping[str, Any]) -> None:
    """One record on stdout, out at once: whoever reads the pipe may be waiting for it."""
    from prolight.schemas import compact_json  # pydantic, which `prolight --help` can do without

    sys.stdout.write(compact_json(value) + "\n")
    sys.stdout.flush()


def complain(code: str, message: str, *, as_json: bool) -> None:
    """An error: one line on stderr, and a record where records are expected."""
    say(f"error: {message}")
    if as_json:
        record({"error": {"code": code, "message": message}})


def wait_for(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a command's coroutine. The one event loop of the command line."""
    return asyncio.run(work)


@contextmanager
def detaching(go_on: str) -> Iterator[None]:
    """Ctrl-C in here leaves the work alone, and says so: `go_on` is how it goes on."""
    try:
        yield
    except asyncio.CancelledError:
        say(f"\ndetached; {go_on}")
        raise


def run_goes_on(run_id: str) -> str:
    return f"run {run_id} goes on: `prolight watch {run_id}`, or `prolight cancel {run_id}` to stop it"
