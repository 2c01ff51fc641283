"""Accepting a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import ClassVar

import pytest
from redis.asyncio import Redis

from prolight.decisions import Ended
from prolight.errors import IdempotencyMismatch, RunNotFound, StoreRefused
from prolight.events import parse
from prolight.ports import RunStore, Snapshot
from prolight.schemas import RunContext, Stage, State

from .backends import Backend, Losses
from .runs import DEADLINES, cancelled, claim, claimed, commit, failed, submission, submit


async def test_a_new_run_waits_for_a_planner(backend: Backend) -> None:
    assert await submit(backend) == ("run-1", True)
    snapshot = await backend.store.read("run-1")
    assert (snapshot.run.state, snapshot.activity) == (State.PLANNING, "queued")
    assert (snapshot.ver, snapshot.epoch, snapshot.attempt, snapshot.crashes, snapshot.claim_id) == (1, 0, 0, 0, "")
    assert (await backend.store.backlog())[Stage.PLAN] == 1


async def test_the_document_comes_back_as_it_was_given(backend: Backend) -> None:
    decision = submission("run-1", await backend.now(), brief='weiches Licht, "warm" — 柔らかい光 💡 \\ %d', note="é\n")
    await backend.store.create(decision, fingerprint="f", idempotency_key=None)
    assert (await backend.store.read("run-1")).run == decision.run


async def test_its_first_event_is_its_status(backend: Backend) -> None:
    before = await backend.now()
    await submit(backend)
    (event,) = map(parse, await backend.store.events("run-1"))
    assert (event.run_id, event.seq, event.epoch, event.type) == ("run-1", 1, 0, "status")
    assert before <= event.at <= await backend.now()


async def test_somebody_looks_at_a_waiting_run_within_a_minute(backend: Backend) -> None:
    before = await backend.now()
    await submit(backend)
    due_at = (await backend.store.read("run-1")).due_at
    assert due_at is not None
    assert before + 60 <= due_at <= await backend.now() + 60


async def test_somebody_looks_at_it_at_its_deadline_if_that_is_nearer(backend: Backend) -> None:
    decision = submission("run-1", await backend.now())
    soon = decision.run.evolve(works_until=await backend.now() + 20)
    await backend.store.create(replace(decision, run=soon), fingerprint="f", idempotency_key=None)
    assert (await backend.store.read("run-1")).due_at == pytest.approx(soon.works_until, abs=0.001)


async def test_asked_again_by_run_id_it_is_the_same_run(backend: Backend) -> None:
    await submit(backend)
    assert await submit(backend) == ("run-1", False)
    assert len(await backend.store.events("run-1")) == 1


async def test_asked_again_by_key_it_is_the_first_run_whatever_id_is_proposed(backend: Backend) -> None:
    await submit(backend, "run-1", key="order 7")
    assert await submit(backend, "run-2", key="order 7") == ("run-1", False)
    with pytest.raises(RunNotFound):
        await backend.store.read("run-2")


async def test_another_request_under_the_same_key_is_refused_and_leaves_no_trace(backend: Backend) -> None:
    await submit(backend, "run-1", key="order 7")
    with pytest.raises(IdempotencyMismatch, match=r"^idempotency_key: is taken by run run-1"):
        await submit(backend, "run-2", key="order 7", fingerprint="other")
    assert [snapshot.run.run_id for snapshot in await backend.store.recent(10)] == ["run-1"]


async def test_another_request_under_the_same_run_id_is_refused(backend: Backend) -> None:
    await submit(backend)
    with pytest.raises(IdempotencyMismatch, match=r"^run_id: is taken by run run-1"):
        await submit(backend, fingerprint="other")


async def test_a_taken_run_id_is_named_even_if_a_new_key_came_with_it(backend: Backend) -> None:
    await submit(backend)
    with pytest.raises(IdempotencyMismatch, match=r"^run_id: "):
        await submit(backend, key="order 7", fingerprint="other")


async def test_a_key_that_came_with_a_known_run_belongs_to_it_from_then_on(backend: Backend) -> None:
    await submit(backend, "run-1")
    await submit(backend, "run-1", key="order 7")
    assert await submit(backend, "run-2", key="order 7") == ("run-1", False)


async def test_a_document_of_more_than_64_kib_is_refused_and_leaves_no_trace(backend: Backend) -> None:
    decision = submission("run-1", await backend.now())
    decision = replace(decision, run=decision.run.evolve(inspection={"measured": "💡" * 20_000}))
    assert len(decision.run.to_json()) < 64 * 1024, "in characters it would do"
    with pytest.raises(StoreRefused, match="at most 65536"):
        await backend.store.create(decision, fingerprint="f", idempotency_key="order 7")
    assert await backend.store.recent(1) == []
    assert await submit(backend, "run-2", key="order 7") == ("run-2", True)


async def test_an_unknown_run_is_not_found(store: RunStore) -> None:
    with pytest.raises(RunNotFound, match="no run 'run-1'"):
        await store.read("run-1")


class TestAChild:
    JOURNAL: ClassVar = {"key": '{"status":"done"}', "key#1": "été 💡"}

    async def test_has_its_journal_from_the_start(self, backend: Backend) -> None:
        await child_of(backend, await failed_run(backend), journal=self.JOURNAL)
        assert await backend.store.journal("child") == self.JOURNAL
        taken = await claim(backend.store, Stage.PLAN)
        assert (taken.run_id, taken.journal) == ("child", self.JOURNAL)
        assert [parse(text).seq for text in await backend.store.events("child")] == [1]

    async def test_is_named_by_its_parent_which_stays_as_it_was(self, backend: Backend) -> None:
        parent = await failed_run(backend)
        await child_of(backend, parent)
        now = await backend.store.read("run-1")
        assert (now.child, now.ver, now.seq, now.run) == ("child", parent.ver, parent.seq, parent.run)
        assert (await backend.store.read("child")).child == ""

    async def test_asked_for_again_changes_nothing(self, backend: Backend) -> None:
        parent = await failed_run(backend)
        await child_of(backend, parent, journal=self.JOURNAL)
        assert await child_of(backend, parent, run_id="other", journal={"key": "other"}) == ("child", False)
        assert await backend.store.journal("child") == self.JOURNAL
        assert (await backend.store.read("run-1")).child == "child"

    async def test_may_outlive_its_parent(self, backend: Backend) -> None:
        parent = await failed_run(backend, retention=timedelta(0))
        await child_of(backend, parent)
        with pytest.raises(RunNotFound):
            await backend.store.read("run-1")
        assert (await backend.store.read("child")).run.parent == "run-1"

    async def test_with_a_journal_of_more_than_4_mib_is_refused_and_leaves_no_trace(self, backend: Backend) -> None:
        parent = await failed_run(backend)
        with pytest.raises(StoreRefused, match="at most 4194304"):
            await child_of(backend, parent, journal={"key": "é" * (2 * 1024 * 1024)})
        assert (await backend.store.read("run-1")).child == ""
        assert await backend.store.journal("child") == {}

    async def test_gets_what_its_parents_calls_bring_late(self, backend: Backend) -> None:
        parent = await failed_run(backend)
        await child_of(backend, parent, journal={"key#1": "first"})
        await backend.store.keep_late("run-1", {"key#1": "second", "key#2": "late"})
        assert await backend.store.journal("run-1") == {"key#1": "second", "key#2": "late"}
        assert await backend.store.journal("child") == {"key#1": "first", "key#2": "late"}

    @pytest.mark.needs("server")
    async def test_is_made_once_though_the_answer_is_lost(self, backend: Backend, lossy: Losses) -> None:
        parent = await failed_run(backend)
        lossy.lose_next_answer()
        assert (await child_of(backend, parent, journal=self.JOURNAL))[0] == "child"
        assert lossy.lost == 1
        assert await backend.store.journal("child") == self.JOURNAL

    @pytest.mark.needs("server")
    async def test_takes_its_journal_with_it_when_it_expires(self, backend: Backend, server: Redis) -> None:
        await child_of(backend, await failed_run(backend), journal=self.JOURNAL)
        assert await server.pttl("prolight:journal:child") == -1
        base = await backend.store.read("child")
        await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
        assert await server.pttl("prolight:journal:child") > 0


async def failed_run(backend: Backend, *, retention: timedelta = DEADLINES.retention) -> Snapshot:
    base = await claimed(backend)
    return await commit(backend.store, base, replace(failed(base, await backend.now()), placement=Ended(retention)))


async def child_of(
    backend: Backend, parent: Snapshot, *, run_id: str = "child", journal: Mapping[str, str] = MappingProxyType({})
) -> tuple[str, bool]:
    decision = submission(run_id, await backend.now())
    decision = replace(decision, run=decision.run.evolve(parent=parent.run.run_id, origin=parent.run.run_id))
    return await backend.store.create(decision, fingerprint="child", idempotency_key="child of 1", journal=journal)


class TestAnIdempotencyKey:
    async def test_belongs_to_its_run_for_as_long_as_that_lives(self, backend: Backend) -> None:
        await submit(backend, "run-1", key="order 7")
        await backend.advance(DEADLINES.retention.total_seconds() * 3)
        assert await submit(backend, "run-2", key="order 7") == ("run-1", False)

    @pytest.mark.needs("server")
    async def test_is_not_forgotten_before_its_run_nor_kept_after_it(self, backend: Backend, server: Redis) -> None:
        await submit(backend, "run-1", key="order 7")
        (key,) = await server.keys("prolight:idem:*")
        assert await server.pttl(key) == -1, "it stays while the run lives"
        base = await backend.store.read("run-1")
        await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
        left = await server.pttl("prolight:run:run-1")
        assert left - 1000 < await server.pttl(key) <= left + 1000

    async def test_is_free_again_when_its_run_is_forgotten(self, backend: Backend) -> None:
        await submit(backend, "run-1", key="order 7")
        base = await backend.store.read("run-1")
        gone = replace(cancelled(base, await backend.now()), placement=Ended(timedelta(0)))
        await commit(backend.store, base, gone, holder=False)
        assert await submit(backend, "run-2", key="order 7") == ("run-2", True)


class TestLists:
    async def test_the_newest_run_comes_first(self, backend: Backend) -> None:
        for run_id in ("a", "c", "b"):
            await submit(backend, run_id)
            await backend.advance(1)
        assert [_id(snapshot.run) for snapshot in await backend.store.recent(2)] == ["b", "c"]

    async def test_a_list_goes_on_behind_the_newest(self, backend: Backend) -> None:
        for run_id in ("a", "c", "b"):
            await submit(backend, run_id)
            await backend.advance(1)
        assert [_id(snapshot.run) for snapshot in await backend.store.recent(2, 1)] == ["c", "a"]
        assert await backend.store.recent(2, 3) == []

    async def test_none_are_listed_when_none_are_asked_for(self, backend: Backend) -> None:
        await submit(backend)
        assert await backend.store.recent(0) == []

    async def test_a_store_without_runs_has_nothing_to_tell(self, store: RunStore) -> None:
        assert await store.recent(5) == []
        assert await store.processes() == []
        assert await store.events("run-1") == []
        assert await store.journal("run-1") == {}
        assert set((await store.backlog()).values()) == {0}


def _id(run: RunContext) -> str:
    return run.run_id
