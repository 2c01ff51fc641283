"""The sync face of `AsyncClient`: the same methods, for threads, scripts and services without an event loop."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from prolight import portal
from prolight.client import AsyncClient, settings_for
from prolight.events import Event
from prolight.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


def _sync(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    def face(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return portal.call(method(self._client(), *args, **kwargs))

    update_wrapper(face, method)
    return face


class Client:
    """`with Client() as client: run_id = client.submit(Path("chair.jpg"), "warm key from the left")`

    The sync face of `AsyncClient`. Connects at the first call; may be shared by threads, and used after a fork.
    """

    def __init__(self, url: str = "", *, settings: Settings | None = None) -> None:
        self.settings = settings or settings_for(url)
        self._clients: dict[int, AsyncClient] = {}
        """By process: connections live on an event loop, and loops do not survive a fork."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _client(self) -> AsyncClient:
        pid = os.getpid()
        if pid not in self._clients:
            made = self._clients[pid] = AsyncClient(settings=self.settings)
            weakref.finalize(self, _let_go, made, pid).atexit = False  # at the end, the portal sees to it
        return self._clients[pid]

    def close(self) -> None:
        if client := self._clients.pop(os.getpid(), None):
            portal.call(client.close())

    def events(self, run_id: str, after: int = 0) -> Iterator[Event]:
        """Live, from `seq` > `after`; ends after the run's last event."""
        return portal.iterate(self._client().events(run_id, after))

    submit = _sync(AsyncClient.submit)
    enqueue = _sync(AsyncClient.enqueue)
    get = _sync(AsyncClient.get)
    wait = _sync(AsyncClient.wait)
    cancel = _sync(AsyncClient.cancel)
    approve = _sync(AsyncClient.approve)
    publish = _sync(AsyncClient.publish)
    reject = _sync(AsyncClient.reject)
    review = _sync(AsyncClient.review)
    failed = _sync(AsyncClient.failed)
    redrive = _sync(AsyncClient.redrive)
    audit = _sync(AsyncClient.audit)
    why = _sync(AsyncClient.why)
    workers = _sync(AsyncClient.workers)
    pause = _sync(AsyncClient.pause)
    resume = _sync(AsyncClient.resume)
    artifacts = _sync(AsyncClient.artifacts)
    download = _sync(AsyncClient.download)
    begin_batch = _sync(AsyncClient.begin_batch)
    batch = _sync(AsyncClient.batch)
    batches = _sync(AsyncClient.batches)
    approve_batch = _sync(AsyncClient.approve_batch)
    decline_batch = _sync(AsyncClient.decline_batch)
    cancel_batch = _sync(AsyncClient.cancel_batch)
    batch_page = _sync(AsyncClient.batch_page)
    durability = _sync(AsyncClient.durability)
    list = _sync(AsyncClient.list)


def _let_go(client: AsyncClient, pid: int) -> None:
    """Nobody has the sync client any more, and nobody closed it."""
    if os.getpid() == pid:
        with suppress(RuntimeError):
            portal.start(client.close())
