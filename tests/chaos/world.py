"""The World: the paid tool server, as a process of its own. Its ledger is the truth about what happened outside.

`python -m tests.chaos.world --ledger FILE [--port N] [--artifacts DIR] [--window SECONDS]` prints its URL. Tools, over
MCP: `pure`, `keyed`, `probeable`, `billed`, `blind` (each `{"picture", "label"}`, our key in `_meta`), and `probe`
(`{"key"}`). A call that arrived goes on even if its caller goes away. The control face is described in `script.py`;
besides, GET /counts answers how often each key was applied. Acts:

    hang_before_apply, hang_after_apply     never answers
    hold_before_apply, hold_after_apply     is told on GET /held, and goes on at POST /release
    crash_before_apply, crash_after_apply   the World exits with `CRASHED`
    http_500, http_503, http_429            … with `retry_after`; with `after`, applied nevertheless
    refuse                                  a typed error, data.code = `code`; with `after`, applied nevertheless
    error_after_apply                       applied, then an untyped MCP error
    reset                                   applied, then half an answer and a TCP reset
    slow                                    waits `ms` before it applies
    huge_result, invalid_result, wrong_picture, cost_above_quote
    unclear                                 of `probe`
    forget_keys, change_tool                at once and for all calls: no rule

A crash is what it says: rules and held calls are gone afterwards, ledger, counts and keys are not. With `--deadly FILE`
a call of the run that this file names crashes it as well, before it applies anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, Tool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.registry import Registered, Registry
from prolight.determinism import fingerprint
from tests.chaos.ledger import Ledger
from tests.chaos.paid import PRICES, Call, Works, made, png
from tests.chaos.script import Asked, Holds, Rule, Script, control_routes
from tests.chaos.serving import LOOPBACK, Broken, serve

if TYPE_CHECKING:
    pass

CRASHED = 70
REFUSED, FAILED = -32050, -32603
HUGE = "x" * 100_000
KEY_META = "prolight/key"
URL_VARIABLE = "CHAOS_WORLD_URL"
ACTS = frozenset(
    f"{what}_{when}_apply" for what in ("hang", "hold", "crash") for when in ("before", "after")
) | frozenset(
    {"http_500", "http_503", "http_429", "refuse", "error_after_apply", "reset", "slow", "huge_result"}
    | {"invalid_result", "wrong_picture", "cost_above_quote", "unclear"}
)
MORE: dict[str, dict[str, Any]] = {"keyed": {"key_window_seconds": 86_400.0}, "probeable": {"probe": "probe"}}
REGISTRY: Registry = {
    name: Registered(
        effect=effect, price_usd=price, timeout_seconds=10, picture_params=frozenset({"picture"}), **MORE.get(name, {})
    )
    for name, (effect, price) in PRICES.items()
} | {"probe": Registered(effect="pure", timeout_seconds=10)}

TEXT = {"type": "string"}
PICTURE = {"type": ["object", "null"]}
PARAMS: dict[str, Any] = {
    "type": "object",
    "properties": {"picture": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "label": TEXT},
    "required": ["picture", "label"],
    "additionalProperties": False,
}
MADE: dict[str, Any] = {
    "type": "object",
    "properties": {"artifact": PICTURE, "score": {"type": "number"}, "cost_usd": TEXT, "warnings": {"type": "array"}},
    "required": ["artifact", "score", "cost_usd"],
}
PROBE: dict[str, Any] = {
    "type": "object",
    "properties": {"key": TEXT},
    "required": ["key"],
    "additionalProperties": False,
}
PROBED: dict[str, Any] = {
    "type": "object",
    "properties": {"status": {"enum": ["done", "absent", "unclear"]}, "artifact": PICTURE},
    "required": ["status", "artifact"],
}
Answer = dict[str, Any] | MCPError | Broken
"""The tool's structured answer, an MCP error, or what comes in place of an MCP message."""


