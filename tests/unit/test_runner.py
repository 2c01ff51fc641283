"""The runners: the same stages in this process, without broker or server."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prolight import assets
from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.agents import AgentRunner, AgentRunnerAsync, RunContext
from prolight.agents.runner import HOOK_GRACE, NEUTRAL_BRIEF
from prolight.errors import IllegalMove, InvalidInput, OutcomeUnknown, PicturesChanged, PlanChanged, RateLimited
from prolight.events import parse
from prolight.mcp import MCPClient
from prolight.ports import Tool, ToolResult
from prolight.schemas import Artifact, Critique, Finding, Plan, State, Step, Turn, Verdict, compact_json
from prolight.settings import Settings
from tests.unit.scripted import ScriptedModel, ScriptedTools, steps, tool

PHOTOS = Path(__file__).parents[1] / "photos"
ALIAS = "asset-456"
WITHIN = 10.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that holds one photograph, named `asset-456`."""
    home = tmp_path_factory.mktemp("home")
    asyncio.run(photograph(home))
    return home


async def photograph(home: Path) -> Artifact:
    settings, artifacts = Settings.load(home=home), LocalArtifacts(home / "artifacts")
    content = (PHOTOS / "demo-vase.jpg").read_bytes()
    taken = await assets.take_in(artifacts, content, settings.picture_limits)
    await assets.name(artifacts, ALIAS, taken.id)
    return taken


@dataclass
class Heard:
    """A hook that remembers. `acts` is what it does, by the number of the call."""

    events: list[dict[str, Any]] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    acts: dict[int, Callable[[], Awaitable[None] | None]] = field(default_factory=dict)

    def __call__(self, run_id: str, event: dict[str, Any]) -> Awaitable[None] | None:
        self.run_ids.append(run_id)
        self.events.append(event)
        act = self.acts.get(len(self.events))
        return act() if act else None

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.events]

    @property
    def states(self) -> list[str]:
        return [event["payload"]["state"] for event in self.events if event["type"] == "status"]

    def complete(self, ctx: RunContext) -> bool:
        """Each event of the run, once and in order, readable as any reader reads it."""
        assert {parse(compact_json(event)).run_id for event in self.events} == {ctx.run_id} == set(self.run_ids)
        return self.seqs == list(range(1, ctx.seq + 1))


def verdict(verdict: Verdict = Verdict.ACCEPT, message: str = "") -> str:
    findings = (Finding(id="f", severity="blocking", message=message),) if message else ()
    return Critique(verdict=verdict, findings=findings).model_dump_json()


def model(plan: Plan | None = None, *critic: str, rounds: int = 1) -> ScriptedModel:
    planned = (plan or steps("light")).model_dump_json()
    return ScriptedModel({"planner": [planned] * rounds, "critic": list(critic or [verdict()] * rounds)})


@dataclass
class Bench:
    """A runner over scripted tools and a scripted model, and a hook that remembers."""

    home: Path
    tools: ScriptedTools = field(default_factory=lambda: ScriptedTools({"t.light": tool("light")}))
    model: ScriptedModel = field(default_factory=model)
    heard: Heard = field(default_factory=Heard)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def runner(self) -> AgentRunnerAsync:
        settings = Settings.load(home=self.home, retry_base_seconds=1e-6, **self.settings)
        return AgentRunnerAsync(self.tools, self.heard, settings=settings, model=self.model)

    async def run(self, ctx: RunContext | None = None, *, human_approved: bool = True) -> RunContext:
        async with asyncio.timeout(WITHIN):
            return await self.runner.run_workflow(ctx or new(), human_approved=human_approved)

    async def waiting(self) -> RunContext:
        """A run that waits for a person, as a caller would keep it."""
        ctx = await self.run(human_approved=False)
        assert ctx.state is State.AWAITING_APPROVAL
        return RunContext.from_dict(ctx.to_dict())


@pytest.fixture
def bench(home: Path) -> Bench:
    return Bench(home)


def new(**changes: Any) -> RunContext:
    return RunContext(run_id="run-123", asset_id=ALIAS, metadata={"user": "user-789"}).evolve(**changes)


# What the documentation shows


