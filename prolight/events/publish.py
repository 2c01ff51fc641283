"""`publish_event`: from any process onto a run's channel. An entry point: it may know the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from prolight.bootstrap import connect_store
from prolight.errors import InvalidInput
from prolight.events import MAX_EVENT_BYTES, Event, Note
from prolight.schemas import compact_json, refusal
from prolight.settings import Settings

PATIENCE = timedelta(seconds=5)
MAX_MESSAGE_CHARS = 600


async def publish_event(run_id: str, event: Mapping[str, Any], *, settings: Settings | None = None) -> int:
    """Publish an event on `prolight:events:<run_id>`, and keep it in the run's stream; answers its `seq`.

    With a `seq`, it is an event of a run that works elsewhere (`AgentRunnerAsync`), mirrored unchanged: once for
    each seq, in order. Without one it becomes a `note` with the next seq of a run in this store: `message`, and
    the rest as `fields`. Raises `InvalidInput`, `RunNotFound`, `IllegalMove` for a finished run or a mirror out of
    order, `StoreUnavailable`.
    """
    settings = settings or Settings.load()
    store = connect_store(settings, patience=PATIENCE)
    try:
        await store.open()
        if "seq" in event:
            return await store.mirror(_checked(run_id, event), compact_json(event))
        return await store.note(run_id, _note(event))
    finally:
        await store.close()


def _checked(run_id: str, event: Mapping[str, Any]) -> Event:
    try:
        checked = Event.model_validate(event)
    except ValidationError as error:
        raise InvalidInput(str(refusal(error)), field="event") from None
    if checked.run_id != run_id:
        raise InvalidInput(f"belongs to run {checked.run_id!r}, not {run_id!r}", field="event")
    if len(compact_json(event).encode()) > 2 * MAX_EVENT_BYTES:
        raise InvalidInput(f"is larger than {MAX_EVENT_BYTES} bytes", field="event")
    return checked


def _note(event: Mapping[str, Any]) -> Note:
    fields = {name: value for name, value in event.items() if name not in ("message", "type", "run_id")}
    try:
        note = Note(message=str(event.get("message", event.get("type", "")))[:MAX_MESSAGE_CHARS], fields=fields)
        size = len(note.model_dump_json().encode())
    except (ValidationError, ValueError):
        raise InvalidInput("holds what JSON cannot", field="event") from None
    if size > MAX_EVENT_BYTES:
        raise InvalidInput(f"has {size} bytes, at most {MAX_EVENT_BYTES}", field="event")
    return note
