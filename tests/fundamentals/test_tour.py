"""A tour of ProLight in ten tests. Read them in order; each needs only those before it.

A picture and a brief become a *run*. Three agents work on it, each in a *stage*: the Planner writes a plan, the Critic
judges exactly that plan, the Executor carries it out. Everything else here is about never losing a run, never paying
twice, and never carrying out what nobody accepted.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from prolight import assets, commands, lifecycle
from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.memory_store import MemoryStore
from prolight.agents import AgentRunnerAsync
from prolight.agents.base import Work
from prolight.calls import Answer, Call
from prolight.decisions import Deadlines, Queued
from prolight.determinism import plan_hash
from prolight.errors import ClaimLost, IllegalMove, PlanChanged, VersionConflict
from prolight.events import Status
from prolight.guardrails import Case, Policy, rule
from prolight.journal import Journal
from prolight.mcp import MCPClientAsync
from prolight.pictures import PictureLimits
from prolight.ports import Claim, Tool, Write
from prolight.retry import RetryPolicies
from prolight.schemas import Critique, Lock, Plan, RunContext, RunRequest, Stage, State, Step, Verdict
from prolight.settings import Settings
from prolight.writer import Writer
from tests.integration.fleet import Fleet
from tests.integration.test_faults import picture

NOW = 1_000.0
DEADLINES = Deadlines()
REQUEST = RunRequest(picture_id="a" * 64, brief="warm key from the left")
PLAN = Plan(steps=(Step(id="key", tool="studio.relight", params={"picture": "$input"}),))
LOCK = Lock(
    plan_hash=plan_hash(PLAN),
    input_sha256="a" * 64,
    model_version="rules",
    prompt_hash="",
    seed=1,
    policy_version="1",
    prolight_version="0",
)
ACCEPTED = Critique(verdict=Verdict.ACCEPT, plan_hash=LOCK.plan_hash)


def new_run(**changes: object) -> RunContext:
    run = lifecycle.submitted(REQUEST, "r", budget_usd=Decimal(1), now=NOW, deadlines=DEADLINES).run
    return run.evolve(**changes)


async def accepted_by(store: MemoryStore) -> None:
    decision = lifecycle.submitted(REQUEST, "r", budget_usd=Decimal(1), now=store.now(), deadlines=DEADLINES)
    await store.create(decision, fingerprint="f", idempotency_key=None)


def test_1_a_run_is_a_document_and_what_happens_to_it_is_a_decision() -> None:
    """Pure functions take the document and answer: the new document, its events, and who looks at it next."""
    decision = lifecycle.planned(new_run(), PLAN, LOCK, now=NOW + 2, deadlines=DEADLINES)
    assert decision.run.state is State.CRITIQUING
    assert [event.type for event in decision.events] == ["plan", "status"]
    assert decision.placement == Queued(Stage.CRITIQUE, budget=DEADLINES.stage)


def test_2_one_table_says_what_may_follow_and_all_else_is_refused() -> None:
    """`lifecycle.TRANSITIONS` is the whole machine: a finished run, for one, is followed by nothing."""
    done = lifecycle.executed(new_run(state=State.EXECUTING), (), now=NOW, deadlines=DEADLINES).run
    assert done.state is State.COMPLETED
    with pytest.raises(IllegalMove):
        lifecycle.cancelled(done, held=False, reason="too late", now=NOW, deadlines=DEADLINES)


async def test_3_a_store_carries_out_a_whole_decision_or_nothing() -> None:
    """Document, events and placement are one atomic commit, on the version that was read. Else: read, decide again."""
    store = MemoryStore()
    await accepted_by(store)
    seen = await store.read("r")
    decision = lifecycle.cancelled(seen.run, held=False, reason="sold", now=store.now(), deadlines=DEADLINES)
    await store.commit(Write(seen, decision, op_id="1", holder=False))
    with pytest.raises(VersionConflict):
        await store.commit(Write(seen, decision, op_id="2", holder=False))
    assert [json.loads(event)["seq"] for event in await store.events("r")] == [1, 2, 3]


async def test_4_a_worker_claims_a_stage_and_a_stale_claim_writes_nothing() -> None:
    """A claim has a lease. Whoever sleeps through it is replaced, and on waking its word no longer counts."""
    time = [NOW]
    store = MemoryStore(clock=lambda: time[0])
    await accepted_by(store)
    [first] = await store.claim(Stage.PLAN, 1, "worker-1")
    for _ in range(7):  # nothing is heard of worker-1 for 14 seconds, while the others sweep
        time[0] += 2
        await store.sweep()
    [second] = await store.claim(Stage.PLAN, 1, "worker-2")
    assert second.snapshot.epoch == first.snapshot.epoch + 1
    planned = lifecycle.planned(first.snapshot.run, PLAN, LOCK, now=store.now(), deadlines=DEADLINES)
    with pytest.raises(ClaimLost):
        await store.commit(Write(first.snapshot, planned, op_id="late"))


async def test_5_every_call_to_the_outside_is_in_a_journal_and_is_not_bought_again() -> None:
    """`started` before the send, `done` after it. Whoever takes the run over finds the answer by the same key."""
    store = MemoryStore()
    await accepted_by(store)
    sent = []

    async def send(_deadline: object) -> Answer:
        sent.append("once")
        return Answer({"colour": "warm"})

    async def work(claim: Claim) -> Answer:
        writer = Writer(store, claim)
        journal = Journal(writer, claim.journal, RetryPolicies())
        answer = await Work(claim.snapshot.run, writer, journal).journal.call(CALL, send)
        await writer.finish(lambda run: lifecycle.released(run, now=store.now()))
        return answer

    first, second = [await work((await store.claim(Stage.PLAN, 1, worker))[0]) for worker in ("w1", "w2")]
    assert first.result == second.result == {"colour": "warm"}
    assert sent == ["once"]


CALL = Call(key="measure", name="studio.inspect_image", arguments_hash="h", effect="blind", timeout=DEADLINES.step)


def test_6_a_plan_is_bound_by_its_hash() -> None:
    """Verdict, approval and execution name the hash of the one plan that they mean; any change is another plan."""
    brighter = Plan(steps=(PLAN.steps[0].evolve(params={"picture": "$input", "exposure_ev": 1}),))
    assert plan_hash(brighter) != LOCK.plan_hash
    assert plan_hash(Plan.model_validate_json(PLAN.model_dump_json())) == LOCK.plan_hash


def test_7_guardrails_are_code_and_outrank_the_models() -> None:
    """They look at the plan before anybody pays for it: deny, mend, or ask a person."""
    relight = Tool("studio.relight", "lights", {"type": "object", "properties": {"picture": {"type": "string"}}}, "1")
    banned = Policy(banned_tools=frozenset({"studio.relight"}))
    assert rule(Case(PLAN, {"studio.relight": relight}, banned, Decimal(1))).denied
    elsewhere = Plan(steps=(PLAN.steps[0].evolve(params={"picture": "https://example.com/x.jpg"}),))
    assert rule(Case(elsewhere, {"studio.relight": relight}, Policy(), Decimal(1))).findings


async def test_8_a_person_approves_exactly_what_was_shown() -> None:
    """A run that asks stops before anything is carried out. Another plan's hash approves nothing; silence is a no."""
    store = MemoryStore()
    waiting = new_run(state=State.CRITIQUING, plan=PLAN, lock=LOCK, ask=True)
    parked = lifecycle.judged(waiting, ACCEPTED, model="rules", now=store.now(), deadlines=DEADLINES).run
    store.adopt(parked)
    with pytest.raises(PlanChanged):
        await commands.approve(store, "r", "f" * 64, by="ann", deadlines=DEADLINES)
    approved = await commands.approve(store, "r", LOCK.plan_hash, by="ann", deadlines=DEADLINES)
    assert (approved.run.state, approved.run.approval and approved.run.approval.decided_by) == (State.EXECUTING, "ann")


