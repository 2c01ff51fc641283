"""The words and the pace of `prolight failed` and `prolight redrive`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from prolight.cli.failed import counts, period
from prolight.cli.redrive import dollars, paced, rate, to_its_end
from prolight.errors import InvalidInput
from prolight.ports import Snapshot
from prolight.schemas import RunContext, RunError


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def moments(per_second: float | None, *, work: float) -> list[float]:
    """When each of three items comes, if what is done with one takes so long."""
    time, came = Time(), []
    async for _ in paced(["a", "b", "c"], per_second, clock=lambda: time.now, sleep=time.sleep):
        came.append(time.now)
        time.now += work
    return came


async def test_a_pace_is_kept_whatever_the_work_takes() -> None:
    assert await moments(2, work=0.1) == pytest.approx([0, 0.5, 1.0])
    assert await moments(2, work=3) == pytest.approx([0, 3, 6])
    assert await moments(None, work=0.1) == pytest.approx([0, 0.1, 0.2])


async def test_what_began_is_finished_before_the_stop_is_heard() -> None:
    ended, goes_on = [], asyncio.Event()

    async def work() -> None:
        await goes_on.wait()
        ended.append("work")

    task = asyncio.create_task(to_its_end(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["work"]


@pytest.mark.parametrize(("given", "expected"), [("5/s", 5), ("30/m", 0.5), ("3600/h", 1), ("7", 7), (None, None)])
def test_a_pace_is_runs_a_second_minute_or_hour(given: str | None, expected: float | None) -> None:
    assert rate(given) == expected


@pytest.mark.parametrize("given", ["", "0/s", "-1/s", "1.5/s", "5/d", "fast"])
def test_what_is_no_pace_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="--pace"):
        rate(given)


def test_a_time_is_a_number_and_its_unit() -> None:
    given = {
        "90s": timedelta(seconds=90),
        "15m": timedelta(minutes=15),
        "2h": timedelta(hours=2),
        "7d": timedelta(days=7),
    }
    assert {text: period(text) for text in given} == given
    assert period(None) is None


@pytest.mark.parametrize("given", ["", "2", "h", "2w", "-2h"])
def test_what_is_no_time_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="--since"):
        period(given)


def test_a_budget_is_dollars_to_a_millionth() -> None:
    assert (dollars("2.5"), dollars("0"), dollars(None)) == (Decimal("2.5"), Decimal(0), None)


@pytest.mark.parametrize("given", ["", "nan", "inf", "-1", "0.0000001", "1 USD"])
def test_what_is_no_amount_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="--budget"):
        dollars(given)


def test_counts_are_of_all_that_failed_most_frequent_first() -> None:
    failed = [
        Snapshot(RunContext(run_id="r", asset_id="a", error=RunError(code=code, message="")), ver=1)
        for code in ("poison", "rate_limited", "rate_limited")
    ]
    assert counts(failed, limit=2).plain == "3 failed, 2 shown: 2 rate_limited, 1 poison"
    assert counts(failed, limit=3).plain == "3 failed: 2 rate_limited, 1 poison"
