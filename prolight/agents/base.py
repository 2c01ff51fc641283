"""What an agent is: it looks at a run, calls the outside through the journal, and answers with an outcome."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from prolight.calls import Answer, BackOff, Call, says_nothing
from prolight.determinism import call_key, fingerprint
from prolight.errors import CallError, PlanInvalid
from prolight.journal import Journal
from prolight.outcomes import Outcome
from prolight.ports import ChatModel, ChatRequest, Tool, ToolGateway, ToolResult
from prolight.retry import backoff
from prolight.schemas import Plan, RunContext, Stage, Usage, refusal, usd
from prolight.writer import Change, Changed, Writer

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt, as an agent sees it."""

    run: RunContext
    writer: Writer
    journal: Journal


class Agent(Protocol):
    @property
    def stage(self) -> Stage: ...

    async def work(self, work: Work) -> Outcome:
        """Raises `ProLightError`s and `BackOff`; whoever runs the attempt turns them into outcomes."""
        ...


async def discover(gateway: ToolGateway, work: Work, plan: Plan | None = None) -> Mapping[str, Tool]:
    """The tools there are. Raises `BackOff` while a server that `plan` needs is down, or all are.

    The stage waits for it, holding no slot. What is down and not needed is left out.
    """
    try:
        return await gateway.tools({step.tool for step in plan.steps} if plan else ())
    except CallError as error:
        if not error.retryable:
            raise
        longest = backoff(work.journal.stage_policy, work.writer.snapshot.attempt)
        raise BackOff(error.retry_after or longest, error) from error


async def measure(
    tool: Tool,
    arguments: Mapping[str, Any],
    gateway: ToolGateway,
    work: Work,
    *,
    key: str,
    finishing: Callable[[Answer, bool], Change] = says_nothing,
) -> dict[str, Any]:
    """What a tool that only looks says of a picture, through the journal."""
    call = Call(
        key=key,
        name=tool.name,
        arguments_hash=fingerprint(arguments),
        effect=tool.effect,
        timeout=tool.timeout,
        quote_usd=tool.price_usd,
        dependency=server_of(tool),
        retry=tool.retry,
        finishing=finishing,
    )

    async def send(deadline: timedelta) -> Answer:
        result = await gateway.call(tool, arguments, key=call.key, deadline=deadline)
        return Answer(dict(result.output), charged(result, call.quote_usd))

    return (await work.journal.call(call, send)).result


async def ask(
    model: ChatModel, request: ChatRequest, work: Work, *, answer_as: type[Reply], timeout: timedelta
) -> tuple[Reply, str]:
    """Ask a model through the journal; the validated answer, and the version of the model that gave it.

    Raises `PlanInvalid` when the answer is not what was asked for.
    """
    run, quote = work.run, model.quote(request)
    arguments_hash = fingerprint([model.prompt_hash, request.role, request.facts])
    numbers = (call_key(run.journal_id, request.role, run.round, number) for number in itertools.count())
    call = Call(
        key=work.journal.unused(numbers, arguments_hash),
        name=model.model_version,
        arguments_hash=arguments_hash,
        effect="billed" if quote else "pure",
        timeout=timeout,
        quote_usd=quote,
        dependency=provider(model),
        starting=Changed,
    )

    async def send(deadline: timedelta) -> Answer:
        reply = await model.complete(request, deadline=deadline)
        return Answer({"text": reply.text, "model": reply.model_version}, reply.usage, reply.request_id)

    answer = await work.journal.call(call, send)
    try:
        return answer_as.model_validate_json(answer.result["text"]), answer.result["model"]
    except ValidationError as error:
        raise PlanInvalid(f"the {request.role}'s answer is not usable: {refusal(error)}") from None


def provider(model: ChatModel) -> str:
    """Whom its calls burden. A model may have a `provider`; else each model counts as one."""
    return f"model:{getattr(model, 'provider', model.model_version)}"


def server_of(tool: Tool) -> str:
    return tool.name.partition(".")[0]


@cache
def json_schema(reply: type[BaseModel]) -> dict[str, Any]:
    return reply.model_json_schema()


def charged(result: ToolResult, quote: Decimal) -> Usage:
    """What a tool call cost: as the tool says, else as it was quoted."""
    return Usage(cost_usd=usd(quote if result.cost_usd is None else result.cost_usd))
