"""Whether to try again, and after how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolight.errors import (
    CallError,
    CallRejected,
    GuardrailDenied,
    InvalidInput,
    NotSent,
    OutcomeUnknown,
    ProLightError,
    RateLimited,
    ToolFailed,
)
from prolight.retry import RetryChange, RetryPolicies, RetryPolicy, backoff, decide
from tests.unit.strategies import UNHURRIED

HOUR = timedelta(hours=1)
POLICY = RetryPolicy()
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)


@UNHURRIED
@given(tries=st.integers(1, 10_000), jitter=jitters)
def test_the_wait_is_random_between_nothing_and_the_capped_backoff(tries: int, jitter: float) -> None:
    wait = decide(RetryPolicy(max_tries=10**6), OutcomeUnknown("?"), tries=tries, left=HOUR, jitter=jitter)
    assert wait is not None
    assert timedelta(0) <= wait <= min(POLICY.cap, backoff(POLICY, tries))


@UNHURRIED
@given(
    tries=st.integers(1, 10_000),
    cap=st.timedeltas(timedelta(0), timedelta(days=1)),
    factor=st.floats(min_value=1, max_value=10),
)
def test_the_backoff_grows_up_to_the_cap_and_no_further(tries: int, cap: timedelta, factor: float) -> None:
    policy = RetryPolicy(cap=cap, factor=factor)
    assert backoff(policy, tries) <= backoff(policy, tries + 1) <= cap


def test_the_backoff_doubles() -> None:
    assert [backoff(POLICY, tries).total_seconds() for tries in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


@UNHURRIED
@given(asked=st.timedeltas(timedelta(microseconds=1), HOUR - timedelta(seconds=1)), jitter=jitters)
def test_what_the_other_side_asks_for_is_honoured_as_it_is(asked: timedelta, jitter: float) -> None:
    assert decide(POLICY, RateLimited("busy", retry_after=asked), tries=1, left=HOUR, jitter=jitter) == asked


@UNHURRIED
@given(
    tries=st.integers(1, 3),
    jitter=jitters,
    left=st.timedeltas(timedelta(0), timedelta(seconds=3)),
    asked=st.none() | st.timedeltas(timedelta(0), timedelta(seconds=5)),
)
def test_no_wait_reaches_the_deadline(tries: int, jitter: float, left: timedelta, asked: timedelta | None) -> None:
    wait = decide(POLICY, RateLimited("busy", retry_after=asked), tries=tries, left=left, jitter=jitter)
    assert wait is None or wait < left


def test_tries_are_bounded() -> None:
    answers = [decide(POLICY, OutcomeUnknown("?"), tries=tries, left=HOUR, jitter=0.5) for tries in range(1, 6)]
    assert [answer is None for answer in answers] == [False, False, False, True, True]


@pytest.mark.parametrize(
    "error",
    [CallRejected("no"), ToolFailed("no"), InvalidInput("no"), GuardrailDenied("no"), CallError("no"), ProLightError()],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_succeed_later_is_not_tried_again(error: ProLightError) -> None:
    assert decide(POLICY, error, tries=0, left=HOUR, jitter=0.5) is None


@pytest.mark.parametrize("error", [NotSent("x"), RateLimited("x"), OutcomeUnknown("x")])
def test_what_may_pass_is_tried_again(error: ProLightError) -> None:
    assert decide(POLICY, error, tries=1, left=HOUR, jitter=0.5) == timedelta(seconds=0.25)


SETTINGS = {"plan": RetryChange(max_tries=2, cap=HOUR), "studio.relight": RetryChange(max_tries=7)}
FILE = RetryChange(max_tries=5, base=timedelta(seconds=3))


@pytest.mark.parametrize(
    ("stage", "call", "declared", "tries", "base", "cap"),
    [
        ("critique", "model", RetryChange(), 4, 0.5, 30),
        ("plan", "model", RetryChange(), 2, 0.5, 3600),
        ("plan", "studio.export", FILE, 5, 3, 3600),
        ("plan", "studio.relight", FILE, 7, 3, 3600),
        ("execute", "studio.relight", RetryChange(), 7, 0.5, 30),
    ],
    ids=["nothing said", "stage", "tools file", "settings for the tool", "the tool alone"],
)
def test_of_each_value_the_most_specific_word_counts(
    stage: str, call: str, declared: RetryChange, tries: int, base: float, cap: float
) -> None:
    policy = RetryPolicies(POLICY, SETTINGS).of(stage, call, declared)
    assert (policy.max_tries, policy.factor) == (tries, POLICY.factor)
    assert (policy.base.total_seconds(), policy.cap.total_seconds()) == (base, cap)
