"""`python -m prolight.studio`: serve the studio over Streamable HTTP, or over stdio."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp.server import MCPServer

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.schemas import compact_json
from prolight.studio.calls import CallLog
from prolight.studio.server import build_app, build_server
from prolight.studio.studio import MOST_PIXELS, PIXEL_SLOTS, Studio

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
GOODBYE_SECONDS = 5
"""How long calls under way may go on after the server was asked to stop."""


class _Announcing(uvicorn.Server):
    """Says on stdout where it serves, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            sys.stdout.write(compact_json({"studio": f"http://{name}:{port}/mcp"}) + "\n")
            sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(argv)
    calls = CallLog()
    studio = Studio(LocalArtifacts(options.artifacts), slots=options.slots, most_pixels=options.max_pixels)
    server = build_server(studio, calls)
    try:
        if options.stdio:
            anyio.run(server.run_stdio_async)
        else:
            _serve_http(server, calls, options)
    finally:
        studio.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m prolight.studio", description=__doc__)
    parser.add_argument("--artifacts", type=Path, required=True, help="folder of the artifact store")
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 picks a free port and prints it")
    parser.add_argument("--stdio", action="store_true", help="speak MCP on stdin and stdout instead")
    parser.add_argument("--slots", type=int, default=PIXEL_SLOTS, help="calls that work on pixels at the same time")
    parser.add_argument("--max-pixels", type=int, default=MOST_PIXELS, help="of a picture that is worked on")
    parser.add_argument(
        "--allowed-host", action="append", default=[], help="a further Host header to answer, host:port"
    )
    return parser


def _serve_http(server: MCPServer[Any], calls: CallLog, options: argparse.Namespace) -> None:
    app = build_app(server, calls, host=options.host, allowed_hosts=options.allowed_host)
    listener = _listener(options.host, options.port)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GOODBYE_SECONDS)
    _Announcing(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    """Names TCP: of `socket.create_server`'s, asyncio does not switch Nagle's algorithm off, at 40 ms a call."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen()
    return listener


if __name__ == "__main__":
    main()