async def test_a_photograph_is_relit_without_a_server(home: Path) -> None:
    heard = Heard()
    runner = AgentRunnerAsync(MCPClient(settings=Settings.load(home=home)), heard, settings=Settings.load(home=home))
    ctx = await runner.run_workflow(new(brief="white background"), human_approved=True)
    assert ctx.state is State.COMPLETED
    assert ctx.exec_result and len(ctx.exec_result.outputs) == 1
    assert heard.complete(ctx)
    assert [event["payload"]["code"] for event in heard.events if event["type"] == "warning"] == ["tools"]


def test_the_sync_face_does_the_same_with_no_brief_at_all(home: Path) -> None:
    heard = Heard()
    settings = Settings.load(home=home)
    ctx = AgentRunner(MCPClient(settings=settings), heard, settings=settings).run_workflow(new(), human_approved=True)
    assert (ctx.state, ctx.brief) == (State.COMPLETED, NEUTRAL_BRIEF)
    assert heard.complete(ctx)


@pytest.mark.parametrize(
    ("ctx", "brief"),
    [
        (new(brief=" a ", metadata={"brief": "b"}), "a"),
        (new(metadata={"brief": "b" * 4000}), "b" * 4000),
        (new(brief=" ", metadata={"brief": "\n"}), NEUTRAL_BRIEF),
    ],
)
async def test_the_brief_is_the_contexts_own_or_its_metadatas_or_a_neutral_one(
    bench: Bench, ctx: RunContext, brief: str
) -> None:
    done = await bench.run(ctx)
    assert (done.state, done.brief, done.metadata) == (State.COMPLETED, brief, ctx.metadata)


async def test_a_picture_is_named_by_its_id_as_well(bench: Bench) -> None:
    named = await bench.run()
    bench.model = model()
    assert (await bench.run(new(asset_id=named.picture))).state is State.COMPLETED


# What is refused


@pytest.mark.parametrize("asset_id", ["nobody", "f" * 64, "", "../../etc/passwd", "a b", "ü", "a\n", "\x00"])
async def test_an_unknown_asset_ends_the_run_and_nobody_is_asked(bench: Bench, asset_id: str) -> None:
    ctx = await bench.run(new(asset_id=asset_id))
    assert ctx.state is State.FAILED
    assert ctx.error and ctx.error.code == "asset_not_found"
    assert bench.heard.states == ["PLANNING", "FAILED"]
    assert bench.model.asked == [] and bench.tools.calls == []


