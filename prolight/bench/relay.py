"""A TCP relay that can be parted: from then on nothing passes, and neither side is told, as when a cable is pulled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from prolight.embedded.valkey import LOOPBACK

PIECE_BYTES = 65_536


class Relay:
    """`async with Relay(port) as relay:` listens on `relay.port` of the loopback, for the server at `port`."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._whole = asyncio.Event()
        self._whole.set()
        self._carrying: set[asyncio.Task[None]] = set()
        self.port = 0

    def part(self) -> None:
        self._whole.clear()

    def heal(self) -> None:
        """What was sent meanwhile arrives now, ends of connections as well."""
        self._whole.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either side has ended."""
        try:
            with suppress(OSError):
                there, back = await asyncio.open_connection(LOOPBACK, self._to)
                try:
                    await self._both(self._pump(reader, back), self._pump(there, writer))
                finally:
                    back.close()
        finally:
            writer.close()

    async def _both(self, *pumps: object) -> None:
        tasks = [asyncio.ensure_future(pump) for pump in pumps]  # type: ignore[call-overload]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        more = True
        while more:
            piece = await reader.read(PIECE_BYTES)
            await self._whole.wait()
            writer.write(piece)
            await writer.drain()
            more = bool(piece)
