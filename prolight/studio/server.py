"""The studio as an MCP server: four tools, the log of calls, and two plain HTTP routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import ToolAnnotations
from pydantic import Field, create_model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from prolight.errors import ProLightError
from prolight.schemas import ArtifactId, compact_json
from prolight.studio.calls import CallLog
from prolight.studio.codec import Format
from prolight.studio.light import Light, Lighting
from prolight.studio.metrics import Inspection
from prolight.studio.studio import Made, Studio

TOOL_ERROR = -32050
"""JSON-RPC code of every refusal; `data.code` says which."""
LOCAL_HOSTS = ("127.0.0.1:*", "localhost:*", "[::1]:*")
INSTRUCTIONS = "Relights photographs on the CPU. Pictures are named by the sha256 of their bytes."

Exposure = Annotated[float, Field(ge=-4, le=4, description="stops, applied to the whole picture after the lights")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", description="sRGB, #rrggbb")]
LongSide = Annotated[int, Field(ge=16, le=10_000)]
Quality = Annotated[int, Field(ge=1, le=100, description="of JPEG and WebP")]
MaskOf = Annotated[
    ArtifactId | None,
    Field(description="find the subject in this picture of the same size instead, e.g. the one before relighting"),
]


def build_server(studio: Studio, calls: CallLog) -> MCPServer[Any]:
    """The MCP server over this studio; `calls` records what it is asked."""
    server: MCPServer[Any] = MCPServer(
        "prolight-studio",
        version=version("prolight"),
        instructions=INSTRUCTIONS,
        tools=[_closed(function) for function in _tools(studio)],
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


def _tools(studio: Studio) -> tuple[Callable[..., Any], ...]:
    async def inspect_image(picture: ArtifactId) -> Inspection:
        """Measure a picture: exposure, light colour, clipping, sharpness, and how well its subject can be found."""
        with _typed_errors():
            return await studio.inspect(picture)

    async def relight(  # noqa: PLR0917 - a tool's parameters are named by its caller
        picture: ArtifactId,
        key: Light | None = None,
        fill: Light | None = None,
        rim: Light | None = None,
        exposure_ev: Exposure = 0,
        mask_of: MaskOf = None,
    ) -> Made:
        """Put a key, fill or rim light on the subject: shading only, no new cast shadows or reflections."""
        with _typed_errors():
            return await studio.relight(picture, Lighting(key, fill, rim, exposure_ev), mask_of)

    async def replace_background(picture: ArtifactId, color: Colour, mask_of: MaskOf = None) -> Made:
        """Lay the subject on one plain colour."""
        with _typed_errors():
            return await studio.replace_background(picture, color, mask_of)

    async def export(
        picture: ArtifactId, format: Format, long_side_px: LongSide | None = None, quality: Quality = 92
    ) -> Made:
        """Write the finished file: sRGB, no metadata, enlarged at most twofold."""
        with _typed_errors():
            return await studio.export(picture, format, long_side_px, quality)

    return inspect_image, relight, replace_background, export


def _closed(function: Callable[..., Any]) -> Tool:
    """The function as a tool that refuses arguments it does not know."""
    tool = Tool.from_function(function, annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True))
    arguments = tool.fn_metadata.arg_model
    closed = create_model(arguments.__name__, __base__=arguments, __cls_kwargs__={"extra": "forbid"})
    metadata = tool.fn_metadata.model_copy(update={"arg_model": closed})
    return tool.model_copy(update={"fn_metadata": metadata, "parameters": closed.model_json_schema(by_alias=True)})


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except ProLightError as error:
        raise MCPError(TOOL_ERROR, str(error), {"code": error.code, "retryable": error.retryable}) from error
