"""What is known of a run or a key, judged: an orderly one is passed, each kind of damage is named with its fix."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from prolight.audit import FOR_EVER, NOT_THERE, Facts, Finding, judge, judge_key, pictures
from prolight.ledger import Entry
from prolight.schemas import ExecutionResult, Review, RunContext, State, StepResult
from tests.unit.scripted import PICTURE, picture

NOW = 1_000_000.0
WEEK = 604_800_000
RUN = RunContext(run_id="r", asset_id=PICTURE, state=State.EXECUTING)
STARTED = Entry(
    status="started",
    name="t.light",
    arguments_hash="h",
    tries=1,
    started_at=1,
    deadline_at=2,
    quote_usd=Decimal("0.30"),
).model_dump_json()


def facts(run: RunContext = RUN, **changes: Any) -> Facts:
    """An orderly run that waits for the Executor."""
    orderly = Facts(
        "r",
        NOW,
        document=run.to_json(),
        ver=4,
        state=run.state,
        stage="execute",
        seq=3,
        due=NOW + 60_000,
        ready=("execute",),
        listed=1.0,
        left=FOR_EVER,
        journal_left=FOR_EVER,
        events_left=FOR_EVER,
        events=3,
        last_event="3-0",
    )
    return replace(orderly, **changes)


def held(run: RunContext = RUN, **changes: Any) -> Facts:
    return facts(run, **{"ready": (), "claim": "c", "owner": "w1", "held": "c", **changes})


def ended(run: RunContext = RUN, **changes: Any) -> Facts:
    over = {"stage": "", "due": None, "ready": (), "ended": NOW + WEEK}
    left = dict.fromkeys(("left", "journal_left", "events_left"), WEEK)
    return facts(run.evolve(state=State.FAILED), **{**over, **left, **changes})


def gone(**changes: Any) -> Facts:
    return Facts("r", NOW, **changes)


def kinds(found: list[Finding]) -> list[str]:
    return [finding.kind for finding in found]


@pytest.mark.parametrize(
    "orderly",
    [
        facts(),
        held(),
        held(RUN.evolve(reserved_usd=Decimal("0.3")), started=(STARTED,)),
        facts(ready=(), backs_off=NOW + 5_000, due=NOW + 5_000),
        facts(ready=(), due=NOW - 5),
        facts(ready=(), stage_deadline=NOW - 5, due=NOW + 2_000),
        facts(ready=(), poisoned=True, due=NOW + 2_000),
        facts(ready=(), backs_off=None),
        facts(RUN.evolve(state=State.AWAITING_APPROVAL), stage="", ready=()),
        held(RUN.evolve(state=State.CANCELLING), stage=""),
        ended(),
        ended(journal_left=NOT_THERE),
        gone(),
        gone(listed=1.0, ended=NOW - 5),
        gone(journal_left=40, events_left=40),
        gone(events_left=WEEK),
    ],
    ids=[
        "waits", "held", "reserved", "backs off", "about to be looked at", "deadline passed", "verdict of poison due",
        "of an older version", "parked", "being cancelled", "ended", "ended without calls", "nothing",
        "about to be forgotten", "about to expire", "works elsewhere",
    ],
)  # fmt: skip
def test_what_is_in_order_is_passed(orderly: Facts) -> None:
    assert judge(orderly) == []


@pytest.mark.parametrize(
    ("damaged", "kind"),
    [
        (facts(due=None), "no_due"),
        (facts(ready=()), "not_ready"),
        (facts(ready=("execute", "plan")), "ready"),
        (held(ready=("execute",)), "ready"),
        (held(held=""), "claim_unlisted"),
        (held(owner_known=False), "claim_of_nobody"),
        (held(RUN.evolve(reserved_usd=Decimal("0.3"))), "reservation"),
        (held(started=(STARTED,)), "reservation"),
        (facts(state=State.CRITIQUING), "state"),
        (facts(document="{}"), "unreadable"),
        (facts(events=2), "events"),
        (facts(last_event="4-0"), "events"),
        (facts(left=50), "expires"),
        (facts(journal_left=50), "expires"),
        (facts(ended=NOW), "ended"),
        (facts(listed=None), "unlisted"),
        (ended(due=NOW), "due"),
        (ended(ready=("plan",)), "ready"),
        (ended(claim="c", owner="w1"), "claim"),
        (ended(RUN.evolve(reserved_usd=Decimal(1))), "reservation"),
        (ended(left=FOR_EVER), "no_expiry"),
        (ended(events_left=FOR_EVER), "no_expiry"),
        (ended(ended=None), "not_ended"),
        (gone(due=NOW), "due"),
        (gone(ready=("plan",)), "ready"),
        (gone(journal_left=FOR_EVER), "journal"),
        (gone(journal_left=WEEK), "journal"),
        (gone(events_left=FOR_EVER), "events"),
        (gone(listed=1.0), "record"),
        (gone(ended=NOW + WEEK), "record"),
    ],
)
def test_each_damage_is_named_and_nothing_else(damaged: Facts, kind: str) -> None:
    [finding] = judge(damaged)
    assert (finding.kind, finding.about, finding.of, finding.ver) == (kind, "r", "run", damaged.ver)
    assert finding.message
    assert finding.fix


def test_two_findings_are_the_same_when_the_run_has_not_moved_whatever_the_words() -> None:
    [one], [later] = judge(facts(due=None)), judge(facts(due=None, now=NOW + 9))
    [moved] = judge(facts(due=None, ver=5))
    assert one.fix != later.fix
    assert one == later
    assert later != moved


def test_the_look_that_is_missing_comes_at_once_but_takes_no_claim_away_and_no_persons_time() -> None:
    review = Review(call="t.light", why="outcome_unknown", message="?", until=5_000.0)
    parked = facts(RUN.evolve(state=State.NEEDS_REVIEW, review=review), stage="", ready=())
    fixes = [judge(replace(run, due=None))[0].fix for run in (facts(), held(), parked)]
    assert fixes == [f"ZADD prolight:due NX {moment} run:r" for moment in (1_000_000, 1_060_000, 5_000_000)]


def test_a_live_run_needs_its_picture_and_what_its_steps_made() -> None:
    step = StepResult(id="light", status="done", artifact=picture("b"), started_at=1)
    run = RUN.evolve(exec_result=ExecutionResult(steps=(step,)))
    assert pictures(facts(run)) == (PICTURE, "b" * 64)
    assert pictures(ended(run)) == ()
    assert pictures(gone()) == ()


class TestAKey:
    @pytest.mark.parametrize(
        ("key", "left", "whose", "expires"),
        [
            ("prolight:clock", FOR_EVER, (), ""),
            ("prolight:op:1", 50, (), "always"),
            ("prolight:what", 50, (), None),
            ("prolight:idem:1", FOR_EVER, ("r", "PLANNING"), "with its run"),
            ("prolight:idem:1", 50, ("r", ""), "with its run"),
            ("prolight:claims:w1", FOR_EVER, (1,), ""),
            ("prolight:claims:w1", NOT_THERE, (0,), ""),
        ],
    )
    def test_in_order_is_passed(self, key: str, left: int, whose: tuple[Any, ...], expires: str | None) -> None:
        assert judge_key(key, left, whose, expires) == []

    @pytest.mark.parametrize(
        ("key", "whose", "expires", "kind"),
        [
            ("prolight:what", (), None, "unknown_key"),
            ("prolight:op:1", (), "always", "no_expiry"),
            ("prolight:idem:1", ("r", ""), "with its run", "no_expiry"),
            ("prolight:idem:1", ("r", "FAILED"), "with its run", "no_expiry"),
            ("prolight:claims:w1", (0,), "", "claims_of_nobody"),
            ("prolight:claims:w1", (1, "r"), "", "claim_of_other:r"),
        ],
    )
    def test_out_of_order_is_named(self, key: str, whose: tuple[Any, ...], expires: str | None, kind: str) -> None:
        assert kinds(judge_key(key, FOR_EVER, whose, expires)) == [kind]
