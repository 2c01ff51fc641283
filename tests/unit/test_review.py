"""A person's word about a call that may have happened: who, why, and what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from prolight import commands
from prolight.decisions import Deadlines
from prolight.errors import IllegalMove, InvalidInput, OutcomeUnknown
from prolight.ledger import Said
from prolight.outcomes import BackingOff, Executed, Unclear
from prolight.schemas import State
from prolight.sweeper import settle_overdue
from tests.unit.scripted import World, picture, steps, tool, world

QUIET = 310
"""Seconds after which nothing of the first try can be under way any more."""
MADE = {"output": {}, "artifact": picture("d").model_dump(mode="json")}


async def in_review(**parts: Any) -> World:
    """The blind tool `light` was called, its answer was lost, and nothing of the call can be under way any more."""
    here = await world(
        tool("light", "blind", price_usd=Decimal("0.3")), tool("frame"), plan=steps("light", "frame", after="chain")
    )
    here.deadlines = parts.get("deadlines", here.deadlines)
    here.tools.script["t.light"] = [OutcomeUnknown("?")]
    assert isinstance(await (await here.attempt()).make(), BackingOff)
    await later(here, QUIET)
    assert isinstance(await (await here.attempt()).make(), Unclear)
    return here


async def later(here: World, seconds: float) -> None:
    here.store.time += seconds
    await here.store.sweep()


async def say(here: World, said: Said, *, result: dict[str, Any] | None = None) -> State:
    answer = await commands.review(
        here.store, "r", said, by="ann", comment="asked them", deadlines=here.deadlines, result=result
    )
    return answer.run.state


async def test_an_adopted_call_is_not_sent_again_and_the_next_step_gets_what_it_made() -> None:
    here = await in_review()
    assert await say(here, "adopt", result=MADE) is State.EXECUTING
    assert isinstance(await (await here.attempt()).make(), Executed)
    run = (await here.store.read("r")).run
    assert here.tools.names == ["t.light", "t.frame"]
    assert run.exec_result
    assert run.exec_result.steps[0].artifact == picture("d")
    assert (run.spent_usd, run.reserved_usd) == (Decimal("0.3"), Decimal(0))


async def test_a_call_that_a_person_clears_is_sent_once_more_under_its_key() -> None:
    here = await in_review()
    assert await say(here, "resend") is State.EXECUTING
    assert isinstance(await (await here.attempt()).make(), Executed)
    keys = [key for name, key in here.tools.calls if name == "t.light"]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert await here.store.warnings() == ["outcome_unknown", "possibly_billed_twice"]


async def test_a_word_to_resend_counts_for_one_try_only() -> None:
    here = await in_review()
    here.tools.script["t.light"] = [OutcomeUnknown("again")]
    await say(here, "resend")
    assert isinstance(await (await here.attempt()).make(), BackingOff)
    await later(here, QUIET)
    assert isinstance(await (await here.attempt()).make(), Unclear)
    assert here.tools.names.count("t.light") == 2


async def test_a_slow_word_is_about_the_try_that_is_in_doubt_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first answer that a client gets and its second, somebody else's word was heard and acted upon."""
    here = await in_review()
    here.tools.script["t.light"] = [OutcomeUnknown("again")]
    slow = ["the first answer"]

    def then_much_happens(ask: Any) -> Any:
        async def asked(run_id: str) -> Any:
            answer = await ask(run_id)
            if slow:
                slow.clear()
                await say(here, "resend")
                assert isinstance(await (await here.attempt()).make(), BackingOff)
                await later(here, QUIET)
                assert isinstance(await (await here.attempt()).make(), Unclear)
            return answer

        return asked

    for name in ("read", "journal"):
        monkeypatch.setattr(here.store, name, then_much_happens(getattr(here.store, name)))
    await say(here, "resend")
    (entry,) = await here.store.entries()
    assert (entry.tries, entry.cleared, entry.doubts) == (2, 2, 1)


async def test_an_abandoned_run_fails_and_its_money_counts_as_spent() -> None:
    here = await in_review()
    assert await say(here, "abandon") is State.FAILED
    run = (await here.store.read("r")).run
    assert run.error
    assert (run.error.code, run.error.step) == ("abandoned", "light")
    assert "ann gave it up: asked them" in run.error.message
    assert (run.spent_usd, run.reserved_usd) == (Decimal("0.3"), Decimal(0))


@pytest.mark.parametrize(("said", "result"), [("adopt", MADE), ("resend", None), ("abandon", None)])
async def test_who_why_and_when_is_on_the_record(said: Said, result: dict[str, Any] | None) -> None:
    here = await in_review()
    await say(here, said, result=result)
    review = (await here.store.read("r")).run.review
    assert review
    assert review.decision == commands.DECISIONS[said]
    assert (review.decided_by, review.comment, review.decided_at) == ("ann", "asked them", here.store.time)


async def test_the_second_word_is_refused_and_hears_of_the_first() -> None:
    here = await in_review()
    await say(here, "resend")
    with pytest.raises(IllegalMove, match="resent by ann"):
        await say(here, "abandon")


@pytest.mark.parametrize(("said", "result"), [("allow", None), ("adopt", None), ("resend", MADE)])
async def test_a_word_that_does_not_fit_changes_nothing(said: Said, result: dict[str, Any] | None) -> None:
    here = await in_review()
    before = await here.store.read("r")
    with pytest.raises(InvalidInput):
        await say(here, said, result=result)
    assert await here.store.read("r") == before


async def test_silence_past_the_deadline_fails_the_run() -> None:
    here = await in_review(deadlines=Deadlines(review=timedelta(seconds=60)))
    here.store.time += 61
    with pytest.raises(IllegalMove, match="deadline"):
        await say(here, "resend")
    await settle_overdue(here.store, await here.store.sweep(), here.deadlines)
    run = (await here.store.read("r")).run
    assert (run.state, run.review and run.review.decision) == (State.FAILED, "expired")


async def test_a_tool_that_changed_stops_before_it_is_called_until_a_person_allows_it() -> None:
    here = await world(tool("light", "blind"))
    here.tools.offered["t.light"] = replace(tool("light", "blind"), pin="9" * 64)
    outcome = await (await here.attempt()).make()
    assert isinstance(outcome, Unclear)
    assert (outcome.review.why, outcome.review.pin) == ("tool_changed", "9" * 64)
    assert here.tools.calls == []
    with pytest.raises(InvalidInput, match="allow, abandon"):
        await say(here, "resend")
    await say(here, "allow")
    assert isinstance(await (await here.attempt()).make(), Executed)
