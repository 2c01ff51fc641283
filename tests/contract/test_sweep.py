"""What becomes of runs that nobody looks after any more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from prolight import lifecycle
from prolight.errors import ClaimLost, VersionConflict
from prolight.ports import RunStore
from prolight.schemas import Stage, State
from prolight.sweeper import settle_overdue

from .backends import CRASHES_TO_POISON, LEASE, Backend
from .runs import (
    DEADLINES,
    announce,
    awaiting_approval,
    backing_off,
    cancelled,
    claim,
    claimed,
    commit,
    crashed,
    failed,
    held,
    planned,
    released,
    submit,
)

pytestmark = pytest.mark.needs("sweep")

STAGE_SECONDS = DEADLINES.stage.total_seconds()
LEASE_SECONDS = LEASE.total_seconds()


class TestAnExpiredLease:
    async def test_ends_the_claim_and_counts_as_a_crash(self, backend: Backend) -> None:
        await claimed(backend)
        await backend.live_on(LEASE_SECONDS + 1)
        kept = await backend.store.read("run-1")
        assert (kept.claim_id, kept.owner, kept.hard_stop, kept.crashes) == ("", "", None, 1)
        assert (kept.activity, kept.ready, kept.epoch) == ("queued", True, 1)

    async def test_is_left_alone_before_its_time(self, backend: Backend) -> None:
        base = await claimed(backend)
        await backend.live_on(LEASE_SECONDS - 2)
        assert await backend.store.read("run-1") == base

    async def test_leaves_the_old_holder_without_a_say(self, backend: Backend) -> None:
        base = await claimed(backend)
        await backend.live_on(LEASE_SECONDS + 1)
        taken_over = (await claim(backend.store, Stage.PLAN, process="w2")).snapshot
        assert (taken_over.epoch, taken_over.attempt) == (2, 2)
        with pytest.raises(ClaimLost):
            await commit(backend.store, base, planned(base, await backend.now()))
        await commit(backend.store, taken_over, planned(taken_over, await backend.now()))

    async def test_does_not_let_the_old_holder_write_even_if_nobody_took_over(self, backend: Backend) -> None:
        base = await claimed(backend)
        await backend.live_on(LEASE_SECONDS + 1)
        with pytest.raises(ClaimLost):
            await commit(backend.store, base, planned(base, await backend.now()))

    async def test_again_and_again_makes_the_run_poisonous(self, backend: Backend) -> None:
        await submit(backend)
        for _ in range(CRASHES_TO_POISON):
            await claim(backend.store, Stage.PLAN)
            swept = await backend.live_on(LEASE_SECONDS + 1)
        assert (swept.poisoned, swept.overdue) == (("run-1",), ())
        assert await backend.store.claim(Stage.PLAN, 1, "w1") == []
        assert "run-1" in (await backend.live_on(3)).poisoned, "asked again until it is decided"

    async def test_is_forgiven_when_the_stage_is_done(self, backend: Backend) -> None:
        await claimed(backend)
        await backend.live_on(LEASE_SECONDS + 1)
        taken_over = (await claim(backend.store, Stage.PLAN, process="w2")).snapshot
        assert taken_over.crashes == 1
        await commit(backend.store, taken_over, planned(taken_over, await backend.now()))
        assert (await backend.store.read("run-1")).crashes == 0


class TestACrashThatItsHolderTells:
    """What worked for the holder of the claim died; the holder lives."""

    async def test_counts_and_the_run_is_queued_again(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, crashed(base, await backend.now()))
        await backend.live_on(1)
        kept = await backend.store.read("run-1")
        assert (kept.claim_id, kept.ready, kept.crashes) == ("", True, 1)

    async def test_is_counted_once_even_if_the_holder_asks_again(self, backend: Backend) -> None:
        base = await claimed(backend)
        decision = crashed(base, await backend.now())
        for _ in range(2):
            await commit(backend.store, base, decision, op_id="w.1")
        await backend.live_on(1)
        assert (await backend.store.read("run-1")).crashes == 1

    async def test_counts_after_progress_that_is_written_with_it(self, backend: Backend) -> None:
        base = await claimed(backend)
        for _ in range(2):
            await commit(backend.store, base, crashed(base, await backend.now()))
            await backend.live_on(1)
            base = (await claim(backend.store, Stage.PLAN)).snapshot
        await commit(backend.store, base, crashed(base, await backend.now()), progress=True)
        assert (await backend.store.read("run-1")).crashes == 1

    async def test_too_often_makes_the_run_poisonous(self, backend: Backend) -> None:
        await submit(backend)
        for _ in range(CRASHES_TO_POISON):
            base = (await claim(backend.store, Stage.PLAN)).snapshot
            await commit(backend.store, base, crashed(base, await backend.now()))
            swept = await backend.live_on(1)
        assert swept.poisoned == ("run-1",)
        await settle_overdue(backend.store, swept, DEADLINES)
        error = (await backend.store.read("run-1")).run.error
        assert error
        assert (error.code, "in a process of its own" in error.message) == ("poison", True)

    async def test_that_is_taken_back_before_somebody_decides_convicts_nobody(self, backend: Backend) -> None:
        await submit(backend)
        for _ in range(CRASHES_TO_POISON):
            base = (await claim(backend.store, Stage.PLAN)).snapshot
            swept = await backend.live_on(LEASE_SECONDS + 1)
        assert swept.poisoned == ("run-1",)
        with pytest.raises(ClaimLost):
            await commit(backend.store, base, planned(base, await backend.now()))
        await settle_overdue(backend.store, swept, DEADLINES)
        assert (await backend.store.read("run-1")).run.state is State.PLANNING

    async def test_that_is_taken_back_while_somebody_decides_convicts_nobody(self, backend: Backend) -> None:
        await submit(backend)
        for _ in range(CRASHES_TO_POISON):
            base = (await claim(backend.store, Stage.PLAN)).snapshot
            await backend.live_on(LEASE_SECONDS + 1)
        seen, now = await backend.store.read("run-1"), await backend.now()
        verdict = lifecycle.poisoned(seen.run, seen.crashes, now=now, deadlines=DEADLINES)
        with pytest.raises(ClaimLost):
            await commit(backend.store, base, planned(base, now))
        with pytest.raises(VersionConflict):
            await commit(backend.store, seen, verdict, holder=False)


class TestALivingProcess:
    """It froze, or lost its line; its claim was taken, and it comes back."""

    async def test_takes_the_crash_back_once_when_its_heartbeat_is_told(self, backend: Backend) -> None:
        worker = await announce(backend)
        base = await claimed(backend)
        await backend.live_on(LEASE_SECONDS + 1)
        assert (await backend.store.read("run-1")).crashes == 1
        for _ in range(2):
            assert await backend.store.heartbeat(worker, {"run-1": base.claim_id}) == {"run-1"}
            assert (await backend.store.read("run-1")).crashes == 0

    async def test_takes_the_crash_back_once_when_its_write_is_refused(self, backend: Backend) -> None:
        worker = await announce(backend)
        base = await claimed(backend)
        await backend.live_on(LEASE_SECONDS + 1)
        for _ in range(2):
            with pytest.raises(ClaimLost):
                await commit(backend.store, base, planned(base, await backend.now()))
        await backend.store.heartbeat(worker, {"run-1": base.claim_id})
        assert (await backend.store.read("run-1")).crashes == 0

    async def test_takes_back_its_own_crash_and_nobody_elses(self, backend: Backend) -> None:
        worker = await announce(backend)
        first = await claimed(backend)
        await backend.live_on(LEASE_SECONDS + 1)
        await claim(backend.store, Stage.PLAN, process="w2")
        await backend.live_on(LEASE_SECONDS + 1)
        assert (await backend.store.read("run-1")).crashes == 2
        await backend.store.heartbeat(worker, {"run-1": first.claim_id})
        assert (await backend.store.read("run-1")).crashes == 1

    async def test_takes_nothing_back_that_progress_has_forgiven(self, backend: Backend) -> None:
        worker = await announce(backend)
        first = await claimed(backend)
        await backend.live_on(LEASE_SECONDS + 1)
        second = (await claim(backend.store, Stage.PLAN, process="w2")).snapshot
        await commit(backend.store, second, held(second.run), progress=True)
        await backend.live_on(LEASE_SECONDS + 1)
        await backend.store.heartbeat(worker, {"run-1": first.claim_id})
        assert (await backend.store.read("run-1")).crashes == 1

    async def test_takes_nothing_back_for_a_claim_that_it_gave_back_itself(self, backend: Backend) -> None:
        worker = await announce(backend)
        first = await claimed(backend)
        await commit(backend.store, first, crashed(first, await backend.now()))
        await backend.store.heartbeat(worker, {"run-1": first.claim_id})
        assert (await backend.store.read("run-1")).crashes == 1


class TestWaiting:
    async def test_a_run_that_backed_off_is_claimable_when_it_is_due(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, backing_off(base, await backend.now(), timedelta(seconds=9)))
        await backend.live_on(7)
        assert await backend.store.claim(Stage.PLAN, 1, "w1") == []
        await backend.live_on(3)
        again = (await claim(backend.store, Stage.PLAN)).snapshot
        assert (again.attempt, again.crashes) == (2, 0)

    async def test_a_waiting_run_stays_where_it_is(self, backend: Backend) -> None:
        await submit(backend)
        await backend.advance(100)
        swept = await backend.store.sweep()
        kept = await backend.store.read("run-1")
        assert (swept.overdue, kept.ready, kept.crashes) == ((), True, 0)
        assert kept.due_at is not None
        assert kept.due_at > await backend.now()

    async def test_the_next_look_is_wanted_when_the_next_run_is_due(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, backing_off(base, await backend.now(), timedelta(seconds=9)))
        again = (await backend.store.sweep()).again
        assert again is not None
        assert timedelta(seconds=8) < again <= timedelta(seconds=9)


class TestOverdue:
    async def test_a_parked_run_is_answered_when_nobody_decided(self, backend: Backend) -> None:
        await awaiting_approval(backend)
        await backend.advance(DEADLINES.approval.total_seconds() - 1)
        assert (await backend.store.sweep()).overdue == ()
        await backend.advance(2)
        assert (await backend.store.sweep()).overdue == ("run-1",)

    async def test_a_run_past_its_stage_deadline_is_answered_even_while_it_is_held(self, backend: Backend) -> None:
        worker = await announce(backend)
        base = await claimed(backend)
        await backend.advance(STAGE_SECONDS + 1)
        await backend.store.heartbeat(worker, {"run-1": base.claim_id})
        assert (await backend.store.sweep()).overdue == ("run-1",)
        assert (await backend.store.read("run-1")).claim_id == base.claim_id

    async def test_a_waiting_run_past_its_stage_deadline_is_answered(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, released(base, await backend.now()))
        await backend.advance(STAGE_SECONDS + 1)
        assert (await backend.store.sweep()).overdue == ("run-1",)

    async def test_a_run_that_waited_past_its_run_deadline_is_answered(self, backend: Backend) -> None:
        await submit(backend)
        await backend.advance(DEADLINES.run.total_seconds() + 1)
        assert (await backend.store.sweep()).overdue == ("run-1",)

    async def test_a_cancelled_run_whose_holder_fell_silent_is_answered(self, backend: Backend) -> None:
        base = await claimed(backend)
        await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
        assert "run-1" in (await backend.live_on(LEASE_SECONDS + 1)).overdue
        assert (await backend.store.read("run-1")).claim_id == ""

    async def test_it_is_answered_again_two_seconds_later_if_nobody_decided(self, backend: Backend) -> None:
        await awaiting_approval(backend)
        await backend.advance(DEADLINES.approval.total_seconds() + 1)
        assert (await backend.store.sweep()).overdue == ("run-1",)
        assert (await backend.store.sweep()).overdue == ()
        await backend.advance(2)
        assert (await backend.store.sweep()).overdue == ("run-1",)

    async def test_once_decided_it_is_not_answered_again(self, backend: Backend) -> None:
        await awaiting_approval(backend)
        await backend.advance(DEADLINES.approval.total_seconds() + 1)
        await settle_overdue(backend.store, await backend.store.sweep(), DEADLINES)
        assert (await backend.store.read("run-1")).run.state is State.REJECTED
        assert (await backend.live_on(5)).overdue == ()

    async def test_at_most_a_hundred_are_looked_at_at_a_time_the_rest_at_once(self, backend: Backend) -> None:
        for n in range(150):
            await submit(backend, f"run-{n}")
        await backend.advance(DEADLINES.run.total_seconds() + 10)
        first = await backend.store.sweep()
        assert (len(first.overdue), first.again) == (100, timedelta(0))
        second = await backend.store.sweep()
        assert len(second.overdue) == 50
        assert not set(first.overdue) & set(second.overdue)


class TestADeadProcess:
    async def test_loses_its_claims_a_second_after_its_connection(self, backend: Backend) -> None:
        await announce(backend, "w1")
        await claimed(backend, process="w1")
        await backend.kill("w1")
        await backend.store.sweep()
        assert (await backend.store.read("run-1")).claim_id != ""
        await backend.advance(1)
        await backend.store.sweep()
        kept = await backend.store.read("run-1")
        assert (kept.claim_id, kept.ready, kept.crashes) == ("", True, 1)
        assert await backend.store.processes() == []

    async def test_is_looked_at_again_exactly_then(self, backend: Backend) -> None:
        await announce(backend, "w1")
        await backend.kill("w1")
        again = (await backend.store.sweep()).again
        assert again is not None
        assert again <= timedelta(seconds=1)
        assert [process.alive for process in await backend.store.processes()] == [False]

    async def test_is_forgiven_when_it_is_back_in_time(self, backend: Backend) -> None:
        await announce(backend, "w1")
        base = await claimed(backend, process="w1")
        await backend.kill("w1")
        await backend.store.sweep()
        await backend.connect("w1")
        await backend.live_on(3)
        assert await backend.store.read("run-1") == base
        assert [process.alive for process in await backend.store.processes()] == [True]
        await backend.kill("w1")
        await backend.store.sweep()
        assert len(await backend.store.processes()) == 1, "its second absence counts from its own start"

    async def test_takes_nobody_else_with_it(self, backend: Backend) -> None:
        await announce(backend, "w1")
        await announce(backend, "w2")
        await claimed(backend, "a", process="w1")
        neighbour = await claimed(backend, "b", process="w2")
        await backend.kill("w1")
        await backend.live_on(3)
        assert await backend.store.read("b") == neighbour
        assert (await backend.store.read("a")).claim_id == ""

    async def test_does_not_lose_what_it_had_handed_on(self, backend: Backend) -> None:
        await announce(backend, "w1")
        await announce(backend, "w2")
        base = await claimed(backend, process="w1")
        await commit(backend.store, base, released(base, await backend.now()))
        taken_over = (await claim(backend.store, Stage.PLAN, process="w2")).snapshot
        await backend.kill("w1")
        await backend.live_on(3)
        assert await backend.store.read("run-1") == taken_over


class TestRetiring:
    async def test_ends_claims_at_once_and_is_no_crash(self, backend: Backend) -> None:
        await announce(backend, "w1")
        await claimed(backend, process="w1")
        await backend.store.retire("w1")
        kept = await backend.store.read("run-1")
        assert (kept.claim_id, kept.ready, kept.crashes) == ("", True, 0)
        assert await backend.store.processes() == []

    async def test_leaves_other_processes_alone(self, backend: Backend) -> None:
        await announce(backend, "w2")
        base = await claimed(backend, process="w2")
        await backend.store.retire("w1")
        assert await backend.store.read("run-1") == base

    async def test_a_cancelled_run_of_its_is_still_settled(self, backend: Backend) -> None:
        base = await claimed(backend, process="w1")
        await commit(backend.store, base, cancelled(base, await backend.now()), holder=False)
        await backend.store.retire("w1")
        await backend.advance(2)
        await settle_overdue(backend.store, await backend.store.sweep(), DEADLINES)
        assert (await backend.store.read("run-1")).run.state is State.CANCELLED


class TestTheStoreStoodStill:
    async def test_after_a_pause_of_the_sweepers_expired_leases_get_one_more_lease(self, backend: Backend) -> None:
        worker = await announce(backend)
        base = await claimed(backend)
        await backend.store.sweep()
        await backend.advance(LEASE_SECONDS + 5)
        await backend.store.sweep()
        assert (await backend.store.read("run-1")).claim_id == base.claim_id
        await backend.live_on(LEASE_SECONDS - 2)
        assert (await backend.store.read("run-1")).claim_id == base.claim_id
        assert await backend.store.heartbeat(worker, {"run-1": base.claim_id}) == set()
        await backend.live_on(5)
        assert (await backend.store.read("run-1")).crashes == 0

    async def test_who_does_not_show_up_in_that_time_loses_the_claim(self, backend: Backend) -> None:
        await claimed(backend)
        await backend.store.sweep()
        await backend.advance(LEASE_SECONDS + 5)
        await backend.store.sweep()
        await backend.live_on(LEASE_SECONDS + 1)
        assert (await backend.store.read("run-1")).crashes == 1

    async def test_the_dead_are_taken_all_the_same(self, backend: Backend) -> None:
        await announce(backend, "w1")
        await claimed(backend, process="w1")
        await backend.store.sweep()
        await backend.kill("w1")
        await backend.advance(LEASE_SECONDS)
        await backend.store.sweep()
        await backend.advance(1)
        await backend.store.sweep()
        assert (await backend.store.read("run-1")).claim_id == ""

    async def test_deadlines_hold_all_the_same(self, backend: Backend) -> None:
        await claimed(backend)
        await backend.store.sweep()
        await backend.advance(STAGE_SECONDS + 1)
        assert (await backend.store.sweep()).overdue == ("run-1",)

    @pytest.mark.needs("server")
    async def test_after_a_restart_of_the_server_not_even_the_dead_are_taken_for_one_lease(
        self, backend: Backend, server: Redis
    ) -> None:
        await announce(backend, "w1")
        base = await claimed(backend, process="w1")
        await backend.store.sweep()
        await server.hset("prolight:clock", "server", "the one before")
        await backend.kill("w1")
        await backend.live_on(LEASE_SECONDS - 1)
        assert (await backend.store.read("run-1")).claim_id == base.claim_id
        await backend.live_on(2)
        assert (await backend.store.read("run-1")).claim_id == ""

    @pytest.mark.needs("server")
    async def test_after_a_restart_expired_leases_are_held_too(self, backend: Backend, server: Redis) -> None:
        worker = await announce(backend, "w1")
        base = await claimed(backend, process="w1")
        await backend.live_on(LEASE_SECONDS - 1)
        await server.hset("prolight:clock", "server", "the one before")
        await backend.live_on(LEASE_SECONDS - 1)
        assert await backend.store.heartbeat(worker, {"run-1": base.claim_id}) == set()


@pytest.mark.needs("server")
class TestLeftovers:
    async def test_a_due_entry_without_a_run_is_dropped(self, store: RunStore, server: Redis) -> None:
        await server.zadd("prolight:due", {"run:gone": 1})
        await store.sweep()
        assert await server.zcard("prolight:due") == 0

    async def test_forgotten_runs_leave_the_index_even_behind_runs_that_live_long(
        self, backend: Backend, server: Redis
    ) -> None:
        for n in range(12):
            await submit(backend, f"old-{n}")
        await submit(backend, "short")
        base = await backend.store.read("short")
        await commit(backend.store, base, failed(base, await backend.now()), holder=False)
        await server.delete("prolight:run:short")
        await backend.advance(DEADLINES.retention.total_seconds() + 1)
        await backend.store.sweep()
        assert await server.zcard("prolight:runs") == 12

    async def test_a_process_of_a_later_version_does_not_stop_the_sweep(self, backend: Backend, server: Redis) -> None:
        await backend.connect("new")
        await server.hset("prolight:processes", "new", '{"beat":1,"pid":1,"host":"","slots":4,"stages":["polish"]}')
        await backend.store.sweep()
