"""`publish_event`: from any process onto a run's channel. An entry point: it may know the store."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from prolight.bootstrap import connect_store
from prolight.errors import InvalidInput
from prolight.events import MAX_EVENT_BYTES, Event, Note
from prolight.schemas import RUN_ID, compact_json, refusal
from prolight.settings import Settings

PATIENCE = timedelta(seconds=5)
MAX_MESSAGE_CHARS = 600
MAX_MIRRORED_BYTES = MAX_EVENT_BYTES + 1024
"""A payload of `MAX_EVENT_BYTES`, and what a store stamps it with."""
MAX_SEQ = 10**12


async def publish_event(run_id: str, event: Mapping[str, Any], *, settings: Settings | None = None) -> int:
    """Publish an event on `prolight:events:<run_id>`, and keep it in the run's stream; answers its `seq`.

    With a `seq`, it is an event of a run that works elsewhere (`AgentRunnerAsync`), mirrored unchanged: once for
    each seq, in order. Without one it becomes a `note` with the next seq of a run in this store: `message`, and
    the rest as `fields`. Raises `InvalidInput`, `RunNotFound`, `IllegalMove` for a finished run, a mirror out of
    order or another event of that seq, `StoreUnavailable`.
    """
    settings = settings or Settings.load()
    told = _mirrored(run_id, event) if "seq" in event else _note(event)
    store = connect_store(settings, patience=PATIENCE)
    try:
        await store.open()
        if isinstance(told, Note):
            return await store.note(run_id, told)
        return await store.mirror(told, _json(event))
    finally:
        await store.close()


def _mirrored(run_id: str, event: Mapping[str, Any]) -> Event:
    if (size := len(_json(event).encode())) > MAX_MIRRORED_BYTES:
        raise InvalidInput(f"has {size} bytes, at most {MAX_MIRRORED_BYTES}", field="event")
    try:
        checked = Event.model_validate(event)
    except ValidationError as error:
        raise InvalidInput(str(refusal(error)), field="event") from None
    if checked.run_id != run_id or not re.fullmatch(RUN_ID, run_id):
        raise InvalidInput(f"belongs to run {checked.run_id!r}, not {run_id!r}", field="event")
    if type(event["seq"]) is not int or not 0 < checked.seq <= MAX_SEQ:
        raise InvalidInput("is no whole number from 1 on", field="event: seq")
    return checked


def _note(event: Mapping[str, Any]) -> Note:
    """`type` is the message where there is no other. Raises `InvalidInput`."""
    plain = json.loads(_json(event))
    said = "message" if "message" in plain else "type"
    left = {name: value for name, value in plain.items() if name not in (said, "run_id")}
    fields = {name: value for name, value in left.items() if (name, value) != ("type", Note.type)}
    note = Note(message=str(plain.get(said, ""))[:MAX_MESSAGE_CHARS], fields=fields)
    if (size := len(note.model_dump_json().encode())) > MAX_EVENT_BYTES:
        raise InvalidInput(f"has {size} bytes, at most {MAX_EVENT_BYTES}", field="event")
    return note


def _json(event: Mapping[str, Any]) -> str:
    try:
        text = compact_json(dict(event))
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput("holds what JSON cannot", field="event") from None
    return text
