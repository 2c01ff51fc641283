"""S32: a rogue worker. It may reach the store, its code is old, and it tries to write what it has no claim for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prolight.decisions import Ended
from prolight.errors import ClaimLost, VersionConflict
from prolight.ports import Claim, Process, RunStore, Snapshot
from prolight.schemas import Stage, State

from .backends import Backend
from .runs import DEADLINES, awaiting_approval, claimed, commit, executing, held, submit


async def ends_it(store: RunStore, base: Snapshot, *, holder: bool) -> None:
    done = held(base.run.evolve(state=State.COMPLETED))
    await commit(store, base, replace(done, placement=Ended(DEADLINES.retention)), holder=holder)


@pytest.mark.parametrize("claim_id", ["", "0" * 32])
async def test_it_cannot_write_under_a_claim_that_it_made_up(backend: Backend, claim_id: str) -> None:
    base = await executing(backend)
    with pytest.raises(ClaimLost):
        await ends_it(backend.store, replace(base, claim_id=claim_id), holder=True)
    with pytest.raises(VersionConflict):
        await ends_it(backend.store, replace(base, claim_id=claim_id), holder=False)
    after = await backend.store.read("run-1")
    assert (after.run, after.ver, after.claim_id) == (base.run, base.ver, base.claim_id)


async def test_it_cannot_hold_a_run_that_nobody_holds(backend: Backend) -> None:
    base = await awaiting_approval(backend)
    with pytest.raises(ClaimLost):
        await ends_it(backend.store, base, holder=True)
    assert (await backend.store.read("run-1")).run.state is State.AWAITING_APPROVAL


@pytest.mark.needs("sweep")
async def test_its_claim_of_before_the_takeover_writes_nothing_though_epoch_and_version_may_be_guessed(
    backend: Backend,
) -> None:
    stale = await claimed(backend)
    await backend.store.retire("w1")
    (taken,) = await backend.store.claim(Stage.PLAN, 1, "w2")
    guessed = replace(taken.snapshot, claim_id=stale.claim_id)
    for base in (stale, guessed):
        with pytest.raises(ClaimLost):
            await ends_it(backend.store, base, holder=True)
    assert (await backend.store.read("run-1")).claim_id == taken.snapshot.claim_id


async def test_it_cannot_prolong_or_end_what_another_process_works_on_by_beating_in_its_place(backend: Backend) -> None:
    base = await claimed(backend, process="w1")
    await backend.advance(3)
    rogue = Process("rogue", slots=4, stages=tuple(Stage))
    assert await backend.store.heartbeat(rogue, {"run-1": base.claim_id}) == {"run-1"}
    after = await backend.store.read("run-1")
    assert (after.claim_id, after.owner, after.due_at) == (base.claim_id, "w1", base.due_at)


async def test_its_results_replace_none_that_is_on_record(backend: Backend) -> None:
    base = await executing(backend)
    await commit(backend.store, base, held(base.run), journal={"key": "true", "key#1": "true"})
    await backend.store.keep_late("run-1", {"key": "forged", "key#1": "forged", "key#2": "late"})
    assert await backend.store.journal("run-1") == {"key": "true", "key#1": "true", "key#2": "late"}


async def test_it_cannot_take_a_run_of_another_stage_or_one_that_is_held_or_parked(backend: Backend) -> None:
    await executing(backend, "held")
    await awaiting_approval(backend, "parked")
    await submit(backend, "plans")
    taken: list[Claim] = [one for stage in Stage for one in await backend.store.claim(stage, 9, "rogue")]
    assert [one.run_id for one in taken] == ["plans"]
