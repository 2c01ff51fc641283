"""How a run is written down by a store: its document, and times as whole milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from prolight.errors import StoreRefused
from prolight.schemas import MAX_DOCUMENT_BYTES, RunContext

MAX_JOURNAL_BYTES = 4 * 1024 * 1024
"""Of all entries that a child run takes over: one script writes them at once."""


def deadline_of(run: RunContext) -> int:
    return round((run.works_until or 0) * 1000)


def document_of(run: RunContext) -> str:
    """The run as it is kept. Raises `StoreRefused` for one that is too large."""
    document = run.to_json()
    size = len(document.encode())
    if size > MAX_DOCUMENT_BYTES:
        raise StoreRefused(f"run {run.run_id} would take {size} bytes, at most {MAX_DOCUMENT_BYTES}")
    return document


def journal_of(run: RunContext, entries: Mapping[str, str]) -> list[str]:
    """The journal that a run starts with: key and entry in turn. Raises `StoreRefused` for one that is too large."""
    parts = [part for entry in entries.items() for part in entry]
    size = sum(len(part.encode()) for part in parts)
    if size > MAX_JOURNAL_BYTES:
        raise StoreRefused(f"run {run.run_id} would start with a journal of {size} bytes, at most {MAX_JOURNAL_BYTES}")
    return parts


def milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
