"""The Python client, in both colours, against a real store and real workers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from prolight import AsyncClient, Client
from prolight.errors import (
    ArtifactMissing,
    IdempotencyMismatch,
    IllegalMove,
    InvalidInput,
    NothingFinished,
    PlanChanged,
    RunNotFound,
    StoreUnavailable,
)
from prolight.ports import Snapshot
from prolight.schemas import Plan, State
from prolight.settings import Settings
from prolight.why import Reason
from tests.integration.fleet import Fleet, until
from tests.integration.test_faults import picture

pytestmark = pytest.mark.integration
T = TypeVar("T")
BRIEF = "warm key from the left"


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(tmp_path, studio=False) as fleet:
        yield fleet


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    with Client(settings=fleet.settings) as client:
        yield client


async def aside(work: Callable[[], T]) -> T:
    """Sync work beside the test's own loop, as in another thread of a service."""
    return await asyncio.to_thread(work)


async def test_a_sync_client_hands_in_a_picture_follows_the_run_and_saves_what_it_made(
    fleet: Fleet, client: Client
) -> None:
    await fleet.start_worker()

    def service() -> tuple[list[int], State, list[bytes]]:
        with client:
            run_id = client.submit(picture(), BRIEF, metadata={"sku": "1"})
            seqs = [event.seq for event in client.events(run_id)]
            ended = client.wait(run_id, timeout=60)
            return seqs, ended.run.state, [client.download(made) for made in client.artifacts(run_id)]

    seqs, state, pictures = await aside(service)
    assert (state, seqs) == (State.COMPLETED, list(range(1, len(seqs) + 1)))
    assert len(pictures) == 1


async def test_events_go_on_after_the_last_one_that_was_seen(fleet: Fleet, client: Client) -> None:
    run_id = await aside(lambda: client.submit(picture(), BRIEF))
    events = client.events(run_id)
    seen = await aside(lambda: next(events).seq)
    await aside(events.close)  # type: ignore[attr-defined]
    await fleet.start_worker()
    rest = await aside(lambda: [event.seq for event in client.events(run_id, after=seen)])
    assert rest == list(range(2, len(rest) + 2))
    assert await aside(lambda: list(client.events(run_id, after=rest[-1]))) == []


async def test_a_picture_is_given_as_bytes_as_a_file_or_by_its_alias(
    fleet: Fleet, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "chair.png"
    file.write_bytes(picture())
    by_file = await client_run(client, file)
    await fleet.client.artifact_store.alias("chair-1", by_file.run.picture)
    by_alias, by_bytes = await client_run(client, "chair-1"), await client_run(client, picture())
    assert by_file.run.picture == by_alias.run.picture == by_bytes.run.picture
    assert (by_alias.run.asset_id, by_bytes.run.asset_id) == ("chair-1", by_bytes.run.picture)


async def client_run(client: Client, given: bytes | Path | str) -> Snapshot:
    return await aside(lambda: client.get(client.submit(given, BRIEF)))


@pytest.mark.parametrize(
    ("given", "brief", "error"),
    [
        ("chair-2", BRIEF, ArtifactMissing),
        ("a" * 64, BRIEF, ArtifactMissing),
        ("../chair.png", BRIEF, InvalidInput),
        (b"no picture", BRIEF, InvalidInput),
        (picture(), " ", InvalidInput),
        (picture(), "x" * 4001, InvalidInput),
    ],
)
async def test_what_is_refused_at_the_door_leaves_no_trace(
    given: bytes | str, brief: str, error: type[Exception], fleet: Fleet, client: Client
) -> None:
    with pytest.raises(error):
        await aside(lambda: client.submit(given, brief))
    assert await aside(client.list) == []
    assert not [path for path in fleet.settings.artifact_root.rglob("*") if path.is_file() and path.name != "identity"]


async def test_the_same_key_is_the_same_run_also_for_an_alias_that_still_means_the_same(
    fleet: Fleet, client: Client
) -> None:
    first = await aside(lambda: client.submit(picture(), BRIEF))
    asset = (await fleet.client.get(first)).run.picture
    await fleet.client.artifact_store.alias("chair", asset)

    def submit() -> str:
        return client.submit("chair", BRIEF, idempotency_key="k")

    once = await aside(submit)
    assert await aside(submit) == once
    other = (await fleet.client.get(await fleet.client.submit(picture(shade=100), BRIEF))).run.picture
    await fleet.client.artifact_store.alias("chair", other, replace=True)
    with pytest.raises(IdempotencyMismatch):
        await aside(submit)


async def test_a_run_waits_for_its_approval_and_then_goes_on(fleet: Fleet, client: Client) -> None:
    await fleet.start_worker()
    run_id = await aside(lambda: client.submit(picture(), BRIEF, ask=True))
    parked = await aside(lambda: client.wait(run_id, timeout=60))
    assert parked.run.approval
    assert (await aside(lambda: client.why(run_id))).reason is Reason.AWAITS_APPROVAL
    with pytest.raises(NothingFinished):
        await aside(lambda: client.artifacts(run_id))
    plan_hash = parked.run.approval.plan_hash
    await aside(lambda: client.approve(run_id, plan_hash, by="ann"))
    ended = await aside(lambda: client.wait(run_id, timeout=60))
    assert ended.run.state is State.COMPLETED
    assert ended.run.approval
    assert (ended.run.approval.decision, ended.run.approval.decided_by) == ("approved", "ann")
    with pytest.raises(IllegalMove):
        await aside(lambda: client.reject(run_id))


async def test_of_two_people_who_saw_the_same_plan_the_second_cannot_approve_what_the_first_one_changed(
    fleet: Fleet, client: Client
) -> None:
    await fleet.start_worker()
    run_id = await aside(lambda: client.submit(picture(), BRIEF, ask=True))
    seen = (await aside(lambda: client.wait(run_id, timeout=60))).run
    assert seen.plan and seen.approval
    shown = seen.approval.plan_hash
    edited = Plan(steps=(seen.plan.steps[0].evolve(why="edited"),))
    await aside(lambda: client.approve(run_id, shown, by="ann", edited=edited))

    async def waits_again() -> bool:
        run = (await fleet.client.get(run_id)).run
        return run.state is State.AWAITING_APPROVAL and run.plan == edited

    await until(waits_again, what="the Critic has judged the edited plan")
    with pytest.raises(PlanChanged, match=shown):
        await aside(lambda: client.approve(run_id, shown, by="bob"))
    assert (await fleet.client.get(run_id)).run.state is State.AWAITING_APPROVAL


async def test_of_two_who_answer_at_once_one_is_heard_and_the_other_hears_of_it(fleet: Fleet, client: Client) -> None:
    await fleet.start_worker()
    run_id = await fleet.client.submit(picture(), BRIEF, ask=True)
    parked = await fleet.client.wait(run_id, timeout=60)
    assert parked.run.approval
    plan_hash = parked.run.approval.plan_hash
    answers = await asyncio.gather(
        fleet.client.approve(run_id, plan_hash, by="ann"),
        fleet.client.reject(run_id, by="bob"),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, IllegalMove)]
    assert len(refused) == 1
    assert "ann" in str(refused[0]) or "bob" in str(refused[0])


