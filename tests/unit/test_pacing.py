"""When a call may leave: a pause holds every try, a spent budget holds retries, and neither costs one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from prolight.agents.base import provider
from prolight.attempt import Attempt
from prolight.calls import BackOff, Call, Probed
from prolight.decisions import Deadlines
from prolight.errors import CallError, CallRejected, CoolingDown, NoRetryLeft, NotSent, OutcomeUnknown, RateLimited
from prolight.journal import Journal
from prolight.ledger import Entry, answered
from prolight.lifecycle import released
from prolight.pacing import SPREAD, is_retry
from prolight.retry import DEFAULT_SPARING, RetryChange, RetryPolicies, RetryPolicy, Sparing
from prolight.schemas import Stage, State
from prolight.sweeper import settle_overdue
from prolight.writer import Writer
from tests.unit.scripted import (
    QUICK,
    START,
    ScriptedModel,
    ScriptedTools,
    WatchedStore,
    World,
    executing,
    steps,
    tool,
    world,
)
from tests.unit.test_journal import DONE, Outside, left_behind

CALL = Call("k", "t.light", "h", "pure", timedelta(seconds=60), dependency="t")
BUSY = RateLimited("busy")
BROKEN = OutcomeUnknown("HTTP 503")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


async def journal(here: World, policy: RetryPolicy = QUICK) -> tuple[Journal, Writer]:
    claim = await here.claim()
    writer = Writer(here.store, claim)
    return Journal(writer, claim.journal, RetryPolicies(policy)), writer


async def hand_over(here: World, writer: Writer) -> tuple[Journal, Writer]:
    await writer.finish(lambda run: released(run, now=START))
    return await journal(here)


async def spend(store: WatchedStore, dependency: str = "t") -> None:
    while not await store.dependencies.take_retry(dependency):
        pass


@pytest.fixture
def time_passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], None]:
    """A wait in place moves the store's clock, and nothing else."""
    yield_once = asyncio.sleep

    def passes(here: World) -> None:
        async def sleep(delay: float) -> None:
            here.store.time += delay
            await yield_once(0)

        monkeypatch.setattr(asyncio, "sleep", sleep)

    return passes


TRIED = Entry(status="unknown", name="t.light", arguments_hash="h", tries=1, started_at=START, deadline_at=START + 60)


@pytest.mark.parametrize(
    ("before", "retry"),
    [
        (TRIED, True),
        (TRIED.evolve(status="refused"), True),
        (TRIED.evolve(status="refused", unsent=True), False),
        (TRIED.evolve(status="started"), False),
        (answered(TRIED, "resend", by="ann", now=START), False),
        (answered(TRIED.evolve(tries=2, cleared=1), "allow", by="ann", now=START), True),
    ],
    ids=["no answer", "refused", "never left", "its worker died", "a person said so", "refused once more since"],
)
def test_a_retry_follows_a_bad_answer_or_none(before: Entry, retry: bool) -> None:
    assert is_retry(before) is retry


async def test_while_a_dependency_cools_nothing_leaves_nothing_is_written_and_no_slot_is_held() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    await here.store.dependencies.cool("t", seconds(30))
    outside = Outside()
    with pytest.raises(BackOff, match="cooling down: t asks for a pause until 00:17:10 UTC") as pause:
        await book.call(CALL, outside)
    assert isinstance(pause.value.error, CoolingDown)
    assert seconds(30) <= pause.value.wait <= seconds(30) * (1 + SPREAD)
    assert (outside.sent, await here.store.entries()) == (0, [])


async def test_those_who_wait_for_the_same_pause_do_not_come_back_at_once() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    await here.store.dependencies.cool("t", seconds(30))
    waits = set()
    for _ in range(5):
        with pytest.raises(BackOff) as pause:
            await book.call(CALL, Outside())
        waits.add(pause.value.wait)
    assert len(waits) == 5


async def test_a_short_pause_is_waited_for_in_place(time_passes: Callable[[World], None]) -> None:
    here = await world(tool("light"))
    time_passes(here)
    book, _ = await journal(here)
    await here.store.dependencies.cool("t", seconds(1))
    assert await book.call(CALL, Outside()) == DONE
    assert here.store.time >= START + 1