def declared(url: str, timeout_seconds: float = 10) -> str:
    """The World for a tools file (`PROLIGHT_TOOLS_FILE`)."""
    lines = [f"[servers.world]\nurl = {json.dumps(url)}"]
    for name, tool in REGISTRY.items():
        said = {**tool.model_dump(mode="json", exclude_defaults=True), "timeout_seconds": timeout_seconds}
        lines.append(f"[servers.world.tools.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in said.items()]
    return "\n".join(lines)


class World:
    def __init__(
        self, works: Works, script: Script, holds: Holds, pictures: LocalArtifacts | None, deadly: Path | None = None
    ) -> None:
        self.works, self.script, self.holds = works, script, holds
        self._pictures = pictures
        self._deadly = deadly
        self._definitions = {tool.name: tool for tool in _definitions()}

    async def list_tools(self, ctx: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=list(self._definitions.values()))

    async def call_tool(self, ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        arguments = params.arguments or {}
        if params.name not in {*PRICES, "probe"}:
            raise MCPError(-32602, f"no tool {params.name}")
        answer = await self._work(params.name, arguments, str(dict(ctx.meta or {}).get(KEY_META, "")))
        if isinstance(answer, MCPError):
            raise answer
        if isinstance(answer, Broken):
            ctx.request.state.instead = answer
            answer = {}
        return CallToolResult(content=[], structured_content=answer)

    def apply_at_once(self, rule: Rule) -> bool:
        if rule.act == "forget_keys":
            self.works.forget_keys()
        elif rule.act == "change_tool":
            self._change(rule.tool or "", rule.change)
        else:
            return False
        return True

    def _change(self, name: str, change: dict[str, Any] | None) -> None:
        definition = self._definitions.pop(name, None) or next(iter(_definitions())).model_copy(update={"name": name})
        if change is not None:
            told = definition.model_dump(by_alias=True, exclude_none=True) | change
            self._definitions[name] = Tool.model_validate(told)

    async def _work(self, tool: str, arguments: dict[str, Any], key: str) -> Answer:
        if tool == "probe":
            return await self._probe(str(arguments.get("key", "")))
        definition = self._definitions.get(tool)
        pin = fingerprint(definition.model_dump(mode="json", by_alias=True, exclude_none=True)) if definition else ""
        call = self.works.received(Call(key, tool, str(arguments.get("label", "")), fingerprint(arguments), pin))
        if self._deadly and self._deadly.exists() and call.label.partition(".")[0] == self._deadly.read_text():
            os._exit(CRASHED)
        asked = Asked(key=key, tool=tool, label=call.label)
        rule = self.script.take(asked)
        if instead := await self._before(rule, asked):
            self.works.left(call)
            self.works.answered(call, None)
            return instead
        answer = await self._answer(rule, call, asked)
        self.works.answered(call, answer if isinstance(answer, dict) else None)
        return answer

    async def _answer(self, rule: Rule, call: Call, asked: Asked) -> Answer:
        if known := self.works.known(call):
            self.works.left(call)
            if known.arguments != call.arguments:
                return MCPError(REFUSED, "this key was used with other arguments", {"code": "idempotency_mismatch"})
            result = known.result
        else:
            result = self.works.apply(call, above_quote=rule.act == "cost_above_quote")
        if self._pictures:
            await self._pictures.put(png(call.tool, call.label), media_type="image/png")
        return await self._after(rule, asked) or _told(rule, call, result)

    async def _probe(self, key: str) -> Answer:
        asked = Asked(key=key, tool="probe")
        rule = self.script.take(asked)
        if instead := await self._before(rule, asked):
            return instead
        result = self.works.probe(key, unclear=rule.act == "unclear")
        return await self._after(rule, asked) or result

    async def _before(self, rule: Rule, asked: Asked) -> Answer | None:
        if rule.act == "slow":
            await asyncio.sleep(rule.ms / 1000)
        await self._disturbed(rule, asked, "before")
        return None if rule.after else _refusal(rule)

    async def _after(self, rule: Rule, asked: Asked) -> Answer | None:
        await self._disturbed(rule, asked, "after")
        if rule.act == "error_after_apply":
            return MCPError(FAILED, "it broke")
        if rule.act == "reset":
            return Broken(body=b'{"jsonrpc":"2.0","id":', headers={"content-type": "application/json"}, reset=True)
        return _refusal(rule)

    async def _disturbed(self, rule: Rule, asked: Asked, when: str) -> None:
        match rule.act.removesuffix(f"_{when}_apply"):
            case "hang":
                await asyncio.Event().wait()
            case "hold":
                await self.holds.hold(asked, when)
            case "crash":
                os._exit(CRASHED)


def _refusal(rule: Rule) -> Answer | None:
    if rule.act == "refuse":
        return MCPError(REFUSED, "the tool refuses", {"code": rule.code})
    if rule.act.startswith("http_"):
        headers = {"retry-after": rule.retry_after} if rule.retry_after is not None else {}
        return Broken(int(rule.act.removeprefix("http_")), headers=headers)
    return None


def _told(rule: Rule, call: Call, result: dict[str, Any]) -> dict[str, Any]:
    """The answer, or what the tool says in its place."""
    match rule.act:
        case "huge_result":
            return {**result, "warnings": [HUGE]}
        case "invalid_result":
            return {**result, "artifact": {"id": "../../etc/passwd"}, "score": "high"}
        case "wrong_picture":
            return {**result, "artifact": made(call.tool, f"not {call.label}", Decimal(0))["artifact"]}
    return result


def _definitions() -> list[Tool]:
    paid = [
        Tool(name=name, description=f"Makes a picture; {effect}.", input_schema=PARAMS, output_schema=MADE)
        for name, (effect, _) in PRICES.items()
    ]
    return [*paid, Tool(name="probe", description="What became of a key.", input_schema=PROBE, output_schema=PROBED)]


class Face:
    """Sends what is to come in place of an MCP message, where a call asks for that."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            instead = scope.get("state", {}).get("instead")
            if instead is None:
                await send(message)
            elif message["type"] == "http.response.start":
                await instead.send(send, scope["state"]["transport"])

        await self._app(scope, receive, answer)


def build(world: World) -> ASGIApp:
    async def counts(request: Request) -> Response:
        return JSONResponse(world.works.counts)

    server: Server[Any] = Server("chaos-world", on_list_tools=world.list_tools, on_call_tool=world.call_tool)
    # With `json_response` nothing is sent before a call has ended, and nobody who goes away cancels it.
    app = server.streamable_http_app(json_response=True, stateless_http=True)
    app.router.routes.extend(control_routes(world.script, world.holds, world.apply_at_once))
    app.router.routes.append(Route("/counts", counts))
    return Face(app)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.world")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--artifacts", type=Path, help="really store the pictures here")
    parser.add_argument("--deadly", type=Path, help="names a run")
    parser.add_argument("--window", type=float, default=86_400, help="seconds for which a keyed tool knows a key")
    options = parser.parse_args(argv)
    works = Works(options.ledger, window=timedelta(seconds=options.window))
    script = Script(ACTS, Ledger(options.ledger.with_name(options.ledger.name + ".landed")))
    pictures = LocalArtifacts(options.artifacts) if options.artifacts else None
    world = World(works, script, Holds(), pictures, options.deadly)
    serve(build(world), options.port, lambda port: f"http://{LOOPBACK}:{port}/mcp")


if __name__ == "__main__":
    main()
