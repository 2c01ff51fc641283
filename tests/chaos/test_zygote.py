"""What is forked is a process like any other: a pid and a log of its own, and it ends as processes end."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.driving import WITHIN_SECONDS
from tests.chaos.zygote import Zygote

pytestmark = [pytest.mark.integration, pytest.mark.heavy]


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator[Zygote]:
    made = Zygote(tmp_path, os.environ)
    yield made
    made.kill()


def test_a_child_has_its_own_log_and_exit_code(zygote: Zygote, tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    assert zygote.start("platform", "terse", log=log).wait() == 0
    assert "Linux" in log.read_text()
    assert zygote.start("no_such_module", log=log).wait() == 1
    assert "no_such_module" in log.read_text()


def test_a_killed_child_is_dead_and_the_next_one_lives(zygote: Zygote, tmp_path: Path) -> None:
    serving = [
        zygote.start("http.server", "--bind", "127.0.0.1", "0", log=tmp_path / f"{number}.log") for number in range(2)
    ]
    os.kill(serving[0].pid, signal.SIGKILL)
    assert serving[0].wait() == -signal.SIGKILL
    assert serving[1].poll() is None


def test_what_is_forked_dies_with_the_zygote(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, os.environ)
    child = zygote.start("http.server", "--bind", "127.0.0.1", "0", log=tmp_path / "log")
    ends = os.pidfd_open(child.pid)
    zygote.kill()
    assert select.select([ends], [], [], WITHIN_SECONDS)[0] == [ends]
    os.close(ends)
