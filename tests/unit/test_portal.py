"""The background loop of the sync faces: answers, Ctrl-C, forks, and how the interpreter leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from prolight import portal

ROOT = Path(__file__).parents[2]


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_threads_share_one_loop() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def where() -> None:
        loops.append(asyncio.get_running_loop())

    threads = [threading.Thread(target=lambda: portal.call(where())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loops) == 4 and len(set(loops)) == 1


def test_an_error_comes_through_as_it_is() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        portal.call(fail())


async def test_it_works_inside_a_running_loop() -> None:
    assert portal.call(answer(7)) == 7


def test_on_its_own_loop_it_says_what_to_use_instead() -> None:
    async def inner() -> int:
        return portal.call(answer(1))

    with pytest.raises(RuntimeError, match="use the async one"):
        portal.call(inner())


@pytest.mark.parametrize("exit", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_work_that_exits_is_told_to_its_caller_and_stops_nobody_else(exit: BaseException) -> None:
    async def leave() -> None:
        raise exit

    other = portal.start(answer(5))
    with pytest.raises(type(exit)):
        portal.call(leave())
    assert other.result() == 5
    assert portal.call(answer(6)) == 6


def test_cancelled_work_has_ended_when_its_caller_hears_so() -> None:
    begun, ended = threading.Event(), []

    async def long() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    work = portal.start(long())
    assert begun.wait(10)
    work.cancel()
    with pytest.raises(CancelledError):
        work.result()
    assert ended


def test_work_that_is_cancelled_before_it_begins_ends_as_well() -> None:
    work = portal.start(answer(1))
    work.cancel()
    try:
        assert work.result() == 1
    except CancelledError:
        assert work.answer.done()


def test_an_iterator_gives_what_there_is_and_is_closed_when_the_caller_stops_early() -> None:
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in (1, 2, 3):
                yield number
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    assert list(portal.iterate(numbers())) == [1, 2, 3]
    items = portal.iterate(numbers())
    assert next(items) == 1
    items.close()  # type: ignore[attr-defined]
    assert closed == [True, True]


def script(body: str, *, status: int = 0) -> list[str]:
    """Run it in a process of its own that turns warnings into errors; what it printed, when it had no complaints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", body],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == status
    return done.stdout.split()


def test_the_interpreter_leaves_without_complaint_though_work_is_under_way() -> None:
    assert (
        script(
            """
import asyncio, threading
from prolight import portal
begun = threading.Event()
async def long():
    try:
        begun.set()
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("ended", flush=True)
works = [portal.start(long()) for _ in range(3)]
begun.wait()
"""
        )
        == ["ended"] * 3
    )


INTERRUPTED = f"""
import asyncio, os, signal
from prolight import portal
def ctrl_c():
    os.kill(os.getpid(), {int(signal.SIGINT)})
"""


def test_ctrl_c_cancels_and_waits_for_the_end() -> None:
    assert script(
        INTERRUPTED
        + """
async def long():
    asyncio.get_running_loop().call_later(0.1, ctrl_c)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("ended", flush=True)
try:
    portal.call(long())
except KeyboardInterrupt:
    print("interrupted")
"""
    ) == ["ended", "interrupted"]


def test_ctrl_c_while_an_iterator_is_awaited_closes_it() -> None:
    """Closing it while it still works would be an error in place of the interrupt."""
    assert script(
        INTERRUPTED
        + """
async def events():
    try:
        yield 1
        asyncio.get_running_loop().call_later(0.1, ctrl_c)
        await asyncio.Event().wait()
    finally:
        for _ in range(5):
            await asyncio.sleep(0)
        print("closed", flush=True)
try:
    for _ in portal.iterate(events()):
        pass
except KeyboardInterrupt as error:
    print("interrupted", error.__context__)
"""
    ) == ["closed", "interrupted", "None"]


def test_an_iterator_whose_caller_was_interrupted_before_it_could_wait_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = []

    async def events() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    def interrupted(work: portal.Work[int]) -> int:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(portal.Work, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(portal.iterate(events()))
    assert closed == [True]


def test_ctrl_c_in_the_sync_runner_cancels_the_run_and_its_hook_hears_so(tmp_path: Path) -> None:
    body = f"""
import threading
from pathlib import Path
from prolight.adapters.instant import InstantTools
from prolight.agents import AgentRunner, RunContext
from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.settings import Settings
settings = Settings.load(home={str(tmp_path)!r}, model="instant")
content = Path("tests/photos/demo-vase.jpg").read_bytes()
heard = threading.Event()
taken = asyncio.run(LocalArtifacts(settings.artifact_root).put(content, media_type="image/jpeg"))
class Slow(InstantTools):
    async def call(self, tool, arguments, *, key, deadline):
        await asyncio.to_thread(heard.wait)
        asyncio.get_running_loop().call_later(0.1, ctrl_c)
        await asyncio.Event().wait()
def hook(run_id, event):
    if event["type"] == "status":
        print(event["payload"]["state"], flush=True)
    if event["type"] == "step":
        heard.set()
try:
    AgentRunner(Slow(), hook, settings=settings).run_workflow(
        RunContext(run_id="r", asset_id=taken.id), human_approved=True)
except KeyboardInterrupt:
    print("interrupted")
"""
    states = ["PLANNING", "CRITIQUING", "EXECUTING", "CANCELLING", "CANCELLED"]
    assert script(INTERRUPTED + body) == [*states, "interrupted"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_after_a_fork_both_sides_work_on() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["child", "7", "parent", "0", "8"], "")


FORK = """
import asyncio, os, sys
from prolight import portal
async def answer(value):
    await asyncio.sleep(0)
    return value
portal.call(answer(1))
child = os.fork()
if child == 0:
    print("child", portal.call(answer(7)), flush=True)
    sys.exit(0)
status = os.waitpid(child, 0)[1]
print("parent", status, portal.call(answer(8)))
"""
