"""How a run is written down by a store: its document, and times as whole milliseconds."""

from __future__ import annotations

from datetime import timedelta

from prolight.errors import StoreRefused
from prolight.schemas import MAX_DOCUMENT_BYTES, RunContext


def deadline_of(run: RunContext) -> int:
    return round((run.works_until or 0) * 1000)


def document_of(run: RunContext) -> str:
    """The run as it is kept. Raises `StoreRefused` for one that is too large."""
    document = run.to_json()
    size = len(document.encode())
    if size > MAX_DOCUMENT_BYTES:
        raise StoreRefused(f"run {run.run_id} would take {size} bytes, at most {MAX_DOCUMENT_BYTES}")
    return document


def milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
