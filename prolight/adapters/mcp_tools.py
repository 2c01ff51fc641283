"""Tools of an MCP server, over Streamable HTTP or in this process, behind the `ToolGateway` port.

One isolated MCP client per call over one pooled HTTP client per process: a transport error in a
shared client would cancel all calls beside it. The SDK hides HTTP status and Retry-After from its
caller; a response hook of the pool recovers both per call.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult
from mcp_types import Tool as Definition
from pydantic import ValidationError

from prolight.adapters.registry import Registered, Registry
from prolight.determinism import canonical_json, tool_pin
from prolight.errors import (
    CallError,
    CallRejected,
    ConnectionLost,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ServerCrashed,
    ToolFailed,
)
from prolight.ports import Tool, ToolResult
from prolight.schemas import Artifact

if TYPE_CHECKING:
    from mcp.client._transport import Transport
    from mcp.server import MCPServer

MAX_IDLE_CONNECTIONS = 100
CONNECT_WITHIN = timedelta(seconds=5)
UNACKNOWLEDGED_WITHIN = timedelta(seconds=5)
"""At most the ledger's grace."""
DISCOVER_WITHIN = timedelta(seconds=20)
MAX_OUTPUT_BYTES = 16 * 1024
"""Of what a tool says beside its picture: it goes into the run's document."""
MAX_CODE_CHARS = 64
IN_PROCESS = "in-process"
STATIC_REFUSALS = frozenset({-32600, -32601, -32602})

_responses: ContextVar[list[httpx2.Response] | None] = ContextVar("responses", default=None)


