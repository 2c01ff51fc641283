"""One call to the outside: what is asked, what comes back, and why a stage may have to stop for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from prolight.errors import CallError, ProLightError
from prolight.ports import Effect
from prolight.retry import UNCHANGED, RetryChange
from prolight.schemas import Review, RunContext, Usage, usd
from prolight.writer import Change, Changed


class NeedsReview(ProLightError):
    """A person has to look at a call before the run can go on."""

    code = "needs_review"

    def __init__(self, review: Review) -> None:
        super().__init__(review.message)
        self._review = review

    @property
    def review(self) -> Review:
        return self._review.evolve(step=self.step)


class RunCancelled(ProLightError):
    """Nothing may start any more."""

    code = "cancelled"


class BackOff(Exception):
    """Control flow: the stage gives up its claim and goes on after `wait`."""

    def __init__(self, wait: timedelta, error: CallError) -> None:
        super().__init__(str(error))
        self.wait, self.error = wait, error


@dataclass(frozen=True, slots=True)
class Answer:
    """`result` is JSON-able; pictures in it are references."""

    result: dict[str, Any]
    usage: Usage = field(default_factory=Usage)
    request_id: str = ""


Probed = Answer | Literal["absent", "unclear"]
"""What the other side says of a call: what it made, that it never happened, or nothing of use."""


def _unchanged(run: RunContext) -> Changed:
    return Changed(run)


async def _at_once() -> None: ...


def says_nothing(answer: Answer, reused: bool) -> Change:
    return _unchanged


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be called. `starting` and `finishing` are committed with `started` and `done`."""

    key: str
    name: str
    arguments_hash: str
    effect: Effect
    timeout: timedelta
    quote_usd: Decimal = Decimal(0)
    key_window: timedelta | None = None
    """How long the other side remembers the key of a `keyed` call."""
    probe: Callable[[timedelta], Awaitable[Probed]] | None = None
    """Ask whether a `probeable` call was carried out. Raises `CallError`s."""
    dependency: str = ""
    """Who is called: a tool server, or the provider of a model. Empty: nobody has to be spared."""
    retry: RetryChange = UNCHANGED
    ready: Callable[[], Awaitable[None]] = _at_once
    """Looks once more before each try whether it may be sent. Raises what speaks against it."""
    starting: Change = _unchanged
    finishing: Callable[[Answer, bool], Change] = says_nothing

    def __post_init__(self) -> None:
        object.__setattr__(self, "quote_usd", usd(self.quote_usd))
