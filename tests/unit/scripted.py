"""A store with a settable clock, a model and tools that do as a test says: small, real implementations of the ports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from prolight.adapters.memory_store import MemoryStore
from prolight.adapters.offline_model import OfflineModel
from prolight.agents import Critic, Executor, Planner
from prolight.attempt import Attempt, Attempts
from prolight.decisions import Deadlines, Decision, Queued
from prolight.determinism import plan_hash
from prolight.events import Event, parse
from prolight.guardrails import Policy
from prolight.ledger import Entry
from prolight.lifecycle import stage_budget
from prolight.ports import ChatReply, ChatRequest, Claim, Effect, Snapshot, Tool, ToolResult, Write
from prolight.retry import RetryPolicies, RetryPolicy
from prolight.schemas import Artifact, Critique, Lock, Plan, RunContext, Stage, State, Step, Turn, Usage, Verdict

PICTURE = "a" * 64
PIN = "1" * 64
START = 1_000.0
QUICK = RetryPolicy(base=timedelta(microseconds=1))
Send = Callable[[], Awaitable[ToolResult]]


class WatchedStore(MemoryStore):
    """Remembers every commit, holds money to its budget, and fails or stops where a test says so."""

    def __init__(self, **settings: Any) -> None:
        self.time = START
        super().__init__(clock=lambda: self.time, **settings)
        self.writes: list[Write] = []
        self.commits: list[RunContext] = []
        self.faults: list[Exception | None] = []
        self.entered = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def commit(self, write: Write) -> Snapshot:
        self.writes.append(write)
        self.entered.set()
        if self.gate:
            await self.gate.wait()
        if self.faults and (fault := self.faults.pop(0)):
            raise fault
        snapshot = await super().commit(write)
        run = snapshot.run
        assert run.reserved_usd >= 0
        assert run.spent_usd + run.reserved_usd <= run.budget_usd
        self.commits.append(run)
        return snapshot

    async def told(self, run_id: str = "r") -> list[Event]:
        return [parse(text) for text in await self.events(run_id)]

    async def warnings(self) -> list[str]:
        return [event.payload.model_dump()["code"] for event in await self.told() if event.type == "warning"]

    async def entries(self, run_id: str = "r") -> list[Entry]:
        return [Entry.model_validate_json(text) for text in (await self.journal(run_id)).values()]


def picture(name: str) -> Artifact:
    return Artifact(id=name[0] * 64, media_type="image/png", size_bytes=1, width=1, height=1)


def tool(name: str, effect: Effect = "pure", **changes: Any) -> Tool:
    schema = {"type": "object", "properties": {"picture": {"type": "string"}, "strength": {"type": "number"}}}
    return Tool(f"t.{name}", name, schema, pin=PIN, effect=effect, picture_params=frozenset({"picture"}), **changes)


@dataclass
class ScriptedTools:
    """Each call of a tool takes the next line of its script; when there is none, the tool makes a picture."""

    offered: dict[str, Tool]
    script: dict[str, list[Exception | ToolResult | Send]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    deadlines: list[timedelta] = field(default_factory=list)
    under_way: int = 0
    most_at_once: int = 0
    discovery: list[Exception] = field(default_factory=list)
    asked_anew: list[set[str]] = field(default_factory=list)
    before_effects: list[Exception] = field(default_factory=list)

    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        if anew:
            self.asked_anew.append(set(needed))
        if errors := self.before_effects if anew else self.discovery:
            raise errors.pop(0)
        return self.offered

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, key: str, deadline: timedelta) -> ToolResult:
        self.calls.append((tool.name, key))
        self.deadlines.append(deadline)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await asyncio.sleep(0)
            lines = self.script.get(tool.name, [])
            line = lines.pop(0) if lines else ToolResult({}, picture("b"))
            if isinstance(line, Exception):
                raise line
            return line if isinstance(line, ToolResult) else await line()
        finally:
            self.under_way -= 1

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@dataclass
class ScriptedModel:
    answers: dict[str, list[str | Exception]] = field(default_factory=dict)
    price: Decimal = Decimal(0)
    asked: list[ChatRequest] = field(default_factory=list)
    model_version: str = "scripted-1"
    prompt_hash: str = "0" * 64

    def quote(self, request: ChatRequest) -> Decimal:
        return self.price

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply:
        self.asked.append(request)
        line = self.answers[request.role].pop(0)
        if isinstance(line, Exception):
            raise line
        return ChatReply(line, self.model_version, Usage(cost_usd=self.price, input_tokens=7))


@dataclass
class World:
    """Everything that an attempt needs, and the runs in it."""

    tools: ScriptedTools
    model: ScriptedModel = field(default_factory=ScriptedModel)
    policy: Policy = field(default_factory=Policy)
    deadlines: Deadlines = field(default_factory=Deadlines)
    retry: RetryPolicy = QUICK
    store: WatchedStore = field(default_factory=WatchedStore)

    @property
    def parts(self) -> Attempts:
        agents = (
            Planner(self.model, self.tools, self.policy, self.deadlines),
            Critic(self.model, self.tools, self.policy, self.deadlines, OfflineModel()),
            Executor(self.tools, self.policy),
        )
        return Attempts(self.store, {agent.stage: agent for agent in agents}, self.deadlines, RetryPolicies(self.retry))

    async def add(self, run: RunContext) -> None:
        stage = {State.PLANNING: Stage.PLAN, State.CRITIQUING: Stage.CRITIQUE, State.EXECUTING: Stage.EXECUTE}[
            run.state
        ]
        run = run.evolve(turns=(Turn(stage=stage, queued_at=START),), works_until=START + 3600)
        queued = Queued(stage, budget=stage_budget(run, stage, self.deadlines))
        await self.store.create(Decision(run, (), queued), fingerprint=run.run_id, idempotency_key=None)

    async def claim(self, stage: Stage = Stage.EXECUTE, process: str = "p") -> Claim:
        (claim,) = await self.store.claim(stage, 1, process)
        return claim

    async def attempt(self, stage: Stage = Stage.EXECUTE) -> Attempt:
        return Attempt(self.parts, await self.claim(stage))

    async def take_over(self) -> Attempt:
        """Another worker gets the run after the lease of the one before has ended."""
        await self.lease_ends()
        return await self.attempt()

    async def lease_ends(self) -> None:
        """In steps: after a long silence the sweep would hold expired leases back."""
        for _ in range(7):
            self.store.time += 2
            await self.store.sweep()


def planning(**changes: Any) -> RunContext:
    return RunContext(run_id="r", asset_id=PICTURE, brief="warm light").evolve(**changes)


def executing(plan: Plan, tools: ScriptedTools, **changes: Any) -> RunContext:
    lock = Lock(
        plan_hash=plan_hash(plan),
        input_sha256=PICTURE,
        model_version="m",
        prompt_hash=PIN,
        seed=1,
        tool_pins={step.tool: tools.offered[step.tool].pin for step in plan.steps},
        policy_version="p",
        prolight_version="v",
    )
    critique = Critique(verdict=Verdict.ACCEPT, plan_hash=lock.plan_hash)
    return planning(state=State.EXECUTING, plan=plan, lock=lock, critique=critique, **changes)


def steps(*names: str, after: str = "") -> Plan:
    """One step a tool; all on the input picture, or each on the step before it (`after="chain"`)."""
    made: list[Step] = []
    for name in names:
        source = f"${made[-1].id}" if made and after else "$input"
        made.append(Step(id=name, tool=f"t.{name}", params={"picture": source}))
    return Plan(steps=tuple(made))


async def world(*tools: Tool, plan: Plan | None = None, **run: Any) -> World:
    """A world with one run that waits for the Executor; by default one step a tool."""
    here = World(ScriptedTools({tool.name: tool for tool in tools}))
    plan = plan or steps(*(tool.name.partition(".")[2] for tool in tools))
    await here.add(executing(plan, here.tools, **run))
    return here
