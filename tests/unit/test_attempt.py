"""One attempt: claim → agent → commit, whatever happens on the way."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from prolight import lifecycle
from prolight.commands import cancel
from prolight.decisions import Deadlines
from prolight.errors import (
    CallRejected,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ServerCrashed,
    StoreUnavailable,
    ToolFailed,
)
from prolight.events import Status
from prolight.guardrails import Policy
from prolight.outcomes import BackingOff, Crashed, Executed, Failed, Judged, Lost, Planned, Released, Unclear
from prolight.ports import Effect, Swept, ToolResult, Write
from prolight.schemas import Critique, Plan, Stage, State, Step, Verdict
from prolight.sweeper import settle_overdue
from tests.unit.scripted import (
    QUICK,
    START,
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

PLAN = Plan(steps=(Step(id="light", tool="t.light", params={"picture": "$input"}),))
ACCEPT = Critique(verdict=Verdict.ACCEPT).model_dump_json()


async def run_of(here: World) -> Any:
    return (await here.store.read("r")).run


async def states(here: World) -> list[State]:
    return [event.payload.state for event in await here.store.told() if isinstance(event.payload, Status)]


async def planned_world(**answers: list[Any]) -> World:
    model = ScriptedModel({"planner": [PLAN.model_dump_json()], "critic": [ACCEPT], **answers})
    here = World(ScriptedTools({"t.light": tool("light")}), model)
    await here.add(planning())
    return here


async def test_a_run_goes_through_its_three_stages_to_its_pictures() -> None:
    here = await planned_world()
    outcomes = [await (await here.attempt(stage)).make() for stage in Stage]
    assert [type(outcome) for outcome in outcomes] == [Planned, Judged, Executed]
    run = await run_of(here)
    assert (run.state, run.exec_result.outputs) == (State.COMPLETED, (picture("b"),))
    assert await states(here) == [State.CRITIQUING, State.EXECUTING, State.COMPLETED]
    assert [(turn.stage, turn.attempts, turn.model) for turn in run.turns] == [
        (Stage.PLAN, 1, "scripted-1"), (Stage.CRITIQUE, 1, "scripted-1"), (Stage.EXECUTE, 1, ""),
    ]  # fmt: skip
    assert [event.seq for event in await here.store.told()] == list(range(1, len(await here.store.told()) + 1))
    assert (run.usage.input_tokens, run.reserved_usd) == (14, 0)


async def test_a_stage_takes_no_more_commits_than_one_for_each_start_and_its_end() -> None:
    here = await planned_world()
    for stage in Stage:
        await (await here.attempt(stage)).make()
    assert len(here.store.commits) == 6


async def test_steps_that_start_together_share_a_commit_and_none_conflicts() -> None:
    here = await world(tool("a"), tool("b"), tool("c"), tool("d"))
    outcome = await (await here.attempt()).make()
    assert isinstance(outcome, Executed)
    assert here.tools.most_at_once == 4
    assert len(here.store.commits) == len(here.store.writes) == 2


@pytest.mark.parametrize(
    ("line", "effect", "outcome", "state", "code"),
    [
        (ToolFailed("no mask", code="no_subject"), "pure", Failed, State.FAILED, "no_subject"),
        (CallRejected("bad"), "blind", Failed, State.FAILED, "call_rejected"),
        (OutcomeUnknown("?"), "blind", BackingOff, State.EXECUTING, None),
        (OutcomeUnknown("?"), "pure", Failed, State.FAILED, "outcome_unknown"),
        (RateLimited("busy", retry_after=timedelta(seconds=10)), "blind", BackingOff, State.EXECUTING, None),
        (KeyError("secret"), "pure", Failed, State.FAILED, "error"),
    ],
    ids=["failed", "rejected", "unknown effect", "unknown", "limited", "defect"],
)
async def test_an_outcome_leads_to_its_state(
    line: Exception, effect: Effect, outcome: type, state: State, code: str | None
) -> None:
    here = await world(tool("light", effect))
    here.tools.script["t.light"] = [line] * 9
    assert type(await (await here.attempt()).make()) is outcome
    run = await run_of(here)
    assert run.state is state
    assert (run.error.code if run.error else None) == code
    assert (await here.store.read("r")).claim_id == ""


async def test_an_error_names_stage_step_and_attempt() -> None:
    here = await world(tool("light"))
    here.tools.script["t.light"] = [ToolFailed("no mask", code="no_subject")]
    await (await here.attempt()).make()
    error = (await run_of(here)).error
    assert (error.message, error.stage, error.step, error.attempt, error.retryable) == (
        "no mask", Stage.EXECUTE, "light", 1, False,
    )  # fmt: skip


@pytest.mark.parametrize("hidden", ["sk-secret-token"])
async def test_what_is_unexpected_fails_the_run_without_telling_its_text(
    hidden: str, caplog: pytest.LogCaptureFixture
) -> None:
    here = await world(tool("light"))
    here.tools.script["t.light"] = [KeyError(hidden)]
    with caplog.at_level(logging.CRITICAL):
        await (await here.attempt()).make()
    run = await run_of(here)
    assert run.error.message == "unexpected KeyError in execute; the worker's log has the trace"
    assert hidden not in run.to_json()
    assert not any(hidden in text for text in await here.store.events("r"))


async def test_the_cause_of_an_error_is_named_but_not_quoted() -> None:
    async def fails() -> ToolResult:
        try:
            raise OSError("http://user:sk-secret@host")
        except OSError as error:
            raise ToolFailed("no") from error

    here = await world(tool("light"))
    here.tools.script["t.light"] = [fails]
    await (await here.attempt()).make()
    assert (await run_of(here)).error.cause == "OSError"


async def test_a_rate_limit_sets_the_due_time_and_holds_no_slot() -> None:
    here = await world(tool("light"))
    here.tools.script["t.light"] = [RateLimited("busy", retry_after=timedelta(seconds=10))]
    await (await here.attempt()).make()
    snapshot = await here.store.read("r")
    assert (snapshot.claim_id, snapshot.ready, snapshot.due_at) == ("", False, START + 10)
    here.store.time += 10
    await here.store.sweep()
    assert isinstance(await (await here.attempt()).make(), Executed)


@pytest.mark.parametrize(("effect", "sent"), [("pure", 2), ("billed", 2), ("blind", 1)])
async def test_a_takeover_repeats_nothing_that_is_done_and_of_the_rest_what_may_be_repeated(
    effect: Effect, sent: int
) -> None:
    here = await world(tool("a", effect), tool("b", effect), plan=steps("a", "b", after="chain"))
    stuck = asyncio.Event()

    async def hang() -> ToolResult:
        stuck.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    here.tools.script["t.b"] = [hang]
    first = asyncio.create_task((await here.attempt()).make())
    await stuck.wait()
    second = await here.take_over()
    outcome = await second.make()
    first.cancel()
    assert isinstance(await first, Lost)
    assert here.tools.names.count("t.a") == 1
    assert here.tools.names.count("t.b") == sent
    assert len({key for name, key in here.tools.calls if name == "t.b"}) == 1
    assert isinstance(outcome, Executed if sent == 2 else BackingOff)


async def test_who_lost_the_claim_writes_nothing() -> None:
    here = await world(tool("light"))
    attempt = await here.attempt()
    other = await here.take_over()
    before = await here.store.read("r")
    assert isinstance(await attempt.make(), Lost)
    assert await here.store.read("r") == replace(before, crashes=0), "and takes the crash back: it lives"
    assert here.tools.calls == []
    assert isinstance(await other.make(), Executed)


async def test_a_cancel_during_a_call_lets_go_and_nothing_starts_after_it() -> None:
    here = await world(tool("a"), tool("b"), plan=steps("a", "b", after="chain"))

    async def meanwhile() -> ToolResult:
        await cancel(here.store, "r", reason="so", deadlines=here.deadlines)
        return ToolResult({}, picture("b"))

    here.tools.script["t.a"] = [meanwhile]
    assert isinstance(await (await here.attempt()).make(), Released)
    run = await run_of(here)
    assert (run.state, here.tools.names) == (State.CANCELLED, ["t.a"])
    assert await states(here) == [State.CANCELLING, State.CANCELLED]
    assert [step.status for step in run.exec_result.steps] == ["done"]


@pytest.mark.parametrize(("cancelled", "state"), [(True, State.CANCELLED), (False, State.EXECUTING)])
async def test_an_interrupted_attempt_lets_a_cancelled_run_go_and_releases_others(
    cancelled: bool, state: State
) -> None:
    here = await world(tool("light"))
    stuck = asyncio.Event()

    async def hang() -> ToolResult:
        stuck.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    here.tools.script["t.light"] = [hang]
    making = asyncio.create_task((await here.attempt()).make())
    await stuck.wait()
    if cancelled:
        await cancel(here.store, "r", reason="", deadlines=here.deadlines)
    making.cancel()
    assert isinstance(await making, Released)
    snapshot = await here.store.read("r")
    assert (snapshot.run.state, snapshot.claim_id, snapshot.ready) == (state, "", not cancelled)
    assert snapshot.crashes == 0


async def test_an_outcome_that_is_being_committed_is_committed_however_often_it_is_cancelled() -> None:
    here = await world(tool("light"))
    stuck = asyncio.Event()

    async def block_the_next_commit() -> ToolResult:
        here.store.gate, here.store.entered = asyncio.Event(), asyncio.Event()
        stuck.set()
        return ToolResult({}, picture("b"))

    here.tools.script["t.light"] = [block_the_next_commit]
    making = asyncio.create_task((await here.attempt()).make())
    await stuck.wait()
    await here.store.entered.wait()
    for _ in range(3):
        making.cancel()
        await asyncio.sleep(0)
    assert here.store.gate
    here.store.gate.set()
    assert isinstance(await making, Executed)
    assert (await run_of(here)).state is State.COMPLETED


async def test_a_store_that_went_away_fails_no_run() -> None:
    here = await world(tool("light"))
    here.store.faults = [StoreUnavailable("gone")]
    with pytest.raises(StoreUnavailable):
        await (await here.attempt()).make()
    assert (await run_of(here)).state is State.EXECUTING
    assert here.store.commits == []


async def test_a_result_that_does_not_fit_the_record_fails_the_run_instead_of_being_forgotten() -> None:
    here = await world(tool("a"), tool("b"), plan=steps("a", "b", after="chain"))
    here.tools.script["t.a"] = [ToolResult({"text": "x" * 70_000}, picture("b"))]
    assert isinstance(await (await here.attempt()).make(), Failed)
    run = await run_of(here)
    assert (run.state, run.error.code, here.tools.names) == (State.FAILED, "store_refused", ["t.a"])
    assert run.reserved_usd == 0


async def test_after_a_failure_siblings_settle_and_nothing_new_starts() -> None:
    plan = Plan(
        steps=(
            Step(id="bad", tool="t.bad", params={"picture": "$input"}),
            Step(id="slow", tool="t.slow", params={"picture": "$input"}),
            Step(id="next", tool="t.next", params={"picture": "$slow"}),
        )
    )
    here = await world(tool("bad"), tool("slow"), tool("next"), plan=plan)
    settled = asyncio.Event()

    async def slow() -> ToolResult:
        for _ in range(20):
            await asyncio.sleep(0)
        settled.set()
        return ToolResult({}, picture("c"))

    here.tools.script = {"t.bad": [ToolFailed("no", code="x")], "t.slow": [slow]}
    assert isinstance(await (await here.attempt()).make(), Failed)
    assert settled.is_set()
    assert sorted(here.tools.names) == ["t.bad", "t.slow"]
    run = await run_of(here)
    assert {step.id: step.status for step in run.exec_result.steps} == {"bad": "failed", "slow": "done"}
    assert sorted(entry.status for entry in await here.store.entries()) == ["done", "refused"]


async def test_a_step_that_failed_says_so() -> None:
    here = await world(tool("light"))
    here.tools.script["t.light"] = [ToolFailed("no mask", code="no_subject")]
    await (await here.attempt()).make()
    told = [event.payload.model_dump(exclude_none=True) for event in await here.store.told() if event.type == "step"]
    assert [(event["status"], event.get("message")) for event in told] == [("started", None), ("failed", "no mask")]


async def test_a_tool_server_that_is_down_at_discovery_is_waited_for() -> None:
    here = await planned_world()
    here.tools.discovery = [NotSent("down")]
    assert isinstance(await (await here.attempt(Stage.PLAN)).make(), BackingOff)
    snapshot = await here.store.read("r")
    assert (snapshot.run.state, snapshot.claim_id) == (State.PLANNING, "")
    here.store.time = snapshot.due_at or 0
    await here.store.sweep()
    assert isinstance(await (await here.attempt(Stage.PLAN)).make(), Planned)


async def test_the_policy_of_the_stage_says_how_long_a_server_is_waited_for() -> None:
    here = await planned_world()
    here.retry = QUICK.__class__(base=timedelta(seconds=40), cap=timedelta(seconds=100))
    here.tools.discovery = [NotSent("down"), NotSent("down")]
    waits = []
    for _ in here.tools.discovery[:]:
        outcome = await (await here.attempt(Stage.PLAN)).make()
        assert isinstance(outcome, BackingOff)
        waits.append(outcome.wait.total_seconds())
        here.store.time += waits[-1]
        await here.store.sweep()
    assert waits == [40, 80]


@pytest.mark.parametrize("role", ["planner", "critic"])
async def test_a_paid_model_call_in_doubt_is_made_twice_more_and_then_fails_the_run(role: str) -> None:
    here = await planned_world(**{role: [OutcomeUnknown("?")] * 3})
    here.model.price = Decimal("0.1")
    outcomes = [await (await here.attempt(Stage.PLAN)).make()]
    if role == "critic":
        outcomes.append(await (await here.attempt(Stage.CRITIQUE)).make())
    run = await run_of(here)
    assert isinstance(outcomes[-1], Unclear)
    assert (run.state, run.error.code) == (State.FAILED, "outcome_unknown")
    assert sum(request.role == role for request in here.model.asked) == 3
    assert await here.store.warnings() == ["possibly_billed_twice"] * 2


async def test_the_price_of_a_tool_is_booked() -> None:
    here = await world(tool("a", "billed", price_usd=Decimal("0.04")), tool("b", "billed", price_usd=Decimal("0.04")))
    here.tools.script["t.b"] = [ToolResult({}, picture("c"), cost_usd=Decimal("0.03"))]
    await (await here.attempt()).make()
    run = await run_of(here)
    assert (run.spent_usd, run.reserved_usd) == (Decimal("0.07"), 0)
    assert {step.id: step.cost_usd for step in run.exec_result.steps} == {"a": Decimal("0.04"), "b": Decimal("0.03")}


async def test_a_step_beyond_the_budget_is_refused_before_it_is_sent() -> None:
    here = await world(
        tool("a", "billed", price_usd=Decimal("0.6")), tool("b", "billed", price_usd=Decimal("0.6")),
        plan=steps("a", "b", after="chain"),
    )  # fmt: skip
    assert isinstance(await (await here.attempt()).make(), Failed)
    run = await run_of(here)
    assert (run.error.code, run.error.step, here.tools.names) == ("budget_exceeded", "b", ["t.a"])


async def test_a_pure_call_that_loses_our_server_counts_as_a_crash_and_costs_no_try() -> None:
    here = await world(tool("light"))
    here.tools.script["t.light"] = [ServerCrashed("gone")]
    assert isinstance(await (await here.attempt()).make(), Crashed)
    here.store.time += 1
    await here.store.sweep()
    assert (await here.store.read("r")).crashes == 1
    assert await here.store.warnings() == ["crashed"]
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert (await here.store.read("r")).crashes == 0
    assert (await run_of(here)).reserved_usd == 0


async def test_a_run_whose_workers_die_one_after_the_other_is_poison() -> None:
    here = await world(tool("light"))
    await here.attempt()
    for _ in range(4):
        await here.take_over()
    await here.lease_ends()
    assert (await here.store.read("r")).crashes == 5
    await settle_overdue(here.store, Swept(poisoned=("r",)), here.deadlines)
    assert (await run_of(here)).error.code == "poison"


# Time-outs that need a decision


async def overdue(here: World) -> Swept:
    here.store.time += 301
    return await here.store.sweep()


async def test_a_stage_that_ran_out_of_time_fails_its_run_whoever_holds_it() -> None:
    here = await world(tool("light"))
    await here.attempt()
    swept = await overdue(here)
    assert swept.overdue == ("r",)
    await settle_overdue(here.store, swept, here.deadlines)
    run = await run_of(here)
    assert (run.state, run.error.message) == (State.FAILED, "the stage's deadline passed in EXECUTING")


async def test_a_run_that_moved_on_since_the_sweep_is_left_alone() -> None:
    here = await planned_world()
    attempt = await here.attempt(Stage.PLAN)
    here.store.time += 180
    swept = await here.store.sweep()
    assert swept.overdue == ("r",)
    base = attempt._writer.snapshot
    decision = lifecycle.planned(base.run, PLAN, _lock(), now=here.store.now(), deadlines=here.deadlines)
    await here.store.commit(Write(base, decision, "late but first"))
    await settle_overdue(here.store, swept, here.deadlines)
    assert (await run_of(here)).state is State.CRITIQUING


async def in_review(effect: Effect = "blind", plan: Plan | None = None) -> World:
    """A run whose call may have been carried out, and that a person has to look at."""
    here = await world(tool("light", effect, price_usd=Decimal("0.3")), plan=plan)
    here.tools.script["t.light"] = [OutcomeUnknown("?")]
    assert isinstance(await (await here.attempt()).make(), BackingOff)
    here.store.time += 170
    await here.store.sweep()
    assert isinstance(await (await here.attempt()).make(), Unclear)
    return here


async def test_a_doubt_is_on_the_record_with_the_money_at_risk_and_its_deadline() -> None:
    here = await in_review()
    run = await run_of(here)
    assert (run.state, here.tools.names) == (State.NEEDS_REVIEW, ["t.light"])
    assert run.review
    assert (run.review.call, run.review.step, run.review.why) == ("t.light", "light", "outcome_unknown")
    assert run.review.at_risk_usd == Decimal("0.3")
    assert run.review.until == here.store.time + here.deadlines.review.total_seconds()


async def test_a_question_that_was_just_asked_is_not_answered_by_an_older_sweep() -> None:
    here = await in_review()
    await settle_overdue(here.store, Swept(overdue=("r",)), here.deadlines)
    assert (await run_of(here)).state is State.NEEDS_REVIEW
    here.store.time += here.deadlines.review.total_seconds()
    await settle_overdue(here.store, await here.store.sweep(), here.deadlines)
    assert (await run_of(here)).error.message == "nobody decided in time"


async def test_one_run_that_cannot_be_read_does_not_keep_the_others_from_their_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = await world(tool("light"))
    await here.add(executing(PLAN, here.tools, run_id="broken"))
    for _ in range(2):
        await here.claim()
    swept = await overdue(here)
    here.store._runs["broken"].document = "{}"
    with caplog.at_level(logging.CRITICAL):
        await settle_overdue(here.store, Swept(overdue=("gone", "broken", "r")), here.deadlines)
    assert set(swept.overdue) == {"broken", "r"}
    assert (await run_of(here)).state is State.FAILED


async def test_a_cancelled_run_whose_holder_died_is_let_go() -> None:
    here = await world(tool("light"))
    await here.attempt()
    await cancel(here.store, "r", reason="", deadlines=here.deadlines)
    await here.lease_ends()
    await settle_overdue(here.store, Swept(overdue=("r",)), here.deadlines)
    assert (await run_of(here)).state is State.CANCELLED


async def test_a_run_that_nobody_holds_is_cancelled_at_once() -> None:
    here = await world(tool("light"))
    after = await cancel(here.store, "r", reason="so", deadlines=Deadlines())
    assert after.run.state is State.CANCELLED
    assert await states(here) == [State.CANCELLING, State.CANCELLED]


def _lock() -> Any:
    return executing(PLAN, ScriptedTools({"t.light": tool("light")})).lock


async def test_a_banned_tool_is_not_called_even_to_inspect() -> None:
    here = await planned_world()
    here.tools.offered["t.inspect_image"] = tool("inspect_image")
    here.policy = Policy(banned_tools=frozenset({"t.inspect_image"}))
    assert isinstance(await (await here.attempt(Stage.PLAN)).make(), Planned)
    assert here.tools.calls == []


async def test_the_retry_policy_of_the_settings_is_used() -> None:
    here = await world(tool("light"))
    here.retry = QUICK.__class__(max_tries=2, base=QUICK.base)
    here.tools.script["t.light"] = [OutcomeUnknown("?")] * 9
    await (await here.attempt()).make()
    assert here.tools.names == ["t.light"] * 2


async def test_a_result_that_comes_when_a_person_is_asked_already_answers_in_the_persons_place() -> None:
    here = await world(tool("light", "blind"))
    answered, asked = asyncio.Event(), asyncio.Event()

    async def slow() -> ToolResult:
        asked.set()
        await answered.wait()
        return ToolResult({"x": 1}, picture("d"))

    here.tools.script["t.light"] = [slow]
    first = asyncio.create_task((await here.attempt()).make())
    await asked.wait()
    await here.lease_ends()
    assert isinstance(await (await here.attempt()).make(), BackingOff)
    here.store.time += 170
    await here.store.sweep()
    assert isinstance(await (await here.attempt()).make(), Unclear)
    answered.set()
    assert isinstance(await first, Lost)
    run = await run_of(here)
    assert run.review
    assert (run.state, run.review.decision, run.review.decided_by) == (State.EXECUTING, "adopted", "its late result")
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.names == ["t.light"]


async def test_a_run_that_ends_leaves_no_call_open_in_its_journal() -> None:
    here = await world(tool("light", "blind", price_usd=Decimal("0.3")))
    stuck = asyncio.Event()

    async def hang() -> ToolResult:
        stuck.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    here.tools.script["t.light"] = [hang]
    attempt = await here.attempt()
    work = asyncio.create_task(attempt.make())
    await stuck.wait()
    await cancel(here.store, "r", reason="", deadlines=here.deadlines)
    attempt.interrupt()
    await work
    run = await run_of(here)
    assert (run.state, run.spent_usd, run.reserved_usd) == (State.CANCELLED, Decimal("0.3"), Decimal(0))
    assert [entry.status for entry in await here.store.entries()] == ["unknown"]
    assert await here.store.warnings() == ["may_still_cost"]


# Tools that change under a running attempt

OTHER_PIN = "2" * 64


def changing(here: World, name: str, then: Exception | ToolResult) -> Any:
    """While this step is worked on, the tool `name` becomes another one."""

    async def line() -> ToolResult:
        here.tools.offered[f"t.{name}"] = replace(here.tools.offered[f"t.{name}"], pin=OTHER_PIN)
        if isinstance(then, Exception):
            raise then
        return then

    return line


@pytest.mark.parametrize("effect", ["pure", "blind"])
async def test_a_step_is_not_called_whose_tool_changed_during_an_earlier_one(effect: Effect) -> None:
    here = await world(tool("one"), tool("two", effect), plan=steps("one", "two", after="chain"))
    here.tools.script["t.one"] = [changing(here, "two", ToolResult({}, picture("b")))]
    assert isinstance(await (await here.attempt()).make(), Unclear)
    review = (await run_of(here)).review
    assert (review.why, review.step, review.pin) == ("tool_changed", "two", OTHER_PIN)
    assert here.tools.names == ["t.one"] and [entry.status for entry in await here.store.entries()] == ["done"]


async def test_a_tool_that_changed_between_two_tries_gets_no_second_one() -> None:
    here = await world(tool("one", "keyed", key_window=timedelta(hours=1)))
    here.tools.script["t.one"] = [changing(here, "one", OutcomeUnknown("cut off"))]
    assert isinstance(await (await here.attempt()).make(), Unclear)
    assert (await run_of(here)).review.why == "tool_changed"
    assert here.tools.names == ["t.one"]


@pytest.mark.parametrize("effect", ["pure", "blind"])
async def test_only_before_a_call_with_effects_its_server_is_asked_at_once(effect: Effect) -> None:
    here = await world(tool("one", effect))
    assert isinstance(await (await here.attempt()).make(), Executed)
    assert here.tools.asked_anew == ([{"t.one"}] if effect == "blind" else [])


async def test_a_server_that_is_away_when_it_is_asked_before_an_effect_costs_no_try() -> None:
    here = await world(tool("one", "blind"))
    here.tools.script["t.one"] = []
    attempt = await here.attempt()
    here.tools.before_effects = [OutcomeUnknown("it does not say what it has"), NotSent("away")]
    assert isinstance(await attempt.make(), Executed)
    assert [entry.tries for entry in await here.store.entries()] == [1]
    assert here.tools.names == ["t.one"]
