"""What an agent is: it looks at a run, calls the outside through the journal, and answers with an outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from prolight.determinism import call_key, fingerprint
from prolight.errors import PlanInvalid
from prolight.journal import Answer, Call, Journal
from prolight.outcomes import Outcome
from prolight.ports import ChatModel, ChatRequest
from prolight.schemas import RunContext, Stage, refusal
from prolight.writer import Changed, Writer


Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt, as an agent sees it."""

    run: RunContext
    writer: Writer
    journal: Journal


class Agent(Protocol):
    stage: Stage

    async def work(self, work: Work) -> Outcome:
        """Raises `ProLightError`s and `BackOff`; whoever runs the attempt turns them into outcomes."""
        ...


async def ask(
    model: ChatModel, request: ChatRequest, work: Work, *, answer_as: type[Reply], timeout: timedelta
) -> tuple[Reply, str]:
    """Ask a model through the journal; the validated answer, and the version of the model that gave it.

    Raises `PlanInvalid` when the answer is not what was asked for.
    """
    run = work.run
    call = Call(
        key=call_key(run.run_id, request.role, run.round, 0),
        name=model.model_version,
        arguments_hash=fingerprint([model.prompt_hash, request.role, request.facts]),
        effect="billed",
        timeout=timeout,
        quote_usd=model.quote(request),
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


@cache
def json_schema(reply: type[BaseModel]) -> dict[str, Any]:
    return reply.model_json_schema()
