"""Workers that are replaced while hundreds of runs are at work, and what the paid tools and the model saw of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from prolight.ports import Snapshot
from prolight.schemas import RunRequest, State
from tests.chaos.ledger import read
from tests.integration.fleet import Fleet, until
from tests.integration.test_effects import SHORT, Shop, shop
from tests.integration.test_faults import picture

pytestmark = [pytest.mark.integration, pytest.mark.heavy, pytest.mark.timeout(900)]

BRIEFS = ("blind,pure", "billed,keyed", "probeable|blind", "pure,blind", "keyed|billed,pure")
SLOW_MS = 400
WITHIN = timedelta(minutes=5)
SLOTS = ("-c", "6")
PARKED = frozenset({State.COMPLETED, State.NEEDS_REVIEW})


class Load:
    """Runs of all effect classes, submitted in portions."""

    def __init__(self, here: Shop) -> None:
        self.here, self.fleet = here, here.fleet
        self.runs: list[str] = []

    async def more(self, count: int) -> None:
        kept = await self.fleet.client.artifact_store.put(picture(), media_type="image/png")
        for brief in itertools.islice(itertools.cycle(BRIEFS), count):
            request = RunRequest(picture_id=kept.id, brief=f"{brief} #{len(self.runs)}")
            self.runs.append(await self.fleet.client.enqueue(request))

    async def paying(self, worker: subprocess.Popen[bytes]) -> list[Snapshot]:
        """The runs for which this worker has a paid call under way."""
        [process] = [one.id for one in await self.fleet.client.workers() if one.pid == worker.pid]
        return [
            one
            for one in await self.fleet.snapshots()
            if one.owner == process and one.run.state is State.EXECUTING and one.run.reserved_usd > 0
        ]

    async def at_work(self, worker: subprocess.Popen[bytes]) -> None:
        await until(lambda: self.paying(worker), what="the worker has a paid call under way")

    async def over(self) -> list[Snapshot]:
        """All runs, when each is done or waits for a person."""

        async def settled() -> list[Snapshot]:
            seen = await self.fleet.snapshots()
            return seen if all(one.run.state in PARKED or one.run.finished_at for one in seen) else []

        seen: list[Snapshot] = await until(settled, what="all runs are over", within=WITHIN)
        assert {one.run.run_id for one in seen} == set(self.runs)
        return seen


def arrivals(ledger: Path) -> Counter[str]:
    """How often each call of a tool with effects, or of the model, arrived: by its key."""
    return Counter(line["key"] for line in read(ledger) if line["what"] == "received" and line.get("effect") != "pure")


async def repeated(fleet: Fleet, ledger: Path, runs: list[str]) -> list[str]:
    """The calls that arrived after their step was on record as done."""
    done = {key: at for run_id in runs async for key, at in _done(fleet, run_id)}
    return [
        line["label"]
        for line in read(ledger)
        if line["what"] == "received" and line["at"] > done.get(line["key"], float("inf"))
    ]


async def _done(fleet: Fleet, run_id: str) -> AsyncIterator[tuple[str, float]]:
    for key, text in (await fleet.client.store.journal(run_id)).items():
        entry = json.loads(text)
        if entry["status"] == "done":
            yield key, entry["finished_at"]


async def test_three_workers_replaced_one_after_the_other_under_300_runs_repeat_nothing_and_leave_no_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(tmp_path, monkeypatch) as here:
        load, fleet = Load(here), here.fleet
        await here.world.script("slow", times=None, ms=SLOW_MS)
        for worker in [await fleet.start_worker(*SLOTS) for _ in range(3)]:
            await load.more(100)
            await load.at_work(worker)
            assert await fleet.terminate(worker) == 0
            await fleet.start_worker(*SLOTS)
        seen = await load.over()

        assert Counter(one.run.state for one in seen) == {State.COMPLETED: 300}
        assert {one.crashes for one in seen} == {0}
        assert [key for key, count in arrivals(tmp_path / "world").items() if count > 1] == []
        assert [key for key, count in arrivals(tmp_path / "llm").items() if count > 1] == []
        assert await repeated(fleet, tmp_path / "world", load.runs) == []
        assert not (await fleet.client.audit()).findings


@pytest.mark.parametrize("then", [signal.SIGTERM, signal.SIGKILL])
async def test_a_worker_whose_drain_is_cut_short_loses_nothing_and_does_nothing_twice_unsaid(
    then: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: dict[str, Any] = {"effect_grace_seconds": 0.5, **SHORT}
    async with shop(tmp_path, monkeypatch, call_timeout=4.0, **quick) as here:
        load, fleet = Load(here), here.fleet
        await here.world.script("slow", times=None, ms=1_000)
        worker, _ = [await fleet.start_worker(*SLOTS) for _ in range(2)]
        await load.more(60)
        await load.at_work(worker)
        worker.send_signal(signal.SIGTERM)

        async def draining() -> bool:
            return "Warm shutdown" in (tmp_path / "worker1.log").read_text()

        await until(draining, what="the worker drains")
        worker.send_signal(then)
        await asyncio.to_thread(worker.wait, 60)
        await fleet.start_worker(*SLOTS)
        seen = await load.over()

        assert {one.run.state for one in seen} <= PARKED
        applied = Counter((line["key"], line["tool"]) for line in read(tmp_path / "world") if line["what"] == "applied")
        twice = {tool for (_, tool), count in applied.items() if count > 1}
        assert twice <= {"pure", "billed"}
        assert await repeated(fleet, tmp_path / "world", load.runs) == []
        for one in seen:
            if one.run.state is State.NEEDS_REVIEW:
                assert one.run.review and one.run.review.why == "outcome_unknown"
        left = (await fleet.client.audit()).findings
        assert {finding.kind for finding in left} <= {"picture"}, "the World only names the pictures that it makes"
