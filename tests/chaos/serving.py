"""How the programs of the suite are served over HTTP, and how an answer is broken on its way."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Broken:
    """What the caller gets in place of an answer: another status, or half an answer and a TCP reset."""

    status: int = 200
    body: bytes = b"scripted"
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False

    async def send(self, send: Send, transport: asyncio.Transport) -> None:
        promised = len(self.body) + (1_000 if self.reset else 0)
        headers = {"content-length": str(promised), **self.headers}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body, "more_body": self.reset})
        if self.reset:
            reset(transport)


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection with RST in place of FIN."""
    assert isinstance(transport, asyncio.WriteTransport)
    if connection := transport.get_extra_info("socket"):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _Wired(H11Protocol):
    """Gives a request its connection, as `request.state.transport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Announcing(uvicorn.Server):
    says: Callable[[int], str]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            print(self.says(sockets[0].getsockname()[1]), flush=True)


def serve(app: ASGIApp, port: int, says: Callable[[int], str]) -> None:
    """Serve on the loopback until killed; print `says(port)` once that is so. Port 0 takes a free one."""
    # A caller must have closed an idle connection before we do, or its next request meets that and is lost.
    options: dict[str, Any] = {"log_level": "error", "timeout_graceful_shutdown": 1, "proxy_headers": False}
    options["timeout_keep_alive"] = 600
    server = _Announcing(uvicorn.Config(app, http=_Wired, loop="asyncio", **options))
    server.says = says
    server.run(sockets=[listen(port)])


def listen(port: int) -> socket.socket:
    """A listener that names TCP: of `socket.create_server`'s, asyncio does not switch Nagle's algorithm off (40 ms)."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.listen(512)
    return listener
