"""A failpoint strikes whoever was meant, once, and what landed is on record before."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prolight.schemas import Stage
from tests.chaos.failpoints import Arm, Failpoints

STRIKES = """
import asyncio, sys
from pathlib import Path
from prolight.schemas import Stage
from tests.chaos.failpoints import Failpoints
points = Failpoints(Path(sys.argv[1]), "w")
async def all_of_them():
    await asyncio.gather(*(points.reached("started", run, Stage.EXECUTE) for run in ("a", "b")))
    print("went on")
asyncio.run(all_of_them())
"""


def arm(folder: Path, arm: Arm) -> None:
    (folder / "arm").write_text(arm.model_dump_json())


def test_it_kills_its_own_process_when_all_runs_are_there(tmp_path: Path) -> None:
    arm(tmp_path, Arm(point="started", runs=2))
    ended = subprocess.run([sys.executable, "-c", STRIKES, tmp_path], check=False, capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == b""
    assert [file.name[:4] for file in tmp_path.iterdir()] == ["hit."]


def test_it_stops_at_the_point_and_goes_on_from_there(tmp_path: Path) -> None:
    arm(tmp_path, Arm(point="started", act="stop", runs=2))
    stopped = subprocess.Popen([sys.executable, "-c", STRIKES, tmp_path], stdout=subprocess.PIPE)
    _, status = os.waitpid(stopped.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    stopped.send_signal(signal.SIGCONT)
    assert stopped.communicate(timeout=60)[0] == b"went on\n"


async def test_another_point_or_stage_passes(tmp_path: Path) -> None:
    points = Failpoints(tmp_path, "w")
    arm(tmp_path, Arm(point="started"))
    await points.reached("sending", "a", Stage.EXECUTE)
    await points.reached("started", "a", Stage.PLAN)
    assert (tmp_path / "arm").exists()


async def test_who_comes_second_is_not_hit(tmp_path: Path) -> None:
    arm(tmp_path, Arm(point="started"))
    (tmp_path / "arm").rename(tmp_path / "hit.1")
    await Failpoints(tmp_path, "w").reached("started", "a", Stage.EXECUTE)


async def test_a_held_call_waits_for_the_word(tmp_path: Path) -> None:
    arm(tmp_path, Arm(point="claimed", act="hold"))
    held = asyncio.create_task(Failpoints(tmp_path, "w").reached("claimed", "a", Stage.EXECUTE))
    while not (tmp_path / f"hit.{os.getpid()}").exists():
        await asyncio.sleep(0)
    assert not held.done()
    (tmp_path / "go").touch()
    await held


@pytest.mark.parametrize(("bells", "heard"), [("lost", [1, 1, 0]), ("doubled", [2, 2, 2]), ("", [1, 1, 1])])
def test_bells_are_lost_or_doubled(bells: str, heard: list[int], tmp_path: Path) -> None:
    (tmp_path / "bells").write_text(bells)
    points = Failpoints(tmp_path, "w")
    assert [points.heard() for _ in range(3)] == heard


def test_a_gate_is_of_one_worker(tmp_path: Path) -> None:
    (tmp_path / "gate.one").touch()
    assert [Failpoints(tmp_path, name).gated for name in ("one", "two")] == [True, False]


def test_a_deadly_run_kills_its_worker_and_no_other_does(tmp_path: Path) -> None:
    (tmp_path / "deadly.worker").write_text("bad")
    met = "from tests.chaos.failpoints import *; points = Failpoints(Path(sys.argv[1]), 'w'); points.meet(sys.argv[2])"
    codes = {
        run: subprocess.run([sys.executable, "-c", f"import sys; {met}", tmp_path, run], check=False).returncode
        for run in ("good", "bad")
    }
    assert codes == {"good": 0, "bad": -signal.SIGKILL}


def test_a_clock_steps_once_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", time.time)
    points, before = Failpoints(tmp_path, "w"), time.time()
    points.step_clock()
    assert not (tmp_path / f"stepped.{os.getpid()}").exists()
    (tmp_path / "clock").write_text("-3600")
    points.step_clock()
    assert time.time() < before
    assert (tmp_path / f"stepped.{os.getpid()}").exists()
