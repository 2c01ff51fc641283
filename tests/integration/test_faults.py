"""What a killed worker, a restarted store and a bad line cost: time, never a run, never a repeated step."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prolight.cli.doctor import examine
from prolight.errors import RunNotFound
from prolight.ports import Snapshot
from prolight.schemas import RunRequest, Stage, State
from tests.integration.fleet import Fleet, until

pytestmark = pytest.mark.integration

QUICK: dict[str, Any] = {"lease_seconds": 1.2, "heartbeat_seconds": 0.4, "sweep_seconds": 0.1}


def picture(size: int = 160, shade: int = 200) -> bytes:
    """A grey disc on white: a subject that the studio finds."""
    image = Image.new("RGB", (size, size), "white")
    for x in range(size):
        for y in range(size):
            if (x - size / 2) ** 2 + (y - size / 2) ** 2 < (size / 3) ** 2:
                image.putpixel((x, y), (shade // 2, shade // 2, shade // 2 + x % 20))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


async def fill(fleet: Fleet, count: int) -> list[str]:
    """Accept so many runs on one picture."""
    first = await fleet.client.submit(picture(), "warm key from the left")
    asset = (await fleet.client.get(first)).run.asset_id
    run_ids = [first]
    for start in range(1, count, 200):
        request = RunRequest(picture_id=asset, brief="warm key from the left")
        run_ids += await asyncio.gather(*(fleet.client.enqueue(request) for _ in range(start, min(start + 200, count))))
    return run_ids


async def held_in(fleet: Fleet, state: State) -> list[Snapshot]:
    return [snapshot for snapshot in await fleet.snapshots() if snapshot.run.state is state and snapshot.claim_id]


@pytest.mark.parametrize("state", [State.PLANNING, State.CRITIQUING, State.EXECUTING])
async def test_a_run_whose_only_worker_is_killed_in_this_stage_completes_and_repeats_no_finished_step(
    state: State, tmp_path: Path
) -> None:
    async with Fleet(tmp_path) as fleet:
        for _ in range(20):  # a kill that hits no run in this stage is void, and made again
            worker = await fleet.start_worker()
            run_ids = await fill(fleet, 12)
            await until(lambda: held_in(fleet, state), what=f"a run is {state}")
            fleet.kill(worker)
            hit = await held_in(fleet, state)
            if hit:
                break
        else:
            pytest.fail(f"never caught a run in {state}")
        journals = [await fleet.client.store.journal(run_id) for run_id in run_ids]
        finished = {
            key for journal in journals for key, entry in journal.items() if json.loads(entry)["status"] == "done"
        }

        await fleet.start_worker()
        ended = await fleet.all_ended()

        assert {snapshot.run.state for snapshot in ended} == {State.COMPLETED}
        received = [call["key"] for call in await fleet.calls()]
        assert {key: received.count(key) for key in finished if received.count(key) > 1} == {}
        for snapshot in hit:
            again = await fleet.client.get(snapshot.run.run_id)
            assert again.epoch > snapshot.epoch


async def test_a_store_that_is_killed_under_load_loses_no_accepted_run_and_no_healthy_claim(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker()
        await fleet.start_worker()
        run_ids = await fill(fleet, 600)

        fleet.valkey.kill()
        fleet.valkey.start()
        ended = await fleet.all_ended()

        assert {snapshot.run.run_id for snapshot in ended} == set(run_ids)
        assert {snapshot.run.state for snapshot in ended} == {State.COMPLETED}
        assert {turn.attempts for snapshot in ended for turn in snapshot.run.turns} == {1}
        assert all(worker.poll() is None for worker in fleet.workers)


@pytest.mark.heavy
@pytest.mark.timeout(600)
async def test_ten_thousand_waiting_runs_are_never_ten_thousand_messages(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, appendfsync="everysec") as fleet:
        await fill(fleet, 10_000)
        assert (await fleet.client.store.backlog())[Stage.PLAN] == 10_000
        await fleet.start_worker()
        window = 2 * fleet.settings.slots

        longest = 0
        while any((await fleet.client.store.backlog()).values()):
            lengths = [await fleet.client.store._ask("LLEN", stage.queue) for stage in Stage]
            longest = max(longest, *lengths)
        ended = await fleet.all_ended(within=timedelta(minutes=5))

        assert longest <= window
        assert len(ended) == 10_000
        assert {snapshot.run.state for snapshot in ended} == {State.COMPLETED}


@pytest.mark.parametrize("bells", ["lost", "doubled"])
async def test_lost_and_doubled_bells_hold_no_run_up(bells: str, tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker(app="tests.integration.lossy", BELLS=bells)
        await fleet.start_worker(app="tests.integration.lossy", BELLS=bells)
        await fill(fleet, 90)
        ended = await fleet.all_ended()

        assert {snapshot.run.state for snapshot in ended} == {State.COMPLETED}
        waits = [
            turn.started_at - turn.queued_at
            for snapshot in ended
            for turn in snapshot.run.turns
            if turn.started_at is not None
        ]
        assert max(waits) < 3
        assert {turn.attempts for snapshot in ended for turn in snapshot.run.turns} == {1}


async def test_a_worker_that_is_told_to_stop_hands_its_runs_over_at_once(tmp_path: Path) -> None:
    async with Fleet(tmp_path) as fleet:
        worker = await fleet.start_worker()
        await fill(fleet, 12)
        await until(lambda: held_in(fleet, State.EXECUTING), what="a run is executing")
        assert await fleet.terminate(worker) == 0

        assert [snapshot for snapshot in await fleet.snapshots() if snapshot.claim_id] == []
        assert {snapshot.crashes for snapshot in await fleet.snapshots()} == {0}
        await fleet.start_worker()
        assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}


async def test_a_killed_worker_costs_its_neighbour_about_two_seconds(tmp_path: Path) -> None:
    async with Fleet(tmp_path) as fleet:
        victim = await fleet.start_worker()
        run_ids = await fill(fleet, 6)
        held = await until(lambda: held_in(fleet, State.EXECUTING), what="a run is executing")
        await fleet.start_worker()
        fleet.kill(victim)
        held = [snapshot for snapshot in await fleet.snapshots() if snapshot.claim_id]
        ended = await fleet.all_ended(within=timedelta(seconds=20))

        assert {snapshot.run.run_id for snapshot in ended} == set(run_ids)
        assert {snapshot.run.state for snapshot in ended} == {State.COMPLETED}
        assert all(snapshot.epoch > 0 for snapshot in held)


async def test_a_frozen_worker_loses_its_runs_after_the_lease_and_writes_nothing_when_it_thaws(tmp_path: Path) -> None:
    async with Fleet(tmp_path, lease_seconds=2, heartbeat_seconds=0.5) as fleet:
        frozen = await fleet.start_worker()
        await fill(fleet, 6)
        await until(lambda: held_in(fleet, State.EXECUTING), what="a run is executing")
        frozen.send_signal(signal.SIGSTOP)
        held = [snapshot for snapshot in await fleet.snapshots() if snapshot.claim_id]
        await fleet.start_worker()
        ended = await fleet.all_ended()
        versions = {snapshot.run.run_id: snapshot.ver for snapshot in ended}
        frozen.send_signal(signal.SIGCONT)
        assert await fleet.terminate(frozen) == 0

        assert held
        assert {snapshot.run.state for snapshot in ended} == {State.COMPLETED}
        assert {snapshot.run.run_id: snapshot.ver for snapshot in await fleet.snapshots()} == versions
        for snapshot in held:
            events = [json.loads(event) for event in await fleet.client.store.events(snapshot.run.run_id)]
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            assert [event["epoch"] for event in events] == sorted(event["epoch"] for event in events)
            assert events[-1]["epoch"] > snapshot.epoch


async def test_a_store_that_loses_everything_is_told_and_works_on(tmp_path: Path) -> None:
    """The worker, `doctor` and `audit` say so; nobody dies, and what is accepted afterwards completes."""
    async with Fleet(tmp_path, studio=False, model="tests.integration.test_poison:DeadlyModel", **QUICK) as fleet:
        worker = await fleet.start_worker()
        asset = (await fleet.client.get(await fleet.client.submit(picture(), "good"))).run.asset_id
        lost = await fleet.client.enqueue(RunRequest(picture_id=asset, brief="hangs"))
        await until(lambda: held_in(fleet, State.PLANNING), what="a run is worked on")
        store = fleet.client.store
        assert await store.emptied() is None
        await store._ask("FLUSHALL")

        await until(store.emptied, what="a worker finds that the store is empty")
        assert "lost everything that it held" in fleet.log("worker1")
        with pytest.raises(RunNotFound):
            await fleet.client.get(lost)
        assert "lost everything" in (await fleet.client.audit()).notes[0]
        [contents] = [part for part in await examine(fleet.settings) if part.part == "contents"]
        assert "lost everything" in contents.detail

        await fleet.client.submit(picture(), "good")
        (ended,) = await fleet.all_ended()
        assert ended.run.state is State.COMPLETED
        assert worker.poll() is None
        assert "by a defect" not in fleet.log("worker1")
