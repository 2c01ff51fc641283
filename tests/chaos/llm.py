"""A language model of ours: a process with its own ledger that plays scripted plans, and the `ChatModel` that asks it.

`python -m tests.chaos.llm --ledger FILE [--port N]` prints its URL. POST /complete `{"role", "facts", "key"}` answers
`{"text", "usage", "request_id", "model_version"}`. The plan is in the brief: "blind,pure" is those two tools of the
World one after the other, "pure|billed,blind" is two side by side, then one; each takes the first picture of the group
before it. What follows a `#` goes into the labels of the steps, so that runs can be told apart. The Critic accepts.

Ledger: `received`, then `answered` before the answer goes; that is when it is charged. The control face is described in
`script.py`; rules choose by `key`, `role` and `label` (what follows the `#`). Acts:

    hang, hang_after, hold, hold_after    never answers / waits for POST /release; before or after it is charged
    http_429, http_529 (`retry_after`), http_500, http_503, http_400, http_401
    reset, bad_body                       charged, then half an answer and a TCP reset, or a body that is no JSON
    truncated, garbage, answer, verdict   the model says half a text, prose, `text`, or (the Critic) `verdict`
    slow                                  waits `ms`

The key is the journal's `arguments_hash` of the call: `ChatModel.complete` is not told the journal's own key.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import os
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from prolight.determinism import fingerprint
from prolight.errors import CallRejected, NotSent, OutcomeUnknown, RateLimited
from prolight.ports import ChatReply, ChatRequest
from prolight.schemas import Critique, Finding, Plan, Step, Usage, Verdict
from tests.chaos.ledger import Ledger
from tests.chaos.script import ORDERLY, Asked, Holds, Rule, Script, control_routes
from tests.chaos.serving import LOOPBACK, Broken, serve

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from prolight.settings import Settings

URL_VARIABLE = "CHAOS_LLM_URL"
PRICE = Decimal("0.01")
VERSION = "scripted-1"
PROSE = "Certainly! Here is what I would do: first, a warm key light."
HTTP = ("http_429", "http_529", "http_500", "http_503", "http_400", "http_401")
ACTS = frozenset(
    {*HTTP, "hang", "hang_after", "hold", "hold_after", "reset", "bad_body", "truncated", "garbage", "slow"}
    | {"answer", "verdict"}
)


def model(settings: Settings) -> ScriptedModel:
    """For `PROLIGHT_MODEL=tests.chaos.llm:model`."""
    return ScriptedModel(os.environ[URL_VARIABLE])


class ScriptedModel:
    """Asks the program above. Its calls have a price, so they are `billed`."""

    model_version = VERSION
    prompt_hash = hashlib.sha256(VERSION.encode()).hexdigest()

    def __init__(self, url: str, *, price: Decimal = PRICE) -> None:
        self._url, self._price = url, price

    def quote(self, request: ChatRequest) -> Decimal:
        return self._price

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply:
        key = fingerprint([self.prompt_hash, request.role, request.facts])
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                answer = await self._ask({"role": request.role, "facts": dict(request.facts), "key": key})
        except TimeoutError:
            raise OutcomeUnknown(f"the model gave no answer within {deadline.total_seconds():.1f} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise NotSent(f"the model at {self._url} refuses the connection") from None
        except httpx.TransportError as error:
            raise OutcomeUnknown(f"the model's answer is lost: {type(error).__name__}") from error
        _check(answer)
        try:
            told = _Told.model_validate_json(answer.content)
        except ValidationError:
            raise OutcomeUnknown("the model's answer cannot be read") from None
        return ChatReply(told.text, told.model_version, told.usage, told.request_id)

    async def _ask(self, question: dict[str, Any]) -> httpx.Response:
        # A connection per call: an idle one that the server just closed would look like a lost answer.
        async with httpx.AsyncClient(timeout=None, verify=False, trust_env=False) as http:
            return await http.post(f"{self._url}/complete", json=question)


class _Told(BaseModel):
    text: str
    model_version: str
    usage: Usage
    request_id: str


def _check(answer: httpx.Response) -> None:
    """Raises what a status other than success means."""
    status, message = answer.status_code, f"the model answers HTTP {answer.status_code}"
    if status in (429, 529):
        raise RateLimited(message, retry_after=_retry_after(answer))
    if 300 <= status < 500:
        raise CallRejected(message)
    if status >= 500:
        raise OutcomeUnknown(message)


def _retry_after(answer: httpx.Response) -> timedelta | None:
    try:
        return timedelta(seconds=max(0.0, float(answer.headers["retry-after"])))
    except (KeyError, ValueError, OverflowError):
        return None


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["planner", "critic"]
    facts: dict[str, Any]
    key: str

    @property
    def brief(self) -> str:
        return str(self.facts["brief"])

    @property
    def tag(self) -> str:
        return self.brief.partition("#")[2].strip()


def plan_of(brief: str, tools: Sequence[str]) -> Plan:
    """The plan that a brief writes out; `tools` are those on offer, as `server.tool`."""
    groups, _, tag = brief.partition("#")
    full = {name.partition(".")[2]: name for name in tools}
    steps: list[Step] = []
    before: list[str] = []
    numbers = itertools.count(1)
    for group in groups.split(","):
        names = [name.strip() for name in group.split("|")]
        ids = [f"{name}-{next(numbers)}" for name in names]
        picture = f"${before[0]}" if before else "$input"
        for name, id in zip(names, ids, strict=True):
            params = {"picture": picture, "label": f"{tag.strip()}.{id}".strip(".")}
            steps.append(Step(id=id, tool=full.get(name, f"world.{name}"), params=params, depends_on=tuple(before)))
        before = ids
    return Plan(steps=tuple(steps), summary=f"scripted: {groups.strip()}"[:600])


class Stub:
    """What is behind POST /complete."""

    def __init__(self, ledger: Ledger, script: Script, holds: Holds) -> None:
        self._ledger, self._script, self._holds = ledger, script, holds

    async def complete(self, question: Question) -> dict[str, Any] | Broken:
        asked = Asked(key=question.key, role=question.role, label=question.tag)
        receipt = self._receipt("received", asked)
        rule = self._script.take(asked)
        await self._disturbed(rule, asked, "")
        if rule.act in HTTP:
            self._receipt("answered", asked, call=receipt["n"])
            headers = {"retry-after": rule.retry_after} if rule.retry_after is not None else {}
            return Broken(int(rule.act.removeprefix("http_")), headers=headers)
        said = _said(rule, question)
        self._receipt("answered", asked, PRICE, call=receipt["n"], result=hashlib.sha256(said.encode()).hexdigest())
        await self._disturbed(rule, asked, "_after")
        if rule.act in ("reset", "bad_body"):
            headers = {"content-type": "application/json"}
            return Broken(body=b'{"text": "{', headers=headers, reset=rule.act == "reset")
        usage = {"input_tokens": 100, "output_tokens": 20, "cost_usd": str(PRICE)}
        request_id = f"req-{receipt['n']}"
        return {"text": said, "usage": usage, "request_id": request_id, "model_version": VERSION}

    async def _disturbed(self, rule: Rule, asked: Asked, when: str) -> None:
        if rule.act == "slow" and not when:
            await asyncio.sleep(rule.ms / 1000)
        elif rule.act == f"hang{when}":
            await asyncio.Event().wait()
        elif rule.act == f"hold{when}":
            await self._holds.hold(asked, "after" if when else "before")

    def _receipt(
        self, what: str, asked: Asked, charged: Decimal = Decimal(0), *, call: int = 0, result: str | None = None
    ) -> dict[str, Any]:
        """`call` is the receipt of its arrival, 0 for that one itself."""
        about = {"role": asked.role, "key": asked.key, "label": asked.label}
        return self._ledger.append(what=what, **about, charged_usd=str(charged), call=call, result=result)


def _said(rule: Rule, question: Question) -> str:
    match rule.act:
        case "answer":
            return rule.text
        case "garbage":
            return PROSE
        case "truncated":
            whole = _said(ORDERLY, question)
            return whole[: len(whole) // 2]
    if question.role == "planner":
        return plan_of(question.brief, list(question.facts.get("tools", ()))).model_dump_json()
    verdict = Verdict(rule.verdict) if rule.act == "verdict" else Verdict.ACCEPT
    finding = Finding(id="scripted", severity="blocking", message="as the script says")
    critique = Critique(verdict=verdict, findings=() if verdict is Verdict.ACCEPT else (finding,))
    return critique.model_dump_json(exclude={"plan_hash"})


def build(stub: Stub, script: Script, holds: Holds) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    class Complete:
        """An ASGI app of its own, since an answer may be broken below HTTP."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                question = Question.model_validate_json(await Request(scope, receive).body())
                answer = await stub.complete(question)
            except (ValidationError, KeyError) as error:
                await JSONResponse({"error": str(error)}, 422)(scope, receive, send)
                return
            if isinstance(answer, Broken):
                await answer.send(send, scope["state"]["transport"])
            else:
                await JSONResponse(answer)(scope, receive, send)

    return Starlette(routes=[Route("/complete", Complete(), methods=["POST"]), *control_routes(script, holds)])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.llm")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(argv)
    script = Script(ACTS, Ledger(options.ledger.with_name(options.ledger.name + ".landed")))
    holds = Holds()
    stub = Stub(Ledger(options.ledger), script, holds)
    serve(build(stub, script, holds), options.port, lambda port: f"http://{LOOPBACK}:{port}")


if __name__ == "__main__":
    main()
