"""What was done is never bought again; what is in doubt follows the effect class; money never exceeds the budget."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prolight.calls import Answer, BackOff, Call, NeedsReview, RunCancelled
from prolight.commands import cancel
from prolight.decisions import Deadlines
from prolight.errors import (
    BudgetExceeded,
    CallError,
    CallRejected,
    ClaimLost,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ToolFailed,
)
from prolight.journal import Journal
from prolight.ledger import Entry, LedgerPolicy, late_key
from prolight.lifecycle import released
from prolight.ports import Effect
from prolight.retry import RetryPolicies, RetryPolicy
from prolight.schemas import Usage
from prolight.writer import Changed, Writer
from tests.unit.scripted import QUICK, START, World, tool, world

Line = Answer | BaseException | Callable[[], Awaitable[Answer]]
DONE = Answer({"x": 1}, Usage(cost_usd=Decimal("0.2")), "req-1")
NOTHING = Decimal(0)
EFFECTS: list[Effect] = ["pure", "keyed", "probeable", "billed", "blind"]


def call(effect: Effect = "pure", **changes: object) -> Call:
    asked = Call("k", "t.light", "h", effect, timedelta(seconds=60), quote_usd=Decimal("0.3"))
    return replace(asked, **changes)  # type: ignore[arg-type]


class Outside:
    """What is called: counts what reaches it, and answers line by line."""

    def __init__(self, *lines: Line) -> None:
        self.lines = list(lines)
        self.sent = 0

    async def __call__(self, deadline: timedelta) -> Answer:
        self.sent += 1
        line = self.lines.pop(0) if self.lines else DONE
        if isinstance(line, BaseException):
            raise line
        return line if isinstance(line, Answer) else await line()


async def never() -> Answer:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def journal(here: World, policy: RetryPolicy = QUICK) -> tuple[Journal, Writer]:
    claim = await here.claim()
    writer = Writer(here.store, claim)
    return Journal(writer, claim.journal, RetryPolicies(policy)), writer


async def hand_over(here: World, writer: Writer, policy: RetryPolicy = QUICK) -> tuple[Journal, Writer]:
    await writer.finish(lambda run: released(run, now=START))
    return await journal(here, policy)


async def left_behind(here: World, status: str, effect: Effect = "pure", tries: int = 1) -> None:
    """A worker that died left this entry, and its reservation, behind."""
    entry = Entry(
        status=status, name="t.light", arguments_hash="h", tries=tries, started_at=START, deadline_at=START + 60,
        first_started_at=START, quote_usd=Decimal("0.3"),
    )  # fmt: skip
    record = here.store._runs["r"]
    record.journal["k"] = entry.model_dump_json()
    run = (await here.store.read("r")).run
    money = {"reserved_usd": Decimal("0.3")} if status == "started" else {"spent_usd": Decimal("0.3")}
    record.document = run.evolve(**money).to_json()


async def test_a_call_is_recorded_before_it_is_sent_and_settled_after() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    outside = Outside()

    async def looked() -> Answer:
        (entry,) = await here.store.entries()
        assert (entry.status, entry.tries, entry.deadline_at) == ("started", 1, START + 60)
        assert here.store.commits[-1].reserved_usd == Decimal("0.3")
        return DONE

    outside.lines = [looked]
    assert await book.call(call(), outside) == DONE
    await writer.finish(lambda run: released(run, now=START))
    (entry,) = await here.store.entries()
    assert (entry.status, entry.result, entry.request_id, entry.usage) == ("done", {"x": 1}, "req-1", DONE.usage)
    run = (await here.store.read("r")).run
    assert (run.reserved_usd, run.spent_usd, run.usage) == (NOTHING, Decimal("0.2"), DONE.usage)


@pytest.mark.parametrize("effect", EFFECTS)
async def test_a_call_that_is_done_is_answered_without_sending_here_and_after_a_takeover(effect: Effect) -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    outside = Outside()
    first = await book.call(call(effect), outside)
    again = await book.call(call(effect), outside)
    book, writer = await hand_over(here, writer)
    taken_over = await book.call(call(effect), outside)
    await writer.finish(lambda run: released(run, now=START))
    assert first == again == taken_over == DONE
    assert outside.sent == 1
    assert (await here.store.read("r")).run.spent_usd == Decimal("0.2")


QUIET = 60 + LedgerPolicy().grace.total_seconds()
"""Seconds after START from which nothing of the try that was left behind can still be under way."""


@pytest.mark.parametrize(("effect", "status", "sent"), [
    ("pure", "started", 1), ("pure", "unknown", 1), ("pure", "refused", 1),
    ("billed", "started", 1), ("billed", "unknown", 1), ("billed", "refused", 1),
    ("keyed", "started", 0), ("keyed", "unknown", 0), ("keyed", "refused", 1),
    ("probeable", "started", 0), ("probeable", "unknown", 0), ("probeable", "refused", 1),
    ("blind", "started", 0), ("blind", "unknown", 0), ("blind", "refused", 1),
])  # fmt: skip
async def test_what_a_worker_left_open_is_decided_by_the_effect_class(effect: Effect, status: str, sent: int) -> None:
    here = await world(tool("light"))
    await left_behind(here, status)
    book, _ = await journal(here)
    here.store.time += QUIET
    outside = Outside()
    if sent:
        assert await book.call(call(effect), outside) == DONE
    else:
        with pytest.raises(NeedsReview, match=r"at risk: 0\.3 USD"):
            await book.call(call(effect), outside)
    assert outside.sent == sent


@pytest.mark.parametrize("effect", ["probeable", "blind"])
@pytest.mark.parametrize("status", ["started", "unknown"])
async def test_while_an_earlier_try_may_still_be_under_way_its_stage_waits_and_holds_no_slot(
    effect: Effect, status: str
) -> None:
    here = await world(tool("light"))
    await left_behind(here, status)
    book, _ = await journal(here)
    outside = Outside()
    with pytest.raises(BackOff) as pause:
        await book.call(call(effect), outside)
    assert (pause.value.wait, outside.sent) == (timedelta(seconds=QUIET), 0)


class Asked:
    """The other side, asked what became of a call."""

    def __init__(self, *answers: Answer | str | CallError) -> None:
        self.answers = list(answers)
        self.times = 0

    async def __call__(self, deadline: timedelta) -> Any:
        self.times += 1
        answer = self.answers.pop(0)
        if isinstance(answer, CallError):
            raise answer
        return answer


async def probed(*answers: Answer | str | CallError, sends: tuple[Line, ...] = ()) -> tuple[Any, Outside, World]:
    here = await world(tool("light"))
    await left_behind(here, "started")
    book, writer = await journal(here)
    here.store.time += QUIET
    outside = Outside(*sends)
    try:
        answer: Any = await book.call(call("probeable", probe=Asked(*answers)), outside)
    except (NeedsReview, BackOff, CallError) as stopped:
        answer = stopped
    await writer.finish(lambda run: released(run, now=START))
    return answer, outside, here


async def test_what_the_other_side_says_was_done_is_adopted_and_not_sent_again() -> None:
    answer, outside, here = await probed(DONE)
    assert (answer.result, outside.sent) == (DONE.result, 0)
    (entry,) = await here.store.entries()
    assert (entry.status, entry.reason) == ("done", "adopted")
    run = (await here.store.read("r")).run
    assert (run.reserved_usd, run.spent_usd) == (NOTHING, Decimal("0.3"))


async def test_what_the_other_side_never_saw_is_sent_once_more_and_the_money_of_the_first_try_comes_back() -> None:
    answer, outside, here = await probed("absent")
    assert (answer, outside.sent) == (DONE, 1)
    run = (await here.store.read("r")).run
    assert (run.reserved_usd, run.spent_usd) == (NOTHING, Decimal("0.2"))


async def test_a_second_doubt_after_an_absent_first_try_goes_to_a_person() -> None:
    answer, outside, here = await probed("absent", sends=(OutcomeUnknown("?"),))
    assert isinstance(answer, BackOff)
    assert outside.sent == 1
    here.store.time += 150
    book, _ = await journal(here)
    with pytest.raises(NeedsReview):
        await book.call(call("probeable", probe=Asked()), outside)


async def test_an_unclear_answer_goes_to_a_person() -> None:
    answer, outside, _ = await probed("unclear")
    assert isinstance(answer, NeedsReview)
    assert outside.sent == 0


async def test_a_probe_that_gets_no_answer_now_is_made_again_later() -> None:
    answer, outside, _ = await probed(OutcomeUnknown("?"))
    assert isinstance(answer, BackOff)
    assert outside.sent == 0


async def test_a_key_that_the_other_side_surely_remembers_is_sent_again() -> None:
    here = await world(tool("light"))
    await left_behind(here, "started")
    book, _ = await journal(here)
    outside = Outside()
    assert await book.call(call("keyed", key_window=timedelta(seconds=100)), outside) == DONE


async def test_a_doubt_about_a_key_outlives_a_later_try_that_did_nothing() -> None:
    here = await world(tool("light"))
    keyed = call("keyed", key_window=timedelta(seconds=100))
    book, writer = await journal(here)
    slow_down = RateLimited("not now", retry_after=timedelta(seconds=60))
    with pytest.raises(BackOff):
        await book.call(keyed, Outside(OutcomeUnknown("cut off"), slow_down))
    here.store.time += 120
    book, _ = await hand_over(here, writer)
    outside = Outside()
    with pytest.raises(NeedsReview):
        await book.call(keyed, outside)
    assert outside.sent == 0


async def test_a_result_that_came_after_its_claim_was_lost_is_adopted_by_whoever_has_the_run_now() -> None:
    here = await world(tool("light"))
    await left_behind(here, "started", effect="blind")
    late = Entry(
        status="done", name="t.light", arguments_hash="h", tries=1, started_at=START, deadline_at=START + 60,
        result={"x": 2},
    )  # fmt: skip
    await here.store.keep_late("r", {late_key("k", 1): late.model_dump_json()})
    book, writer = await journal(here)
    outside = Outside()
    assert (await book.call(call("blind"), outside)).result == {"x": 2}
    await writer.finish(lambda run: released(run, now=START))
    run = (await here.store.read("r")).run
    assert (outside.sent, run.reserved_usd, run.spent_usd) == (0, NOTHING, Decimal("0.3"))


async def test_an_adopted_result_is_progress_and_the_crashes_before_it_do_not_count() -> None:
    here = await world(tool("light"))
    await left_behind(here, "started", effect="blind")
    late = Entry(
        status="done", name="t.light", arguments_hash="h", tries=1, started_at=START, deadline_at=START + 60,
        result={"x": 2},
    )  # fmt: skip
    await here.store.keep_late("r", {late_key("k", 1): late.model_dump_json()})
    for _ in range(2):
        await here.claim()
        await here.lease_ends()
    assert (await here.store.read("r")).crashes == 2
    book, writer = await journal(here)
    await book.call(call("blind"), Outside())
    await writer.write(Changed)
    assert (await here.store.read("r")).crashes == 0


async def test_tries_of_which_nobody_saw_the_end_are_left_to_the_count_of_crashes() -> None:
    here = await world(tool("light"))
    await left_behind(here, "started", tries=3)
    book, _ = await journal(here, replace(QUICK, max_tries=3))
    outside = Outside()
    assert await book.call(call(), outside) == DONE
    assert outside.sent == 1


async def test_a_billed_call_is_sent_once_more_with_a_warning_and_then_reviewed() -> None:
    here = await world(tool("light"))
    await left_behind(here, "started")
    book, writer = await journal(here)
    outside = Outside(OutcomeUnknown("?"))
    with pytest.raises(NeedsReview, match=r"at risk: 0\.6 USD"):
        await book.call(call("billed"), outside)
    await writer.finish(lambda run: released(run, now=START))
    assert outside.sent == 1
    assert await here.store.warnings() == ["possibly_billed_twice"]
    run = (await here.store.read("r")).run
    assert (run.reserved_usd, run.spent_usd) == (NOTHING, Decimal("0.6"))


async def test_a_try_that_died_counts_as_spent_when_it_is_repeated() -> None:
    here = await world(tool("light"))
    await left_behind(here, "started")
    book, writer = await journal(here)
    await book.call(call("billed"), Outside())
    await writer.finish(lambda run: released(run, now=START))
    run = (await here.store.read("r")).run
    assert (run.reserved_usd, run.spent_usd) == (NOTHING, Decimal("0.5"))


@pytest.mark.parametrize("status", ["done", "started", "unknown"])
@pytest.mark.parametrize("effect", [effect for effect in EFFECTS if effect != "pure"])
async def test_other_arguments_under_the_same_key_go_to_a_person(effect: Effect, status: str) -> None:
    here = await world(tool("light"))
    await left_behind(here, status)
    book, _ = await journal(here)
    outside = Outside()
    with pytest.raises(NeedsReview, match="the code has changed"):
        await book.call(call(effect, arguments_hash="other"), outside)
    assert outside.sent == 0


@pytest.mark.parametrize("status", ["done", "started", "unknown"])
async def test_a_pure_call_with_other_arguments_is_made_anew(status: str) -> None:
    here = await world(tool("light"))
    await left_behind(here, status)
    book, _ = await journal(here)
    outside = Outside()
    assert await book.call(call("pure", arguments_hash="other"), outside) == DONE
    assert outside.sent == 1


async def test_a_call_with_other_arguments_takes_the_next_unused_key() -> None:
    here = await world(tool("light"))
    await left_behind(here, "done")
    book, _ = await journal(here)
    taken = call("billed")
    assert book.unused([taken.key, "next"], taken.arguments_hash) == taken.key
    assert book.unused([taken.key, "next"], "other") == "next"


async def test_what_was_not_sent_costs_no_try_and_no_money_and_is_waited_for() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here, replace(QUICK, cap=timedelta(microseconds=1)))
    outside = Outside(*(NotSent("down") for _ in range(60)))
    assert await book.call(call("blind"), outside) == DONE
    await writer.finish(lambda run: released(run, now=START))
    (entry,) = await here.store.entries()
    assert (outside.sent, entry.tries) == (61, 1)
    assert (await here.store.read("r")).run.spent_usd == Decimal("0.2")


async def test_a_server_that_stays_away_is_waited_for_without_holding_a_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = await world(tool("light"))
    monkeypatch.setattr("prolight.journal.random", types.SimpleNamespace(random=lambda: 0.5))
    slow = RetryPolicy(base=timedelta(hours=1), cap=timedelta(seconds=100))
    book, _ = await journal(here, slow)
    with pytest.raises(BackOff) as pause:
        await book.call(call("blind"), Outside(NotSent("down")))
    assert pause.value.wait == timedelta(seconds=50)


async def test_a_long_retry_after_gives_up_the_claim_until_then() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    with pytest.raises(BackOff) as pause:
        await book.call(call("billed"), Outside(RateLimited("busy", retry_after=timedelta(seconds=10))))
    assert pause.value.wait == timedelta(seconds=10)
    await writer.finish(lambda run: released(run, now=START))
    (entry,) = await here.store.entries()
    assert (entry.status, entry.tries) == ("refused", 1)


async def test_a_retry_after_beyond_the_deadline_is_an_error_now() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    with pytest.raises(RateLimited):
        await book.call(call(), Outside(RateLimited("busy", retry_after=timedelta(seconds=301))))


@pytest.mark.parametrize("error", [RateLimited("busy"), OutcomeUnknown("?")])
async def test_tries_are_bounded_and_counted_across_claims(error: CallError) -> None:
    here = await world(tool("light"), budget_usd=Decimal(9))
    outside = Outside(*[error] * 20)
    policy = replace(QUICK, max_tries=3)
    book, writer = await journal(here, policy)
    with pytest.raises(type(error)):
        await book.call(call(), outside)
    assert outside.sent == 3
    book, _ = await hand_over(here, writer, policy)
    with pytest.raises(OutcomeUnknown, match="was tried 3 times"):
        await book.call(call(), outside)
    assert outside.sent == 3


@pytest.mark.parametrize("error", [CallRejected("no"), ToolFailed("no", code="asset_not_found")])
async def test_a_refusal_is_final_and_free(error: CallError) -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    outside = Outside(error)
    with pytest.raises(type(error)):
        await book.call(call("blind"), outside)
    await writer.finish(lambda run: released(run, now=START))
    assert outside.sent == 1
    assert (await here.store.read("r")).run.spent_usd == 0


async def test_a_call_that_hangs_past_its_deadline_is_unknown_and_counts_as_spent() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    with pytest.raises(BackOff):
        await book.call(call("blind", timeout=timedelta(milliseconds=1)), Outside(never))
    await writer.finish(lambda run: released(run, now=START))
    (entry,) = await here.store.entries()
    assert (entry.status, entry.reason[:22]) == ("unknown", "t.light gave no answer")
    assert (await here.store.read("r")).run.spent_usd == Decimal("0.3")


async def test_a_try_may_take_half_of_what_is_left_of_the_stage() -> None:
    here = await world(tool("light"))
    here.store.time += 1
    book, _ = await journal(here)
    here.store.time += 200
    await book.call(call(timeout=timedelta(hours=1)), Outside())
    (entry,) = await here.store.entries()
    assert entry.deadline_at - here.store.time == 50


async def test_nothing_is_sent_after_the_hard_stop() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    here.store.time += 300
    outside = Outside()
    with pytest.raises(ClaimLost):
        await book.call(call(), outside)
    assert (outside.sent, here.store.commits) == (0, [])


async def test_a_record_that_took_too_long_sends_nothing_and_costs_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.5, 10.0, 10.0])
    monkeypatch.setattr("prolight.journal.time", types.SimpleNamespace(monotonic=lambda: next(moments)))
    here = await world(tool("light"))
    book, writer = await journal(here)
    outside = Outside()
    assert await book.call(call("blind"), outside) == DONE
    await writer.finish(lambda run: released(run, now=START))
    (entry,) = await here.store.entries()
    assert (outside.sent, entry.tries, entry.status) == (1, 1, "done")
    assert (await here.store.read("r")).run.spent_usd == Decimal("0.2")


async def test_a_call_beyond_the_budget_is_refused_before_it_is_sent() -> None:
    here = await world(tool("light"), budget_usd=Decimal("0.5"), spent_usd=Decimal("0.3"))
    book, _ = await journal(here)
    outside = Outside()
    with pytest.raises(BudgetExceeded, match=r"costs 0\.3 USD; 0\.3 of 0\.5"):
        await book.call(call(), outside)
    assert (outside.sent, await here.store.entries()) == (0, [])


async def test_parallel_calls_share_one_budget() -> None:
    here = await world(tool("light"), budget_usd=Decimal("0.7"))
    book, _ = await journal(here)
    outside = Outside()
    answers = await asyncio.gather(*(book.call(call(key=f"k{n}"), outside) for n in range(5)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Answer"] * 2 + ["BudgetExceeded"] * 3
    assert outside.sent == 2


@pytest.mark.parametrize("price", [Decimal("0.00000012"), Decimal(1) / 3])
async def test_any_price_leaves_a_record_that_can_be_read_again(price: Decimal) -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    await book.call(call(quote_usd=price), Outside(OutcomeUnknown("?"), DONE))
    await writer.finish(lambda run: released(run, now=START))
    run = (await here.store.read("r")).run
    assert run.reserved_usd == 0
    assert run.spent_usd >= price + Decimal("0.2")


async def test_nothing_starts_once_the_run_is_being_cancelled() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    await cancel(here.store, "r", reason="", deadlines=Deadlines())
    outside = Outside()
    with pytest.raises(RunCancelled):
        await book.call(call(), outside)
    assert (outside.sent, await here.store.entries()) == (0, [])


@pytest.mark.parametrize("effect", EFFECTS)
async def test_a_call_that_was_cancelled_before_it_was_sent_is_known_not_to_be_sent(effect: Effect) -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    outside = Outside()
    here.store.gate = asyncio.Event()
    asking = asyncio.create_task(book.call(call(effect), outside))
    await here.store.entered.wait()
    asking.cancel()
    await asyncio.sleep(0)
    here.store.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    book, _ = await hand_over(here, writer)
    (entry,) = await here.store.entries()
    assert (entry.status, entry.tries, outside.sent) == ("refused", 0, 0)
    assert (await here.store.read("r")).run.reserved_usd == 0
    assert await book.call(call(effect), outside) == DONE


async def test_a_call_that_was_cancelled_under_way_stays_open() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    sent = asyncio.Event()

    async def hang() -> Answer:
        sent.set()
        return await never()

    asking = asyncio.create_task(book.call(call("blind"), Outside(hang)))
    await sent.wait()
    assert not book.interruptible
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert book.interruptible
    book, _ = await hand_over(here, writer)
    outside = Outside()
    here.store.time += QUIET
    with pytest.raises(NeedsReview):
        await book.call(call("blind"), outside)
    assert outside.sent == 0


async def test_only_pure_calls_may_be_cut_short() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    seen: list[bool] = []

    async def look() -> Answer:
        seen.append(book.interruptible)
        return DONE

    for effect in EFFECTS:
        await book.call(call(effect, key=effect, quote_usd=Decimal(0)), Outside(look))
    assert seen == [True, False, False, False, False]


FATES = st.sampled_from(["done", "not sent", "rate limited", "rejected", "failed", "unknown", "defect", "cancel"])
MADE: dict[str, BaseException] = {
    "not sent": NotSent("x"),
    "rate limited": RateLimited("x"),
    "rejected": CallRejected("x"),
    "failed": ToolFailed("x"),
    "unknown": OutcomeUnknown("x"),
    "defect": KeyError("x"),
    "cancel": asyncio.CancelledError(),
}


@given(st.lists(st.tuples(st.sampled_from(EFFECTS), st.lists(FATES, max_size=4), st.integers(0, 60)), max_size=6))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_money_stays_within_the_budget_and_adds_up(
    calls: list[tuple[Effect, list[str], int]],
) -> None:
    async def scene() -> None:
        here = await world(tool("light"))
        book, writer = await journal(here)
        for n, (effect, fates, cents) in enumerate(calls):
            price = Decimal(cents) / 100
            paid = Answer({}, Usage(cost_usd=price))
            lines: list[Line] = [MADE.get(fate, paid) for fate in fates]
            asked = call(effect, key=f"k{n}", quote_usd=price)
            await asyncio.gather(book.call(asked, Outside(*lines, paid)), return_exceptions=True)
        await writer.finish(lambda run: released(run, now=START))
        run = (await here.store.read("r")).run
        open_quotes = sum(entry.quote_usd for entry in await here.store.entries() if entry.status == "started")
        assert run.reserved_usd == open_quotes

    asyncio.run(scene())
