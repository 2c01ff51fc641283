"""Whether to try again, and after how long. Pure: it decides, others wait.

Capped exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015). What the other side asks for in Retry-After is honoured as it is.

A retry budget bounds what all workers together add to the load of a dependency in trouble
(Google, "Site Reliability Engineering", chapter 21): retries are a share of first tries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from prolight.errors import ProLightError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_tries: int = 4
    base: timedelta = timedelta(seconds=0.5)
    factor: float = 2.0
    cap: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class RetryChange:
    """What is another than in the policy below it; None: the same."""

    max_tries: int | None = None
    base: timedelta | None = None
    cap: timedelta | None = None

    def of(self, policy: RetryPolicy) -> RetryPolicy:
        return RetryPolicy(
            self.max_tries or policy.max_tries, self.base or policy.base, policy.factor, self.cap or policy.cap
        )


UNCHANGED = RetryChange()


@dataclass(frozen=True, slots=True)
class RetryPolicies:
    """`changes` by stage (`plan`) or tool (`studio.relight`): of each value, the most specific word counts."""

    default: RetryPolicy = RetryPolicy()
    changes: Mapping[str, RetryChange] = field(default_factory=dict)

    def of(self, stage: str, call: str = "", declared: RetryChange = UNCHANGED) -> RetryPolicy:
        """`declared` is what the tools file says; the settings have the last word."""
        policy = self.default
        for change in (self.changes.get(stage, UNCHANGED), declared, self.changes.get(call, UNCHANGED)):
            policy = change.of(policy)
        return policy


@dataclass(frozen=True, slots=True)
class Sparing:
    """How a dependency in trouble is spared by all workers together.

    In any `window` it gets at most `burst` retries and a `share` of the first tries; a pause that it asks for
    is kept for `longest_pause` at most.
    """

    share: float = 0.1
    burst: int = 64
    window: timedelta = timedelta(seconds=60)
    longest_pause: timedelta = timedelta(minutes=10)


DEFAULT_SPARING = Sparing()


def decide(
    policy: RetryPolicy, error: ProLightError, *, tries: int, left: timedelta, jitter: float
) -> timedelta | None:
    """How long to wait before the next try, or None to give up.

    `tries` counts those that were made; `left` is the time until the deadline that the next try
    must start before; `jitter` is a random number in [0, 1).
    """
    if not error.retryable or tries >= policy.max_tries:
        return None
    wait = error.retry_after or jitter * backoff(policy, tries)
    return wait if wait < left else None


def backoff(policy: RetryPolicy, tries: int) -> timedelta:
    """The longest wait after so many tries: base · factor^(tries − 1), at most cap."""
    longest = policy.base.total_seconds() * policy.factor ** min(tries - 1, 60)
    return policy.cap if longest >= policy.cap.total_seconds() else timedelta(seconds=longest)
