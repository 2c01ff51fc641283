"""Keeps the parts of a stack running: started in order, restarted when they end, stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from typing import Self

from prolight.embedded.child import Child, Part, Say, silent
from prolight.embedded.errors import StackFailed
from prolight.embedded.guard import Watch
from prolight.retry import RetryPolicy, backoff

RESTARTS = RetryPolicy(max_tries=5, base=timedelta(seconds=0.5), cap=timedelta(seconds=8))
"""A part that ends so often in a row is given up; the waits between are the full back-off, without jitter."""
SETTLED_AFTER = timedelta(seconds=30)
"""A part that was ready for so long starts a new row."""
CANCEL_AGAIN_AFTER = timedelta(milliseconds=100)


class Supervisor:
    """Runs parts as children, in an `async with` block whose end stops them all.

    `say` takes each line that a part writes, and what is done to it; `restarted` is called when a
    part runs again under another pid. The thread of the event loop forks, and has to live as long
    as the children (see `lifeline.py`).
    """

    def __init__(
        self,
        *,
        say: Say = silent,
        restarted: Callable[[Child], None] = lambda _: None,
        restarts: RetryPolicy = RESTARTS,
        settled_after: timedelta = SETTLED_AFTER,
    ) -> None:
        self._say = say
        self._restarted = restarted
        self._restarts = restarts
        self._settled_after = settled_after
        self._children: list[Child] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._hurried = asyncio.Event()
        self.stopping = False

    async def __aenter__(self) -> Self:
        self._watch = Watch()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stop()

    async def start(self, *parts: Part) -> list[Child]:
        """Start these side by side; returns when all are ready. What must be ready first goes into a
        call before. Raises `StackFailed` as soon as one of them fails: a part has one try to start."""
        children = [Child(part, self._watch, self._say) for part in parts]
        self._children += children
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.start())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        self._keepers += [asyncio.create_task(self._keep(child)) for child in children]
        return children

    async def keep(self) -> None:
        """Keeps what was started running, until a part has to be given up: then raises `StackFailed`."""
        given_up, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_COMPLETED)
        await given_up.pop()

    def hurry(self) -> None:
        """From now on stopping means SIGKILL."""
        self._hurried.set()

    async def _keep(self, child: Child) -> None:
        ends_in_a_row = 0
        while True:
            await child.ended()
            ends_in_a_row = 1 if child.lived >= self._settled_after else ends_in_a_row + 1
            if ends_in_a_row >= self._restarts.max_tries:
                raise child.failure(f"{child.end}, {ends_in_a_row} times in a row")
            wait = backoff(self._restarts, ends_in_a_row).total_seconds()
            child.say(f"{child.end}; starts again in {wait:g} s")
            await asyncio.sleep(wait)
            with suppress(StackFailed):
                await child.start()
                self._restarted(child)

    async def _stop(self) -> None:
        self.stopping = True
        await _cancel(self._keepers)
        latest_first = sorted(self._children, key=lambda child: -child.part.tier)
        for _, tier in groupby(latest_first, key=lambda child: child.part.tier):
            await asyncio.gather(*(child.stop(self._hurried) for child in tier))
        self._watch.close()


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Until each has ended: before Python 3.12 `asyncio.wait_for` may swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_AFTER.total_seconds())
