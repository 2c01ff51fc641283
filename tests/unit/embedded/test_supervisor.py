"""The supervisor, with small real programs as parts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from prolight.embedded.child import MAX_LINE_BYTES, Child, Part
from prolight.embedded.errors import StackFailed
from prolight.embedded.supervisor import Supervisor
from prolight.retry import RetryPolicy

from .conditions import alive, soon

AT_ONCE = RetryPolicy(max_tries=5, base=timedelta(milliseconds=1), cap=timedelta(milliseconds=1))

WELL_BEHAVED = """
import pathlib, signal, sys
journal = open("journal", "a", buffering=1)
def stop(*_):
    print(sys.argv[1], "stops", file=journal)
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print(sys.argv[1], "starts", file=journal)
pathlib.Path(sys.argv[1]).touch()
while True: signal.pause()
"""
WAITS_FOR_THE_OTHER = """
import pathlib, signal, sys, time
pathlib.Path(sys.argv[1] + "-came").touch()
while not pathlib.Path(sys.argv[2] + "-came").exists(): time.sleep(0.01)
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""
FAILS_AFTER_THE_OTHER = """
import pathlib, sys, time
while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)
sys.exit(1)
"""
IGNORES_SIGTERM = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
while True: signal.pause()
"""


@pytest.fixture
def part(tmp_path: Path) -> Callable[..., Part]:
    """Makes a part that is ready as soon as its program has made the file with its name."""

    def make(name: str, program: str = WELL_BEHAVED, *arguments: str, **options: object) -> Part:
        argv = (sys.executable, "-u", "-c", program, name, *arguments)
        return Part(name=name, argv=argv, ready=exists(tmp_path / name), cwd=tmp_path, **options)  # type: ignore[arg-type]

    return make


def exists(path: Path) -> Callable[[int], object]:
    async def probe(pid: int) -> bool:
        return path.exists()

    return probe


async def at_once(pid: int) -> bool:
    return True


async def never(pid: int) -> bool:
    return False


def says(program: str, **options: object) -> Part:
    return Part(name="part", argv=(sys.executable, "-u", "-c", program), **options)  # type: ignore[arg-type]


async def test_each_call_starts_after_the_one_before_is_ready_and_stops_go_from_the_highest_tier_down(
    part: Callable[..., Part], tmp_path: Path
) -> None:
    async with Supervisor() as supervisor:
        await supervisor.start(part("store", tier=0))
        await supervisor.start(part("worker", tier=2))
        await supervisor.start(part("tools", tier=1))
    assert (tmp_path / "journal").read_text().splitlines() == [
        "store starts",
        "worker starts",
        "tools starts",
        "worker stops",
        "tools stops",
        "store stops",
    ]


async def test_parts_of_one_call_start_side_by_side(part: Callable[..., Part]) -> None:
    async with asyncio.timeout(30), Supervisor() as supervisor:
        one, other = await supervisor.start(
            part("one", WAITS_FOR_THE_OTHER, "other"), part("other", WAITS_FOR_THE_OTHER, "one")
        )
        assert one.running
        assert other.running


async def test_a_ctrl_c_in_the_terminal_does_not_reach_the_parts(part: Callable[..., Part]) -> None:
    async with Supervisor() as supervisor:
        [child] = await supervisor.start(part("part"))
        assert os.getsid(child.pid) == child.pid != os.getsid(0)


async def test_a_part_that_is_killed_comes_back_under_another_pid(part: Callable[..., Part]) -> None:
    restarted: list[Child] = []
    async with Supervisor(restarted=restarted.append, restarts=AT_ONCE) as supervisor:
        [child] = await supervisor.start(part("part"))
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await soon(lambda: restarted)
        assert restarted == [child]
        assert child.pid != first
        assert alive(child.pid)


async def test_what_a_killed_part_left_in_its_group_is_killed_before_it_comes_back() -> None:
    lines: list[str] = []
    leaves_one = "import subprocess, signal; print(subprocess.Popen(['sleep', '600']).pid); signal.pause()"
    async with Supervisor(say=lambda name, line: lines.append(line), restarts=AT_ONCE) as supervisor:
        [child] = await supervisor.start(says(leaves_one, ready=at_once))
        await soon(lambda: lines)
        descendant, first = int(lines[0]), child.pid
        os.kill(first, signal.SIGKILL)
        await soon(lambda: child.pid != first)
        await soon(lambda: not alive(descendant))


async def test_a_descendant_that_left_the_group_and_holds_the_pipe_does_not_hold_up_the_stop() -> None:
    lines: list[str] = []
    lets_one_go = """
