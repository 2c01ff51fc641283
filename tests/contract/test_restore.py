"""Writes after the store went back to an older state: who worked for it before is not heard any more."""

from __future__ import annotations

import uuid

import pytest

from prolight.errors import ClaimLost
from prolight.ports import Process, Snapshot, Write
from prolight.restore import restore, restored, survey
from prolight.schemas import Stage, State

from .backends import Backend
from .runs import DEADLINES, awaiting_approval, claim, claimed, commit, executing, failed, held, submit


async def look_after(backend: Backend, base: Snapshot) -> Snapshot:
    decision = restored(base.run, ask=True, now=await backend.now(), deadlines=DEADLINES)
    return await backend.store.commit(Write(base, decision, uuid.uuid4().hex, holder=False, restores=True))


async def test_epochs_go_on_far_above_those_that_the_lost_time_may_have_given_out(backend: Backend) -> None:
    base = await claimed(backend)
    written = await look_after(backend, base)
    assert written.epoch > base.epoch + 100_000
    assert (await backend.store.read("run-1")).epoch == written.epoch
    assert (await claim(backend.store, Stage.PLAN)).snapshot.epoch == written.epoch + 1


async def test_a_claim_of_before_has_ended_without_a_crash(backend: Backend) -> None:
    base = await claimed(backend)
    written = await look_after(backend, base)
    assert (written.claim_id, written.owner, written.activity, written.crashes) == ("", "", "queued", 0)
    with pytest.raises(ClaimLost):
        await commit(backend.store, base, held(base.run))
    worker = Process("w1", slots=4, stages=tuple(Stage))
    assert await backend.store.heartbeat(worker, {"run-1": base.claim_id}) == {"run-1"}
    assert (await backend.store.read("run-1")).crashes == 0


async def test_asked_again_after_a_lost_answer_the_epochs_jump_once(backend: Backend) -> None:
    base = await claimed(backend)
    decision = restored(base.run, ask=True, now=await backend.now(), deadlines=DEADLINES)
    write = Write(base, decision, "once", holder=False, restores=True)
    first = await backend.store.commit(write)
    assert (await backend.store.commit(write)).epoch == first.epoch


async def test_every_live_run_is_looked_after_and_then_work_goes_on(backend: Backend) -> None:
    ended = await executing(backend, "ended")
    await commit(backend.store, ended, failed(ended, await backend.now()))
    await executing(backend, "executes")
    await awaiting_approval(backend, "waits")
    await claimed(backend, "plans")
    await submit(backend, "queued")
    before = {State.EXECUTING: 1, State.AWAITING_APPROVAL: 1, State.PLANNING: 2}
    assert await survey(backend.store) == before
    assert await restore(backend.store, by="ann", deadlines=DEADLINES) == before
    now = {one.run.run_id: (one.run.state, one.activity) for one in await backend.store.recent(10)}
    assert now == {
        "ended": (State.FAILED, "ended"),
        "executes": (State.NEEDS_REVIEW, "waiting for a person"),
        "waits": (State.AWAITING_APPROVAL, "waiting for a person"),
        "plans": (State.PLANNING, "queued"),
        "queued": (State.PLANNING, "queued"),
    }
    assert await backend.store.paused() == {}
    assert len(await backend.store.claim(Stage.PLAN, 9, "w2")) == 2


async def test_what_a_person_had_paused_stays_paused(backend: Backend) -> None:
    await submit(backend)
    await backend.store.pause([Stage.PLAN], by="bob", reason="a deploy")
    await restore(backend.store, by="ann", deadlines=DEADLINES)
    assert {stage: pause.by for stage, pause in (await backend.store.paused()).items()} == {Stage.PLAN: "bob"}
