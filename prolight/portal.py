"""One event loop in a thread of its own, behind every sync face: `Client`, `AgentRunner`, `MCPClient`.

So sync faces work in a notebook, whose own loop is running, and can share connections.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def start(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Begin `work` on the background loop."""
    loop, thread = _loop()
    if threading.current_thread() is thread:
        work.close()
        raise RuntimeError("a sync face of ProLight was called on its own event loop: use the async one there")
    return asyncio.run_coroutine_threadsafe(work, loop)


def call(work: Coroutine[Any, Any, T]) -> T:
    """The answer of `work`. Ctrl-C cancels it."""
    future = start(work)
    try:
        return future.result()
    finally:
        future.cancel()


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """What an async iterator gives, one by one. It is closed when the caller stops early."""

    async def following() -> T | None:
        return await anext(items, None)

    async def end() -> None:
        if close := getattr(items, "aclose", None):
            await close()

    try:
        while (item := call(following())) is not None:
            yield item
    finally:
        call(end())


_lock = threading.Lock()
_loops: dict[int, tuple[asyncio.AbstractEventLoop, threading.Thread]] = {}
"""By process: a thread does not live on in a fork."""


def _loop() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    with _lock:
        if os.getpid() not in _loops:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="prolight-portal", daemon=True)
            thread.start()
            atexit.register(_stop, loop, thread)
            _loops[os.getpid()] = loop, thread
        return _loops[os.getpid()]


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Let what is under way end by cancellation, or the interpreter would complain of it."""

    async def cancel_all() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    if thread.is_alive():
        asyncio.run_coroutine_threadsafe(cancel_all(), loop).result(timeout=1)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=1)