async def test_silence_past_the_deadline_is_a_no(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, approval_deadline_seconds=0.3, sweep_seconds=0.1) as fleet:
        await fleet.start_worker()
        run_id = await fleet.client.submit(picture(), BRIEF, ask=True)
        (ended,) = await fleet.all_ended()
        assert (ended.run.run_id, ended.run.state) == (run_id, State.REJECTED)
        assert ended.run.approval
        assert ended.run.approval.decision == "expired"


async def test_why_names_the_missing_worker_and_then_the_end(fleet: Fleet, client: Client) -> None:
    run_id = await aside(lambda: client.submit(picture(), BRIEF))
    assert (await aside(lambda: client.why(run_id))).reason is Reason.NO_WORKER
    await fleet.start_worker()
    await fleet.all_ended()
    assert (await aside(lambda: client.why(run_id))).reason is Reason.ENDED


async def test_a_cancelled_run_ends_and_one_that_is_not_there_is_named(fleet: Fleet, client: Client) -> None:
    run_id = await aside(lambda: client.submit(picture(), BRIEF))
    assert (await aside(lambda: client.cancel(run_id, reason="sold"))).run.state is State.CANCELLED
    assert [found.run.run_id for found in await aside(lambda: client.list(state=State.CANCELLED))] == [run_id]
    with pytest.raises(RunNotFound, match="nobody"):
        await aside(lambda: client.get("nobody"))


async def test_a_wait_ends_with_its_time(client: Client) -> None:
    run_id = await aside(lambda: client.submit(picture(), BRIEF))
    with pytest.raises(TimeoutError):
        await aside(lambda: client.wait(run_id, timeout=0.05))


async def test_threads_share_one_client(fleet: Fleet, client: Client) -> None:
    await fleet.start_worker()
    run_ids = await asyncio.gather(*(aside(lambda: client.submit(picture(), BRIEF)) for _ in range(8)))
    assert len(set(run_ids)) == 8
    ended = await asyncio.gather(*(asyncio.to_thread(client.wait, run_id, timeout=60) for run_id in run_ids))
    assert {snapshot.run.state for snapshot in ended} == {State.COMPLETED}


def test_without_a_server_the_error_names_the_command_that_starts_one(tmp_path: Path) -> None:
    with (
        Client(settings=Settings.load(redis_url="redis://127.0.0.1:1/0", home=tmp_path)) as client,
        pytest.raises(StoreUnavailable, match="prolight up"),
    ):
        client.list()


async def test_an_async_client_needs_no_with_block(fleet: Fleet) -> None:
    client = AsyncClient(fleet.settings.redis_url, settings=fleet.settings)
    try:
        assert await client.list() == []
    finally:
        await client.close()


FORGOTTEN = """
import gc, sys
from prolight import Client
print(Client(sys.argv[1]).list())
gc.collect()
print(Client(sys.argv[1]).list())
"""


async def test_a_client_that_nobody_closed_goes_without_a_complaint(fleet: Fleet) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", FORGOTTEN, fleet.settings.redis_url]
        home = {**os.environ, "PROLIGHT_HOME": str(fleet.home)}
        return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False, env=home)

    done = await aside(run)
    assert (done.stdout, done.stderr) == ("[]\n[]\n", "")


FORKED = """
import os, sys
from prolight import Client
client = Client(sys.argv[1])
assert client.list() == []
if (child := os.fork()) == 0:
    os._exit(0 if client.list() == [] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert client.list() == []
"""


async def test_a_client_made_before_a_fork_works_after_it_and_leaves_no_complaint_at_the_end(fleet: Fleet) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", FORKED, fleet.settings.redis_url]
        home = {**os.environ, "PROLIGHT_HOME": str(fleet.home)}
        return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False, env=home)

    done = await aside(run)
    assert (done.returncode, done.stderr) == (0, "")
