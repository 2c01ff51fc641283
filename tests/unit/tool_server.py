"""A real MCP server over HTTP whose tools answer in every way that a tool can. Run it: it prints its URL."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PICTURE = {"id": "a" * 64, "media_type": "image/png", "size_bytes": 3, "width": 2, "height": 1}
REFUSED = {"jsonrpc": "2.0", "id": None, "error": {"code": -32050, "message": "no", "data": {"code": "no_subject"}}}
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
HTTP: dict[str, tuple[int, dict[str, str], bytes]] = {
    "http_429": (429, {"retry-after": "7"}, b"slow down"),
    "http_429_json": (429, {"retry-after": "7", "content-type": "application/json"}, b'{"error":"slow down"}'),
    "http_529": (529, {"retry-after": "7"}, b"overloaded"),
    "http_429_date": (429, {"date": DATE, "retry-after": DATE.replace("08:49:37", "08:51:07")}, b"slow down"),
    "http_429_past": (429, {"date": DATE, "retry-after": DATE.replace("08:49:37", "08:49:36")}, b"slow down"),
    "http_429_bare": (429, {"retry-after": "tomorrow"}, b""),
    "http_500": (500, {}, b"oops"),
    "http_503": (503, {"retry-after": "7"}, b"oops"),
    "http_401_json": (401, {"content-type": "application/json"}, b'{"message":"Unauthorized"}'),
    "http_403": (403, {}, b"no"),
    "http_400_typed": (400, {"content-type": "application/json"}, json.dumps(REFUSED).encode()),
    "http_202": (202, {}, b""),
    "http_html": (200, {"content-type": "text/html"}, b"<p>a proxy</p>"),
    "http_garbage": (200, {"content-type": "application/json"}, b"{"),
    "http_redirect": (307, {"location": "http://127.0.0.1:9/"}, b""),
}


class Made(BaseModel):
    artifact: Any = None
    score: float = 0.5
    warnings: list[str] = []


async def good(picture: str, strength: float = 1.0) -> Made:
    """Makes a picture."""
    return Made(artifact=PICTURE, score=strength)


async def measures(picture: str) -> Made:
    """Makes no picture."""
    return Made(warnings=["dark"])


async def typed_error(picture: str) -> Made:
    raise MCPError(-32050, "nothing to light", {"code": "no_subject" * 50})


async def untyped_error(picture: str) -> Made:
    raise MCPError(-32603, "it broke")


async def raises(picture: str) -> Made:
    raise ValueError("inside")


async def no_picture(picture: str) -> Made:
    return Made(artifact="/etc/passwd")


async def huge(picture: str) -> Made:
    return Made(warnings=["x" * 100_000])


hanging = 0


async def hangs(picture: str) -> Made:
    global hanging  # noqa: PLW0603 - the server is a process
    hanging += 1
    try:
        await asyncio.Event().wait()
    finally:
        hanging -= 1
    raise AssertionError("unreachable")


async def how_many_hang(picture: str) -> Made:
    return Made(score=hanging)


async def dies(picture: str) -> Made:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def build(good_says: str) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("odd", log_level="ERROR")
    server.tool(description=good_says)(good)
    for tool in (measures, typed_error, untyped_error, raises, no_picture, huge, hangs, how_many_hang, dies):
        server.tool()(tool)
    for name in HTTP:
        server.tool(name=name)(good)
    return server


class Odd:
    """Answers a call of a tool in `HTTP` as some proxy might; everything else goes to the server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        messages, body, more = [], b"", True
        while more:
            message = await receive()
            messages.append(message)
            body, more = body + message.get("body", b""), message.get("more_body", False)
        asked = json.loads(body)
        if answer := HTTP.get(asked.get("params", {}).get("name", "")):
            status, headers, content = answer
            start = {"type": "http.response.start", "status": status}
            await send({**start, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]})
            await send({"type": "http.response.body", "body": content})
            return

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, again, send)


@contextmanager
def served(port: int = 0, *, good_says: str = "Makes a picture.") -> Iterator[str]:
    """The server in a process of its own: its URL."""
    command = [sys.executable, str(Path(__file__)), str(port), good_says]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    app = Odd(build(sys.argv[2]).streamable_http_app(json_response=True, stateless_http=True))
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so where a socket names TCP only
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    uvicorn.Server(uvicorn.Config(app, date_header=False, log_level="error", timeout_graceful_shutdown=1)).run(
        sockets=[listener]
    )


if __name__ == "__main__":
    main()
