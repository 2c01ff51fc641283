"""The record of the calls that reached this server: what arrived, and how each ended."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

KEY_META = "prolight/key"
MAX_CALLS_KEPT = 1_000
MAX_KEY_CHARS = 256

Status = Literal["received", "finished", "failed", "cancelled"]


@dataclass(slots=True)
class Call:
    """One tool call. `seconds` is its age while it is under way, then how long it took."""

    key: str | None
    tool: str
    status: Status = "received"
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None

    def end(self, status: Status) -> None:
        self.status, self.ended = status, time.monotonic()

    def record(self) -> dict[str, Any]:
        until = self.ended if self.ended is not None else time.monotonic()
        return {"key": self.key, "tool": self.tool, "status": self.status, "seconds": round(until - self.started, 4)}


class CallLog:
    """The last `MAX_CALLS_KEPT` tool calls, oldest first. An MCP middleware: it sees refused calls as well."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=MAX_CALLS_KEPT)

    def add(self, call: Call) -> None:
        """The oldest call is forgotten when the log is full."""
        self._calls.append(call)

    def records(self) -> list[dict[str, Any]]:
        return [call.record() for call in self._calls]

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method != "tools/call":
            return await call_next(ctx)
        call = Call(_key(ctx), str((ctx.params or {}).get("name", ""))[:MAX_KEY_CHARS])
        self.add(call)
        try:
            result = await call_next(ctx)
        except asyncio.CancelledError:
            call.end("cancelled")
            raise
        except Exception:
            call.end("failed")
            raise
        call.end("failed" if _is_error(result) else "finished")
        return result


def _key(ctx: ServerRequestContext[Any, Any]) -> str | None:
    key = dict(ctx.meta or {}).get(KEY_META)
    return key[:MAX_KEY_CHARS] if isinstance(key, str) else None


def _is_error(result: HandlerResult) -> bool:
    if isinstance(result, dict):
        return bool(result.get("isError"))
    return bool(getattr(result, "is_error", False))
