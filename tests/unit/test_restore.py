"""What becomes of a run after its store was restored from a backup."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from prolight import commands
from prolight.decisions import Deadlines, Ended, Parked, Queued
from prolight.determinism import call_key
from prolight.errors import InvalidInput, StoreUnavailable
from prolight.outcomes import Executed
from prolight.restore import RESTORED, restore, restored
from prolight.schemas import Approval, ExecutionResult, Review, RunContext, Stage, State, StepResult
from tests.unit.scripted import START, ScriptedTools, World, executing, planning, steps, tool, world

DEADLINES = Deadlines()
LATER = START + 5 * 3600


def after_it(run: RunContext, *, ask: bool = True) -> Any:
    return restored(run, ask=ask, now=LATER, deadlines=DEADLINES)


def two_steps(**changes: Any) -> RunContext:
    tools = ScriptedTools({"t.one": tool("one"), "t.two": tool("two")})
    plan = steps("one", "two", after="chain")
    priced = tuple(step.evolve(estimated_cost_usd=Decimal("0.25")) for step in plan.steps)
    return executing(plan.evolve(steps=priced), tools, updated_at=START, **changes)


def test_an_execution_waits_for_a_person_who_is_told_which_steps_may_have_been_carried_out() -> None:
    done = ExecutionResult(steps=(StepResult(id="one", status="done", started_at=START),))
    decision = after_it(two_steps(exec_result=done))
    review = decision.run.review
    assert (decision.run.state, review.why, review.call, review.step) == (
        State.NEEDS_REVIEW,
        "restored",
        "t.two",
        "two",
    )
    assert RESTORED in review.message and "two may have been" in review.message and "one" not in review.message[-40:]
    assert review.at_risk_usd == Decimal("0.25")
    assert decision.placement == Parked(DEADLINES.review)


def test_the_time_that_is_lost_is_not_the_runs() -> None:
    run = two_steps(works_until=START + 600)
    assert after_it(run).run.working_left_seconds == 600
    assert after_it(planning(works_until=START + 600, updated_at=START)).run.works_until == LATER + 600


@pytest.mark.parametrize("ask", [True, False])
@pytest.mark.parametrize("state", [State.PLANNING, State.CRITIQUING])
def test_a_run_without_a_judged_plan_goes_on_and_a_person_sees_its_plan_unless_told_otherwise(
    state: State, ask: bool
) -> None:
    decision = after_it(planning(state=state, updated_at=START), ask=ask)
    assert (decision.run.state, decision.run.ask) == (state, ask)
    assert decision.placement == Queued(
        Stage.PLAN if state is State.PLANNING else Stage.CRITIQUE, budget=DEADLINES.stage
    )
    assert [event.code for event in decision.events] == ["restored"]


def test_a_person_who_is_waited_for_is_told_once_and_has_no_less_time() -> None:
    approval = Approval(subject="plan", reasons=("costly",), asked_at=START, until=LATER + 60)
    decision = after_it(planning(state=State.AWAITING_APPROVAL, approval=approval))
    assert after_it(decision.run).run.approval.reasons == ("costly", RESTORED)
    assert decision.placement == Parked(timedelta(seconds=60))

    review = Review(call="t.one", why="outcome_unknown", message="who knows", until=LATER + 60)
    decision = after_it(planning(state=State.NEEDS_REVIEW, review=review))
    assert after_it(decision.run).run.review.message == f"{RESTORED}; who knows"
    assert decision.placement == Parked(timedelta(seconds=60))


def test_a_run_that_was_being_cancelled_is_cancelled_because_nobody_holds_it_any_more() -> None:
    decision = after_it(planning(state=State.CANCELLING))
    assert decision.run.state is State.CANCELLED and isinstance(decision.placement, Ended)


async def restored_world() -> World:
    """An attempt was at work on its two steps when the store went back."""
    here = await world(tool("one", "keyed", key_window=timedelta(hours=1)), tool("two", "blind"))
    await here.claim()
    await restore(here.store, by="ann", deadlines=DEADLINES)
    return here


async def test_a_person_lets_it_go_on_and_its_calls_have_the_keys_that_they_would_have_had() -> None:
    here = await restored_world()
    await commands.review(here.store, "r", "allow", by="ann", comment="nothing was done", deadlines=DEADLINES)
    assert isinstance(await (await here.attempt()).make(), Executed)
    run = (await here.store.read("r")).run
    assert run.lock
    assert set(here.tools.calls) == {
        (f"t.{step}", call_key("r", run.lock.plan_hash, step, 0)) for step in ("one", "two")
    }


async def test_a_person_gives_it_up() -> None:
    here = await restored_world()
    await commands.review(here.store, "r", "abandon", by="ann", comment="", deadlines=DEADLINES)
    assert (await here.store.read("r")).run.state is State.FAILED


@pytest.mark.parametrize("said", ["adopt", "resend"])
async def test_what_is_about_one_call_does_not_fit(said: Any) -> None:
    here = await restored_world()
    with pytest.raises(InvalidInput, match="allow, abandon"):
        await commands.review(here.store, "r", said, by="ann", comment="", deadlines=DEADLINES)


async def test_an_interrupted_restore_leaves_nothing_to_be_claimed_and_the_next_one_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = await world(tool("one", "blind"))

    async def breaks(*_: Any) -> Any:
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(here.store, "commit", breaks)
        with pytest.raises(StoreUnavailable):
            await restore(here.store, by="ann", deadlines=DEADLINES)
    assert await here.store.claim(Stage.EXECUTE, 1, "p") == []
    assert await restore(here.store, by="ann", deadlines=DEADLINES) == {State.EXECUTING: 1}
    assert await here.store.paused() == {}
