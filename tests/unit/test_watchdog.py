"""When a worker process cannot serve any more, and when it only waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from prolight.settings import Settings
from workers.watchdog import Signs, Watchdog

SETTINGS = Settings.load(loop_stall_seconds=2, deaf_sweeps=3)


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(SETTINGS, signs, lambda: None)


def signs(ticks: int = 1, **changes: Any) -> Signs:
    return Signs(ticks=ticks, lag=timedelta(0), slots=4, working=0, **changes)


def test_a_loop_that_ticks_is_well(watchdog: Watchdog) -> None:
    assert [watchdog.judge(signs(ticks), 0.5) for ticks in range(100)] == [""] * 100


def test_a_loop_that_has_not_ticked_for_too_long_is_stalled(watchdog: Watchdog) -> None:
    looks = [watchdog.judge(signs(), 0.5) for _ in range(7)]
    assert ["" if not why else "stalled" for why in looks] == [""] * 5 + ["stalled"] * 2
    assert watchdog.stalled
    assert watchdog.judge(signs(2), 0.5) == ""


def test_a_process_that_was_frozen_as_a_whole_gets_time_to_tick(watchdog: Watchdog) -> None:
    watchdog.judge(signs(), 0.5)
    assert watchdog.judge(signs(), 3600) == ""


def test_a_slot_that_goes_on_long_after_its_hard_stop_is_wedged(watchdog: Watchdog) -> None:
    assert "1 of 4 slots" in watchdog.judge(signs(overstayed=1), 0.5)
    assert not watchdog.stalled


def test_who_hears_no_bell_for_many_sweeps_though_runs_wait_is_deaf(watchdog: Watchdog) -> None:
    assert watchdog.judge(signs(1, deaf_sweeps=3), 0.5) == ""
    assert "no bell" in watchdog.judge(signs(2, deaf_sweeps=4), 0.5)
