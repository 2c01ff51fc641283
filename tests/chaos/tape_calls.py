"""Calls on a tape: what journal, tool server and model record of one, in every way in which it can go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from prolight import lifecycle
from prolight.determinism import call_key, fingerprint
from prolight.events import Payload, StepMoved, Warned
from prolight.ledger import Entry
from prolight.schemas import Artifact, ExecutionResult, Lock, RunContext, Step, StepResult, Usage
from tests.chaos.histories import Receipt, Reply
from tests.chaos.tape import TOOLS, Life, pin_of, sha

ASKED = Decimal("0.01")
"""What a question to the model costs."""


@dataclass
class Call:
    """One call of a run, to the tool server or to the model."""

    life: Life
    key: str
    name: str
    arguments: str
    quote: Decimal
    result: dict[str, Any]
    step: Step | None = None
    role: Any = None
    number: int = 0
    """The request under way."""

    @property
    def entry(self) -> Entry:
        return self.life.journal[self.key]

    def start(self) -> Call:
        """`started` goes on record; what the try before may have cost is spent."""
        life, tape = self.life, self.life.tape
        tape.pass_time()
        before, run, events = life.journal.get(self.key), life.run, list[Payload]()
        if before and before.status == "started":
            run = lifecycle.spent(run, reserved=before.quote_usd, usage=Usage(cost_usd=before.quote_usd))
        if before and before.status in ("started", "unknown") and self.quote:
            events.append(Warned(code="possibly_billed_twice", message=f"{self.name} is sent again"))
        if self.step:
            run = _with(run, StepResult(id=self.step.id, status="running", started_at=tape.now))
            events.append(StepMoved(step=self.step.id, tool=self.name, status="started"))
        entry = Entry(
            status="started",
            name=self.name,
            arguments_hash=self.arguments,
            tries=1 + (before.tries if before else 0),
            started_at=tape.now,
            deadline_at=tape.now + 20,
            quote_usd=self.quote,
        )
        life.change(run.evolve(reserved_usd=run.reserved_usd + self.quote), *events, journal={self.key: entry})
        return self

    def received(self) -> Call:
        self.life.tape.calls += 1
        self.number = self.life.tape.calls
        return self._line("received", charged=self.quote if self.role else Decimal(0))

    def applied(self) -> Call:
        if self.step:
            self.life.tape.pictures.add(self.result["artifact"]["id"])
        return self._line("applied", charged=self.quote)

    def answered(self) -> Call:
        return self._line("answered", result=sha(self.result["text"]) if self.role else _answer(self.result))

    def answered_no(self) -> Call:
        """An error: no result."""
        return self._line("answered")

    def probed(self, *, found: bool) -> Call:
        return self._line("probed", result=_answer(self.result) if found else None)

    def done(self) -> Call:
        run, events, entry = self.settled()
        self.life.tape.pass_time()
        self.life.change(run, *events, journal={self.key: entry})
        return self

    def settled(self) -> tuple[RunContext, list[Payload], Entry]:
        """What `done` makes of the run, for a commit of its own or to join with another."""
        tape, usage = self.life.tape, Usage(cost_usd=self.quote)
        entry = self.entry.evolve(status="done", finished_at=tape.now, result=self.result, usage=usage)
        reserved = self.quote if self.entry.status == "started" else Decimal(0)
        run = lifecycle.spent(self.life.run, reserved=reserved, usage=usage)
        events = list[Payload]()
        if self.step:
            picture = Artifact.model_validate(self.result["artifact"])
            made = StepResult(id=self.step.id, status="done", artifact=picture, started_at=entry.started_at)
            run = _with(run, made)
            events.append(StepMoved(step=self.step.id, tool=self.name, status="done", artifact=picture))
        return run, events, entry

    def unknown(self) -> Call:
        self.life.tape.pass_time()
        entry = self.entry.evolve(status="unknown", finished_at=self.life.tape.now, reason="gave no answer")
        run = lifecycle.spent(self.life.run, reserved=self.quote, usage=Usage(cost_usd=self.quote))
        self.life.change(run, journal={self.key: entry})
        return self

    def refused(self, *, sent: bool = True) -> Call:
        """The other side said no before acting; or nothing was sent, which is no try."""
        self.life.tape.pass_time()
        tries = self.entry.tries - (not sent)
        entry = self.entry.evolve(status="refused", tries=tries, finished_at=self.life.tape.now, reason="a pause")
        self.life.change(lifecycle.spent(self.life.run, reserved=self.quote, usage=Usage()), journal={self.key: entry})
        return self

    def whole(self) -> Call:
        """Started, sent, carried out, answered, done."""
        return self.start().received().applied().answered().done()

    def _line(self, what: Any, *, result: str | None = None, charged: Decimal = Decimal(0)) -> Call:
        tape = self.life.tape
        tape.pass_time()
        common: dict[str, Any] = dict(at=tape.now + 0.0004, what=what, call=self.number, result=result)
        if not self.role:
            terms = TOOLS[self.name]
            tape.world.append(
                Receipt(
                    n=len(tape.world) + 1,
                    key=self.key,
                    tool=self.name,
                    effect=terms.effect,
                    pin=pin_of(self.name),
                    arguments=self.arguments,
                    charged_usd=charged,
                    **common,
                )
            )
        elif what != "applied":
            line = Reply(n=len(tape.llm) + 1, role=self.role, run=self.life.id, charged_usd=charged, **common)
            tape.llm.append(line)
        return self


def question(life: Life, role: Any, *, cost: Decimal = ASKED) -> Call:
    key = call_key(life.id, role, life.run.round, 0)
    result = {"text": f'{{"of":"{life.id}","round":{life.run.round}}}', "model": "stub-1"}
    return Call(life, key, "stub-1", fingerprint([role, life.id, life.run.round]), cost, result, role=role)


def inspection(life: Life) -> Call:
    key = call_key(life.id, "inspect", "$input")
    arguments = fingerprint({"picture": life.run.picture})
    return Call(life, key, "world.inspect_image", arguments, Decimal(0), {"width": 8, "mean": 0.5})


def step_call(life: Life, step: Step) -> Call:
    plan, lock = life.run.plan, life.run.lock
    assert plan and lock
    keys = {other.id: call_key(life.id, lock.plan_hash, other.id, 0) for other in plan.steps}
    made = {f"${id}": sha(f"picture of {key}") for id, key in keys.items()} | {"$input": life.run.picture}
    arguments = {
        name: made.get(value, value) if isinstance(value, str) else value for name, value in step.params.items()
    }
    picture = Artifact(id=made[f"${step.id}"], media_type="image/png", size_bytes=9, width=8, height=8)
    result = {"output": {"delta": 0.25}, "artifact": picture.model_dump(mode="json")}
    price = TOOLS[step.tool].price_usd
    return Call(life, keys[step.id], step.tool, fingerprint(arguments), price, result, step=step)


def locked(life: Life, plan_hash: str, tools: Mapping[str, str]) -> Lock:
    return Lock(
        plan_hash=plan_hash,
        input_sha256=life.run.picture,
        model_version="stub-1",
        prompt_hash=sha("prompt"),
        seed=7,
        tool_pins=dict(tools),
        policy_version="1",
        prolight_version="1",
    )


def _answer(result: Mapping[str, Any]) -> str:
    if "artifact" not in result:
        return fingerprint(result)
    return fingerprint({**result["output"], "artifact": result["artifact"]})


def _with(run: RunContext, result: StepResult) -> RunContext:
    return run.evolve(exec_result=(run.exec_result or ExecutionResult()).with_step(result))
