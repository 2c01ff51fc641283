"""A TCP proxy that breaks connections on purpose, in front of a store or of the World.

`python -m tests.chaos.proxy --to PORT [--speaks redis|http] [--listen PORT] [--port N]` prints the URL of its control
face (on `--port`), and the port on which it listens. Control, over HTTP:

    POST /faults   a `Faults` as JSON, in place of the last one, for present and future connections; {} heals
    POST /end      {"how": "cut"|"reset"|"silence"}: all present connections go so  →  {"ended": count}
    GET  /counts   what really happened

A reply is lost whole and the connection with it, as on a real network: those behind it would answer other questions.
`redis` knows requests and replies apart (RESP); `http` takes what a client sends up to the first byte of the answer
as one request, so one at a time. A duplicate goes over the same connection to Redis, and over one of its own to HTTP,
once the answer to the first has begun.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.chaos import resp
from tests.chaos.faults import Chance, End, Faults, Way
from tests.chaos.serving import LOOPBACK, listen, reset, serve

PIECE = 65_536
SETTING_UP = frozenset({b"HELLO", b"AUTH", b"CLIENT", b"SELECT", b"QUIT"})
SUBSCRIBING = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR"})
Speaks = Literal["redis", "http"]


class Proxy:
    """Lives on one event loop. `faults` may be replaced at any time by `tell`; `counts` says what came of it."""

    def __init__(self, to: int, *, speaks: Speaks = "redis") -> None:
        self.to, self.speaks = to, speaks
        self.faults = Faults()
        self.counts: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Listen, on `self.port` from then on."""
        listener = listen(port)
        self.port = int(listener.getsockname()[1])
        self._server = await asyncio.start_server(self._serve, sock=listener)

    def tell(self, faults: Faults) -> None:
        self.faults = faults
        for connection in self.connections:
            connection.count_anew()
        if faults.stall:
            self._flowing.clear()
        else:
            self._flowing.set()

    def end(self, how: End) -> int:
        present = list(self.connections)
        for connection in present:
            connection.end(how)
        return len(present)

    async def stall(self) -> None:
        if not self._flowing.is_set():
            self.counts["stalled"] += 1
            await self._flowing.wait()

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        if self._server:
            self._server.close()
        self.end("cut")
        while self.connections:
            await next(iter(self.connections)).gone.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        try:
            above = await asyncio.open_connection(LOOPBACK, self.to)
        except OSError:
            self.counts["refused"] += 1
            reset(writer.transport)
            return
        talk = RedisTalk(self) if self.speaks == "redis" else HttpTalk(self)
        connection = Connection(self, talk, (reader, writer), above)
        self.connections.add(connection)
        try:
            await connection.carry()
        finally:
            self.connections.discard(connection)


class Ends(Exception):
    """Control flow: this connection is to go, and how."""

    def __init__(self, how: End) -> None:
        super().__init__(how)
        self.how = how


