"""ProLight: a picture and a brief in, a relit picture out, as durable runs. `README.md` is the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prolight.client import AsyncClient
    from prolight.sync_client import Client

PLACES = {"AsyncClient": "prolight.client", "Client": "prolight.sync_client"}
__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    """The clients are imported where they are used first: `prolight --help` needs none."""
    if name in PLACES:
        from importlib import import_module

        return getattr(import_module(PLACES[name]), name)
    raise AttributeError(f"module 'prolight' has no attribute {name!r}")
