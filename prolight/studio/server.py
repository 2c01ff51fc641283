"""The studio as an MCP server: tools, the log of calls, and two plain HTTP routes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from prolight.schemas import compact_json
from prolight.studio.calls import CallLog
from prolight.studio.studio import Studio
from prolight.studio.tools import all_tools

LOCAL_HOSTS = ("127.0.0.1:*", "localhost:*", "[::1]:*")
INSTRUCTIONS = "Relights photographs on the CPU. Pictures are named by the sha256 of their bytes."


def build_server(studio: Studio, calls: CallLog) -> MCPServer[Any]:
    """The MCP server over this studio; `calls` records what it is asked."""
    server: MCPServer[Any] = MCPServer(
        "prolight-studio",
        version=version("prolight"),
        instructions=INSTRUCTIONS,
        tools=all_tools(studio),
        middleware=[calls],
        log_level="WARNING",
    )

    @server.resource("studio://calls", mime_type="application/json", description="The last tool calls, oldest first")
    def call_records() -> str:
        return compact_json(calls.records())

    return server


def build_app(server: MCPServer[Any], calls: CallLog, *, host: str, allowed_hosts: Sequence[str] = ()) -> Starlette:
    """Streamable HTTP at /mcp, and GET /healthz and /calls. Only `allowed_hosts` and loopback names are answered."""
    hosts = [*LOCAL_HOSTS, *allowed_hosts]
    guard = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{name}" for name in hosts])

    async def healthz(request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def call_records(request: Request) -> Response:
        refusal = await TransportSecurityMiddleware(guard).validate_request(request)
        return refusal or JSONResponse(calls.records())

    # `json_response=True` would make the SDK stop watching for a caller that goes away.
    app = server.streamable_http_app(host=host, stateless_http=True, transport_security=guard)
    app.router.routes.extend([Route("/healthz", healthz), Route("/calls", call_records)])
    return app