async def test_9_all_of_it_in_one_process(tmp_path: Path) -> None:
    """The same three agents over the store in memory, with the studio's real tools: no broker, no server."""
    settings = Settings.load(home=tmp_path)
    chair = await assets.take_in(LocalArtifacts(settings.artifact_root), picture(), PictureLimits())
    heard = []
    runner = AgentRunnerAsync(
        MCPClientAsync(settings=settings), lambda _, event: heard.append(event["type"]), settings=settings
    )
    asked = RunContext(run_id="r", asset_id=chair.id, brief="warm key from the left, white background")
    done = await runner.run_workflow(asked, human_approved=True)
    assert (done.state, done.error) == (State.COMPLETED, None)
    assert done.plan and done.exec_result
    assert [step.tool for step in done.plan.steps] == ["studio.relight", "studio.replace_background", "studio.export"]
    assert done.exec_result.outputs
    assert heard[-2:] == ["result", "status"]


async def test_10_a_celery_message_is_a_bell_and_losing_all_of_them_loses_nothing(tmp_path: Path) -> None:
    """In production the record lives in Redis, and a Celery message only says that a stage has work: it names no run.

    So a message may be lost or repeated without harm. Here every bell is thrown away before a worker could hear it.
    """
    async with Fleet(tmp_path, studio=False) as fleet:
        run_id = await fleet.client.submit(picture(), "warm key from the left")
        bells = await fleet.client.store._ask("LRANGE", "prolight.plan", 0, -1)
        assert bells
        assert run_id not in "".join(bells)
        await fleet.client.store._ask("DEL", "prolight.plan")
        await fleet.start_worker()
        ended = await fleet.client.wait(run_id, timeout=60)
        assert ended.run.state is State.COMPLETED
        states = [
            event.payload.state async for event in fleet.client.events(run_id) if isinstance(event.payload, Status)
        ]
        assert states == [State.PLANNING, State.CRITIQUING, State.EXECUTING, State.COMPLETED]
