"""The shipped worker, but its consumer asks for no bell: Celery's side is stuck, and the loop beside it is well."""

from typing import Any

from workers import app
from workers.transport import Channel


def ask_for_nothing(_self: Channel, *_args: Any, **_options: Any) -> None:
    """In place of BRPOP."""


setattr(Channel, "_brpop_start", ask_for_nothing)  # noqa: B010

__all__ = ["app"]
