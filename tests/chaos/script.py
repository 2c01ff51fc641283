"""Scripted misbehaviour: which call is to go wrong in which way, and calls that are held until a driver lets them go.

The control face, on the program's own port, is plain HTTP and JSON:

    POST   /script   {"act": …, "tool"|"key"|"label"|"role": …, "times": 1, "skip": 0, …}  →  {"rule": id}
    GET    /script   every rule, and how often it was `landed`
    DELETE /script   forget all rules
    GET    /held?after=N&timeout=S&key=…   waits for calls held with an id > N  →  {"held": [{"id", "where", …}]}
    POST   /release  {"id": N}, or {} for all  →  {"released": count}

The first rule that fits takes a call. Rules are kept in memory: a restart forgets them. What landed is on record,
in FILE.landed beside the ledger FILE, before it has an effect.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.chaos.ledger import Ledger


class Asked(BaseModel):
    """What is known of a call from outside: rules and drivers choose by these."""

    model_config = ConfigDict(frozen=True)

    key: str = ""
    tool: str = ""
    label: str = ""
    role: str = ""


class Rule(BaseModel):
    """Calls whose fields equal those given here misbehave as `act` says: after `skip` of them, `times` times."""

    model_config = ConfigDict(extra="forbid")

    act: str
    key: str | None = None
    tool: str | None = None
    label: str | None = None
    role: str | None = None
    times: int | None = Field(default=1, description="None: until it is cleared")
    skip: int = 0
    after: bool = Field(default=False, description="http_* and refuse: after the call was applied, not before")
    ms: int = Field(default=0, description="of slow")
    retry_after: str | None = Field(default=None, description="the header of http_429 and http_529, as it is sent")
    code: str = Field(default="refused", description="of refuse")
    text: str = Field(default="", description="of answer: what the model says")
    verdict: str = Field(default="revise", description="of verdict")
    change: dict[str, Any] | None = Field(default=None, description="of change_tool: new fields; None: it is gone")
    landed: int = 0

    @field_validator("retry_after", mode="before")
    @classmethod
    def _as_sent(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value

    def fits(self, asked: Asked) -> bool:
        return all(wanted in (None, getattr(asked, name)) for name, wanted in self.wanted.items())

    @property
    def wanted(self) -> dict[str, str | None]:
        return {name: getattr(self, name) for name in Asked.model_fields}


ORDERLY = Rule(act="")
"""Of a call that no rule takes."""


class Script:
    """The rules. `landed` is the ledger of the faults that really happened."""

    def __init__(self, acts: Iterable[str], landed: Ledger) -> None:
        self._acts = frozenset(acts)
        self._landed = landed
        self.rules: dict[int, Rule] = {}
        self._ids = itertools.count(1)

    def add(self, rule: Rule) -> int:
        """Raises `ValueError` for an act that this program does not know."""
        if rule.act not in self._acts:
            raise ValueError(f"no act {rule.act!r}; there are {', '.join(sorted(self._acts))}")
        number = next(self._ids)
        self.rules[number] = rule
        return number

    def take(self, asked: Asked) -> Rule:
        """The rule for this call, used up by one."""
        for number, rule in self.rules.items():
            if not rule.fits(asked) or rule.landed == rule.times:
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            rule.landed += 1
            self._landed.append(act=rule.act, rule=number, **asked.model_dump())
            return rule
        return ORDERLY


class Holds:
    """Calls that wait for a driver."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[dict[str, Any], Asked, asyncio.Event]] = {}
        self._ids = itertools.count(1)
        self._news = asyncio.Event()

    async def hold(self, asked: Asked, where: str) -> None:
        """Announce this call, and wait until it is released."""
        number, released = next(self._ids), asyncio.Event()
        self._waiting[number] = {"id": number, "where": where, **asked.model_dump()}, asked, released
        self._news.set()
        self._news = asyncio.Event()
        await released.wait()

    def release(self, number: int | None) -> int:
        chosen = [number] if number is not None else list(self._waiting)
        found = [self._waiting.pop(each) for each in chosen if each in self._waiting]
        for _, _, released in found:
            released.set()
        return len(found)

    async def held(self, after: int, wanted: Rule, within: float) -> list[dict[str, Any]]:
        """Held calls with a greater id than `after`; waits for the first, and answers none in the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not (found := self._found(after, wanted)):
                    await self._news.wait()
                return found
        return []

    def _found(self, after: int, wanted: Rule) -> list[dict[str, Any]]:
        return [told for number, (told, asked, _) in self._waiting.items() if number > after and wanted.fits(asked)]


def control_routes(script: Script, holds: Holds, apply: Callable[[Rule], bool] = lambda rule: False) -> list[Route]:
    """The control face. `apply` carries out at once what is no rule about calls, and says whether it was that."""

    async def scripted(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse({number: rule.model_dump() for number, rule in script.rules.items()})
        if request.method == "DELETE":
            script.rules.clear()
            return JSONResponse({})
        rule = Rule.model_validate_json(await request.body())
        return JSONResponse({"rule": 0 if apply(rule) else script.add(rule)})

    async def held(request: Request) -> Response:
        asked = dict(request.query_params)
        after, within = int(asked.pop("after", 0)), float(asked.pop("timeout", 0))
        return JSONResponse({"held": await holds.held(after, Rule.model_validate({"act": "", **asked}), within)})

    async def release(request: Request) -> Response:
        asked = await request.json()
        return JSONResponse({"released": holds.release(asked.get("id"))})

    return [
        Route("/script", _refusing(scripted), methods=["GET", "POST", "DELETE"]),
        Route("/held", _refusing(held)),
        Route("/release", _refusing(release), methods=["POST"]),
    ]


def _refusing(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A driver's mistake is told to it."""

    async def refusing(request: Request) -> Response:
        try:
            return await answer(request)
        except (ValidationError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return refusing
