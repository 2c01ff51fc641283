"""Decides the invariants of design §14 from a history alone.

One pure function per invariant looks at facts: it yields None for each that holds and a `Violation` for each that does
not, so that a verdict over nothing shows as `checked` = 0. The product's tables are used where they *define* a rule
(`TRANSITIONS`, the schemas); nothing else of the code under test decides whether it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from tests.chaos.checker.calls import (
    no_effect_twice_silently,
    no_result_invented_or_forgotten,
    started_precedes_every_request,
)
from tests.chaos.checker.claims import (
    calls_leave_under_a_live_claim,
    epochs_grow_and_fence,
    nothing_starts_too_late,
    poison_stops,
    tries_are_bounded,
)
from tests.chaos.checker.ends import everything_ends_in_time, nothing_is_left_behind
from tests.chaos.checker.facts import Facts, Violation
from tests.chaos.checker.money import budget_holds
from tests.chaos.checker.plans import only_the_judged_plan, only_the_pinned_tool
from tests.chaos.checker.states import one_end, reads_are_committed, versions_and_transitions
from tests.chaos.checker.streams import gapless_and_identical, no_secret_anywhere
from tests.chaos.checker.submits import accepted_is_never_lost, one_key_one_run, refused_leaves_no_trace
from tests.chaos.histories import History

Check = Callable[[Facts], Iterator[Violation | None]]

INVARIANTS: Mapping[str, Check] = {
    "I1": accepted_is_never_lost,
    "I2": one_key_one_run,
    "I3": versions_and_transitions,
    "I4": one_end,
    "I5": everything_ends_in_time,
    "I6": gapless_and_identical,
    "I7": no_effect_twice_silently,
    "I8": started_precedes_every_request,
    "I9": no_result_invented_or_forgotten,
    "I10": epochs_grow_and_fence,
    "I11": calls_leave_under_a_live_claim,
    "I12": budget_holds,
    "I13": only_the_judged_plan,
    "I14": only_the_pinned_tool,
    "I15": nothing_starts_too_late,
    "I16": poison_stops,
    "I17": tries_are_bounded,
    "I18": refused_leaves_no_trace,
    "I20": no_secret_anywhere,
    "I21": reads_are_committed,
    "I22": nothing_is_left_behind,
}

NOT_CHECKED: Mapping[str, str] = {
    "I19": "there are no tenants yet",
    "I17 (retry budget)": "only the tries of each call are counted; tests/unit/test_pacing.py counts a dependency's",
    "I22 (files)": "the pictures of calls whose answer was lost have no owner on record yet",
}


@dataclass(frozen=True)
class Verdict:
    """How many facts were looked at, and those that contradict the invariant."""

    checked: int
    violations: tuple[Violation, ...] = ()


def judge(history: History) -> dict[str, Verdict]:
    facts = Facts(history)
    return {name: _verdict(name, facts) for name in INVARIANTS}


def judge_one(name: str, history: History) -> Verdict:
    return _verdict(name, Facts(history))


def _verdict(name: str, facts: Facts) -> Verdict:
    looked = list(INVARIANTS[name](facts))
    return Verdict(len(looked), tuple(replace(found, invariant=name) for found in looked if found))


__all__ = ["INVARIANTS", "NOT_CHECKED", "Verdict", "Violation", "judge", "judge_one"]