async def test_another_dependency_is_called_meanwhile() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    await here.store.dependencies.cool("t", seconds(30))
    assert await book.call(replace(CALL, dependency="u"), Outside()) == DONE


async def test_a_pause_beyond_the_deadline_ends_the_call_now_and_says_why() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    await here.store.dependencies.cool("t", seconds(301))
    with pytest.raises(CoolingDown):
        await book.call(CALL, Outside())


async def test_a_pause_that_shows_when_the_start_is_written_holds_the_call_and_costs_no_try() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    here.store.gate = asyncio.Event()
    outside = Outside()
    calling = asyncio.create_task(book.call(CALL, outside))
    await here.store.entered.wait()
    await here.store.dependencies.cool("t", seconds(30))
    here.store.gate.set()
    with pytest.raises(BackOff):
        await calling
    await hand_over(here, writer)
    (entry,) = await here.store.entries()
    assert (outside.sent, entry.status, entry.tries) == (0, "refused", 0)
    assert (await here.store.read("r")).run.reserved_usd == 0


@pytest.mark.parametrize(("asked", "cools"), [(10, 10), (None, 8)])
async def test_a_rate_limit_is_a_pause_for_all_as_long_as_asked_else_as_the_backoff(
    asked: float | None, cools: float
) -> None:
    here = await world(tool("light"))
    book, _ = await journal(here, RetryPolicy(base=seconds(8), cap=seconds(20)))
    error = RateLimited("busy", retry_after=None if asked is None else seconds(asked))
    with pytest.raises(BackOff):
        await book.call(CALL, Outside(error, error))
    assert here.store.dependencies.cooling("t") == START + cools


async def test_a_refusal_or_a_lost_answer_cools_nobody() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here, replace(QUICK, max_tries=1))
    for error in (CallRejected("no"), BROKEN):
        with pytest.raises(type(error)):
            await book.call(CALL, Outside(error))
    assert here.store.dependencies.cooling("t") is None


async def test_a_retry_beyond_the_budget_waits_without_a_slot_and_costs_no_try() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    await spend(here.store)
    outside = Outside(BROKEN)
    with pytest.raises(BackOff, match=r"too many retries on t for now \(at last: HTTP 503\)") as pause:
        await book.call(CALL, outside)
    assert isinstance(pause.value.error, NoRetryLeft)
    await hand_over(here, writer)
    (entry,) = await here.store.entries()
    assert (outside.sent, entry.status, entry.tries) == (1, "unknown", 1)


async def test_there_is_a_next_try_as_soon_as_the_budget_has_one() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    await spend(here.store)
    outside = Outside(BROKEN)
    with pytest.raises(BackOff):
        await book.call(CALL, outside)
    book, _ = await hand_over(here, writer)
    here.store.time += 70
    assert await book.call(CALL, outside) == DONE
    assert outside.sent == 2


async def test_a_spent_budget_never_fails_a_run_that_its_deadline_would_not() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    await spend(here.store)
    here.store.time += 299
    await spend(here.store)
    with pytest.raises(BackOff):
        await book.call(CALL, Outside(BROKEN))


async def test_a_worker_that_died_and_a_server_that_refuses_connections_take_nothing_from_the_budget() -> None:
    here = await world(tool("light"))
    await left_behind(here, "started")
    book, _ = await journal(here)
    await spend(here.store)
    outside = Outside(*[NotSent("down")] * 10)
    assert await book.call(CALL, outside) == DONE
    assert outside.sent == 11


async def test_a_retry_that_could_not_leave_is_taken_from_the_budget_once() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    outside = Outside(BROKEN, *[NotSent("down")] * 5, NotSent("down", retry_after=seconds(3)), *[NotSent("down")] * 5)
    with pytest.raises(BackOff, match="down"):
        await book.call(CALL, outside)
    book, _ = await hand_over(here, writer)
    assert await book.call(CALL, outside) == DONE
    assert here.store.dependencies._retries.total() == 1


async def test_a_call_counts_as_one_first_try_however_often_it_could_not_leave() -> None:
    here = await world(tool("light"))
    book, _ = await journal(here)
    await book.call(CALL, Outside(*[NotSent("down")] * 10))
    await spend(here.store)
    assert here.store.dependencies._firsts.total() == 1


