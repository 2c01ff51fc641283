"""How figures and lists read to people."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5


def some(said: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return "; ".join(said[:SHOWN]) + more


def duration(seconds: float) -> str:
    """`0.42 s`, `12.3 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
