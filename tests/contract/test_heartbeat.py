"""What keeps a claim alive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prolight.ports import Process
from prolight.schemas import Stage, State

from .backends import LEASE, Backend
from .runs import DEADLINES, announce, cancelled, claim, claimed, commit, released, submit

WORKER = Process("w1", slots=4, stages=tuple(Stage), host="here", pid=7)


async def test_it_prolongs_the_lease(backend: Backend) -> None:
    base = await claimed(backend)
    await backend.advance(5)
    before = await backend.now()
    assert await backend.store.heartbeat(WORKER, {"run-1": base.claim_id}) == set()
    due_at = (await backend.store.read("run-1")).due_at
    assert due_at is not None
    assert before <= due_at - LEASE.total_seconds() <= await backend.now()


async def test_it_never_reaches_past_the_hard_stop(backend: Backend) -> None:
    base = await claimed(backend)
    await backend.advance(DEADLINES.stage.total_seconds() - 5)
    await backend.store.heartbeat(WORKER, {"run-1": base.claim_id})
    assert (await backend.store.read("run-1")).due_at == base.hard_stop


async def test_it_revives_an_expired_lease_that_nobody_took(backend: Backend) -> None:
    base = await claimed(backend)
    await backend.advance(LEASE.total_seconds() + 1)
    assert await backend.store.heartbeat(WORKER, {"run-1": base.claim_id}) == set()
    due_at = (await backend.store.read("run-1")).due_at
    assert due_at is not None
    assert due_at > await backend.now()


async def test_it_tells_which_claims_are_lost_and_leaves_them_alone(backend: Backend) -> None:
    for run_id in ("kept", "taken", "gone"):
        await submit(backend, run_id)
    kept, taken, gone = [claim.snapshot for claim in await backend.store.claim(Stage.PLAN, 3, "w1")]
    kept, taken, gone = sorted((kept, taken, gone), key=lambda base: ["kept", "taken", "gone"].index(base.run.run_id))
    now = await backend.now()
    await commit(backend.store, taken, released(taken, now))
    new = (await claim(backend.store, Stage.PLAN, process="w2")).snapshot
    await commit(backend.store, gone, released(gone, now))
    held = {"kept": kept.claim_id, "taken": taken.claim_id, "gone": gone.claim_id, "unknown": kept.claim_id}
    assert await backend.store.heartbeat(WORKER, held) == {"taken", "gone", "unknown"}
    assert await backend.store.read("taken") == new


async def test_nobody_prolongs_the_claim_of_another_process(backend: Backend) -> None:
    base = await claimed(backend, process="w2")
    assert await backend.store.heartbeat(WORKER, {"run-1": base.claim_id}) == {"run-1"}
    assert await backend.store.read("run-1") == base


async def test_it_tells_which_runs_are_being_cancelled_and_leaves_them_time_to_let_go(backend: Backend) -> None:
    base = await claimed(backend)
    await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
    await backend.advance(5)
    assert await backend.store.heartbeat(WORKER, {"run-1": base.claim_id}) == {"run-1"}
    kept = await backend.store.read("run-1")
    assert (kept.run.state, kept.claim_id) == (State.CANCELLING, base.claim_id)
    assert kept.due_at is not None
    assert base.due_at is not None
    assert kept.due_at >= base.due_at + 5, "its lease is prolonged"


async def test_it_writes_no_version_and_no_event(backend: Backend) -> None:
    base = await claimed(backend)
    await backend.store.heartbeat(WORKER, {"run-1": base.claim_id})
    kept = await backend.store.read("run-1")
    assert (kept.ver, kept.seq, kept.epoch) == (base.ver, base.seq, base.epoch)


async def test_it_announces_the_process(backend: Backend) -> None:
    before = await backend.now()
    await announce(backend, "w2")
    await announce(backend, "w1")
    first, second = await backend.store.processes()
    assert before <= first.beat_at <= second.beat_at + 1
    assert replace(first, beat_at=0) == replace(WORKER, alive=True)
    assert second.id == "w2"


@pytest.mark.needs("sweep")
async def test_a_buried_process_that_beats_again_counts_again(backend: Backend) -> None:
    worker = await announce(backend)
    await backend.kill("w1")
    await backend.live_on(3)
    assert await backend.store.processes() == []
    await backend.connect("w1")
    await backend.store.heartbeat(worker, {})
    assert [process.id for process in await backend.store.processes()] == ["w1"]
