"""The Executor: carries the accepted plan out, step by step, and never re-plans."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from prolight.agents.base import Work, charged, discover, server_of
from prolight.agents.checking import checked
from prolight.calls import Answer, Call, Probed
from prolight.determinism import call_key, check_lock, check_pin, fingerprint
from prolight.errors import (
    CallError,
    GuardrailDenied,
    InvalidInput,
    NotSent,
    OutcomeUnknown,
    PlanInvalid,
    ProLightError,
)
from prolight.events import StepMoved, Warned
from prolight.guardrails import Policy, check_accepted, check_call
from prolight.outcomes import Executed, Outcome
from prolight.ports import Tool, ToolGateway, ToolResult
from prolight.schemas import INPUT, Artifact, ExecutionResult, Lock, Plan, RunContext, Stage, Step, StepResult
from prolight.writer import Change, Changed


@dataclass(frozen=True, slots=True)
class Executor:
    gateway: ToolGateway
    policy: Policy
    parallel: int = 4
    stage: Stage = Stage.EXECUTE

    async def work(self, work: Work) -> Outcome:
        plan = work.run.plan
        if plan is None or work.run.lock is None:
            raise PlanInvalid("is missing", field="plan")
        check_accepted(work.run)
        tools = await discover(self.gateway, work, plan)
        check_lock(work.run.lock, plan, {name: tool.pin for name, tool in tools.items()})
        made = await Progress(self, work, plan, tools).carry_out()
        pictures = final_pictures(plan, made)
        return Executed(pictures, await checked(pictures, work, self.gateway, tools, self.policy))


def final_pictures(plan: Plan, made: Mapping[str, Artifact | None]) -> tuple[Artifact, ...]:
    """The pictures that no other step took further, in the plan's order."""
    taken = {reference for step in plan.steps for reference in step.references}
    pictures = (made.get(step.id) for step in plan.steps if step.id not in taken)
    return tuple(picture for picture in pictures if picture)


