"""Many pictures at once, over real workers: each is made once, whoever dies, and the numbers add up."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from prolight.batches import BatchState, Input, run_id_of
from prolight.errors import InvalidInput
from prolight.schemas import State
from tests.integration.fleet import Fleet, until
from tests.integration.test_faults import picture

pytestmark = pytest.mark.integration


async def over(fleet: Fleet, batch_id: str, closed: int | None = None) -> bool:
    batch = (await fleet.client.batch(batch_id)).batch
    return batch.finished_at is not None if closed is None else batch.closed >= closed


@pytest.mark.heavy
@pytest.mark.timeout(600)
async def test_of_two_hundred_pictures_each_is_made_once_while_a_worker_is_killed_ten_times(tmp_path: Path) -> None:
    content = picture()
    async with Fleet(tmp_path, studio=False, lease_seconds=1.2, heartbeat_seconds=0.4, sweep_seconds=0.1) as fleet:
        await fleet.start_worker("-c", "4")
        await fleet.start_worker("-c", "4")
        inputs = [Input(f"sku-{number}", content) for number in range(200)]
        batch_id = await fleet.client.begin_batch(inputs, "warm key from the left", max_in_flight=16)
        for killed in range(10):
            await until(lambda: over(fleet, batch_id, closed=18 * (killed + 1)), what="some more are made")  # noqa: B023
            fleet.kill(fleet.workers.pop(0))
            await fleet.start_worker("-c", "4")
        await until(lambda: over(fleet, batch_id), what="the batch is over")

        batch = (await fleet.client.batch(batch_id)).batch
        assert (batch.state, batch.counts, batch.opened) == (BatchState.DONE, {"COMPLETED": 200}, 200)
        lines = await fleet.client.batch_page(batch_id, 0, 200)
        assert [line.name for line in lines] == [one.name for one in inputs]
        runs = [(await fleet.client.get(line.run_id)).run for line in lines]
        assert {run.state for run in runs} == {State.COMPLETED}
        assert len(await fleet.client.list(300)) == 200
        assert batch.spent_usd == sum((run.spent_usd for run in runs), Decimal(0))


async def test_the_proofs_come_first_and_the_rest_after_a_persons_word(tmp_path: Path) -> None:
    content = picture()
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker()
        inputs = [Input(f"{number}.png", content) for number in range(6)]
        batch_id = await fleet.client.begin_batch(inputs, "warm key from the left", proof=2)

        async def waits() -> bool:
            return (await fleet.client.batch(batch_id)).batch.state is BatchState.AWAITING_APPROVAL

        await until(waits, what="the proofs are made")
        states = Counter(line.state for line in await fleet.client.batch_page(batch_id))
        assert states == {"COMPLETED": 2, "WAITS": 4}
        await fleet.client.approve_batch(batch_id, by="ann")
        await until(lambda: over(fleet, batch_id), what="the batch is over")
        batch = (await fleet.client.batch(batch_id)).batch
        assert (batch.counts, batch.decided_by) == ({"COMPLETED": 6}, "ann")


async def test_a_cancelled_batch_takes_its_open_runs_with_it(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        inputs = [Input(f"{number}.png", picture()) for number in range(4)]
        batch_id = await fleet.client.begin_batch(inputs, "warm key", max_in_flight=2, ask=True)
        worker = await fleet.start_worker()

        async def held() -> bool:
            return (await fleet.client.batch(batch_id)).waiting == 4

        await until(held, what="all wait for a person, who take no room")
        await fleet.client.cancel_batch(batch_id, by="ann")
        await until(lambda: over(fleet, batch_id), what="the batch is over")
        batch = (await fleet.client.batch(batch_id)).batch
        assert (batch.state, batch.counts) == (BatchState.CANCELLED, {"CANCELLED": 4})
        assert worker.poll() is None


async def test_one_bad_picture_is_named_before_anything_begins(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        inputs = [Input("good.png", picture()), Input("bad.png", b"no picture"), Input("gone", "gone-asset")]
        with pytest.raises(InvalidInput, match=r"2 of 3 are refused: bad\.png: .*gone: ") as refused:
            await fleet.client.begin_batch(inputs, "warm key")
        assert "bad.png" in str(refused.value)
        assert await fleet.client.batches() == []
        assert await fleet.client.list() == []


async def test_an_open_picture_without_a_run_gets_it_in_the_next_round(tmp_path: Path) -> None:
    """As if a worker had died between the commit of a round and the runs of it."""
    async with Fleet(tmp_path, studio=False) as fleet:
        batch_id = await fleet.client.begin_batch([Input("one.png", picture())], "warm key")
        opened_at = round(fleet.client.store.now() * 1000)
        await fleet.client.store._ask("HSET", f"prolight:open:{batch_id}", 0, opened_at)
        look = await fleet.client.batch(batch_id)
        assert look.missing == (0,)
        await fleet.start_worker()
        await until(lambda: over(fleet, batch_id, closed=1), what="it is made")
        assert (await fleet.client.get(run_id_of(batch_id, 0))).run.state is State.COMPLETED


def rows(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report.read_text())))


async def test_the_command_makes_pictures_a_report_and_a_contact_sheet(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, shade in ("=cmd.png", 200), ("chair 2.png", 120):
        (folder / name).write_bytes(picture(shade=shade))
    manifest = tmp_path / "in" / "list.csv"
    manifest.write_text("picture,name,brief\n=cmd.png,=cmd,\nchair 2.png,chair 2,white background\n")
    async with Fleet(tmp_path / "home") as fleet:
        await fleet.start_worker()
        code, out = await prolight(
            fleet,
            *("batch", str(manifest), "--brief", "soft warm key from the left"),
            *("-o", str(tmp_path / "out"), "--report", str(tmp_path / "r.csv"), "--sheet", str(tmp_path / "s.jpg")),
        )
        assert code == 0, out
        assert "2 COMPLETED of 2" in out
        told = rows(tmp_path / "r.csv")
        assert [row["input"] for row in told] == ["'=cmd", "chair 2"]
        assert {row["state"] for row in told} == {"COMPLETED"}
        assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["0001-cmd.jpg", "0002-chair_2.jpg"]
        assert (tmp_path / "s.jpg").read_bytes()[:2] == b"\xff\xd8"
        (batch,) = await fleet.client.batches()
        code, out = await prolight(fleet, "batches", "watch", batch.batch_id, "--json")
        assert (code, len(out.splitlines())) == (0, 3)


async def prolight(fleet: Fleet, *arguments: str) -> tuple[int, str]:
    import sys

    from prolight.embedded.stack import environment

    program = [sys.executable, "-c", "from prolight.cli import main; main()", *arguments]
    process = await asyncio.create_subprocess_exec(
        *program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(fleet.settings),
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()
