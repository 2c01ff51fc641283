"""Messages that are no bells, among bells, in front of a real worker."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from prolight.cli.doctor import examine
from prolight.schemas import State
from tests.integration.fleet import Fleet, until
from tests.integration.test_faults import fill
from tests.unit.bells import ODD
from workers.messages import Reason

pytestmark = pytest.mark.integration

COUNT = 1_000
NO_MESSAGE = {Reason.NOT_JSON, Reason.NOT_UTF8, Reason.TOO_DEEP, Reason.NO_ENVELOPE, Reason.BAD_BODY}
LARGE = b"x" * 10_000_000
MEGABYTES = 250
"""A worker was seen to take 110 here, with 10 MB in its hands six times."""


async def test_a_thousand_messages_that_are_no_bells_harm_neither_the_worker_nor_the_runs(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        worker = await fleet.start_worker("-c", "8")
        put = await put_odd_ones(fleet, COUNT // 2)
        filling = asyncio.ensure_future(fill(fleet, 50))
        put += await put_odd_ones(fleet, COUNT // 2)
        await filling
        assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}

        async def counted() -> bool:
            return sum((await fleet.client.store.aside()).values()) >= COUNT

        await until(counted, what="all of them are counted")
        assert await fleet.client.store.aside() == put
        await kept_are_short(fleet)
        [warned] = [part for part in await examine(fleet.settings) if part.part == "queues"]
        assert warned.warning and not warned.ok and warned.detail.startswith("1,000 messages")

        assert worker.poll() is None
        assert peak_megabytes(worker.pid) < MEGABYTES
        assert await fleet.terminate(worker) == 0
        log = (tmp_path / "worker1.log").read_text()
        assert log.count("Connected to redis") == 1, log
        assert not [word for word in ("Traceback", "CRITICAL", "ERROR", "onnection to broker lost") if word in log], log


async def put_odd_ones(fleet: Fleet, count: int) -> Counter[str]:
    """All kinds in turn, three of them of 10 MB, into the queue of the planner. Answers how many of which."""
    put: Counter[str] = Counter({Reason.TOO_LARGE: 3})
    odd = [raw for raw, _ in itertools.islice(itertools.cycle(ODD.values()), count - 3)]
    put.update(reason for _, reason in itertools.islice(itertools.cycle(ODD.values()), count - 3))
    for third in (odd[0::3], odd[1::3], odd[2::3]):
        for raw in (*third, LARGE):
            await fleet.client.store._ask("LPUSH", "prolight.plan", raw)
    return put


async def kept_are_short(fleet: Fleet) -> None:
    kept = await fleet.client.store._ask("LRANGE", "prolight:aside", 0, -1)
    assert len(kept) == 100
    for entry in map(json.loads, kept):
        assert set(entry) == {"at", "queue", "reason", "size", "beginning"}
        assert entry["queue"] == "prolight.plan" and len(entry["beginning"]) <= 200
    assert max(map(len, kept)) < 1_000


def peak_megabytes(pid: int) -> int:
    """The most that the process ever held in memory; 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    told = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(told["VmHWM"].split()[0]) // 1024


async def test_what_is_said_to_all_workers_and_is_no_message_ends_none_of_them(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        worker = await fleet.start_worker()
        broken = [raw for raw, reason in ODD.values() if reason in NO_MESSAGE]
        await until(partial(say_to_all, fleet, broken[0]), what="the worker listens")
        assert [await say_to_all(fleet, raw) for raw in broken] == [1] * len(broken)
        inspect = fleet._spawn("inspect", *("-m", "celery", "-A", "workers", "inspect", "ping", "--timeout", "2"))
        fleet.workers.append(inspect)
        assert await asyncio.to_thread(inspect.wait, 60) == 0, fleet.log("inspect")
        assert worker.poll() is None
        assert (tmp_path / "worker1.log").read_text().count("Connected to redis") == 1


async def say_to_all(fleet: Fleet, raw: bytes) -> int:
    return int(await fleet.client.store._ask("PUBLISH", "/0.celery.pidbox", raw))
