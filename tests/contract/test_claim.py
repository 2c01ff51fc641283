"""Taking runs to work on them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from prolight.ports import RunStore
from prolight.schemas import Stage

from .backends import LEASE, Backend, Losses
from .runs import (
    DEADLINES,
    backing_off,
    cancelled,
    claim,
    claimed,
    commit,
    executing,
    planned,
    released,
    submission,
    submit,
)


async def test_the_oldest_run_is_taken_first(backend: Backend) -> None:
    for run_id in ("b", "c", "a"):
        await submit(backend, run_id)
        await backend.advance(1)
    taken = await backend.store.claim(Stage.PLAN, 2, "w1")
    assert [claim.run_id for claim in taken] == ["b", "c"]


async def test_a_run_keeps_its_place_when_it_moves_on(backend: Backend) -> None:
    first = await claimed(backend, "first")
    await backend.advance(1)
    second = await claimed(backend, "second")
    now = await backend.now()
    for base in (second, first):
        await commit(backend.store, base, planned(base, now))
    assert (await claim(backend.store, Stage.CRITIQUE)).run_id == "first"


async def test_fewer_are_taken_when_fewer_wait(backend: Backend) -> None:
    await submit(backend)
    assert len(await backend.store.claim(Stage.PLAN, 5, "w1")) == 1
    assert await backend.store.claim(Stage.PLAN, 5, "w1") == []


async def test_a_run_of_another_stage_is_never_taken(backend: Backend) -> None:
    await submit(backend)
    assert await backend.store.claim(Stage.CRITIQUE, 5, "w1") == []
    assert await backend.store.claim(Stage.EXECUTE, 5, "w1") == []
    assert (await backend.store.backlog())[Stage.PLAN] == 1


async def test_a_claim_says_who_works_on_the_run_until_when(backend: Backend) -> None:
    before = await backend.now()
    snapshot = await claimed(backend, process="w1")
    after = await backend.now()
    assert (snapshot.owner, snapshot.activity, snapshot.ver) == ("w1", "running", 1)
    assert (snapshot.epoch, snapshot.attempt) == (1, 1)
    assert snapshot.due_at is not None
    assert snapshot.hard_stop is not None
    assert before <= snapshot.due_at - LEASE.total_seconds() <= after
    assert before <= snapshot.hard_stop - DEADLINES.stage.total_seconds() <= after
    assert await backend.store.read("run-1") == snapshot


async def test_claims_of_two_runs_in_one_answer_share_their_claim_id(backend: Backend) -> None:
    await submit(backend, "a")
    await submit(backend, "b")
    a, b = await backend.store.claim(Stage.PLAN, 2, "w1")
    assert a.snapshot.claim_id == b.snapshot.claim_id != ""


async def test_epoch_and_attempt_grow_with_each_claim_of_a_stage(backend: Backend) -> None:
    snapshot = await claimed(backend)
    await commit(backend.store, snapshot, released(snapshot, await backend.now()))
    again = (await claim(backend.store, Stage.PLAN, process="w2")).snapshot
    assert (again.epoch, again.attempt) == (2, 2)
    assert again.claim_id != snapshot.claim_id


async def test_the_next_stage_counts_its_attempts_anew_but_epochs_go_on(backend: Backend) -> None:
    snapshot = await executing(backend)
    assert (snapshot.epoch, snapshot.attempt) == (3, 1)


async def test_the_stage_deadline_counts_from_its_first_claim(backend: Backend) -> None:
    first = await claimed(backend)
    await backend.advance(100)
    await commit(backend.store, first, released(first, await backend.now()))
    second = (await claim(backend.store, Stage.PLAN)).snapshot
    assert second.hard_stop == first.hard_stop


async def test_a_lease_never_reaches_past_the_hard_stop(backend: Backend) -> None:
    first = await claimed(backend)
    await backend.advance(DEADLINES.stage.total_seconds() - 5)
    await commit(backend.store, first, released(first, await backend.now()))
    second = (await claim(backend.store, Stage.PLAN)).snapshot
    assert second.due_at == second.hard_stop


async def test_a_run_whose_stage_has_run_out_of_time_is_not_taken(backend: Backend) -> None:
    first = await claimed(backend)
    await commit(backend.store, first, released(first, await backend.now()))
    await backend.advance(DEADLINES.stage.total_seconds())
    assert await backend.store.claim(Stage.PLAN, 1, "w1") == []
    snapshot = await backend.store.read("run-1")
    assert (snapshot.epoch, snapshot.claim_id, snapshot.ready) == (1, "", False)
    assert snapshot.due_at is not None
    assert snapshot.due_at <= await backend.now(), "a sweeper looks at it at once"


async def test_a_run_that_backs_off_is_not_taken(backend: Backend) -> None:
    snapshot = await claimed(backend)
    await commit(backend.store, snapshot, backing_off(snapshot, await backend.now(), timedelta(seconds=9)))
    assert await backend.store.claim(Stage.PLAN, 1, "w1") == []
    assert (await backend.store.read("run-1")).activity == "backing off"


async def test_a_finished_run_is_not_taken(backend: Backend) -> None:
    await submit(backend)
    base = await backend.store.read("run-1")
    await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
    assert await backend.store.claim(Stage.PLAN, 1, "w1") == []


async def test_the_journal_is_handed_over(backend: Backend) -> None:
    snapshot = await claimed(backend)
    entries = {"call 1": '{"status":"done"}', "call 2": '{"status":"started"}'}
    await commit(backend.store, snapshot, released(snapshot, await backend.now()), journal=entries)
    assert (await claim(backend.store, Stage.PLAN, process="w2")).journal == entries


async def test_nothing_is_taken_when_nothing_waits(store: RunStore) -> None:
    assert await store.claim(Stage.PLAN, 3, "w1") == []


@pytest.mark.needs("server")
class TestALostAnswer:
    """The link loses the answer to the first try; the store asks again by itself."""

    async def test_brings_the_same_runs_and_no_others(self, backend: Backend, lossy: Losses) -> None:
        for run_id in ("a", "b", "c"):
            await submit(backend, run_id)
        lossy.lose_next_answer()
        taken = await backend.store.claim(Stage.PLAN, 2, "w1")
        assert sorted(claim.run_id for claim in taken) == ["a", "b"]
        assert [claim.snapshot.epoch for claim in taken] == [1, 1]
        assert lossy.lost == 1
        assert (await backend.store.backlog())[Stage.PLAN] == 1

    async def test_brings_the_same_runs_even_from_a_server_that_lost_its_scripts_meanwhile(
        self, backend: Backend, lossy: Losses, server: Redis
    ) -> None:
        for run_id in ("a", "b", "c"):
            await submit(backend, run_id)
        lossy.lose_next_answer(then=server.script_flush)
        assert len(await backend.store.claim(Stage.PLAN, 1, "w1")) == 1
        assert lossy.lost == 1
        assert (await backend.store.backlog())[Stage.PLAN] == 2

    async def test_takes_runs_if_the_first_try_never_arrived(self, backend: Backend, lossy: Losses) -> None:
        await submit(backend)
        lossy.lose_next_question()
        assert (await claim(backend.store, Stage.PLAN)).run_id == "run-1"
        assert lossy.lost == 1

    async def test_to_a_write_is_answered_as_if_nothing_had_happened(self, backend: Backend, lossy: Losses) -> None:
        snapshot = await claimed(backend)
        lossy.lose_next_answer()
        written = await commit(backend.store, snapshot, planned(snapshot, await backend.now()))
        assert (written.ver, lossy.lost) == (2, 1)
        assert len(await backend.store.events("run-1")) == 3

    async def test_to_a_submission_accepts_one_run(self, backend: Backend, lossy: Losses) -> None:
        decision = submission("run-1", await backend.now())
        lossy.lose_next_answer()
        run_id, _ = await backend.store.create(decision, fingerprint="f", idempotency_key=None)
        assert (run_id, lossy.lost) == ("run-1", 1)
        assert len(await backend.store.events("run-1")) == 1
