"""Whether to try again, and after how long. Pure: it decides, others wait.

Capped exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015). What the other side asks for in Retry-After is honoured as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from prolight.errors import ProLightError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_tries: int = 4
    base: timedelta = timedelta(seconds=0.5)
    factor: float = 2.0
    cap: timedelta = timedelta(seconds=30)


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
