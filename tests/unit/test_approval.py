"""A person answers: what is approved is exactly what was shown, in time, once, and on the record."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from prolight import commands
from prolight.decisions import Deadlines
from prolight.determinism import plan_hash
from prolight.errors import GuardrailDenied, IllegalMove, InvalidInput, PlanChanged
from prolight.events import PlanMade, Status
from prolight.guardrails import Policy, check_accepted
from prolight.outcomes import Failed
from prolight.schemas import Critique, Finding, Plan, Stage, State, Step, Verdict
from prolight.sweeper import settle_overdue
from tests.unit.scripted import PICTURE, START, ScriptedModel, ScriptedTools, World, executing, planning, steps, tool

PLAN = steps("light")
EDITED = Plan(steps=(Step(id="light", tool="t.light", params={"picture": "$input", "strength": 2}),))
ACCEPT = Critique(verdict=Verdict.ACCEPT).model_dump_json()
REJECT = Critique(
    verdict=Verdict.REJECT, findings=(Finding(id="hot", severity="blocking", message="too hot"),)
).model_dump_json()


async def waiting(*answers: str, ask: bool = True, **parts: object) -> World:
    """A run whose plan was judged, and that waits for a person unless the answers say otherwise."""
    model = ScriptedModel({"planner": [PLAN.model_dump_json()], "critic": list(answers or (ACCEPT, ACCEPT))})
    here = World(ScriptedTools({"t.light": tool("light")}), model, **parts)  # type: ignore[arg-type]
    await here.add(planning(ask=ask))
    await (await here.attempt(Stage.PLAN)).make()
    await (await here.attempt(Stage.CRITIQUE)).make()
    return here


async def approve(here: World, hash: str = plan_hash(PLAN), **more: object) -> State:
    answer = await commands.approve(here.store, "r", hash, by="ann@desk", deadlines=here.deadlines, **more)  # type: ignore[arg-type]
    return answer.run.state


async def reject(here: World, comment: str = "") -> State:
    answer = await commands.reject(here.store, "r", by="ann@desk", comment=comment, deadlines=here.deadlines)
    return answer.run.state


async def test_a_run_that_asks_stops_before_anything_is_carried_out() -> None:
    here = await waiting()
    run = (await here.store.read("r")).run
    assert run.state is State.AWAITING_APPROVAL
    assert run.approval
    assert run.approval.plan_hash == plan_hash(PLAN)
    assert run.approval.reasons == ("the caller wants a person to see the plan first",)
    assert here.tools.calls == []


async def test_the_approved_plan_is_carried_out_and_the_record_names_who_and_when() -> None:
    here = await waiting()
    here.store.time += 60
    assert await approve(here) is State.EXECUTING
    await (await here.attempt()).make()
    run = (await here.store.read("r")).run
    assert (run.state, here.tools.names) == (State.COMPLETED, ["t.light"])
    assert run.approval
    assert (run.approval.decision, run.approval.decided_by) == ("approved", "ann@desk")
    assert run.approval.decided_at == START + 60


async def test_the_event_of_an_approval_names_who() -> None:
    here = await waiting()
    await approve(here)
    payload = (await here.store.told())[-1].payload
    assert payload == Status(
        state=State.EXECUTING,
        previous=State.AWAITING_APPROVAL,
        stage=Stage.EXECUTE,
        reason="approved by ann@desk",
    )


async def test_another_plan_than_the_one_that_waits_is_not_approved() -> None:
    here = await waiting()
    before = await here.store.read("r")
    with pytest.raises(PlanChanged, match=plan_hash(PLAN)):
        await approve(here, plan_hash(EDITED))
    assert await here.store.read("r") == before


async def test_an_edited_plan_goes_to_the_critic_and_asks_again_under_its_own_hash() -> None:
    here = await waiting()
    assert await approve(here, edited=EDITED) is State.CRITIQUING
    await (await here.attempt(Stage.CRITIQUE)).make()
    run = (await here.store.read("r")).run
    assert (run.state, run.plan) == (State.AWAITING_APPROVAL, EDITED)
    assert run.approval
    assert run.approval.plan_hash == plan_hash(EDITED)
    made = [event.payload for event in await here.store.told() if isinstance(event.payload, PlanMade)]
    assert [payload.model for payload in made] == ["scripted-1", "edited by ann@desk"]
    with pytest.raises(PlanChanged):
        await approve(here)
    assert await approve(here, plan_hash(EDITED)) is State.EXECUTING


async def test_an_edited_plan_may_use_only_tools_that_the_lock_pins() -> None:
    here = await waiting()
    with pytest.raises(InvalidInput, match=r"t\.other"):
        await approve(here, edited=steps("other"))
    assert (await here.store.read("r")).run.plan == PLAN


async def test_a_rejected_run_ends_with_the_reason_on_the_record() -> None:
    here = await waiting()
    assert await reject(here, "wrong chair") is State.REJECTED
    run = (await here.store.read("r")).run
    assert run.approval
    assert (run.approval.decision, run.approval.decided_by, run.approval.comment) == (
        "rejected",
        "ann@desk",
        "wrong chair",
    )
    assert (await here.store.told())[-1].payload.model_dump()["reason"] == "rejected by ann@desk: wrong chair"


async def test_the_second_answer_is_refused_and_hears_of_the_first() -> None:
    here = await waiting()
    await approve(here)
    with pytest.raises(IllegalMove, match="approved by ann@desk"):
        await reject(here)
    with pytest.raises(IllegalMove, match="waits for no approval"):
        await approve(here)


@pytest.mark.parametrize("answer", [approve, reject])
async def test_after_its_deadline_no_answer_counts(answer: object) -> None:
    here = await waiting(deadlines=Deadlines(approval=timedelta(seconds=30)))
    here.store.time += 30
    with pytest.raises(IllegalMove, match="deadline"):
        await answer(here)  # type: ignore[operator]


async def test_an_approval_that_reaches_the_store_too_late_is_not_carried_out() -> None:
    here = await waiting(deadlines=Deadlines(approval=timedelta(seconds=30)))
    here.store.time += 29
    base = await here.store.read("r")
    original = here.store.commit

    async def late(write: object) -> object:
        here.store.time = START + 31
        return await original(write)  # type: ignore[arg-type]

    here.store.commit = late  # type: ignore[method-assign,assignment]
    with pytest.raises(IllegalMove, match="deadline"):
        await approve(here)
    assert (await here.store.read("r")).run == base.run


async def test_silence_is_a_no() -> None:
    here = await waiting(deadlines=Deadlines(approval=timedelta(seconds=30)))
    here.store.time += 31
    await settle_overdue(here.store, await here.store.sweep(), here.deadlines)
    run = (await here.store.read("r")).run
    assert (run.state, run.approval and run.approval.decision) == (State.REJECTED, "expired")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
async def test_who_approves_has_a_name(name: str) -> None:
    here = await waiting()
    with pytest.raises(InvalidInput, match="by"):
        await commands.approve(here.store, "r", plan_hash(PLAN), by=name, deadlines=here.deadlines)


async def test_a_person_may_overrule_the_critic() -> None:
    here = await waiting(REJECT, ask=False)
    assert await approve(here) is State.EXECUTING
    await (await here.attempt()).make()
    assert (await here.store.read("r")).run.state is State.COMPLETED


async def test_a_plan_above_the_price_of_asking_waits() -> None:
    here = await waiting(ask=False, policy=Policy(approve_above_usd=Decimal(0)))
    assert (await here.store.read("r")).run.state is State.EXECUTING
    costly = PLAN.evolve(steps=(PLAN.steps[0].evolve(estimated_cost_usd=Decimal("0.5")),))
    model = ScriptedModel({"planner": [costly.model_dump_json()], "critic": [ACCEPT]})
    here = World(ScriptedTools({"t.light": tool("light")}), model, policy=Policy(approve_above_usd=Decimal("0.4")))
    await here.add(planning())
    await (await here.attempt(Stage.PLAN)).make()
    await (await here.attempt(Stage.CRITIQUE)).make()
    assert (await here.store.read("r")).run.state is State.AWAITING_APPROVAL


class TestNothingUnapprovedIsExecuted:
    """Whatever brought the record to EXECUTING."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"critique": None},
            {"critique": Critique(verdict=Verdict.ACCEPT, plan_hash="f" * 64)},
            {"critique": Critique(verdict=Verdict.REJECT, plan_hash=plan_hash(PLAN))},
            {"ask": True},
        ],
    )
    async def test_the_executor_refuses(self, changes: dict[str, object]) -> None:
        tools = ScriptedTools({"t.light": tool("light")})
        here = World(tools)
        await here.add(executing(PLAN, tools).evolve(**changes))
        assert isinstance(await (await here.attempt()).make(), Failed)
        run = (await here.store.read("r")).run
        assert (run.state, run.error and run.error.code) == (State.FAILED, "guardrail_denied")
        assert tools.calls == []

    async def test_an_approval_of_another_plan_is_none(self) -> None:
        here = await waiting()
        await approve(here)
        run = (await here.store.read("r")).run
        assert run.approval
        check_accepted(run)
        with pytest.raises(GuardrailDenied):
            check_accepted(run.evolve(approval=run.approval.evolve(plan_hash="f" * 64)))


async def test_a_picture_by_its_alias_is_the_picture_that_the_tools_get() -> None:
    here = await waiting(ask=False)
    assert (await here.store.read("r")).run.picture == PICTURE
    run = planning(asset_id="chair", picture_id=PICTURE)
    assert (run.picture, run.asset_id) == (PICTURE, "chair")