async def test_asking_what_became_of_a_call_keeps_to_pause_and_budget_too() -> None:
    here = await world(tool("light"))
    book, writer = await journal(here)
    asked = 0

    async def probe(deadline: timedelta) -> Probed:
        nonlocal asked
        asked += 1
        raise RateLimited("busy", retry_after=seconds(10))

    call = replace(CALL, effect="probeable", probe=probe)
    with pytest.raises(BackOff):
        await book.call(call, Outside(BROKEN))
    for wait, sent in ((66, 1), (5, 1), (5, 2)):
        book, writer = await hand_over(here, writer)
        here.store.time += wait
        with pytest.raises(BackOff):
            await book.call(call, Outside())
        assert asked == sent


async def test_a_tool_and_a_stage_have_policies_of_their_own() -> None:
    slow = RetryPolicies(QUICK, {Stage.EXECUTE: RetryChange(max_tries=3), "t.light": RetryChange(max_tries=2)})
    for call, tries in ((CALL, 2), (replace(CALL, name="t.dark"), 3)):
        here = await world(tool("light"))
        claim = await here.claim()
        book = Journal(Writer(here.store, claim), claim.journal, slow)
        outside = Outside(*[BROKEN] * 9)
        with pytest.raises(OutcomeUnknown):
            await book.call(call, outside)
        assert outside.sent == tries


async def fleet_of_runs(count: int, *, step: timedelta, error: CallError, sparing: Sparing = DEFAULT_SPARING) -> World:
    """So many runs, each with one call of a tool that always fails like this."""
    store = WatchedStore(sparing=sparing)
    here = World(ScriptedTools({"t.light": tool("light")}), deadlines=Deadlines(step=step), store=store)
    for number in range(count):
        await here.add(executing(steps("light"), here.tools, run_id=f"r{number}", budget_usd=Decimal(1)))
    here.tools.script["t.light"] = [error] * 100_000
    return here


async def work_until_all_ended(here: World) -> list[float]:
    """What workers and sweepers do, by the store's clock; answers when each call left."""
    left: list[float] = []
    while True:
        for claim in await here.store.claim(Stage.EXECUTE, 64, "p"):
            before = len(here.tools.calls)
            await Attempt(here.parts, claim).make()
            left += [here.store.time] * (len(here.tools.calls) - before)
        runs = await here.store.recent(10_000)
        if all(snapshot.run.finished_at for snapshot in runs):
            assert {snapshot.run.state for snapshot in runs} == {State.FAILED}
            return left
        here.store.time += 1
        await settle_overdue(here.store, await here.store.sweep(), here.deadlines)


async def test_with_a_dependency_wholly_down_calls_stay_below_what_was_offered_a_tenth_more_and_the_burst(
    time_passes: Callable[[World], None],
) -> None:
    here = await fleet_of_runs(200, step=seconds(50), error=BROKEN)
    time_passes(here)
    left = await work_until_all_ended(here)
    assert 200 < len(left) <= 1.1 * 200 + Sparing().burst


async def test_an_outage_of_minutes_gets_no_more_than_the_burst_in_each(time_passes: Callable[[World], None]) -> None:
    here = await fleet_of_runs(40, step=seconds(300), error=BROKEN, sparing=Sparing(burst=10))
    time_passes(here)
    left = await work_until_all_ended(here)
    retries = left[40:]
    assert round(left[39]) == START
    assert all(sum(moment - 60 < other <= moment for other in retries) <= 10 + 4 for moment in retries)
    assert max(retries) > START + 120


async def test_a_server_that_is_too_busy_for_all_is_asked_once_a_pause_and_not_by_everybody(
    time_passes: Callable[[World], None],
) -> None:
    here = await fleet_of_runs(50, step=seconds(50), error=RateLimited("busy", retry_after=seconds(20)))
    time_passes(here)
    left = await work_until_all_ended(here)
    assert len(left) <= 50 + 5 + Sparing().burst
    assert left.count(START) == 1


def test_models_of_one_provider_are_spared_together_and_others_by_themselves() -> None:
    class Hosted(ScriptedModel):
        provider = "somebody"

    assert provider(Hosted(model_version="small")) == provider(Hosted(model_version="large")) == "model:somebody"
    assert provider(ScriptedModel(model_version="small")) == "model:small"