class Connection:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(
        self,
        proxy: Proxy,
        talk: Talk,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy, self._talk = proxy, talk
        self._client, self._server = client, server
        self._silent = False
        self._passed: Counter[str] = Counter()
        self._pumps: list[asyncio.Task[None]] = []
        self.gone = asyncio.Event()

    def count_anew(self) -> None:
        self._passed.clear()

    async def carry(self) -> None:
        """Until both sides have ended."""
        self._pumps = [asyncio.create_task(self._pump("up")), asyncio.create_task(self._pump("down"))]
        try:
            await asyncio.gather(*self._pumps)
        except Ends as ends:
            self.end(ends.how)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            for _, writer in (self._client, self._server):
                writer.close()
            self.gone.set()

    def end(self, how: End) -> None:
        self._proxy.counts[how] += 1
        if how == "silence":
            self._silent = True
            return
        for _, writer in (self._client, self._server):
            if how == "reset":
                reset(writer.transport)
            else:
                writer.close()
        for pump in self._pumps:
            if pump is not asyncio.current_task():
                pump.cancel()

    async def _pump(self, way: str) -> None:
        (reader, _), (_, writer) = (self._client, self._server) if way == "up" else (self._server, self._client)
        while piece := await reader.read(PIECE):
            await self._pass(way, piece, writer)
        if self._silent and way == "up":
            raise ConnectionAbortedError("the client gave a silent connection up")
        if self._silent:
            await asyncio.Event().wait()  # the client is not told of the server's end
        with suppress(OSError):
            writer.write_eof()

    async def _pass(self, way: str, piece: bytes, writer: asyncio.StreamWriter) -> None:
        await self._proxy.stall()
        told: Way = getattr(self._proxy.faults, way)
        if told.blackhole or self._silent:
            self._silent = True
            self._proxy.counts["swallowed_bytes"] += len(piece)
            return
        if told.delay_ms:
            self._proxy.counts["delayed"] += 1
            await asyncio.sleep(told.delay_ms / 1000)
        forwarded, ends = self._talk.up(piece) if way == "up" else self._talk.down(piece)
        await self._write(way, told, forwarded, writer)
        if ends:
            self._go(ends)

    def _go(self, how: End) -> None:
        if how != "silence":
            raise Ends(how)
        self.end(how)

    async def _write(self, way: str, told: Way, piece: bytes, writer: asyncio.StreamWriter) -> None:
        limits: dict[End, int | None] = {
            "cut": told.cut_after,
            "reset": told.reset_after,
            "silence": told.silent_after,
        }
        for how, limit in limits.items():
            if limit is not None and self._passed[way] + len(piece) >= limit:
                await self._out(way, piece[: limit - self._passed[way]], writer)
                self._go(how)
                return
        if told.bytes_per_second:
            self._proxy.counts["slowed"] += 1
            await asyncio.sleep(len(piece) / told.bytes_per_second)
        await self._out(way, piece, writer)

    async def _out(self, way: str, piece: bytes, writer: asyncio.StreamWriter) -> None:
        self._passed[way] += len(piece)
        self._proxy.counts[f"{way}_bytes"] += len(piece)
        writer.write(piece)
        await writer.drain()


class Talk:
    """What is said on one connection: what of it to forward, and whether the connection goes after that."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def up(self, piece: bytes) -> tuple[bytes, End | None]:
        raise NotImplementedError

    def down(self, piece: bytes) -> tuple[bytes, End | None]:
        raise NotImplementedError

    def _chosen(self, chance: Chance | None, request: bytes, what: str) -> bool:
        if chance is None or not chance.hits(request):
            return False
        self._proxy.counts[what] += 1
        return True


class RedisTalk(Talk):
    """Requests are answered in order. A subscriber's connection is left alone: its messages answer nothing."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy)
        self._asking, self._answering = bytearray(), bytearray()
        self._asked: deque[bytes | None] = deque()
        """The requests without an answer yet; None for one whose answer the client must not see."""
        self._subscriber = False

    def up(self, piece: bytes) -> tuple[bytes, End | None]:
        if self._subscriber:
            return piece, None
        self._asking += piece
        forwarded = bytearray()
        while request := resp.take(self._asking):
            forwarded += self._request(request)
        if self._subscriber:
            forwarded += _emptied(self._asking)
        return bytes(forwarded), None

    def _request(self, request: bytes) -> bytes:
        self._proxy.counts["requests"] += 1
        self._asked.append(request)
        command = resp.command_of(request)
        self._subscriber = self._subscriber or command in SUBSCRIBING
        plain = command not in SETTING_UP | SUBSCRIBING
        if not plain or not self._chosen(self._proxy.faults.duplicate, request, "duplicated"):
            return request
        self._asked.append(None)
        return request * 2

    def down(self, piece: bytes) -> tuple[bytes, End | None]:
        if self._subscriber:
            return _emptied(self._answering) + piece, None
        self._answering += piece
        forwarded = bytearray()
        while reply := resp.take(self._answering):
            if reply[:1] == b">" or not self._asked:
                forwarded += reply
                continue
            self._proxy.counts["replies"] += 1
            request = self._asked.popleft()
            if request is None:
                continue
            lose = self._proxy.faults.lose_reply
            if lose and resp.command_of(request) not in SETTING_UP and self._chosen(lose, request, "lost_replies"):
                return bytes(forwarded), lose.then
            forwarded += reply
        return bytes(forwarded), None


def _emptied(buffer: bytearray) -> bytes:
    content = bytes(buffer)
    buffer.clear()
    return content


class HttpTalk(Talk):
    """One request at a time."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy)
        self._request = bytearray()
        self._repeating: set[asyncio.Task[None]] = set()

    def up(self, piece: bytes) -> tuple[bytes, End | None]:
        self._request += piece
        return piece, None

    def down(self, piece: bytes) -> tuple[bytes, End | None]:
        if not self._request:
            return piece, None
        request = bytes(self._request)
        self._request.clear()
        self._proxy.counts["requests"] += 1
        self._proxy.counts["replies"] += 1
        if self._chosen(self._proxy.faults.duplicate, request, "duplicated"):
            again = asyncio.create_task(self._repeat(request))
            self._repeating.add(again)
            again.add_done_callback(self._repeating.discard)
        lose = self._proxy.faults.lose_reply
        if lose and self._chosen(lose, request, "lost_replies"):
            return b"", lose.then
        return piece, None

    async def _repeat(self, request: bytes) -> None:
        """Over a connection of its own, to its end; the answer is nobody's."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self._proxy.to)
        try:
            writer.write(request)
            await reader.read(PIECE)
            self._proxy.counts["duplicates_answered"] += 1
        finally:
            writer.close()


def control(proxy: Proxy, port: int) -> Starlette:
    """The control face, which runs the proxy on `port` as long as it is served itself."""

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        await proxy.start(port)
        yield
        await proxy.close()

    async def faults(request: Request) -> Response:
        try:
            proxy.tell(Faults.model_validate_json(await request.body()))
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({})

    async def end(request: Request) -> Response:
        return JSONResponse({"ended": proxy.end((await request.json())["how"])})

    async def counts(request: Request) -> Response:
        return JSONResponse(proxy.counts)

    posts = [Route("/faults", faults, methods=["POST"]), Route("/end", end, methods=["POST"])]
    return Starlette(routes=[*posts, Route("/counts", counts)], lifespan=running)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.proxy")
    parser.add_argument("--to", type=int, required=True, help="the server's port on the loopback")
    parser.add_argument("--speaks", choices=["redis", "http"], default="redis")
    parser.add_argument("--listen", type=int, default=0, help="for what it proxies")
    parser.add_argument("--port", type=int, default=0, help="of the control face")
    options = parser.parse_args(argv)
    proxy = Proxy(options.to, speaks=options.speaks)
    serve(control(proxy, options.listen), options.port, lambda port: f"http://{LOOPBACK}:{port} {proxy.port}")


if __name__ == "__main__":
    main()