async def test_an_alias_of_a_deleted_picture_is_an_unknown_asset(tmp_path: Path) -> None:
    taken = await photograph(tmp_path)
    LocalArtifacts(tmp_path / "artifacts").path(taken.id).unlink()
    ctx = await Bench(tmp_path).run()
    assert ctx.error and ctx.error.code == "asset_not_found"


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"x": "y" * 70_000}},
        {"metadata": {str(n): "" for n in range(33)}},
        {"metadata": {"brief": "b" * 4001}},
        {"brief": "\x00"},
        {"brief": "\ud800"},
    ],
    ids=["long", "many", "long brief", "NUL", "surrogate"],
)
async def test_what_the_door_refuses_leaves_no_event(bench: Bench, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await bench.run(new(**changes))
    assert bench.heard.events == []


async def test_what_a_new_context_says_was_done_already_is_not_believed(bench: Bench) -> None:
    done = await bench.run()
    bench.model = model()
    forged = done.evolve(state=State.PLANNING, turns=(), finished_at=1.0, spent_usd=Decimal(1), round=9)
    again = await bench.run(forged)
    assert (again.state, again.round, again.spent_usd) == (State.COMPLETED, 0, Decimal(0))
    assert [request.role for request in bench.model.asked] == ["planner", "critic"]


async def test_a_context_may_lower_the_budget_of_the_settings_but_not_raise_it(bench: Bench) -> None:
    bench.settings = {"budget_usd": "0.5"}
    assert (await bench.run(new(budget_usd=Decimal("0.2")))).budget_usd == Decimal("0.2")
    bench.model = model()
    assert (await bench.run(new(budget_usd=Decimal(9)))).budget_usd == Decimal("0.5")


async def test_a_plan_above_the_budget_fails_before_any_call(bench: Bench) -> None:
    bench.tools.offered["t.light"] = tool("light", price_usd=Decimal(2))
    ctx = await bench.run()
    assert ctx.state is State.FAILED and bench.tools.calls == []


# Approval


async def test_by_default_a_run_stops_before_execution(bench: Bench) -> None:
    ctx = await bench.run(human_approved=False)
    assert ctx.state is State.AWAITING_APPROVAL
    assert bench.tools.calls == []
    assert bench.heard.complete(ctx)


async def test_it_goes_on_where_it_stopped_and_asks_no_model_again(bench: Bench) -> None:
    kept = await bench.waiting()
    before, bench.heard = bench.heard, Heard()
    done = await bench.run(kept)
    assert done.state is State.COMPLETED
    assert bench.tools.names == ["t.light"] and len(bench.model.asked) == 2
    assert done.approval and (done.approval.decided_by, done.approval.plan_hash) == (
        "caller",
        done.lock and done.lock.plan_hash,
    )
    heard = Heard(before.events + bench.heard.events, before.run_ids + bench.heard.run_ids)
    assert heard.complete(done)
    epochs = [event["epoch"] for event in heard.events]
    assert epochs == sorted(epochs), "epochs grow, over the pause as well"


async def test_passed_again_without_an_approval_it_still_waits_and_says_nothing(bench: Bench) -> None:
    kept = await bench.waiting()
    bench.heard = Heard()
    assert await bench.run(kept, human_approved=False) == kept
    assert bench.heard.events == []


COSTLY = steps("light").evolve(
    steps=(Step(id="light", tool="t.light", params={"picture": "$input"}, estimated_cost_usd=Decimal("0.5")),)
)
TRIGGERS = {
    "policy": (COSTLY, (verdict(),), True),
    "caller": (None, (verdict(),), True),
    "critic rejects": (None, (verdict(Verdict.REJECT, "no"),), False),
    "critic revises to the end": (None, (verdict(Verdict.REVISE, "mend"),) * 3, False),
}


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("human_approved", [True, False])
async def test_an_approval_answers_for_an_accepted_plan_and_never_against_the_critic(
    bench: Bench, trigger: str, human_approved: bool
) -> None:
    plan, critic, may_execute = TRIGGERS[trigger]
    bench.model = model(plan, *critic, rounds=3)
    bench.settings = {"approve_above_usd": "0.1"}
    ctx = await bench.run(new(ask=trigger == "caller"), human_approved=human_approved)
    executes = may_execute and human_approved
    assert ctx.state is (State.COMPLETED if executes else State.AWAITING_APPROVAL)
    assert bool(bench.tools.calls) is executes
    assert ctx.approval and ctx.approval.decided_by == ("caller" if executes else None)
    assert bench.heard.complete(ctx)


async def test_a_rejected_plan_is_not_executed_when_it_is_passed_again(bench: Bench) -> None:
    bench.model = model(None, verdict(Verdict.REJECT, "no"))
    kept = await bench.waiting()
    assert await bench.run(kept) == kept
    assert bench.tools.calls == []


async def test_finished_pictures_are_approved_only_by_who_has_seen_them(bench: Bench) -> None:
    kept = await bench.run(new(approve_result=True), human_approved=True)
    assert kept.state is State.AWAITING_APPROVAL
    assert kept.approval and kept.approval.subject == "result"
    assert bench.tools.names == ["t.light"]
    assert await bench.run(kept, human_approved=False) == kept
    done = await bench.run(kept)
    assert done.state is State.COMPLETED
    assert bench.tools.names == ["t.light"]
    assert done.approval and done.approval.decided_by == "caller"


async def test_a_context_whose_finished_pictures_were_exchanged_is_refused(bench: Bench) -> None:
    kept = await bench.run(new(approve_result=True), human_approved=True)
    assert kept.exec_result
    with pytest.raises(PicturesChanged):
        await bench.run(kept.evolve(exec_result=kept.exec_result.evolve(outputs=())))


async def test_an_approval_that_comes_too_late_is_a_no(bench: Bench) -> None:
    kept = await bench.waiting()
    assert kept.approval
    ctx = await bench.run(kept.evolve(approval=kept.approval.evolve(until=kept.approval.asked_at)))
    assert ctx.state is State.REJECTED
    assert ctx.approval and ctx.approval.decision == "expired"
    assert bench.tools.calls == []


def swapped(run: RunContext) -> RunContext:
    return run.evolve(plan=steps("light").evolve(summary="another"))


def judged_elsewhere(run: RunContext) -> RunContext:
    return run.evolve(critique=Critique(verdict=Verdict.ACCEPT, plan_hash="0" * 64))


def relocked(run: RunContext) -> RunContext:
    assert run.lock
    return run.evolve(lock=run.lock.evolve(plan_hash="0" * 64))


def other_picture(run: RunContext) -> RunContext:
    return run.evolve(picture_id="0" * 64)


def never_asked(run: RunContext) -> RunContext:
    return run.evolve(approval=None)


def unlocked(run: RunContext) -> RunContext:
    return run.evolve(lock=None)


def without_end(run: RunContext) -> RunContext:
    assert run.approval
    return run.evolve(approval=run.approval.evolve(until=float("inf")))


@pytest.mark.parametrize(
    "tamper", [swapped, judged_elsewhere, relocked, other_picture, never_asked, unlocked, without_end]
)
@pytest.mark.parametrize("human_approved", [True, False])
async def test_a_context_that_was_altered_while_it_waited_is_refused(
    bench: Bench, tamper: Callable[[RunContext], RunContext], human_approved: bool
) -> None:
    altered = tamper(await bench.waiting())
    bench.heard = Heard()
    with pytest.raises(PlanChanged):
        await bench.run(altered, human_approved=human_approved)
    assert bench.tools.calls == [] and bench.heard.events == []


@pytest.mark.parametrize("state", sorted(set(State) - {State.PLANNING, State.AWAITING_APPROVAL}))
async def test_a_context_in_any_other_state_is_refused(bench: Bench, state: State) -> None:
    kept = await bench.waiting()
    with pytest.raises(IllegalMove):
        await bench.run(kept.evolve(state=state))
    assert bench.tools.calls == []


async def test_a_context_that_is_being_planned_elsewhere_is_refused(bench: Bench) -> None:
    with pytest.raises(IllegalMove):
        await bench.run(new(turns=(Turn(stage="plan", queued_at=1.0),)))


# Faults of tools, and time


async def test_a_tool_that_asks_for_a_pause_gets_it_and_the_run_goes_on(bench: Bench) -> None:
    """The wait is longer than one in place: the stage backs off and is claimed again."""
    bench.tools.script = {"t.light": [RateLimited("later", retry_after=timedelta(seconds=2.01))]}
    ctx = await bench.run()
    assert ctx.state is State.COMPLETED and bench.tools.names == ["t.light"] * 2
    assert [event["payload"]["code"] for event in bench.heard.events if event["type"] == "warning"] == ["rate_limited"]
    assert bench.heard.complete(ctx)


async def test_a_call_that_may_have_happened_waits_for_a_person_even_when_approved(bench: Bench) -> None:
    bench.tools.offered["t.light"] = tool("light", "billed")
    bench.tools.script = {"t.light": [OutcomeUnknown("lost")] * 2}
    ctx = await bench.run()
    assert ctx.state is State.NEEDS_REVIEW
    assert bench.tools.names == ["t.light"] * 2 and bench.heard.complete(ctx)
    with pytest.raises(IllegalMove):
        await bench.run(ctx)


class Deaf(ScriptedTools):
    """A tool server that never says what it offers."""

    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        await asyncio.Event().wait()
        raise AssertionError


class Torn(ScriptedTools):
    """A tool server whose client cancels itself."""

    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        raise asyncio.CancelledError


async def test_a_cancellation_that_nobody_asked_for_fails_the_run_at_once(bench: Bench) -> None:
    bench.tools = Torn({})
    ctx = await bench.run()
    assert ctx.state is State.FAILED and bench.heard.complete(ctx)


async def test_the_runs_deadline_ends_it_whatever_it_waits_for(bench: Bench) -> None:
    bench.tools, bench.settings = Deaf({}), {"run_deadline_seconds": 0.05}
    ctx = await bench.run()
    assert ctx.state is State.FAILED
    assert ctx.error and ctx.error.code == "deadline_exceeded"
    assert bench.heard.complete(ctx)


# The hook


async def test_a_slow_async_hook_hears_each_event_once_and_in_order(bench: Bench) -> None:
    async def slowly() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    bench.heard.acts = dict.fromkeys(range(1, 99), slowly)
    ctx = await bench.run()
    assert ctx.state is State.COMPLETED and bench.heard.complete(ctx)


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), Odd()], ids=repr)
@pytest.mark.parametrize("later", [True, False], ids=["async", "plain"])
async def test_a_failing_hook_is_logged_and_fails_nothing(
    bench: Bench, error: BaseException, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Awaitable[None] | None:
        async def fails() -> None:
            raise error

        if later:
            return fails()
        raise error

    bench.heard.acts = {1: fail, 3: fail}
    with caplog.at_level(logging.ERROR, logger="prolight.agents.runner"):
        ctx = await bench.run()
    assert ctx.state is State.COMPLETED and bench.heard.complete(ctx)
    assert len(caplog.records) == 2 and "event 1 of run run-123" in caplog.records[0].getMessage()


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), Odd()], ids=repr)
def test_a_hook_that_fails_in_the_sync_face_fails_nothing_either(bench: Bench, error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        raise error

    bench.heard.acts = {1: fail, 2: fail_later, 3: fail}
    ctx = sync(bench).run_workflow(new(), human_approved=True)
    assert ctx.state is State.COMPLETED and bench.heard.complete(ctx)


# Cancellation


async def cancelled_in(bench: Bench, reached: asyncio.Event) -> None:
    task = asyncio.create_task(bench.run())
    async with asyncio.timeout(WITHIN):
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def hang(reached: asyncio.Event) -> Callable[[], Awaitable[ToolResult]]:
    async def hangs() -> ToolResult:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    return hangs


async def test_cancelled_during_a_tool_call_the_hook_hears_so(bench: Bench) -> None:
    reached = asyncio.Event()
    bench.tools.script = {"t.light": [hang(reached)]}
    await cancelled_in(bench, reached)
    assert bench.heard.states[-2:] == ["CANCELLING", "CANCELLED"]
    assert bench.heard.seqs == list(range(1, len(bench.heard.seqs) + 1))
    assert bench.tools.under_way == 0


async def test_cancelled_in_a_back_off_the_hook_hears_so(bench: Bench) -> None:
    reached = asyncio.Event()
    bench.tools.script = {"t.light": [RateLimited("later", retry_after=timedelta(minutes=1))]}
    bench.heard.acts = {7: reached.set}
    await cancelled_in(bench, reached)
    assert [event["type"] for event in bench.heard.events][6] == "warning"
    assert bench.heard.states[-2:] == ["CANCELLING", "CANCELLED"]


async def test_cancelled_while_the_hook_is_busy_the_hook_still_hears_all(bench: Bench) -> None:
    reached = asyncio.Event()

    async def busy() -> None:
        reached.set()
        await asyncio.sleep(0.02)

    bench.heard.acts = {1: busy}
    bench.tools.script = {"t.light": [hang(asyncio.Event())]}
    await cancelled_in(bench, reached)
    assert bench.heard.states[-1] == "CANCELLED"
    assert bench.heard.seqs == list(range(1, len(bench.heard.seqs) + 1))


async def test_a_hook_that_never_returns_cannot_hold_up_a_cancelled_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(0) < HOOK_GRACE <= timedelta(seconds=10)
    monkeypatch.setattr("prolight.agents.runner.HOOK_GRACE", timedelta(milliseconds=10))
    reached, cut_off = asyncio.Event(), asyncio.Event()

    async def never() -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.set()

    bench.heard.acts = {8: never}
    await cancelled_in(bench, reached)
    async with asyncio.timeout(WITHIN):
        await cut_off.wait()


async def test_a_task_that_was_cancelled_before_can_still_run_one(bench: Bench) -> None:
    """As in clean-up code: the cancellation is over, but the task still counts it."""

    async def cleans_up() -> RunContext:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await bench.run()
        raise AssertionError

    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    assert (await task).state is State.COMPLETED


# Many at once, and the sync face


async def test_one_runner_takes_several_runs_at_once(bench: Bench) -> None:
    bench.model = model(rounds=8)
    runner = bench.runner
    runs = [new(run_id=f"r{n}") for n in range(8)]
    done = await asyncio.gather(*(runner.run_workflow(run, human_approved=True) for run in runs))
    assert {ctx.state for ctx in done} == {State.COMPLETED}
    for ctx in done:
        mine = [event["seq"] for event in bench.heard.events if event["run_id"] == ctx.run_id]
        assert mine == list(range(1, ctx.seq + 1))


def sync(bench: Bench, hook: Callable[[str, dict[str, Any]], Awaitable[None] | None] | None = None) -> AgentRunner:
    return AgentRunner(bench.tools, hook or bench.heard, settings=bench.runner.settings, model=bench.model)


async def test_the_sync_face_works_inside_a_running_loop_and_inside_its_own_hook(bench: Bench) -> None:
    """As in a notebook."""
    bench.model = model(rounds=2)
    inner: list[RunContext] = []
    outer = sync(bench)
    bench.heard.acts = {
        2: lambda: inner.append(sync(bench, Heard()).run_workflow(new(run_id="i"), human_approved=True))
    }
    done = outer.run_workflow(new(), human_approved=True)
    assert (done.state, inner[0].state) == (State.COMPLETED, State.COMPLETED)
    assert bench.heard.complete(done)


def test_a_plain_hook_is_called_in_the_callers_thread_and_what_it_returns_is_awaited(bench: Bench) -> None:
    threads, awaited = set(), []

    async def publish(seq: int) -> None:
        awaited.append(seq)

    def hook(run_id: str, event: dict[str, Any]) -> Awaitable[None]:
        threads.add(threading.current_thread())
        return publish(event["seq"])

    ctx = sync(bench, hook).run_workflow(new(), human_approved=True)
    assert threads == {threading.current_thread()}
    assert awaited == list(range(1, ctx.seq + 1))


def test_one_client_serves_many_threads_with_loops_of_their_own(home: Path) -> None:
    settings = Settings.load(home=home)
    runner = AgentRunnerAsync(MCPClient(settings=settings), settings=settings)
    done: list[RunContext] = []

    def work(number: int) -> None:
        done.append(asyncio.run(runner.run_workflow(new(run_id=f"r{number}", brief="50% brighter"))))

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [ctx.state for ctx in done] == [State.AWAITING_APPROVAL] * 4


def test_a_hook_that_exits_ends_the_run_and_the_next_one_works(bench: Bench) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    bench.heard.acts = {2: leave}
    bench.tools.script = {"t.light": [hang(asyncio.Event())]}
    with pytest.raises(SystemExit):
        sync(bench).run_workflow(new(), human_approved=True)
    assert bench.heard.states[-1] == "CANCELLED"
    bench.model, bench.heard, bench.tools.script = model(), Heard(), {}
    assert sync(bench).run_workflow(new(), human_approved=True).state is State.COMPLETED


def test_what_the_documentation_shows_leaves_the_interpreter_without_complaint(home: Path) -> None:
    body = """
import asyncio
from prolight.agents import AgentRunner, AgentRunnerAsync, RunContext
from prolight.mcp import MCPClient
tools = MCPClient()
def asked(run_id):
    return RunContext(run_id=run_id, asset_id="asset-456", metadata={"user": "user-789"})
async def hook(run_id, event):
    await asyncio.sleep(0)
runner = AgentRunnerAsync(tools, hook)
for number in range(2):
    print(asyncio.run(runner.run_workflow(asked(f"run-{number}"), human_approved=number == 1)).state)
sync = AgentRunner(tools, event_hook=lambda run_id, payload: None)
print(sync.run_workflow(asked("run-3"), human_approved=True).state)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", body],
        env={**os.environ, "PROLIGHT_HOME": str(home)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split() == ["AWAITING_APPROVAL", "COMPLETED", "COMPLETED"]
