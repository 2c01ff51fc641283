"""Batches at work: what a sweep finds due gets its next round, in whichever worker process that is.

A round is decided, committed, and only then are its pictures given runs. Who dies in between leaves pictures that are
open and have no run: the next round gives them theirs, under the same ids.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from prolight import batches, commands
from prolight.batches import MAX_PICTURES, WAITS, Batch, BatchRequest, Input, Line, Picture, Round, run_id_of
from prolight.door import Door
from prolight.errors import (
    ArtifactMissing,
    IllegalMove,
    InvalidInput,
    RunNotFound,
    StoreUnavailable,
    VersionConflict,
)
from prolight.schemas import RunRequest
from prolight.spoken import some

log = logging.getLogger(__name__)

Progress = Callable[[int], None]
"""Gets the number of pictures that were taken in so far."""


async def carry_on(door: Door, due: Collection[str]) -> None:
    """The next round of each of these batches. Who is beaten to it by another process leaves it alone."""
    for batch_id in due:
        try:
            await _round(door, batch_id)
        except (VersionConflict, RunNotFound) as beaten:
            log.info("batch %s: %s", batch_id, beaten)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("batch %s cannot go on", batch_id)  # and must not hold up the others


async def begin(
    door: Door, batch_id: str, request: BatchRequest, inputs: Sequence[Input], progress: Progress = lambda done: None
) -> None:
    """Take all pictures in, then let the batch begin. Idempotent by its id.

    Raises `InvalidInput` that names what is wrong with which pictures; then nothing begins.
    """
    if not 0 < len(inputs) <= MAX_PICTURES:
        raise InvalidInput(f"has {len(inputs)} pictures: 1 to {MAX_PICTURES}", field="batch")
    await door.check_batch(request)
    await door.store.identify_artifacts(door.artifacts.identity)
    pictures, wrong = [], []
    for done, one in enumerate(inputs, 1):
        try:
            taken = await door.take_in(one.picture)
            pictures.append(Picture.parse(name=one.name, picture_id=taken.id, brief=one.brief))
        except (InvalidInput, ArtifactMissing, OSError) as refused:
            wrong.append(f"{one.name}: {refused}")
        progress(done)
    if wrong:
        raise InvalidInput(f"{len(wrong)} of {len(inputs)} are refused: {some(wrong)}", field="batch")
    batch = batches.begun(batch_id, request, len(pictures), now=door.store.now())
    await door.store.batches.create(batch, pictures)


async def answer(door: Door, batch_id: str, decide: Callable[[Batch, float], Batch]) -> Batch:
    """A person's word about a batch. Raises `IllegalMove`, `BatchNotFound`."""
    while True:
        look = await door.store.batches.look(batch_id)
        made = Round(decide(look.batch, look.now), {}, ())
        try:
            await door.store.batches.commit(look, made)
        except VersionConflict:
            continue
        return made.batch


async def cancel(door: Door, batch_id: str, *, by: str) -> Batch:
    """Nothing more begins, and the runs that are open are cancelled. Raises `IllegalMove`, `BatchNotFound`."""
    batch = await answer(door, batch_id, lambda batch, now: batches.cancelled(batch, by=by))
    deadlines = door.settings.deadlines
    for number in await door.store.batches.open_numbers(batch_id):
        with suppress(IllegalMove, RunNotFound):  # it is over, or never began
            await commands.cancel(door.store, run_id_of(batch_id, number), reason=batch.reason, deadlines=deadlines)
    return batch


async def lines(door: Door, batch_id: str, numbers: Sequence[int]) -> list[Line]:
    """These pictures as they stand now. Raises `BatchNotFound`."""
    kept = door.store.batches
    opened = (await kept.read(batch_id)).opened
    pictures, results = await kept.pictures(batch_id, numbers), await kept.results(batch_id, numbers)
    made = []
    for number, picture in pictures.items():
        run_id, result, state = run_id_of(batch_id, number), results.get(number), WAITS
        if result:
            state = result.state
        elif number < opened:
            with suppress(RunNotFound):
                state = (await door.store.read(run_id)).run.state
        made.append(Line(number, picture.name, run_id, state, result))
    return made


async def _round(door: Door, batch_id: str) -> None:
    kept = door.store.batches
    look = await kept.look(batch_id)
    made = batches.next_round(look, deadlines=door.settings.deadlines)
    await kept.commit(look, made)
    refusals = await _open(door, made.batch, [*made.opens, *made.reopens])
    if refusals:
        again = await kept.look(batch_id)
        await kept.commit(again, batches.refused(again, refusals))


async def _open(door: Door, batch: Batch, numbers: Sequence[int]) -> dict[int, str]:
    """Give these pictures their runs; why it could not be done, by number."""
    refusals: dict[int, str] = {}
    pictures = await door.store.batches.pictures(batch.batch_id, numbers)
    for number in numbers:
        try:
            await door.enqueue(_request(batch, number, pictures))
        except (InvalidInput, ArtifactMissing, RunNotFound) as refused:
            refusals[number] = f"{refused.code}: {refused}"
    return refusals


def _request(batch: Batch, number: int, pictures: Mapping[int, Picture]) -> RunRequest:
    asked = batch.request
    if (picture := pictures.get(number)) is None:
        raise InvalidInput(f"has no number {number}", field=f"batch {batch.batch_id}")
    return RunRequest.parse(
        picture_id=picture.picture_id,
        brief=picture.brief or asked.brief,
        metadata={"batch": batch.batch_id, "input": picture.name},
        recipe=asked.recipe,
        preset=asked.preset,
        ask=asked.ask,
        approve_result=asked.approve_result,
        budget_usd=asked.run_budget_usd,
        run_id=run_id_of(batch.batch_id, number),
    )
