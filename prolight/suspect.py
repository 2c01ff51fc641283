"""Suspect runs at work, each in a process of its own: `python -m prolight.suspect` is where they come from.

A worker starts it once, when it has its first suspect. It loads all that an attempt needs and then forks, so that a
child costs milliseconds. stdin is a Unix socket; each byte on it brings one end of a connection for one suspect:

    worker → child    the claim, as a line of JSON; then orders: `interrupt`, or `interrupt harmless`, which holds
                      unless a call that could have an effect is under way. The end: the worker is gone
    child → worker    what became of the claim, as a line of JSON
    sitter → worker   the child's `pid`, and how it `ended`: without a word before it, that is a crash of the run

The sitter is the child's parent and does nothing else. The worker keeps the claim alive; what is written is written
from the child. The studio works inside the child, so a picture that it dies of takes nobody else's studio with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from prolight.attempt import Attempt
from prolight.bootstrap import OUTAGE, build_attempts, connect_store, connect_tools
from prolight.embedded.lifeline import die_with
from prolight.errors import StoreError, StoreUnavailable
from prolight.outcomes import Lost, Outcome
from prolight.ports import Claim
from prolight.schemas import RunContext, State
from prolight.settings import Settings

log = logging.getLogger(__name__)

INTERRUPT, INTERRUPT_HARMLESS = b"interrupt\n", b"interrupt harmless\n"
FIRST_FOR_THE_OOM_KILLER = "1000"
NEEDED = ("prolight.agents", "prolight.adapters.tool_servers", "prolight.studio.server", "redis.asyncio")
"""What an attempt would import where it is first used. With numpy told so, none of it starts a thread, and can fork."""
MAX_LINE_BYTES = 64 * 1024 * 1024
"""A claim is a document of 64 KB and a journal."""

_CLAIM = TypeAdapter(Claim)
_OUTCOMES: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in (*get_args(Outcome), Lost)}


def write_claim(claim: Claim) -> bytes:
    return _CLAIM.dump_json(claim) + b"\n"


def read_claim(line: bytes) -> Claim:
    return _CLAIM.validate_json(line)


def write_end(outcome: Outcome | Lost, run: RunContext) -> bytes:
    kind = type(outcome).__name__
    end = {"kind": kind, "outcome": _OUTCOMES[kind].dump_python(outcome, mode="json"), "run": run.to_json()}
    return json.dumps(end).encode() + b"\n"


def read_end(end: dict[str, Any]) -> tuple[Outcome | Lost, RunContext]:
    return _OUTCOMES[end["kind"]].validate_python(end["outcome"]), RunContext.from_json(end["run"])


def main() -> None:
    # What stops the worker may reach the whole group; the worker alone decides what that means here.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # sitters are not waited for
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s: %(levelname)s/suspect] %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    settings = Settings.load()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for module in (*NEEDED, settings.model.partition(":")[0]):
        with suppress(Exception):  # who cannot do without it will say so
            import_module(module)
    births = socket.socket(fileno=0)
    while True:
        byte, connections, *_ = socket.recv_fds(births, 1, 1)
        if not byte:
            os._exit(0)
        if os.fork() == 0:
            _sit(socket.socket(fileno=connections[0]), settings)
        os.close(connections[0])


def _sit(worker: socket.socket, settings: Settings) -> None:
    """Fork the child, and tell how it ended."""
    die_with(os.getppid())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        try:
            die_with(os.getppid())
            with suppress(OSError):  # there is none but on Linux
                Path("/proc/self/oom_score_adj").write_text(FIRST_FOR_THE_OOM_KILLER)
            asyncio.run(_work(worker, settings))
        except BaseException:
            log.exception("a suspect's process ends by a defect")
            os._exit(1)
        os._exit(0)  # a thread that still works on pixels is not waited for
    worker.sendall(json.dumps({"pid": child}).encode() + b"\n")
    _, status = os.waitpid(child, 0)
    with suppress(OSError):  # the worker may be gone
        worker.sendall(json.dumps({"ended": _in_words(os.waitstatus_to_exitcode(status))}).encode() + b"\n")
    os._exit(0)


def _in_words(code: int) -> str:
    return f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exited with {code}"


async def _work(worker: socket.socket, settings: Settings) -> None:
    orders, answers = await asyncio.open_unix_connection(sock=worker, limit=MAX_LINE_BYTES)
    claim = read_claim(await orders.readline())
    store = connect_store(settings, patience=OUTAGE)
    await _opened(store.open)
    tools = connect_tools(settings, studio_here=claim.snapshot.run.state is State.EXECUTING)
    attempt = Attempt(build_attempts(settings, store, tools), claim)
    obeying = asyncio.create_task(_obey(orders, attempt))
    outcome: Outcome | Lost = Lost()
    try:
        outcome = await attempt.make()
    except StoreError as error:
        log.error("run %s: given up: %s", claim.run_id, error)
    finally:
        obeying.cancel()
    answers.write(write_end(outcome, attempt.run))
    await answers.drain()


async def _opened(open_store: Callable[[], Awaitable[object]]) -> None:
    """However long the store is away: an outage is no crash of the run."""
    while True:
        try:
            await open_store()
        except StoreUnavailable as error:
            log.warning("%s", error)
            await asyncio.sleep(1)
        else:
            return


async def _obey(orders: asyncio.StreamReader, attempt: Attempt) -> None:
    while order := await orders.readline():
        attempt.interrupt(harmless_only=order == INTERRUPT_HARMLESS)
    os._exit(1)  # the worker is gone, and its claim with it


if __name__ == "__main__":
    main()
