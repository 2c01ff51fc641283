"""What an event makes of a run: the new document, the events to publish with it, and who looks at the run next, when.

`lifecycle.py` decides; a store carries a decision out in one atomic commit or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from prolight.events import Payload
from prolight.schemas import RunContext, Stage


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long things may take (design §15)."""

    run: timedelta = timedelta(hours=1)
    stage: timedelta = timedelta(seconds=180)
    step: timedelta = timedelta(seconds=300)
    approval: timedelta = timedelta(hours=72)
    review: timedelta = timedelta(days=7)
    retention: timedelta = timedelta(days=7)
    critic_rounds: int = 2


@dataclass(frozen=True, slots=True)
class Held:
    """Whoever holds the claim goes on working."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A worker may claim `stage`, at once or `after` a back-off.

    `budget` is the stage's deadline, counted from its first claim; None keeps the one that runs. `crashed`: this end
    of the claim counts as a crash. It comes with an `after`, at whose end the sweep judges the run by all its crashes.
    """

    stage: Stage
    after: timedelta = timedelta(0)
    budget: timedelta | None = None
    crashed: bool = False


@dataclass(frozen=True, slots=True)
class Parked:
    """Nobody works on it; it is looked at `after` so long."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing follows; the record is kept for `retention`."""

    retention: timedelta


Placement = Held | Queued | Parked | Ended


@dataclass(frozen=True, slots=True)
class Decision:
    run: RunContext
    events: tuple[Payload, ...]
    placement: Placement
    valid_until: float | None = None
    """Of the store's clock: later, the store does not carry it out."""