import subprocess, signal
print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
signal.pause()
"""
    async with asyncio.timeout(30), Supervisor(say=lambda name, line: lines.append(line)) as supervisor:
        [child] = await supervisor.start(says(lets_one_go, ready=at_once))
        await soon(lambda: lines)
    assert not alive(child.pid)
    os.kill(int(lines[0]), signal.SIGKILL)


async def test_a_part_that_ends_five_times_in_a_row_is_given_up_with_its_last_lines() -> None:
    lines: list[str] = []
    supervisor = Supervisor(say=lambda name, line: lines.append(line), restarts=AT_ONCE)
    async with asyncio.timeout(30), supervisor:
        await supervisor.start(
            says("import sys, time; print('no such lamp'); time.sleep(0.2); sys.exit(3)", ready=at_once)
        )
        with pytest.raises(StackFailed, match=r"part exited with 3, 5 times in a row; its last lines:\n  no such lamp"):
            await supervisor.keep()
    assert lines.count("no such lamp") == 5


async def test_a_part_that_gets_ready_only_once_is_given_up_and_says_so() -> None:
    pids: list[int] = []

    async def only_the_first(pid: int) -> bool:
        pids.append(pid)
        return pid == pids[0]

    part = says("import signal; signal.pause()", ready=only_the_first, ready_within=timedelta(seconds=0.2))
    async with asyncio.timeout(30), Supervisor(restarts=AT_ONCE) as supervisor:
        [child] = await supervisor.start(part)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(StackFailed, match=r"part was not ready within 0\.2 s, 5 times in a row; it said nothing"):
            await supervisor.keep()


async def test_a_part_that_lived_for_a_while_starts_a_new_row(part: Callable[..., Part]) -> None:
    supervisor = Supervisor(restarts=AT_ONCE, settled_after=timedelta())
    async with supervisor:
        [child] = await supervisor.start(part("part"))
        for _ in range(AT_ONCE.max_tries + 1):
            before = child.pid
            await soon(lambda: child.lived)
            os.kill(before, signal.SIGKILL)
            await soon(lambda before=before: child.pid != before)  # type: ignore[misc]
        assert child.running


async def test_a_part_that_ends_before_it_is_ready_fails_the_start_with_its_last_lines() -> None:
    async with Supervisor() as supervisor:
        with pytest.raises(
            StackFailed, match=r"part exited with 7 before it was ready; its last lines:\n  out of film"
        ):
            await supervisor.start(says("import sys; print('out of film', file=sys.stderr); sys.exit(7)", ready=never))


async def test_a_part_that_never_gets_ready_fails_the_start_with_its_last_lines_and_is_gone() -> None:
    pids: list[int] = []

    async def heard_of(pid: int) -> bool:
        pids.append(pid)
        return False

    part = says("import signal; print('loading'); signal.pause()", ready=heard_of, ready_within=timedelta(seconds=1))
    async with Supervisor() as supervisor:
        with pytest.raises(StackFailed, match=r"not ready within 1 s; its last lines:\n  loading"):
            await supervisor.start(part)
        assert not alive(pids[0])


async def test_a_program_that_is_not_there_is_named() -> None:
    async with Supervisor() as supervisor:
        with pytest.raises(StackFailed, match="cannot run no-such-lamp: No such file"):
            await supervisor.start(Part(name="part", argv=("no-such-lamp",), ready=never))


async def test_when_one_of_a_call_fails_the_others_are_stopped_too(part: Callable[..., Part], tmp_path: Path) -> None:
    with pytest.raises(StackFailed, match="bad exited with 1 before it was ready"):
        async with Supervisor() as supervisor:
            await supervisor.start(part("good"), part("bad", FAILS_AFTER_THE_OTHER, "good"))
    assert (tmp_path / "journal").read_text() == "good starts\ngood stops\n"


async def test_what_goes_wrong_when_a_restart_is_reported_does_not_stay_unseen(part: Callable[..., Part]) -> None:
    def disk_is_full(child: Child) -> None:
        raise OSError("no space left")

    async with Supervisor(restarted=disk_is_full, restarts=AT_ONCE) as supervisor:
        [child] = await supervisor.start(part("part"))
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(OSError, match="no space left"):
            await supervisor.keep()


async def test_a_part_that_ignores_the_request_to_stop_is_killed_after_its_grace(part: Callable[..., Part]) -> None:
    lines: list[str] = []
    async with Supervisor(say=lambda name, line: lines.append(line)) as supervisor:
        [child] = await supervisor.start(part("part", IGNORES_SIGTERM, grace=timedelta(seconds=0.2)))
    assert not alive(child.pid)
    assert lines == ["is killed: not ended within 0.2 s"]


async def test_hurry_cuts_the_grace_short(part: Callable[..., Part]) -> None:
    lines: list[str] = []
    async with asyncio.timeout(30), Supervisor(say=lambda name, line: lines.append(line)) as supervisor:
        [child] = await supervisor.start(part("part", IGNORES_SIGTERM, grace=timedelta(hours=1)))
        asyncio.get_running_loop().call_soon(supervisor.hurry)
    assert not alive(child.pid)
    assert lines == ["is killed: asked to hurry"]


async def test_lines_come_whole_whatever_bytes_a_part_writes() -> None:
    heard: list[str] = []
    program = f"""
import signal, sys
out = sys.stdout.buffer
out.write(b"caf\\xc3\\xa9\\n\\xff\\n" + b"x" * {3 * MAX_LINE_BYTES} + b"\\nno newline"); out.flush()
"""
    async with Supervisor(say=lambda name, line: heard.append(line), restarts=RetryPolicy(max_tries=1)) as supervisor:
        with pytest.raises(StackFailed, match="no newline"):
            await supervisor.start(says(program, ready=never))
    assert heard[:2] == ["café", "\N{REPLACEMENT CHARACTER}"]
    assert "".join(heard[2:-1]) == "x" * 3 * MAX_LINE_BYTES
    assert heard[-1] == "no newline"


async def test_the_last_lines_of_a_part_with_a_log_file_are_those_of_this_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of yesterday\n")
    async with Supervisor() as supervisor:
        with pytest.raises(StackFailed) as failure:
            await supervisor.start(says("raise SystemExit('of today')", ready=never, log=log))
    assert "of today" in str(failure.value)
    assert "of yesterday" not in str(failure.value)
