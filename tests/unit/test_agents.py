"""Planner, Critic and Executor, each on its own: what they ask, what they refuse, what they make of an answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from prolight.adapters.instant import NOTHING, InstantModel, InstantTools
from prolight.agents.critic import merged
from prolight.agents.executor import final_pictures
from prolight.determinism import plan_hash
from prolight.guardrails import Policy, Ruling
from prolight.outcomes import Executed, Failed, Judged, Planned
from prolight.ports import ToolResult
from prolight.schemas import (
    MAX_FINDINGS,
    Critique,
    Finding,
    Plan,
    RunContext,
    Stage,
    State,
    Step,
    Verdict,
)
from tests.unit.scripted import (
    PICTURE,
    PIN,
    ScriptedModel,
    ScriptedTools,
    World,
    executing,
    picture,
    planning,
    steps,
    tool,
    world,
)

PLAN = steps("light")
ACCEPT = Critique(verdict=Verdict.ACCEPT)


def finding(id: str, severity: Any = "blocking") -> Finding:
    return Finding(id=id, severity=severity, message=id)


async def planner_world(*answers: str, **run: Any) -> World:
    tools = ScriptedTools({"t.light": tool("light"), "t.inspect_image": tool("inspect_image")})
    tools.script["t.inspect_image"] = [ToolResult({"exposure": 0.4})]
    here = World(tools, ScriptedModel({"planner": [*answers], "critic": []}))
    await here.add(planning(**run))
    return here


async def critic_world(plan: Plan, *answers: Critique, policy: Policy | None = None) -> World:
    tools = ScriptedTools({"t.light": tool("light", price_usd=Decimal("0.1"))})
    here = World(tools, ScriptedModel({"critic": [answer.model_dump_json() for answer in answers]}))
    here.policy = policy or here.policy
    await here.add(executing(PLAN, tools).evolve(state=State.CRITIQUING, plan=plan, critique=None))
    return here


async def run_of(here: World) -> RunContext:
    return (await here.store.read("r")).run


# The Planner


async def test_the_planner_measures_first_and_plans_with_what_it_may_use() -> None:
    here = await planner_world(PLAN.model_dump_json())
    outcome = await (await here.attempt(Stage.PLAN)).make()
    (request,) = here.model.asked
    assert request.role == "planner"
    assert request.facts["inspection"] == {"exposure": 0.4}
    assert list(request.facts["tools"]) == ["t.light"]
    assert (await run_of(here)).inspection == {"exposure": 0.4}
    assert isinstance(outcome, Planned)


async def test_the_lock_names_everything_the_plan_was_made_with() -> None:
    here = await planner_world(PLAN.model_dump_json())
    await (await here.attempt(Stage.PLAN)).make()
    lock = (await run_of(here)).lock
    assert lock is not None
    assert (lock.plan_hash, lock.input_sha256, lock.model_version) == (plan_hash(PLAN), PICTURE, "scripted-1")
    assert (lock.tool_pins, lock.policy_version) == ({"t.light": PIN}, Policy().version)


async def test_a_picture_is_measured_once_a_run() -> None:
    here = await planner_world(PLAN.model_dump_json(), inspection={"exposure": 0.9})
    await (await here.attempt(Stage.PLAN)).make()
    assert here.tools.calls == []
    assert here.model.asked[0].facts["inspection"] == {"exposure": 0.9}


async def test_a_tool_that_policy_bans_is_not_offered() -> None:
    here = await planner_world(PLAN.model_dump_json())
    here.policy = Policy(banned_tools=frozenset({"t.light"}))
    await (await here.attempt(Stage.PLAN)).make()
    assert here.model.asked[0].facts["tools"] == {}


async def test_the_planner_sees_its_last_plan_and_what_was_found() -> None:
    critique = Critique(verdict=Verdict.REVISE, findings=(finding("too-dark"),))
    here = await planner_world(PLAN.model_dump_json(), critique=critique, plan=PLAN, round=1)
    await (await here.attempt(Stage.PLAN)).make()
    facts = here.model.asked[0].facts
    assert (facts["round"], facts["findings"][0]["id"]) == (1, "too-dark")
    assert Plan.model_validate(facts["previous_plan"]) == PLAN


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("I would rather not", "Invalid JSON"),
        ("{}", "steps: Field required"),
        ('{"steps":[],"thoughts":"x"}', "thoughts"),
        ('{"steps":[{"id":"a","tool":"t.light","params":{"x":NaN}}]}', "params"),
        ('{"steps":[{"id":"a","tool":"t.light","depends_on":["b"]}]}', "no earlier step"),
        (json.dumps({"steps": [{"id": f"s{n}", "tool": "t.light"} for n in range(25)]}), "24"),
    ],
)
async def test_an_answer_that_is_no_plan_fails_the_run_and_says_why(answer: str, complaint: str) -> None:
    here = await planner_world(answer)
    assert isinstance(await (await here.attempt(Stage.PLAN)).make(), Failed)
    error = (await run_of(here)).error
    assert error is not None
    assert (error.code, error.stage) == ("plan_invalid", Stage.PLAN)
    assert complaint in error.message


# The Critic


async def test_the_critic_judges_the_exact_plan_and_never_sees_the_reasoning() -> None:
    here = await critic_world(PLAN, ACCEPT.evolve(plan_hash="f" * 64))
    outcome = await (await here.attempt(Stage.CRITIQUE)).make()
    assert isinstance(outcome, Judged)
    assert outcome.critique.plan_hash == plan_hash(PLAN)
    facts = here.model.asked[0].facts
    assert Plan.model_validate(facts["plan"]) == PLAN
    assert facts["policy"]["estimated_cost_usd"] == "0.1"
    assert (await run_of(here)).state is State.EXECUTING


async def test_what_code_found_outranks_a_model_that_accepts() -> None:
    wrong = Plan(steps=(Step(id="light", tool="t.light", params={"picture": "$input", "strength": "strong"}),))
    here = await critic_world(wrong, ACCEPT)
    await (await here.attempt(Stage.CRITIQUE)).make()
    run = await run_of(here)
    assert run.critique is not None
    assert (run.state, run.critique.verdict) == (State.PLANNING, Verdict.REVISE)


@pytest.mark.parametrize("verdict", Verdict)
async def test_a_denied_plan_fails_whatever_the_model_says(verdict: Verdict) -> None:
    here = await critic_world(PLAN, Critique(verdict=verdict), policy=Policy(banned_tools=frozenset({"t.light"})))
    await (await here.attempt(Stage.CRITIQUE)).make()
    error = (await run_of(here)).error
    assert error is not None
    assert error.code == "guardrail_denied"


async def test_what_policy_wants_to_ask_goes_to_a_person() -> None:
    here = await critic_world(PLAN, ACCEPT, policy=Policy(approve_above_usd=Decimal("0.05")))
    await (await here.attempt(Stage.CRITIQUE)).make()
    run = await run_of(here)
    assert run.state is State.AWAITING_APPROVAL
    assert run.approval is not None
    assert "a person decides" in run.approval.reasons[0]


def test_findings_are_merged_by_id_and_the_model_has_the_last_word_on_the_text() -> None:
    said = finding("a").evolve(message="said")
    both = merged(
        Critique(verdict=Verdict.REJECT, findings=(said, finding("c"))), Ruling(findings=(finding("a"), finding("b")))
    )
    assert [(one.id, one.message) for one in both.findings] == [("a", "said"), ("b", "b"), ("c", "c")]
    assert both.verdict is Verdict.REJECT


def test_a_model_cannot_talk_a_blocking_finding_down() -> None:
    opinion = Critique(verdict=Verdict.ACCEPT, findings=(finding("a", "advice"),))
    both = merged(opinion, Ruling(findings=(finding("a"),)))
    assert (both.verdict, both.findings[0].severity) == (Verdict.REVISE, "blocking")


def test_findings_beyond_the_limit_are_left_out_the_blocking_ones_last() -> None:
    opinion = Critique(verdict=Verdict.ACCEPT, findings=tuple(finding(f"m{n}", "advice") for n in range(MAX_FINDINGS)))
    both = merged(opinion, Ruling(findings=tuple(finding(f"c{n}") for n in range(60))))
    assert Critique.model_validate_json(both.model_dump_json()) == both
    assert sum(one.severity == "blocking" for one in both.findings) == 60


# The Executor


async def test_references_become_pictures_and_steps_wait_for_them() -> None:
    plan = Plan(
        steps=(
            Step(id="a", tool="t.a", params={"picture": "$input"}),
            Step(id="b", tool="t.b", params={"picture": "$a", "deep": {"list": ["$a", "$input", "$5"]}}),
        )
    )
    free = replace(tool("b"), input_schema={"type": "object", "additionalProperties": True})
    here = World(ScriptedTools({"t.a": tool("a"), "t.b": free}))
    await here.add(executing(plan, here.tools))
    seen: list[Any] = []
    call = here.tools.call

    async def look(tool: Any, arguments: Any, **rest: Any) -> ToolResult:
        seen.append(dict(arguments))
        return await call(tool, arguments, **rest)

    here.tools.call = look  # type: ignore[method-assign]
    assert isinstance(await (await here.attempt()).make(), Executed)
    made = picture("b").id
    assert seen == [{"picture": PICTURE}, {"picture": made, "deep": {"list": [made, PICTURE, "$5"]}}]


async def test_a_step_may_name_the_input_as_what_it_depends_on() -> None:
    plan = Plan(steps=(PLAN.steps[0].evolve(depends_on=("input",)),))
    here = await world(tool("light"), plan=plan)
    assert isinstance(await (await here.attempt()).make(), Executed)


async def test_so_many_steps_run_side_by_side_and_no_more() -> None:
    names = [f"s{n}" for n in range(9)]
    here = await world(*(tool(name) for name in names))
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert (len(here.tools.calls), here.tools.most_at_once) == (9, 4)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda run: run.evolve(plan=run.plan.evolve(summary="other")), "plan_invalid"),
        (lambda run: run.evolve(lock=None), "plan_invalid"),
        (lambda run: run.evolve(lock=run.lock.evolve(tool_pins={})), "plan_invalid"),
    ],
    ids=["another plan", "no lock", "unpinned tool"],
)
async def test_only_the_judged_plan_and_its_pinned_tools_are_carried_out(spoil: Any, code: str) -> None:
    here = World(ScriptedTools({"t.light": tool("light")}))
    await here.add(spoil(executing(PLAN, here.tools)))
    assert isinstance(await (await here.attempt()).make(), Failed)
    error = (await run_of(here)).error
    assert error is not None
    assert (error.code, here.tools.calls) == (code, [])


async def test_a_tool_that_was_banned_meanwhile_is_not_called() -> None:
    here = await world(tool("light"))
    here.policy = Policy(banned_tools=frozenset({"t.light"}))
    await (await here.attempt()).make()
    error = (await run_of(here)).error
    assert error is not None
    assert (error.code, error.step, here.tools.calls) == ("guardrail_denied", "light", [])


async def test_a_step_that_needs_a_picture_nobody_made_fails_and_says_which() -> None:
    here = await world(tool("a"), tool("b"), plan=steps("a", "b", after="chain"))
    here.tools.script["t.a"] = [ToolResult({"score": 1})]
    await (await here.attempt()).make()
    error = (await run_of(here)).error
    assert error is not None
    assert "'a' made no picture" in error.message


async def test_a_tools_warnings_are_told() -> None:
    here = await world(tool("light"))
    here.tools.script["t.light"] = [ToolResult({"warnings": ["too dark", "blurred"]}, picture("b"))]
    await (await here.attempt()).make()
    assert await here.store.warnings() == ["tool", "tool"]


def test_the_final_pictures_are_those_that_no_step_took_further() -> None:
    plan = Plan(
        steps=(
            Step(id="a", tool="t.a", params={"picture": "$input"}),
            Step(id="b", tool="t.b", params={"picture": "$a"}),
            Step(id="c", tool="t.c", params={"picture": "$a"}),
            Step(id="d", tool="t.d", depends_on=("b",)),
        )
    )
    made = {"a": picture("a"), "b": picture("b"), "c": picture("c"), "d": None}
    assert final_pictures(plan, made) == (picture("b"), picture("c"))


async def test_what_answers_at_once_goes_through_all_stages() -> None:
    here = World(InstantTools(), InstantModel())  # type: ignore[arg-type]
    await here.add(planning())
    for stage in Stage:
        await (await here.attempt(stage)).make()
    run = await run_of(here)
    assert (run.state, run.plan and run.plan.steps[0].tool) == (State.COMPLETED, NOTHING.name)


async def test_a_call_that_cancels_itself_is_a_call_in_doubt_and_not_a_release() -> None:
    async def cancels() -> ToolResult:
        raise asyncio.CancelledError

    here = await world(tool("light"))
    here.tools.script["t.light"] = [cancels]
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert len(here.tools.calls) == 2