def pooled_http() -> httpx2.AsyncClient:
    """One per process, shared by all servers. Lives on one event loop; whoever made it closes it.

    The stages at work bound the calls; a bound of the pool would let one slow server starve the others.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=MAX_IDLE_CONNECTIONS)
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(None, connect=CONNECT_WITHIN.total_seconds()),
        transport=httpx2.AsyncHTTPTransport(limits=limits, socket_options=_socket_options()),
        event_hooks={"response": [_remember]},
    )


def _socket_options() -> list[tuple[int, int, int]]:
    """What was sent and is not acknowledged so long is given up: a call must not arrive after its grace."""
    if not hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        return []
    milliseconds = round(UNACKNOWLEDGED_WITHIN.total_seconds() * 1000)
    return [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)]


class McpTools:
    """One tool server, named `namespace`: at a URL over the pool `http`, or an object of this process.

    `ours`: whoever runs ProLight runs this server too, so a pure call that loses it raises `ServerCrashed`.
    """

    def __init__(
        self,
        server: str | MCPServer[Any],
        *,
        namespace: str,
        registry: Registry,
        http: httpx2.AsyncClient | None = None,
        ours: bool = False,
    ) -> None:
        assert http or not isinstance(server, str)
        self.url = server if isinstance(server, str) else IN_PROCESS
        self._server = server
        self._namespace = namespace
        self._registry = registry
        self._http = http
        self._ours = ours
        self._tools: dict[str, Tool] | None = None
        self._mode = "auto"
        self._discovering = asyncio.Lock() if isinstance(server, str) else nullcontext()

    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        if self._tools is None or anew:
            async with self._discovering:
                if self._tools is None or anew:
                    self._tools = await self._discover()
        return self._tools

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, key: str, deadline: timedelta) -> ToolResult:
        params = CallToolRequestParams.model_validate(
            {
                "name": tool.name.partition(".")[2],
                "arguments": {name: value for name, value in arguments.items() if value is not None},
                "_meta": {"prolight/key": key},
            }
        )
        request, within = CallToolRequest(params=params), deadline.total_seconds()
        try:
            async with self._connected() as client:
                result = await client.session.send_request(request, CallToolResult, request_read_timeout_seconds=within)
        except ConnectionLost as lost:
            if self._ours and tool.effect == "pure":
                raise ServerCrashed(f"{tool.name} lost its server: {lost}") from lost
            raise
        return _result(tool, result)

    async def _discover(self) -> dict[str, Tool]:
        try:
            async with asyncio.timeout(DISCOVER_WITHIN.total_seconds()), self._connected() as client:
                listed = await client.list_tools()
                self._mode = client.protocol_version if client.session.discover_result else "legacy"
                return {tool.name: tool for tool in map(self._registered, listed.tools)}
        except TimeoutError:
            raise NotSent(f"tool server {self.url} does not list its tools") from None

    def _registered(self, definition: Definition) -> Tool:
        policy = self._registry.get(definition.name, Registered())
        return Tool(
            name=f"{self._namespace}.{definition.name}",
            description=policy.description or (definition.description or ""),
            input_schema=definition.input_schema,
            pin=tool_pin(definition.model_dump(mode="json", by_alias=True, exclude_none=True)),
            effect=policy.effect,
            price_usd=policy.price_usd,
            timeout=policy.timeout,
            picture_params=policy.picture_params,
            key_window=policy.key_window,
            probe=policy.probe and f"{self._namespace}.{policy.probe}",
            retry=policy.retry,
        )

    def _target(self) -> Transport | MCPServer[Any]:
        if isinstance(self._server, str):
            return streamable_http_client(self._server, http_client=self._http)
        return self._server

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        seen: list[httpx2.Response] = []
        token = _responses.set(seen)
        try:
            async with Client(self._target(), mode=self._mode, cache=None) as client:
                yield client
        except BaseExceptionGroup as group:
            raise _translated(next(_leaves(group)), seen, self.url) from group
        except Exception as error:
            raise _translated(error, seen, self.url) from error
        finally:
            _responses.reset(token)


async def _remember(response: httpx2.Response) -> None:
    if (seen := _responses.get()) is not None and _asks(response.request):
        seen.append(response)


def _asks(request: httpx2.Request) -> bool:
    """A JSON-RPC request. What becomes of a notification, or of reading on, says nothing about the call."""
    return request.method == "POST" and b'"id":' in request.content


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _translated(error: BaseException, seen: list[httpx2.Response], url: str) -> BaseException:
    match error:
        case CallError() | asyncio.CancelledError():
            return error
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout() if _asks(error.request):
            return NotSent(f"tool server {url} refuses the connection")
        case httpx2.NetworkError() | httpx2.RemoteProtocolError():
            return ConnectionLost(f"tool server {url}: {type(error).__name__}: {error}"[:400])
        case MCPError():
            return _answered(error, seen[-1] if seen else None, in_process=url == IN_PROCESS)
        case _:
            return OutcomeUnknown(f"tool server {url}: {type(error).__name__}: {error}"[:400])


def _answered(error: MCPError, response: httpx2.Response | None, *, in_process: bool) -> CallError:
    """What an error in place of a result means. The client also makes up errors for answers it cannot read."""
    status = response.status_code if response else 0
    message = f"the tool server answers: {error.error.message[:400]}"
    data = error.error.data if isinstance(error.error.data, dict) else {}
    if response and status in (429, 529):
        return RateLimited("the tool server asks for a pause", retry_after=_retry_after(response))
    if "code" in data:
        return ToolFailed(error.error.message[:400], code=str(data["code"])[:MAX_CODE_CHARS])
    if 300 <= status < 500:
        return CallRejected(f"{message} (HTTP {status})")
    if error.error.code in STATIC_REFUSALS and (in_process or (response and _speaks_mcp(response))):
        return CallRejected(message)
    return OutcomeUnknown(message)


def _speaks_mcp(response: httpx2.Response) -> bool:
    kind = response.headers.get("content-type", "").lower()
    return response.status_code != 202 and kind.startswith(("application/json", "text/event-stream"))


def _retry_after(response: httpx2.Response) -> timedelta | None:
    """Seconds, or a date (RFC 9110), which is set against the server's own clock where it tells that."""
    said = response.headers.get("retry-after", "")
    try:
        return timedelta(seconds=max(0.0, float(said)))
    except (ValueError, OverflowError):
        until, now = _moment(said), _moment(response.headers.get("date", "")) or datetime.now(UTC)
        return max(timedelta(0), until - now) if until else None


def _moment(said: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _result(tool: Tool, result: CallToolResult) -> ToolResult:
    if result.is_error:
        text = " ".join(block.text for block in result.content if block.type == "text")
        raise CallRejected(f"{tool.name}: {text[:400]}") if tool.effect == "pure" else OutcomeUnknown(text[:400])
    content = result.structured_content
    if not isinstance(content, dict):
        raise OutcomeUnknown(f"{tool.name} gave no structured answer")
    output = _kept(tool, {name: value for name, value in content.items() if name != "artifact"})
    try:
        picture = content.get("artifact")
        made = Artifact.model_validate(picture) if picture else None
        return ToolResult(output, artifact=made, cost_usd=_cost(content.get("cost_usd")))
    except ValidationError:
        raise OutcomeUnknown(f"{tool.name} made something that is no picture of this store") from None


def _cost(said: Any) -> Decimal | None:
    """What the server charged, where it says so: dollars as a decimal in a string."""
    try:
        cost = Decimal(said) if isinstance(said, str) else None
    except InvalidOperation:
        return None
    return cost if cost is not None and cost.is_finite() and cost >= 0 else None


def _kept(tool: Tool, output: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(canonical_json(output))
    except ValueError:
        raise OutcomeUnknown(f"{tool.name} answered with what JSON cannot hold") from None
    if size > MAX_OUTPUT_BYTES:
        raise OutcomeUnknown(f"{tool.name} answered with {size} bytes beside its picture, at most {MAX_OUTPUT_BYTES}")
    return output
