"""`why` has one sentence for every reason that a run can have not to move."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prolight.ports import Pause, Process, Snapshot
from prolight.schemas import Approval, RunContext, RunError, Stage, State
from prolight.why import Around, Reason, why

NOW = 1_000.0
WORKER = Process("host-1", slots=4, stages=tuple(Stage))
PLANNER_ONLY = Process("host-2", slots=4, stages=(Stage.PLAN,))
DEAD = Process("host-3", slots=4, stages=tuple(Stage), alive=False)
ASKED = Approval(subject="plan", reasons=("costs 2 USD",), asked_at=900, until=NOW + 7200, plan_hash="a" * 64)


def snapshot(state: State, *, run: dict[str, object] | None = None, **place: object) -> Snapshot:
    context = RunContext(run_id="r", asset_id="a" * 64, state=state, created_at=900).evolve(**(run or {}))
    return Snapshot(context, ver=3, **{"due_at": NOW + 12, **place})  # type: ignore[arg-type]


def around(*processes: Process, said: str = "", waiting: int = 3) -> Around:
    return Around(NOW, processes, dict.fromkeys(Stage, waiting), said)


FAILURE = RunError(code="tool_failed", message="no subject")
CASES = {
    Reason.ENDED: (
        snapshot(State.FAILED, run={"finished_at": NOW - 60, "error": FAILURE}, due_at=None),
        around(WORKER),
        "It ended 1 min 0 s ago, FAILED (tool_failed: no subject); nothing follows.",
        None,
    ),
    Reason.UNATTENDED: (
        snapshot(State.EXECUTING, claim_id="c", owner="host-3", due_at=NOW - 30),
        around(DEAD),
        "Somebody should have looked at it 30.0 s ago, but no worker process is alive: start one (`prolight worker`).",
        None,
    ),
    Reason.PAUSED: (
        snapshot(State.EXECUTING, ready=True),
        replace(around(WORKER), paused={Stage.EXECUTE: Pause("ann", "new lights", NOW - 60)}),
        "ann paused the stage execute 1 min 0 s ago (new lights): `prolight workers resume execute` lets it go on.",
        None,
    ),
    Reason.NO_WORKER: (
        snapshot(State.EXECUTING, ready=True),
        around(PLANNER_ONLY),
        "No living worker serves the stage execute: start one (`prolight worker -Q execute`).",
        None,
    ),
    Reason.QUEUED: (
        snapshot(State.EXECUTING, ready=True),
        around(WORKER, PLANNER_ONLY, DEAD),
        "It waits for a free slot: 3 runs ready for execute, 1 worker with 4 slots in all;"
        " it is looked at again in 12.0 s at the latest.",
        NOW + 12,
    ),
    Reason.RUNNING: (
        snapshot(State.EXECUTING, claim_id="c", owner="host-1", attempt=2, hard_stop=NOW + 300),
        around(WORKER),
        "Worker host-1 works on it (execute, attempt 2), and has to be done in 5 min 0 s;"
        " should it fall silent, another one takes over in 12.0 s.",
        NOW + 12,
    ),
    Reason.WORKER_GONE: (
        snapshot(State.EXECUTING, claim_id="c", owner="host-3"),
        around(WORKER, DEAD),
        "Its worker host-3 is gone; another one takes over in 12.0 s at the latest.",
        NOW + 12,
    ),
    Reason.BACKING_OFF: (
        snapshot(State.EXECUTING),
        around(WORKER, said="the tool server asks for a pause"),
        "It pauses after the tool server asks for a pause; the next attempt of execute is in 12.0 s.",
        NOW + 12,
    ),
    Reason.AWAITS_APPROVAL: (
        snapshot(State.AWAITING_APPROVAL, run={"approval": ASKED}, due_at=NOW + 7200),
        around(WORKER),
        "It waits for a person to approve its plan (costs 2 USD): `prolight approve r`;"
        " without an answer it is REJECTED in 2 h 0 min.",
        NOW + 7200,
    ),
    Reason.NEEDS_REVIEW: (
        snapshot(State.NEEDS_REVIEW, due_at=NOW + 7200),
        around(WORKER, said="bria.relight may have been carried out"),
        "It waits for a person to review a call (bria.relight may have been carried out);"
        " without an answer it is FAILED in 2 h 0 min.",
        NOW + 7200,
    ),
    Reason.CANCELLING: (
        snapshot(State.CANCELLING, claim_id="c", owner="host-1"),
        around(WORKER),
        "It is being cancelled: worker host-1 lets go of it, in 12.0 s at the latest.",
        NOW + 12,
    ),
}


def test_every_reason_has_a_case() -> None:
    assert CASES.keys() == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_told_in_one_sentence(reason: Reason) -> None:
    run, others, sentence, looks_at = CASES[reason]
    answer = why(run, others)
    assert (answer.reason, answer.sentence, answer.next_look_at) == (reason, sentence, looks_at)


@pytest.mark.parametrize(
    ("run", "others", "part"),
    [
        (snapshot(State.COMPLETED, run={"finished_at": NOW}, due_at=None), around(), "ago, COMPLETED; nothing follows"),
        (snapshot(State.EXECUTING, claim_id="c", owner="host-9"), around(DEAD), "no other one is alive"),
        (snapshot(State.CANCELLING), around(WORKER), "nobody holds it"),
        (snapshot(State.EXECUTING, due_at=NOW - 1), around(WORKER), "is now"),
        (snapshot(State.EXECUTING, claim_id="c", owner="host-1"), around(WORKER), "(execute, attempt 0); should"),
    ],
)
def test_the_sentence_fits_what_is_known(run: Snapshot, others: Around, part: str) -> None:
    assert part in why(run, others).sentence


def test_a_run_that_a_person_holds_up_is_unattended_only_after_its_deadline() -> None:
    parked = snapshot(State.AWAITING_APPROVAL, run={"approval": ASKED}, due_at=NOW - 60)
    assert why(parked, around()).reason is Reason.UNATTENDED
    assert why(parked, around(WORKER)).reason is Reason.AWAITS_APPROVAL
