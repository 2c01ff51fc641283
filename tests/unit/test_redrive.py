"""A failed run goes on as its child: in the stage that failed, and with nothing bought twice."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from prolight import commands
from prolight.decisions import Queued
from prolight.errors import IllegalMove, OutcomeUnknown, RateLimited, ToolFailed
from prolight.events import StepMoved
from prolight.ledger import Entry, inherited, late_key
from prolight.outcomes import BackingOff, Executed, Failed, Judged, Planned, Unclear
from prolight.ports import Snapshot, ToolResult
from prolight.redrive import Failures, failed_stage, redrive, redriven
from prolight.retry import RetryPolicy
from prolight.schemas import Approval, Critique, Plan, RunContext, RunError, Stage, State, Step, Turn, Verdict
from prolight.sweeper import settle_overdue
from tests.unit.scripted import (
    PICTURE,
    START,
    ScriptedModel,
    ScriptedTools,
    World,
    picture,
    planning,
    steps,
    tool,
    world,
)

PRICE = Decimal("0.3")
QUIET = 310
"""Seconds after which nothing of a try can be under way any more."""
ACCEPT = '{"verdict":"accept"}'
PLAN = steps("light").model_dump_json()


async def again(here: World, run_id: str = "r", **asked: Any) -> Snapshot:
    """The n-th child in this world is r<n>."""
    runs = len(await here.store.recent(100))
    return await redrive(here.store, run_id, new_id=lambda: f"r{runs}", deadlines=here.deadlines, **asked)


async def failed_at_second_step() -> World:
    """`light` was bought and made a picture; `frame`, which takes it further, failed."""
    here = await world(
        tool("light", "blind", price_usd=PRICE), tool("frame"), plan=steps("light", "frame", after="chain")
    )
    here.tools.script["t.frame"] = [ToolFailed("no frame fits")]
    assert isinstance(await (await here.attempt()).make(), Failed)
    return here


async def lost(effect: Any, *, times: int = 1, **changes: Any) -> World:
    """The answer of the one call was lost, and the run failed at its deadline while that was unclear."""
    here = await world(tool("light", effect, price_usd=PRICE, **changes), tool("probe"), plan=steps("light"))
    here.tools.script["t.light"] = [OutcomeUnknown("?") for _ in range(times)]
    await (await here.attempt()).make()
    for _ in range(2):
        here.store.time += 4_000
        await settle_overdue(here.store, await here.store.sweep(), here.deadlines)
    assert (await here.store.read("r")).run.state in (State.FAILED, State.NEEDS_REVIEW)
    if (await here.store.read("r")).run.state is State.NEEDS_REVIEW:
        await commands.review(here.store, "r", "abandon", by="ann", comment="", deadlines=here.deadlines)
    return here


async def test_a_step_that_is_done_is_not_called_again_and_the_next_one_gets_what_it_made() -> None:
    here = await failed_at_second_step()
    child = await again(here)
    assert (child.run.state, child.run.parent, child.activity) == (State.EXECUTING, "r", "queued")
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.names == ["t.light", "t.frame", "t.frame"]
    run = (await here.store.read("r1")).run
    assert run.state is State.COMPLETED
    assert run.exec_result
    assert [(step.id, step.status) for step in run.exec_result.steps] == [("light", "done"), ("frame", "done")]


async def test_what_the_parent_spent_stays_with_it_and_the_child_has_the_same_budget_again() -> None:
    here = await failed_at_second_step()
    await again(here)
    await (await here.attempt()).make()
    parent, child = (await here.store.read("r")).run, (await here.store.read("r1")).run
    assert (parent.spent_usd, child.spent_usd, child.reserved_usd) == (PRICE, Decimal(0), Decimal(0))
    assert child.budget_usd == parent.budget_usd


async def test_it_may_have_another_budget_which_it_then_keeps() -> None:
    here = await failed_at_second_step()
    child = await again(here, budget_usd=Decimal(5))
    assert child.run.budget_usd == 5
    assert (await again(here, budget_usd=Decimal(5))).run.run_id == child.run.run_id
    with pytest.raises(IllegalMove, match="goes on already, as r1, with a budget of 5 USD"):
        await again(here, budget_usd=Decimal(6))


async def test_its_events_alone_tell_what_it_starts_with() -> None:
    here = await failed_at_second_step()
    await again(here)
    told = await here.store.told("r1")
    assert [event.type for event in told] == ["status", "plan", "critique", "step"]
    assert [event.seq for event in told] == [1, 2, 3, 4]
    step = told[-1].payload
    assert isinstance(step, StepMoved)
    assert (step.step, step.tool, step.status, step.artifact) == ("light", "t.light", "reused", picture("b"))


async def test_asked_again_it_is_the_same_child_until_that_has_failed_too() -> None:
    here = await failed_at_second_step()
    assert [(await again(here)).run.run_id, (await again(here)).run.run_id] == ["r1", "r1"]
    here.tools.script["t.frame"] = [ToolFailed("still not")]
    assert isinstance(await (await here.attempt()).make(), Failed)
    grandchild = await again(here)
    assert (grandchild.run.run_id, grandchild.run.parent) == ("r2", "r1")
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.names.count("t.light") == 1, "a grandchild finds what the first run bought"
    assert [(await here.store.read(run_id)).child for run_id in ("r", "r1", "r2")] == ["r1", "r2", ""]
    assert (await again(here)).run.run_id == "r2"


@pytest.mark.parametrize("end", ["live", "cancelled", "completed"])
async def test_a_run_that_is_not_failed_is_refused_with_its_state(end: str) -> None:
    here = await world(tool("light"))
    if end == "cancelled":
        await commands.cancel(here.store, "r", reason="", deadlines=here.deadlines)
    if end == "completed":
        await (await here.attempt()).make()
    state = (await here.store.read("r")).run.state
    with pytest.raises(IllegalMove, match=f"run r is {state}, .*only a FAILED one"):
        await again(here)
    assert len(await here.store.recent(10)) == 1


async def test_a_blind_call_in_doubt_asks_a_person_and_is_not_sent() -> None:
    here = await lost("blind")
    await again(here)
    outcome = await (await here.attempt()).make()
    assert isinstance(outcome, Unclear)
    assert outcome.review.at_risk_usd == PRICE
    assert here.tools.names == ["t.light"]
    run = (await here.store.read("r1")).run
    assert (run.state, run.spent_usd, run.reserved_usd) == (State.NEEDS_REVIEW, Decimal(0), Decimal(0))


async def test_what_the_parents_call_brings_late_is_taken_for_the_childs() -> None:
    here = await lost("blind")
    await again(here)
    [(key, text)] = (await here.store.journal("r")).items()
    late = Entry.model_validate_json(text).evolve(status="done", result={"artifact": None, "output": {"late": True}})
    await here.store.keep_late("r", {late_key(key, 1): late.model_dump_json()})
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.names == ["t.light"]
    run = (await here.store.read("r1")).run
    assert run.exec_result
    assert run.exec_result.steps[0].output == {"late": True}
    assert run.spent_usd == 0, "the parent's bill has it"


async def test_a_billed_call_in_doubt_is_sent_once_more_with_an_allowance_of_its_own() -> None:
    here = await lost("billed", times=2)
    assert here.tools.names.count("t.light") == 2, "the parent's allowance is used up"
    await again(here)
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.names.count("t.light") == 3
    assert (await here.store.read("r1")).run.spent_usd == PRICE
    assert [event.payload.model_dump()["code"] for event in await here.store.told("r1") if event.type == "warning"] == [
        "possibly_billed_twice"
    ]


async def test_a_keyed_call_in_doubt_is_sent_again_under_the_key_of_the_first_run() -> None:
    here = await lost("keyed", times=4, key_window=timedelta(days=1))
    await again(here)
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert len({key for _, key in here.tools.calls}) == 1


@pytest.mark.parametrize(("status", "sends"), [("absent", 2), ("done", 1)])
async def test_a_probe_settles_what_the_parent_left_and_takes_no_money_from_the_childs_bill(
    status: str, sends: int
) -> None:
    here = await lost("probeable", probe="t.probe")
    here.tools.script["t.probe"] = [ToolResult({"status": status}, picture("b"))]
    await again(here)
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.names.count("t.light") == sends
    assert (await here.store.read("r1")).run.spent_usd == PRICE * (sends - 1)


async def test_a_call_that_the_parent_tried_in_vain_has_all_its_tries_again() -> None:
    here = await world(tool("light"))
    here.retry = RetryPolicy(base=timedelta(microseconds=1), max_tries=2)
    ticks = itertools.count()
    here.store.clock = lambda: START + next(ticks) * 0.002  # so that the pause it asks for passes
    here.tools.script["t.light"] = [RateLimited("not now") for _ in range(3)]
    assert isinstance(await (await here.attempt()).make(), Failed)
    await again(here)
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.names == ["t.light"] * 4


async def test_a_pure_call_that_timed_out_in_vain_has_all_its_tries_again() -> None:
    here = await world(tool("light"))
    here.retry = RetryPolicy(base=timedelta(microseconds=1), max_tries=2)
    here.tools.script["t.light"] = [OutcomeUnknown("no answer") for _ in range(3)]
    assert isinstance(await (await here.attempt()).make(), Failed)
    await again(here)
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.names == ["t.light"] * 4


class TestOfModels:
    async def begun(self, *, planner: list[Any], critic: list[Any]) -> World:
        here = World(ScriptedTools({"t.light": tool("light")}), ScriptedModel({"planner": planner, "critic": critic}))
        here.model.price = Decimal("0.01")
        await here.add(planning())
        return here

    def asked(self, here: World) -> list[str]:
        return [request.role for request in here.model.asked]

    async def test_a_plan_is_not_bought_again_when_its_judging_failed(self) -> None:
        here = await self.begun(planner=[PLAN], critic=[ToolFailed("overloaded"), ACCEPT])
        assert isinstance(await (await here.attempt(Stage.PLAN)).make(), Planned)
        assert isinstance(await (await here.attempt(Stage.CRITIQUE)).make(), Failed)
        assert (await again(here)).run.state is State.CRITIQUING
        assert isinstance(await (await here.attempt(Stage.CRITIQUE)).make(), Judged)
        assert isinstance(await (await here.attempt()).make(), Executed)
        assert self.asked(here) == ["planner", "critic", "critic"]

    async def test_a_denied_plan_is_judged_by_the_policy_of_today_without_asking_the_critic_again(self) -> None:
        here = await self.begun(planner=[PLAN], critic=[ACCEPT])
        assert isinstance(await (await here.attempt(Stage.PLAN)).make(), Planned)
        allowed, here.policy = here.policy, replace(here.policy, banned_tools=frozenset({"t.light"}))
        assert isinstance(await (await here.attempt(Stage.CRITIQUE)).make(), Judged)
        assert (await here.store.read("r")).run.error
        here.policy = allowed
        await again(here)
        assert isinstance(await (await here.attempt(Stage.CRITIQUE)).make(), Judged)
        assert (await here.store.read("r1")).run.state is State.EXECUTING
        assert self.asked(here) == ["planner", "critic"]

    async def test_an_answer_that_was_no_plan_is_asked_for_again(self) -> None:
        here = await self.begun(planner=["Certainly!", PLAN], critic=[])
        assert isinstance(await (await here.attempt(Stage.PLAN)).make(), Failed)
        await again(here)
        assert isinstance(await (await here.attempt(Stage.PLAN)).make(), Planned)
        assert self.asked(here) == ["planner", "planner"]

    async def test_an_answer_that_was_lost_beyond_the_allowance_is_asked_for_once_more(self) -> None:
        here = await self.begun(planner=[*[OutcomeUnknown("?")] * 3, PLAN], critic=[])
        outcome = await (await here.attempt(Stage.PLAN)).make()
        if isinstance(outcome, BackingOff):
            here.store.time += QUIET
            await here.store.sweep()
            await (await here.attempt(Stage.PLAN)).make()
        assert (await here.store.read("r")).run.state is State.FAILED
        await again(here)
        assert isinstance(await (await here.attempt(Stage.PLAN)).make(), Planned)


def ended(**changes: Any) -> RunContext:
    error = RunError(code="rate_limited", message="the provider is busy", step="key")
    plan = Plan(steps=(Step(id="key", tool="studio.relight", params={}),))
    turns = (Turn(stage=Stage.PLAN, queued_at=1), Turn(stage=Stage.EXECUTE, queued_at=2, finished_at=3))
    run = RunContext(run_id="r", asset_id=PICTURE, brief="warm light", metadata={"sku": "A-1"}, plan=plan, turns=turns)
    return run.evolve(**{"state": State.FAILED, "error": error, "finished_at": 100.0, **changes})


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (Failures(), True),
        (Failures(code="rate_limited"), True),
        (Failures(code="poison"), False),
        (Failures(stage=Stage.EXECUTE), True),
        (Failures(stage=Stage.PLAN), False),
        (Failures(tool="studio.relight"), True),
        (Failures(tool="studio.export"), False),
        (Failures(since=timedelta(seconds=60)), True),
        (Failures(since=timedelta(seconds=40)), False),
        (Failures(text="BUSY warm a-1"), True),
        (Failures(text="busy cold"), False),
    ],
)
def test_a_filter_holds_what_fits_all_of_it(wanted: Failures, holds: bool) -> None:
    assert wanted.hold(ended(), now=150.0) is holds


def test_a_filter_holds_no_run_that_is_not_failed() -> None:
    assert not Failures().hold(ended().evolve(state=State.REJECTED), now=150.0)


def test_a_run_that_failed_while_it_waited_for_a_person_failed_in_the_stage_before() -> None:
    review = ended(error=RunError(code="deadline_exceeded", message="nobody decided in time"))
    assert failed_stage(review) is Stage.EXECUTE


def test_an_approval_goes_on_with_the_plan_that_it_names_and_the_clocks_start_anew() -> None:
    approval = Approval(subject="plan", reasons=("costly",), asked_at=1, until=9, plan_hash="h", decision="approved")
    parent = ended(approval=approval, critique=Critique(verdict=Verdict.ACCEPT), works_until=50.0)
    here = World(ScriptedTools({}))
    decision = redriven(parent, "r1", now=1_000.0, deadlines=here.deadlines)
    child = decision.run
    assert (child.approval, child.critique) == (approval, parent.critique)
    assert (child.created_at, child.works_until, child.finished_at, child.error) == (1_000.0, 4_600.0, None, None)
    assert decision.placement == Queued(Stage.EXECUTE, budget=here.deadlines.step)
    assert (child.origin, child.parent) == ("r", "r")
    assert redriven(child.evolve(state=State.FAILED), "r2", now=1.0, deadlines=here.deadlines).run.origin == "r"


@pytest.mark.parametrize(("doubts", "kept"), [(0, []), (1, [("unknown", 0, 2)])])
def test_a_doubt_outlives_a_later_try_that_was_refused(doubts: int, kept: list[tuple[str, int, int]]) -> None:
    entry = Entry(
        status="refused", name="t.light", arguments_hash="h", tries=2, doubts=doubts, started_at=1, deadline_at=2
    )
    taken = [Entry.model_validate_json(text) for text in inherited({"k": entry.model_dump_json()}, now=3).values()]
    assert [(entry.status, entry.doubts, entry.inherited) for entry in taken] == kept
