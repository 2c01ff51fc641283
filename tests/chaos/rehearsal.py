"""The product itself in one process, with workers that die and freeze, and tools that fail: recorded as a trial is.

It shows that the checker takes no honest behaviour of journal, writer, lifecycle and sweeper for a violation. It is no
chaos test: there is one process, a store in memory, and a clock that the rehearsal turns.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from prolight import commands, lifecycle
from prolight.adapters.memory_record import Record
from prolight.adapters.memory_store import MemoryStore, _Look
from prolight.agents import Critic, Executor, Planner
from prolight.attempt import Attempt, Attempts
from prolight.decisions import Deadlines, Decision, Ended, Held, Parked, Queued
from prolight.determinism import fingerprint
from prolight.errors import ClaimLost, IllegalMove, NotSent, OutcomeUnknown, RateLimited, VersionConflict
from prolight.guardrails import Policy
from prolight.ledger import Entry, LedgerPolicy
from prolight.lifecycle import PARKED, TERMINAL
from prolight.ports import ChatReply, ChatRequest, Claim, Process, Snapshot, Tool, ToolResult, Write
from prolight.retry import RetryPolicies, RetryPolicy
from prolight.schemas import Artifact, Critique, Plan, RunRequest, Stage, State, Step, Usage, Verdict
from prolight.sweeper import settle_overdue
from tests.chaos import histories as lines
from tests.chaos.tape import TERMS, TOOLS, pin_of, sha

PLACES: dict[type, Any] = {Held: "held", Queued: "queued", Parked: "parked", Ended: "ended"}
SCHEMA = {"type": "object", "properties": {"picture": {"type": "string"}, "for": {"type": "string"}}}
QUICK = RetryPolicy(base=timedelta(microseconds=1))
NO_ENTRIES: Mapping[str, str] = {}
CALL_TIMEOUT = timedelta(seconds=5)
LEDGER = LedgerPolicy(grace=timedelta(seconds=1))
CALL_COSTS = Decimal("0.01")
POISON = "r0"
"""Whoever asks the model about this run dies."""


class Died(BaseException):
    """The worker is gone in the middle of what it did: nothing of it is caught, nothing more is written."""


class RecordedStore(MemoryStore):
    """Appends to the audit what the scripts would. Each look at its clock takes a millisecond."""

    def __init__(self) -> None:
        self.time = 1_790_000_000.0
        super().__init__(
            lease=timedelta(seconds=TERMS.lease), crashes_to_poison=TERMS.crashes_to_poison, clock=self._tick
        )
        self.audit: list[lines.Audit] = []

    def _tick(self) -> float:
        self.time = round(self.time + 0.001, 3)
        return self.time

    def _line(self, run: str) -> dict[str, Any]:
        return {"lsn": len(self.audit) + 1, "at": self._last, "run": run}

    async def create(
        self,
        decision: Decision,
        *,
        fingerprint: str,
        idempotency_key: str | None,
        journal: Mapping[str, str] = NO_ENTRIES,
    ) -> tuple[str, bool]:
        answer = await super().create(
            decision, fingerprint=fingerprint, idempotency_key=idempotency_key, journal=journal
        )
        run = decision.run
        seqs = tuple(range(1, len(decision.events) + 1))
        self.audit.append(lines.Create(**self._line(run.run_id), document=run, events=seqs, fingerprint=fingerprint))
        return answer

    async def claim(self, stage: Stage, count: int, process: str) -> list[Claim]:
        claims = await super().claim(stage, count, process)
        for claim in claims:
            seen = claim.snapshot
            self.audit.append(
                lines.Claim(
                    **self._line(claim.run_id),
                    ver=seen.ver,
                    epoch=seen.epoch,
                    claim=seen.claim_id,
                    process=process,
                    stage=stage,
                    hard_stop=round((seen.hard_stop or 0) * 1000),
                )
            )
        return claims

    async def commit(self, write: Write) -> Snapshot:
        run, place = write.decision.run, write.decision.placement
        record = self._runs[run.run_id]
        before, told, crashed = record.claim_id, record.seq, tuple(record.crashed)
        by: Any = "holder" if write.holder else "client"
        under = write.base.claim_id if write.holder else ""
        try:
            answer = await super().commit(write)
        except (ClaimLost, VersionConflict) as refused:
            how: Any = "lost" if isinstance(refused, ClaimLost) else "conflict"
            if under in crashed and under not in record.crashed:
                self.audit.append(lines.TakenBack(**self._line(run.run_id), claim=under))
            self.audit.append(lines.Refused(**self._line(run.run_id), how=how, by=by, under=under, op=write.op_id))
            raise
        self.audit.append(
            lines.Commit(
                **self._line(run.run_id),
                ver=record.ver,
                epoch=record.epoch,
                claim=before,
                under=under,
                by=by,
                op=write.op_id,
                place=PLACES[type(place)],
                back_off=round(place.after.total_seconds() * 1000) if isinstance(place, Queued) else 0,
                crashed=isinstance(place, Queued) and place.crashed,
                document=run.from_json(record.document),
                journal={key: Entry.model_validate_json(text) for key, text in write.journal.items()},
                events=tuple(range(told + 1, record.seq + 1)),
            )
        )
        return answer

    async def heartbeat(self, process: Process, claims: Mapping[str, str]) -> set[str]:
        before = {run: tuple(self._runs[run].crashed) for run in claims if run in self._runs}
        over = await super().heartbeat(process, claims)
        for run, crashed in before.items():
            if claims[run] in crashed and claims[run] not in self._runs[run].crashed:
                self.audit.append(lines.TakenBack(**self._line(run), claim=claims[run]))
        return over

    def _free(self, record: Record, look: _Look, *, crashed: bool) -> None:
        if record.claim_id:
            ended = {"epoch": record.epoch, "claim": record.claim_id, "why": "lease" if crashed else "retire"}
            self.audit.append(lines.ClaimEnded(**self._line(record.run_id), **ended))
        super()._free(record, look, crashed=crashed)

    def end(self) -> lines.End:
        records = self._runs.items()
        return lines.End(
            quiet=True,
            now=self._time(),
            settings=TERMS.evolve(max_tries=QUICK.max_tries),
            runs={run: _end_of(record) for run, record in records},
            due={f"run:{run}": record.due for run, record in records if record.due is not None},
        )


def _end_of(record: Record) -> lines.RunEnd:
    seen = record.view()
    entries = {key: Entry.model_validate_json(text) for key, text in record.journal.items()}
    return lines.RunEnd(
        document=seen.run, ver=seen.ver, epoch=seen.epoch, seq=seen.seq, claim=seen.claim_id, journal=entries
    )


@dataclass
class Outside:
    """The tool server and the model. What happens to a call is drawn by lot."""

    store: RecordedStore
    random: Random
    world: list[lines.Receipt] = field(default_factory=list)
    llm: list[lines.Reply] = field(default_factory=list)
    frozen: list[asyncio.Event] = field(default_factory=list)
    faults: list[lines.Fault] = field(default_factory=list)
    calls: int = 0
    calm: bool = False
    model_version: str = "rehearsal-1"
    prompt_hash: str = "0" * 64

    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        return {
            name: Tool(name, name, SCHEMA, pin_of(name), terms.effect, terms.price_usd, CALL_TIMEOUT)
            for name, terms in TOOLS.items()
        }

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, key: str, deadline: timedelta) -> ToolResult:
        await self._fate("before it is sent")
        self.calls += 1
        common = dict(
            key=key, tool=tool.name, effect=tool.effect, pin=tool.pin, arguments=fingerprint(arguments), call=self.calls
        )
        self._receipt("received", common)
        if not self.calm and self.random.random() < 0.1:
            self._receipt("answered", common)
            raise RateLimited("a pause")
        self._receipt("applied", common, charged_usd=tool.price_usd)
        await self._fate("after it was applied")
        picture = Artifact(id=sha(f"picture of {key}"), media_type="image/png", size_bytes=9, width=8, height=8)
        output: dict[str, Any] = {"delta": 0.5}
        looks = tool.name.endswith("inspect_image")
        content = output if looks else {**output, "artifact": picture.model_dump(mode="json")}
        self._receipt("answered", common, result=fingerprint(content))
        return ToolResult(output, None if looks else picture)

    def quote(self, request: ChatRequest) -> Decimal:
        return CALL_COSTS

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply:
        await self._fate("before it is asked")
        self.calls += 1
        run = str(request.facts["brief"]).rpartition(" ")[2]
        common: dict[str, Any] = dict(call=self.calls, role=request.role, run=run)
        at = dict(n=len(self.llm) + 1, at=self.store._tick())
        self.llm.append(lines.Reply(**at, what="received", charged_usd=CALL_COSTS, **common))
        if run == POISON:
            self.faults.append(lines.Fault(name="dies of poison", landed=True, at=self.store._tick()))
            raise Died
        await self._fate("after it was asked")
        text = self._plan(run) if request.role == "planner" else self._verdict()
        result = hashlib.sha256(text.encode()).hexdigest()
        at = dict(n=len(self.llm) + 1, at=self.store._tick())
        self.llm.append(lines.Reply(**at, what="answered", result=result, **common))
        return ChatReply(text, self.model_version, Usage(cost_usd=CALL_COSTS))

    def _plan(self, run: str) -> str:
        tools = self.random.choices(sorted(set(TOOLS) - {"world.inspect_image"}), k=self.random.randint(1, 4))
        first = Step(id="s0", tool=tools[0], params={"picture": "$input", "for": run})
        rest = (
            Step(id=f"s{n}", tool=tool, params={"picture": self.random.choice(["$input", "$s0"])})
            for n, tool in enumerate(tools[1:], 1)
        )
        return Plan(steps=(first, *rest)).model_dump_json()

    def _verdict(self) -> str:
        verdict = self.random.choices([Verdict.ACCEPT, Verdict.REVISE, Verdict.REJECT], [8, 1, 1])[0]
        return Critique(verdict=verdict).model_dump_json()

    async def _fate(self, when: str) -> None:
        fate = "fine" if self.calm else self.random.choices(
            ["fine", "dies", "freezes", "unknown", "not sent"], [60, 4, 4, 4, 4]
        )[0]  # fmt: skip
        await asyncio.sleep(0)
        if fate in ("dies", "freezes"):
            self.faults.append(lines.Fault(name=f"{fate} {when}", landed=True, at=self.store._tick()))
        match fate:
            case "dies":
                raise Died
            case "freezes":
                self.frozen.append(thawed := asyncio.Event())
                await thawed.wait()
            case "unknown":
                raise OutcomeUnknown("no answer")
            case "not sent" if when.startswith("before"):
                raise NotSent("no connection")

    def _receipt(self, what: Any, common: Mapping[str, Any], **fields: Any) -> None:
        line = lines.Receipt(n=len(self.world) + 1, at=self.store._tick(), what=what, **common, **fields)
        self.world.append(line)


class Rehearsal:
    def __init__(self, seed: int, runs: int) -> None:
        self.random = Random(seed)
        self.store = RecordedStore()
        self.outside = Outside(self.store, self.random)
        self.client: list[lines.Submit] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.deadlines = Deadlines()
        policy = Policy(banned_tools=TERMS.policy.banned_tools, approve_above_usd=TERMS.policy.approve_above_usd)
        agents = (
            Planner(self.outside, self.outside, policy, self.deadlines),
            Critic(self.outside, self.outside, policy, self.deadlines, self.outside),
            Executor(self.outside, policy),
        )
        self.parts = Attempts(
            self.store, {agent.stage: agent for agent in agents}, self.deadlines, RetryPolicies(QUICK), LEDGER
        )
        self.names = [f"r{number}" for number in range(runs)]

    async def play(self) -> lines.History:
        for name in self.names:
            await self._submit(name)
        for turn in range(120):
            self.outside.calm = turn > 40
            await self._turn()
            if not self.tasks and await self._all_ended():
                break
        return await self._history()

    async def _submit(self, run: str) -> None:
        request = RunRequest(picture_id=sha(run), brief=f"light for {run}", ask=self.random.random() < 0.2)
        now, body = self.store.now(), sha(f"body of {run}")
        decision = lifecycle.submitted(request, run, budget_usd=Decimal(1), now=now, deadlines=self.deadlines)
        await self.store.create(decision, fingerprint=body, idempotency_key=None)
        got = self.store._tick()
        self.client.append(lines.Submit(n=1, sent=now, got=got, body=body, answer="accepted", run=run))

    async def _turn(self) -> None:
        for stage in Stage:
            for claim in await self.store.claim(stage, 2, f"worker-{self.random.randint(1, 3)}"):
                self.tasks.add(asyncio.create_task(Attempt(self.parts, claim).make()))
        if self.tasks:
            done, self.tasks = await asyncio.wait(self.tasks, timeout=0.01)
            for task in done:
                task.exception()
        if self.random.random() < 0.3 or self.outside.calm:
            self.store.time += TERMS.lease + 0.1
            self.outside.faults.append(lines.Fault(name="all stand still", landed=True, at=self.store._tick()))
        for _ in range(2):
            await settle_overdue(self.store, await self.store.sweep(), self.deadlines)
        await self._people()
        if self.outside.frozen and (self.random.random() < 0.3 or self.outside.calm):
            self.outside.frozen.pop(0).set()

    async def _people(self) -> None:
        for run in self.names:
            seen = await self.store.read(run)
            if seen.run.state is State.AWAITING_APPROVAL and seen.run.lock and self.random.random() < 0.3:
                with suppress(IllegalMove):
                    await commands.approve(self.store, run, seen.run.lock.plan_hash, by="ada", deadlines=self.deadlines)
            elif seen.run.state not in TERMINAL and not self.outside.calm and self.random.random() < 0.01:
                await commands.cancel(self.store, run, reason="no more", deadlines=self.deadlines)

    async def _all_ended(self) -> bool:
        states = [(await self.store.read(run)).run.state for run in self.names]
        return all(state in TERMINAL | PARKED for state in states)

    async def _history(self) -> lines.History:
        streams = [(run, await self.store.events(run)) for run in self.names]
        return lines.History(
            audit=tuple(self.store.audit),
            events=tuple(
                lines.Streamed(run=run, seq=seq, event=text, sha256=sha(text))
                for run, texts in streams
                for seq, text in enumerate(texts, 1)
            ),
            client=tuple(self.client),
            world=tuple(self.outside.world),
            llm=tuple(self.outside.llm),
            readers=(),
            reads=(),
            processes=(),
            faults=tuple(self.outside.faults),
            end=self.store.end(),
        )
