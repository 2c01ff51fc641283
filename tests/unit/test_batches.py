"""What follows from how the pictures of a batch stand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from prolight import batches
from prolight.batches import Batch, BatchRequest, BatchState, Look, Round, next_round
from prolight.decisions import Deadlines
from prolight.errors import IllegalMove, InvalidInput
from prolight.schemas import RunContext, RunError, State

START = 1_000.0
DEADLINES = Deadlines(approval=timedelta(seconds=30))


def batch(total: int = 10, state: BatchState | None = None, **asked: Any) -> Batch:
    asked = {"brief": "warm", "run_budget_usd": Decimal(1), "max_in_flight": 4, **asked}
    made = batches.begun("b", BatchRequest.parse(**asked), total, now=START)
    return made.evolve(state=state) if state else made


def over(*numbers: int, state: State = State.COMPLETED, spent: str = "0") -> dict[int, RunContext]:
    run = RunContext(run_id="b.0", asset_id="a" * 64, state=state, spent_usd=Decimal(spent))
    return dict.fromkeys(numbers, run)


def round_of(made: Batch, *, now: float = START, **look: Any) -> Round:
    return next_round(Look(made, 1, now, **look), deadlines=DEADLINES)


def test_as_many_pictures_are_opened_as_may_be_in_flight() -> None:
    first = round_of(batch())
    assert (list(first.opens), first.batch.opened) == ([0, 1, 2, 3], 4)
    then = round_of(first.batch, open=4, over=over(1, 3))
    assert (list(then.opens), set(then.closes)) == ([4, 5], {1, 3})
    assert then.batch.counts == {"COMPLETED": 2}


def test_runs_that_wait_for_a_person_take_no_room() -> None:
    assert list(round_of(batch().evolve(opened=4), open=4, waiting=3).opens) == [4, 5, 6]


def test_a_round_in_which_nothing_moved_changes_nothing() -> None:
    made = batch().evolve(opened=4)
    assert round_of(made, open=4) == Round(made, {}, range(4, 4))


def test_when_all_are_over_the_batch_is_done() -> None:
    made = round_of(batch(total=3).evolve(opened=3), open=3, over=over(0, 1, 2, spent="0.2"), now=START + 9)
    assert (made.batch.state, made.batch.finished_at) == (BatchState.DONE, START + 9)
    assert (made.batch.closed, made.batch.spent_usd, made.batch.reason) == (3, Decimal("0.6"), "")


def test_first_the_proofs_are_made_and_then_a_person_is_asked() -> None:
    first = round_of(batch(proof=2))
    assert (first.batch.state, list(first.opens)) == (BatchState.PROOFING, [0, 1])
    half = round_of(first.batch, open=2, over=over(0))
    assert (half.batch.state, list(half.opens)) == (BatchState.PROOFING, [])
    whole = round_of(half.batch, open=1, over=over(1))
    assert (whole.batch.state, whole.batch.until) == (BatchState.AWAITING_APPROVAL, START + 30)
    assert list(round_of(whole.batch).opens) == []


def test_after_the_word_of_a_person_the_rest_follows_or_nothing_does() -> None:
    waits = batch(proof=2, state=BatchState.AWAITING_APPROVAL).evolve(opened=2, until=START + 30)
    goes_on = batches.approved(waits, by="ann", now=START)
    assert (goes_on.state, goes_on.decided_by) == (BatchState.RUNNING, "ann")
    assert list(round_of(goes_on).opens) == [2, 3, 4, 5]
    stops = batches.declined(waits, by="ann", reason="too warm", now=START)
    assert (stops.state, stops.reason) == (BatchState.CANCELLED, "too warm")
    ended = round_of(stops)
    assert (list(ended.opens), ended.batch.finished_at) == ([], START)


def test_silence_about_the_proofs_is_a_no() -> None:
    waits = batch(proof=2, state=BatchState.AWAITING_APPROVAL).evolve(opened=2, until=START + 30)
    assert round_of(waits, now=START + 29).batch == waits
    ended = round_of(waits, now=START + 30).batch
    assert (ended.state, ended.finished_at) == (BatchState.CANCELLED, START + 30)
    with pytest.raises(IllegalMove, match="deadline"):
        batches.approved(waits, by="ann", now=START + 30)


@pytest.mark.parametrize("state", [state for state in BatchState if state is not BatchState.AWAITING_APPROVAL])
def test_only_a_batch_that_waits_is_approved_or_declined(state: BatchState) -> None:
    with pytest.raises(IllegalMove, match="waits for no approval"):
        batches.approved(batch(state=state), by="ann", now=START)
    with pytest.raises(IllegalMove, match="waits for no approval"):
        batches.declined(batch(state=state), by="ann", reason="", now=START)


def test_as_many_proofs_as_pictures_are_no_proof() -> None:
    assert batch(total=3, proof=3).state is BatchState.RUNNING


def test_each_open_picture_has_the_budget_of_a_run_set_aside_and_what_is_not_spent_comes_back() -> None:
    made = batch(budget_usd=Decimal(3))
    first = round_of(made)
    assert list(first.opens) == [0, 1, 2]
    cheap = round_of(first.batch, open=3, over=over(0, 1, 2, spent="0.1"))
    assert list(cheap.opens) == [3, 4]
    dear = round_of(first.batch, open=3, over=over(0, 1, 2, spent="1"))
    assert list(dear.opens) == []
    assert (dear.batch.state, dear.batch.reason) == (
        BatchState.DONE,
        "the budget is spent: 7 pictures were not begun",
    )


def test_a_cancelled_batch_ends_when_its_open_runs_have() -> None:
    gone = batches.cancelled(batch().evolve(opened=4), by="ann")
    still = round_of(gone, open=4, over=over(0, state=State.CANCELLED))
    assert (list(still.opens), still.batch.finished_at) == ([], None)
    ended = round_of(still.batch, open=3, over=over(1, 2, 3, state=State.CANCELLED), now=START + 5)
    assert (ended.batch.counts, ended.batch.finished_at) == ({"CANCELLED": 4}, START + 5)
    with pytest.raises(IllegalMove):
        batches.cancelled(ended.batch, by="ann")


def test_an_open_picture_without_a_run_gets_one_again() -> None:
    made = round_of(batch().evolve(opened=4), open=4, missing=(1, 3), missing_since={1: START - 5, 3: START - 5})
    assert (made.reopens, made.closes) == ((1, 3), {})


def test_a_cancelled_batch_gives_no_run_to_a_picture_that_has_none() -> None:
    gone = batches.cancelled(batch().evolve(opened=4), by="ann")
    made = round_of(gone, open=2, missing=(1, 3), missing_since={1: START - 5, 3: START - 5})
    assert made.reopens == ()
    assert {number: result.state for number, result in made.closes.items()} == {1: "NOT_STARTED", 3: "NOT_STARTED"}
    assert made.batch.finished_at == START


def test_a_picture_whose_runs_record_may_have_expired_is_not_made_a_second_time() -> None:
    kept = DEADLINES.retention.total_seconds()
    since = {1: START - kept, 3: START - kept + 1}
    made = round_of(batch().evolve(opened=4), open=4, missing=(1, 3), missing_since=since)
    assert made.reopens == (3,)
    assert made.closes[1].state == "NOT_KNOWN"
    assert "expired" in made.closes[1].reason


def test_the_result_of_a_picture_says_why() -> None:
    failed = RunContext(
        run_id="b.0", asset_id="a" * 64, state=State.FAILED, error=RunError(code="unsupported", message="no subject")
    )
    assert batches.result_of(failed).reason == "unsupported: no subject"


def test_a_picture_that_the_door_refuses_is_closed_with_the_reason() -> None:
    made = batches.refused(Look(batch().evolve(opened=4), 1, START, open=4), {2: "artifact_missing: gone"})
    assert (made.batch.counts, made.closes[2].reason) == ({"NOT_STARTED": 1}, "artifact_missing: gone")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"brief": ""}, "brief"),
        ({"proof": -1}, "proof"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"budget_usd": "x"}, "budget_usd"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_the_field(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        batch(**asked)
