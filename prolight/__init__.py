"""ProLight: a picture and a brief in, a relit picture out, as durable runs. `README.md` is the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prolight.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    """The clients are imported where they are used first: `prolight --help` needs none."""
    if name in __all__:
        from prolight import client

        return getattr(client, name)
    raise AttributeError(f"module 'prolight' has no attribute {name!r}")
