"""Carrying a decision out, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from prolight.decisions import Ended
from prolight.errors import ClaimLost, RunNotFound, StoreRefused, VersionConflict
from prolight.events import parse
from prolight.ports import RunStore, Snapshot
from prolight.schemas import Stage, State

from .backends import LEASE, Backend
from .runs import (
    DEADLINES,
    accepted,
    awaiting_approval,
    backing_off,
    cancelled,
    claim,
    claimed,
    commit,
    executing,
    failed,
    held,
    planned,
    released,
    submission,
    submit,
)


class TestPlacement:
    async def test_the_holder_writes_and_goes_on(self, backend: Backend) -> None:
        base = await claimed(backend)
        written = await commit(backend.store, base, held(base.run.evolve(round=1)))
        assert (written.ver, written.claim_id, written.hard_stop) == (2, base.claim_id, base.hard_stop)
        kept = await backend.store.read("run-1")
        assert (kept.run.round, kept.activity, kept.due_at) == (1, "running", base.due_at)

    async def test_the_next_stage_waits_for_a_worker_and_nobody_holds_the_run(self, backend: Backend) -> None:
        base = await claimed(backend)
        written = await commit(backend.store, base, planned(base, await backend.now()))
        kept = await backend.store.read("run-1")
        assert (kept.run.state, kept.activity, kept.ready) == (State.CRITIQUING, "queued", True)
        assert (kept.claim_id, kept.owner, kept.hard_stop) == ("", "", None)
        assert (written.run, written.ver, written.seq, written.claim_id) == (kept.run, kept.ver, kept.seq, "")
        backlog = await backend.store.backlog()
        assert (backlog[Stage.PLAN], backlog[Stage.CRITIQUE]) == (0, 1)

    async def test_a_run_that_backs_off_is_due_after_its_wait(self, backend: Backend) -> None:
        base, before = await claimed(backend), await backend.now()
        await commit(backend.store, base, backing_off(base, before, timedelta(seconds=9)))
        kept = await backend.store.read("run-1")
        assert kept.activity == "backing off"
        assert kept.due_at is not None
        assert before + 9 <= kept.due_at <= await backend.now() + 9

    async def test_a_back_off_never_reaches_past_the_stage_deadline(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, backing_off(base, await backend.now(), timedelta(hours=2)))
        assert (await backend.store.read("run-1")).due_at == base.hard_stop

    async def test_a_parked_run_is_due_when_the_person_has_had_their_time(self, backend: Backend) -> None:
        before = await backend.now()
        await awaiting_approval(backend)
        kept = await backend.store.read("run-1")
        asked_for = DEADLINES.approval.total_seconds()
        assert (kept.activity, kept.ready) == ("waiting for a person", False)
        assert kept.due_at is not None
        assert before + asked_for <= kept.due_at <= await backend.now() + asked_for

    async def test_a_finished_run_waits_for_nobody_but_can_be_read(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, failed(base, await backend.now()))
        kept = await backend.store.read("run-1")
        assert (kept.activity, kept.ready, kept.due_at, kept.claim_id) == ("ended", False, None, "")
        assert set((await backend.store.backlog()).values()) == {0}
        assert len(await backend.store.recent(5)) == 1

    async def test_a_run_that_ends_while_it_waits_leaves_the_queue(self, backend: Backend) -> None:
        await submit(backend)
        base = await backend.store.read("run-1")
        await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
        kept = await backend.store.read("run-1")
        assert (kept.run.state, kept.ready) == (State.CANCELLED, False)

    async def test_a_cancel_leaves_the_claim_to_the_holder_who_then_lets_go(self, backend: Backend) -> None:
        base = await claimed(backend)
        asked = await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
        assert (asked.run.state, asked.claim_id) == (State.CANCELLING, base.claim_id)
        assert (await backend.store.read("run-1")).activity == "running"

    async def test_a_stage_with_a_new_budget_starts_its_counts_anew(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, planned(base, await backend.now()))
        assert (await backend.store.read("run-1")).attempt == 0
        critiquing = (await claim(backend.store, Stage.CRITIQUE)).snapshot
        assert critiquing.attempt == 1
        assert critiquing.hard_stop is not None
        assert base.hard_stop is not None
        assert critiquing.hard_stop >= base.hard_stop


class TestRefusals:
    async def test_who_read_an_older_version_changes_nothing(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, held(base.run))
        before = await _everything(backend.store)
        with pytest.raises(VersionConflict, match="changed since it was read at version 1"):
            await commit(backend.store, base, planned(base, await backend.now()), journal={"call": "{}"})
        assert await _everything(backend.store) == before

    async def test_who_lost_the_claim_changes_nothing(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, released(base, await backend.now()))
        await claim(backend.store, Stage.PLAN, process="w2")
        before = await _everything(backend.store)
        with pytest.raises(ClaimLost, match="run-1"):
            await commit(backend.store, base, planned(base, await backend.now()), journal={"call": "{}"})
        assert await _everything(backend.store) == before

    async def test_who_has_let_go_writes_nothing_more_even_if_nobody_took_over(self, backend: Backend) -> None:
        base = await claimed(backend)
        ended = await commit(backend.store, base, planned(base, await backend.now()))
        with pytest.raises(ClaimLost):
            await commit(backend.store, ended, held(ended.run), journal={"call": "started"})
        assert await backend.store.journal("run-1") == {}

    async def test_a_client_that_read_before_a_claim_has_to_decide_again(self, backend: Backend) -> None:
        await submit(backend)
        base = await backend.store.read("run-1")
        await claim(backend.store, Stage.PLAN)
        with pytest.raises(VersionConflict):
            await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
        assert (await backend.store.read("run-1")).run.state is State.PLANNING

    async def test_of_two_clients_one_wins(self, backend: Backend) -> None:
        await submit(backend)
        base, now = await backend.store.read("run-1"), await backend.now()
        await commit(backend.store, base, cancelled(base, now), holder=False)
        with pytest.raises(VersionConflict):
            await commit(backend.store, base, cancelled(base, now), holder=False)
        assert (await backend.store.read("run-1")).ver == 2

    async def test_a_run_that_nobody_knows_is_not_found(self, backend: Backend) -> None:
        decision = submission("run-1", await backend.now())
        with pytest.raises(RunNotFound):
            await commit(backend.store, Snapshot(decision.run, ver=1), decision, holder=False)

    async def test_a_document_that_grew_too_large_changes_nothing(self, backend: Backend) -> None:
        base = await claimed(backend)
        before = await _everything(backend.store)
        with pytest.raises(StoreRefused, match="at most 65536"):
            await commit(backend.store, base, held(base.run.evolve(inspection={"x": "光" * 30_000})))
        assert await _everything(backend.store) == before


class TestAskedAgain:
    async def test_the_holder_gets_the_first_answer_and_nothing_is_written_twice(self, backend: Backend) -> None:
        base = await claimed(backend)
        decision = planned(base, await backend.now())
        first = await commit(backend.store, base, decision, op_id="w.1")
        again = await commit(backend.store, base, decision, op_id="w.1")
        assert (again.ver, again.run) == (first.ver, first.run)
        assert len(await backend.store.events("run-1")) == first.seq

    async def test_the_holder_gets_it_even_after_others_have_taken_the_run_on(self, backend: Backend) -> None:
        base, now = await claimed(backend), await backend.now()
        decision = planned(base, now)
        first = await commit(backend.store, base, decision, op_id="w.1")
        critiquing = (await claim(backend.store, Stage.CRITIQUE, process="w2")).snapshot
        await commit(backend.store, critiquing, accepted(critiquing, now), op_id="x.1")
        assert (await commit(backend.store, base, decision, op_id="w.1")).ver == first.ver

    async def test_a_client_gets_the_first_answer_too(self, backend: Backend) -> None:
        await submit(backend)
        base, now = await backend.store.read("run-1"), await backend.now()
        first = await commit(backend.store, base, cancelled(base, now), holder=False, op_id="c")
        assert await commit(backend.store, base, cancelled(base, now), holder=False, op_id="c") == first

    async def test_a_client_gets_it_even_after_the_run_went_on(self, backend: Backend) -> None:
        base, now = await claimed(backend), await backend.now()
        first = await commit(backend.store, base, held(base.run), holder=False, op_id="c")
        moved = await backend.store.read("run-1")
        await commit(backend.store, moved, planned(moved, now))
        assert (await commit(backend.store, base, held(base.run), holder=False, op_id="c")).ver == first.ver

    async def test_a_refused_write_is_not_remembered(self, backend: Backend) -> None:
        base = await claimed(backend)
        newer = await commit(backend.store, base, held(base.run))
        with pytest.raises(VersionConflict):
            await commit(backend.store, base, held(base.run), op_id="w.2")
        assert (await commit(backend.store, newer, held(base.run), op_id="w.2")).ver == 3


class TestJournal:
    async def test_entries_are_added_and_replaced_with_the_commit(self, backend: Backend) -> None:
        base = await claimed(backend)
        base = await commit(backend.store, base, held(base.run), journal={"a": "1", "b": "é 光"})
        await commit(backend.store, base, held(base.run), journal={"b": "2", "c": "3"})
        assert await backend.store.journal("run-1") == {"a": "1", "b": "2", "c": "3"}

    @pytest.mark.needs("sweep")
    async def test_progress_takes_the_crashes_back(self, backend: Backend) -> None:
        await claimed(backend)
        base = await _crash(backend)
        assert base.crashes == 1
        await commit(backend.store, base, held(base.run), progress=True)
        assert (await backend.store.read("run-1")).crashes == 0


class TestEvents:
    async def test_they_count_without_gaps_and_name_the_epoch(self, backend: Backend) -> None:
        snapshot = await executing(backend)
        await commit(backend.store, snapshot, failed(snapshot, await backend.now()))
        events = [parse(text) for text in await backend.store.events("run-1")]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [event.epoch for event in events] == sorted(event.epoch for event in events)
        assert [event.type for event in events[-2:]] == ["error", "status"]
        assert (events[-1].final, events[-1].epoch) == (True, 3)
        assert (await backend.store.read("run-1")).seq == len(events)

    async def test_only_those_after_a_seq_are_answered(self, backend: Backend) -> None:
        await executing(backend)
        every = await backend.store.events("run-1")
        assert await backend.store.events("run-1", after=2) == every[2:]
        assert await backend.store.events("run-1", after=len(every)) == []


class TestExpiry:
    async def test_a_finished_run_is_forgotten_after_its_retention(self, backend: Backend) -> None:
        base = await claimed(backend)
        decision = failed(base, await backend.now())
        at_once = replace(decision, placement=Ended(timedelta(0)))
        await commit(backend.store, base, at_once, journal={"call": "{}"})
        with pytest.raises(RunNotFound):
            await backend.store.read("run-1")
        assert await backend.store.events("run-1") == []
        assert await backend.store.journal("run-1") == {}
        assert await backend.store.recent(5) == []

    async def test_a_live_run_is_not_forgotten(self, backend: Backend) -> None:
        await submit(backend)
        await backend.advance(DEADLINES.retention.total_seconds() * 2)
        assert (await backend.store.read("run-1")).ver == 1


async def _everything(store: RunStore) -> tuple[object, ...]:
    return await store.read("run-1"), await store.events("run-1"), await store.journal("run-1"), await store.backlog()


async def _crash(backend: Backend) -> Snapshot:
    """Whoever holds the run falls silent; somebody else takes it over."""
    await backend.live_on(LEASE.total_seconds() + 1)
    return (await claim(backend.store, Stage.PLAN, process="w2")).snapshot


class TestInTime:
    async def test_a_decision_after_its_time_changes_nothing(self, backend: Backend) -> None:
        base = await claimed(backend)
        decision = replace(held(base.run.evolve(round=1)), valid_until=await backend.now() + 5)
        await backend.advance(5)
        with pytest.raises(ClaimLost):
            await commit(backend.store, base, decision)
        with pytest.raises(VersionConflict):
            await commit(backend.store, base, decision, holder=False)
        kept = await backend.store.read("run-1")
        assert (kept.ver, kept.run.round) == (base.ver, 0)

    async def test_a_decision_in_its_time_is_carried_out(self, backend: Backend) -> None:
        base = await claimed(backend)
        decision = replace(held(base.run.evolve(round=1)), valid_until=await backend.now() + 5)
        await backend.advance(4)
        assert (await commit(backend.store, base, decision)).run.round == 1
