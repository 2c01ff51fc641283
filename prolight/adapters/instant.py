"""A model and a tool that answer at once: what is left is ProLight itself.

For benchmarks: `PROLIGHT_MODEL=instant PROLIGHT_TOOLS=instant`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from prolight.determinism import tool_pin
from prolight.ports import ChatReply, ChatRequest, Tool, ToolResult
from prolight.schemas import Artifact, Critique, Plan, Step, Verdict

NOTHING = Tool(
    name="instant.nothing",
    description="does nothing, at once",
    input_schema={"type": "object", "properties": {"picture": {"type": "string"}}},
    pin=tool_pin({"name": "nothing"}),
    effect="pure",
    picture_params=frozenset({"picture"}),
)
_ANSWERS = {
    "planner": Plan(steps=(Step(id="nothing", tool=NOTHING.name, params={"picture": "$input"}),), summary="nothing"),
    "critic": Critique(verdict=Verdict.ACCEPT),
}


class InstantModel:
    model_version = "instant-1"
    prompt_hash = "0" * 64

    def quote(self, request: ChatRequest) -> Decimal:
        return Decimal(0)

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply:
        return ChatReply(_ANSWERS[request.role].model_dump_json(), self.model_version)


class InstantTools:
    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        return {NOTHING.name: NOTHING}

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, key: str, deadline: timedelta) -> ToolResult:
        picture = Artifact(id=arguments["picture"], media_type="image/png", size_bytes=1, width=1, height=1)
        return ToolResult({}, artifact=picture)

    async def close(self) -> None: ...
