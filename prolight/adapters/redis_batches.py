"""Batches on the server: `batch_*` in `lua/`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from prolight.adapters.record import milliseconds
from prolight.adapters.redis_views import pairs
from prolight.batches import LOOK_EVERY, Batch, Look, Picture, Result, Round
from prolight.errors import RunNotFound, StoreRefused, VersionConflict
from prolight.schemas import RunContext

Script = Callable[..., Awaitable[list[Any]]]
Ask = Callable[..., Awaitable[Any]]

AT_A_TIME = 200
"""So many pictures, or runs that are over, go through one script."""
UNCLAIMED = timedelta(days=1)
"""A list whose batch never came goes by itself after so long."""


class BatchNotFound(RunNotFound):
    """There is no such batch (any more)."""

    code = "batch_not_found"


class RedisBatches:
    """`script` runs a script of the store, `ask` a command. Raises `StoreError`s, and `BatchNotFound`."""

    def __init__(self, script: Script, ask: Ask, retention: timedelta) -> None:
        self._script, self._ask = script, ask
        self._keep_ms = milliseconds(retention)

    async def create(self, batch: Batch, pictures: Sequence[Picture]) -> None:
        """Idempotent by the batch's id: asked again after any failure it goes on."""
        for numbers in in_parts(len(pictures)):
            parts = [part for number in numbers for part in (number, pictures[number].model_dump_json())]
            await self._script("batch_pictures", batch.batch_id, milliseconds(UNCLAIMED), *parts)
        _, how = await self._script("batch_create", batch.batch_id, batch.total, _document(batch), self._keep_ms)
        if how == "incomplete":
            raise StoreRefused(f"batch {batch.batch_id}: its list of pictures is not whole; ask again")

    async def read(self, batch_id: str) -> Batch:
        """The batch alone; `look` also looks at the runs of its open pictures."""
        if (text := await self._ask("HGET", f"prolight:batch:{batch_id}", "document")) is None:
            raise BatchNotFound(batch_id)
        return Batch.model_validate_json(text)

    async def look(self, batch_id: str) -> Look:
        now, ver, document, still_open, waiting, missing, over = await self._script("batch_look", batch_id, AT_A_TIME)
        if not ver:
            raise BatchNotFound(batch_id)
        since = pairs(missing)
        return Look(
            batch=Batch.model_validate_json(document),
            ver=int(ver),
            now=now / 1000,
            open=still_open,
            waiting=waiting,
            over={int(number): RunContext.from_json(run) for number, run in pairs(over).items()},
            missing=tuple(int(number) for number in since),
            missing_since={int(number): float(opened) / 1000 for number, opened in since.items()},
        )

    async def commit(self, look: Look, made: Round) -> None:
        """Carry a round out, whole or not at all. Raises `VersionConflict`."""
        batch = made.batch
        closed = [part for number, result in made.closes.items() for part in (number, result.model_dump_json())]
        look_ms = "" if batch.finished_at is not None else milliseconds(LOOK_EVERY)
        _, how = await self._script(
            "batch_commit",
            batch.batch_id,
            look.ver,
            look_ms,
            self._keep_ms,
            _document(batch),
            len(made.closes),
            *closed,
            *made.opens,
        )
        if how == "conflict":
            raise VersionConflict(f"batch {batch.batch_id} is no longer at version {look.ver}")

    async def pictures(self, batch_id: str, numbers: Sequence[int]) -> Mapping[int, Picture]:
        texts = await self._ask("HMGET", f"prolight:pictures:{batch_id}", *numbers) if numbers else []
        return {number: Picture.model_validate_json(text) for number, text in zip(numbers, texts, strict=True) if text}

    async def results(self, batch_id: str, numbers: Sequence[int]) -> Mapping[int, Result]:
        texts = await self._ask("HMGET", f"prolight:results:{batch_id}", *numbers) if numbers else []
        return {number: Result.model_validate_json(text) for number, text in zip(numbers, texts, strict=True) if text}

    async def open_numbers(self, batch_id: str) -> list[int]:
        return sorted(int(number) for number in await self._ask("HKEYS", f"prolight:open:{batch_id}"))

    async def recent(self, limit: int) -> list[Batch]:
        """Newest first."""
        ids = await self._ask("ZREVRANGE", "prolight:batches", 0, limit - 1) if limit > 0 else []
        texts = [await self._ask("HGET", f"prolight:batch:{batch_id}", "document") for batch_id in ids]
        return [Batch.model_validate_json(text) for text in texts if text]


def _document(batch: Batch) -> str:
    """Without defaults: what a newer version adds and a batch does not use, an older one can read."""
    return batch.model_dump_json(exclude_defaults=True)


def in_parts(total: int) -> Iterator[range]:
    """All numbers of a batch, as many at a time as one question should ask for."""
    return (range(first, min(total, first + AT_A_TIME)) for first in range(0, total, AT_A_TIME))
