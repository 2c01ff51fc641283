"""One event loop in a thread of its own, behind every sync face: `Client`, `AgentRunner`, `MCPClient`.

So sync faces work in a notebook, whose own loop is running, and can share connections.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from datetime import timedelta
from typing import Any, Generic, TypeVar

T = TypeVar("T")

EXIT_WITHIN = timedelta(seconds=2)
"""What is still under way when the interpreter exits has so long to end by cancellation."""


class Work(Generic[T]):
    """Something under way on the background loop, as another thread sees it. `answer` is set when it has ended."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self.answer: Future[T] = Future()
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        loop.call_soon_threadsafe(self._begin, coroutine)

    def result(self) -> T:
        """Wait for the answer. Ctrl-C cancels the work and waits for its end; a second one does not."""
        try:
            return self.answer.result()
        except BaseException:
            self.cancel()
            with suppress(Exception):
                self.answer.exception()
            raise

    def cancel(self) -> None:
        """Ask it to stop."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _begin(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._task = self._loop.create_task(coroutine)
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        if self._task:
            self._task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.answer.set_exception(CancelledError())
        elif error := task.exception():
            self.answer.set_exception(error)
        else:
            self.answer.set_result(task.result())


def start(coroutine: Coroutine[Any, Any, T]) -> Work[T]:
    """Begin work on the background loop."""
    loop, thread = _loop()
    if threading.current_thread() is thread:
        coroutine.close()
        raise RuntimeError("a sync face of ProLight was called on its own event loop: use the async one there")
    return Work(coroutine, loop)


def call(coroutine: Coroutine[Any, Any, T]) -> T:
    """The answer of a coroutine. Ctrl-C cancels it."""
    return start(coroutine).result()


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """What an async iterator gives, one by one. It is closed when the caller stops early."""

    asked: set[asyncio.Task[Any]] = set()

    async def following() -> T | None:
        if task := asyncio.current_task():
            asked.add(task)
            task.add_done_callback(asked.discard)
        return await anext(items, None)

    async def end() -> None:
        for task in asked:  # Ctrl-C came before the caller waited for it
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        if close := getattr(items, "aclose", None):
            await close()

    try:
        while (item := call(following())) is not None:
            yield item
    finally:
        call(end())


_lock = threading.Lock()
_loops: dict[int, tuple[asyncio.AbstractEventLoop, threading.Thread]] = {}
"""By process: a thread does not live on in a fork, and closing its loop there would break the parent's."""


def _loop() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    with _lock:
        if os.getpid() not in _loops:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_run, args=(loop,), name="prolight-portal", daemon=True)
            thread.start()
            atexit.register(_stop, loop, thread)
            _loops[os.getpid()] = loop, thread
        return _loops[os.getpid()]


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """A task that exits (`SystemExit`) stops the loop; whoever waits for it hears of it, and all others go on."""
    while True:
        try:
            loop.run_forever()
        except BaseException:  # noqa: BLE001, S112 - it is the answer of that task
            continue
        loop.close()
        return


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Let what is under way end by cancellation, or the interpreter would complain of it."""

    async def cancel_all() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=EXIT_WITHIN.total_seconds())
        loop.stop()

    if thread.is_alive():
        asyncio.run_coroutine_threadsafe(cancel_all(), loop)
        thread.join(timeout=2 * EXIT_WITHIN.total_seconds())


def _forget_lock() -> None:
    """Another thread of the parent may have held it."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