class Progress:
    """One execution under way: which steps are done, and what they made."""

    def __init__(self, executor: Executor, work: Work, plan: Plan, tools: Mapping[str, Tool]) -> None:
        self._executor, self._work, self._plan, self._tools = executor, work, plan, tools
        self._pins = {name: tool.pin for name, tool in tools.items()}
        self._made: dict[str, Artifact | None] = {}

    async def carry_out(self) -> dict[str, Artifact | None]:
        """Steps whose needs are met run side by side. After a failure nothing new starts; siblings settle first."""
        waiting = {step.id: step for step in self._plan.steps}
        running: dict[asyncio.Task[Artifact | None], Step] = {}
        failure: BaseException | None = None
        try:
            while running or (waiting and failure is None):
                if failure is None:
                    for step in self._startable(waiting, self._executor.parallel - len(running)):
                        running[asyncio.create_task(self._carry_out(waiting.pop(step.id)))] = step
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    step = running.pop(task)
                    if error := task.exception():
                        failure = failure or error
                    else:
                        self._made[step.id] = task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if failure:
            raise failure
        return self._made

    def _startable(self, waiting: Mapping[str, Step], free: int) -> list[Step]:
        return [step for step in waiting.values() if step.needs <= self._made.keys()][:free]

    async def _carry_out(self, step: Step) -> Artifact | None:
        try:
            return await self._call(step)
        except ProLightError as error:
            error.step = step.id
            if isinstance(error, (CallError, GuardrailDenied, InvalidInput)):
                self._work.writer.write_later(self._step_failed(step, error))
            raise

    async def _call(self, step: Step) -> Artifact | None:
        lock, tool = self._work.run.lock, self._tools[step.tool]
        assert lock is not None
        check_lock(lock, self._plan, self._pins)
        arguments = self._resolved(step.params)
        check_call(step, arguments, tool, self._executor.policy)
        key = call_key(self._work.run.journal_id, lock.plan_hash, step.id, 0)
        call = Call(
            key=key,
            name=step.tool,
            arguments_hash=fingerprint(arguments),
            effect=tool.effect,
            timeout=tool.timeout,
            quote_usd=max(tool.price_usd, step.estimated_cost_usd),
            key_window=tool.key_window,
            probe=self._probe(tool, key) if tool.probe in self._tools else None,
            dependency=server_of(tool),
            retry=tool.retry,
            ready=lambda: self._still_pinned(step, lock, tool),
            starting=self._step_started(step),
            finishing=lambda answer, reused: self._step_done(step, answer, reused),
        )

        async def send(deadline: timedelta) -> Answer:
            result = await self._executor.gateway.call(tool, arguments, key=key, deadline=deadline)
            return _answer(result, call.quote_usd)

        return _picture(await self._work.journal.call(call, send))

    async def _still_pinned(self, step: Step, lock: Lock, tool: Tool) -> None:
        """For a call with effects its server is asked at once, before each try; no MCP call can name a definition."""
        try:
            tools = await self._executor.gateway.tools({tool.name}, anew=tool.effect != "pure")
        except OutcomeUnknown as error:
            raise NotSent(str(error), retry_after=error.retry_after) from error
        check_pin(lock, step, {name: now.pin for name, now in tools.items()})

    def _probe(self, tool: Tool, key: str) -> Callable[[timedelta], Awaitable[Probed]]:
        probe = self._tools[tool.probe]

        async def ask(deadline: timedelta) -> Probed:
            said = await self._executor.gateway.call(probe, {"key": key}, key=key, deadline=deadline)
            match said.output.get("status"):
                case "done":
                    return _answer(said, tool.price_usd)
                case "absent":
                    return "absent"
                case _:
                    return "unclear"

        return ask

    def _resolved(self, params: Any) -> Any:
        match params:
            case str() if params == INPUT:
                return self._work.run.picture
            case str() if params.startswith("$") and params[1:] in self._made:
                picture = self._made[params[1:]]
                if picture is None:
                    raise PlanInvalid(f"step {params[1:]!r} made no picture, but a later step needs one")
                return picture.id
            case dict():
                return {name: self._resolved(value) for name, value in params.items()}
            case list() | tuple():
                return [self._resolved(value) for value in params]
            case _:
                return params

    def _step_started(self, step: Step) -> Change:
        now = self._work.writer.now()

        def change(run: RunContext) -> Changed:
            result = StepResult(id=step.id, status="running", started_at=now)
            moved = StepMoved(step=step.id, tool=step.tool, status="started")
            return Changed(_with_step(run, result), (moved,))

        return change

    def _step_failed(self, step: Step, error: ProLightError) -> Change:
        now = self._work.writer.now()

        def change(run: RunContext) -> Changed:
            before = _of(run, step)
            started = before.started_at if before else now
            result = StepResult(id=step.id, status="failed", started_at=started, finished_at=now)
            moved = StepMoved(step=step.id, tool=step.tool, status="failed", message=str(error)[:600])
            return Changed(_with_step(run, result), (moved,))

        return change

    def _step_done(self, step: Step, answer: Answer, reused: bool) -> Change:
        now = self._work.writer.now()
        picture, output = _picture(answer), answer.result.get("output", {})
        warnings = tuple(Warned(code="tool", message=str(text)[:600]) for text in output.get("warnings", ()))

        def change(run: RunContext) -> Changed:
            before = _of(run, step)
            if reused and before and before.status == "done":
                return Changed(run)
            started = before.started_at if before else now
            result = StepResult(
                id=step.id,
                status="done",
                artifact=picture,
                output=output,
                started_at=started,
                finished_at=now,
                cost_usd=answer.usage.cost_usd,
            )
            moved = StepMoved(
                step=step.id, tool=step.tool, status="done", artifact=picture, seconds=round(now - started, 3)
            )
            return Changed(_with_step(run, result), (moved, *warnings))

        return change


def _with_step(run: RunContext, result: StepResult) -> RunContext:
    return run.evolve(exec_result=(run.exec_result or ExecutionResult()).with_step(result))


def _of(run: RunContext, step: Step) -> StepResult | None:
    return next((made for made in (run.exec_result or ExecutionResult()).steps if made.id == step.id), None)


def _answer(result: ToolResult, quote_usd: Decimal) -> Answer:
    picture = result.artifact.model_dump(mode="json") if result.artifact else None
    return Answer({"output": dict(result.output), "artifact": picture}, charged(result, quote_usd))


def _picture(answer: Answer) -> Artifact | None:
    picture = answer.result.get("artifact")
    return Artifact.model_validate(picture) if picture else None
