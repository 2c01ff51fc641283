"""All writes of a claim: in order, joined, and nothing after its end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from prolight.commands import cancel
from prolight.decisions import Deadlines, Queued
from prolight.errors import BudgetExceeded, ClaimLost, StoreUnavailable
from prolight.events import Note
from prolight.lifecycle import released
from prolight.schemas import RunContext, Stage, State
from prolight.writer import Change, Changed, Writer
from tests.unit.scripted import START, World, tool, world


def note(text: str) -> Change:
    return lambda run: Changed(run, (Note(message=text),), {text: "{}"})


def refuse(run: RunContext) -> Changed:
    raise BudgetExceeded("too dear")


async def writing() -> tuple[World, Writer]:
    here = await world(tool("light"))
    return here, Writer(here.store, await here.claim())


async def messages(here: World) -> list[str]:
    return [event.payload.model_dump()["message"] for event in await here.store.told()]


async def test_what_waits_together_is_committed_together_and_in_order() -> None:
    here, writer = await writing()
    await asyncio.gather(*(writer.write(note(str(n))) for n in range(10)))
    assert len(here.store.commits) == 1
    assert await messages(here) == [str(n) for n in range(10)]
    assert set(await here.store.journal("r")) == {str(n) for n in range(10)}


async def test_writes_during_a_commit_go_with_the_next_one_and_never_conflict() -> None:
    here, writer = await writing()
    here.store.gate = asyncio.Event()
    first = asyncio.create_task(writer.write(note("first")))
    await here.store.entered.wait()
    others = [asyncio.create_task(writer.write(note(f"{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    here.store.gate.set()
    await asyncio.gather(first, *others)
    assert len(here.store.writes) == len(here.store.commits) == 2
    assert (await here.store.read("r")).ver == 3


async def test_a_write_that_nobody_waits_for_travels_with_the_next_one() -> None:
    here, writer = await writing()
    writer.write_later(note("a"))
    await writer.write(note("b"))
    assert await messages(here) == ["a", "b"]
    assert len(here.store.commits) == 1


async def test_a_write_that_nobody_waits_for_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prolight.writer.LINGER", timedelta(0))
    here, writer = await writing()
    writer.write_later(note("a"))
    await here.store.entered.wait()
    assert await messages(here) == ["a"]


async def test_a_change_that_is_refused_is_refused_alone() -> None:
    here, writer = await writing()
    answers = await asyncio.gather(
        writer.write(note("a")), writer.write(refuse), writer.write(note("b")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [type(None), BudgetExceeded, type(None)]
    assert await messages(here) == ["a", "b"]


async def test_nothing_is_committed_when_every_change_is_refused() -> None:
    here, writer = await writing()
    with pytest.raises(BudgetExceeded):
        await writer.write(refuse)
    assert here.store.writes == []


async def test_the_end_takes_along_what_waits_and_gives_the_run_back() -> None:
    here, writer = await writing()
    writer.write_later(note("a"))
    after = await writer.finish(lambda run: released(run, now=START))
    assert (after.claim_id, after.ready) == ("", True)
    assert await messages(here) == ["a"]
    assert len(here.store.commits) == 1


async def test_a_change_is_decided_again_when_somebody_else_committed_first() -> None:
    here, writer = await writing()
    await cancel(here.store, "r", reason="", deadlines=Deadlines())
    seen: list[State] = []

    def change(run: RunContext) -> Changed:
        seen.append(run.state)
        return Changed(run)

    await writer.write(change)
    assert seen == [State.EXECUTING, State.CANCELLING]
    assert writer.run.state is State.CANCELLING


async def test_a_claim_that_was_taken_writes_nothing_more() -> None:
    here, writer = await writing()
    here.store.time += 13
    await here.store.sweep()
    await here.claim()
    before = (await here.store.read("r")).ver
    writer.write_later(note("later"))
    for _ in range(2):
        with pytest.raises(ClaimLost):
            await writer.write(note("x"))
    with pytest.raises(ClaimLost):
        await writer.finish(lambda run: released(run, now=START))
    assert (await here.store.read("r")).ver == before
    assert await messages(here) == []


async def test_nothing_is_written_after_the_end_even_though_nobody_holds_the_run() -> None:
    here, writer = await writing()
    await writer.finish(lambda run: released(run, now=START))
    writer.write_later(note("late"))
    with pytest.raises(ClaimLost):
        await writer.write(note("later"))
    assert len(here.store.commits) == 1
    assert await messages(here) == []


async def test_a_write_that_got_lost_ends_the_claim_instead_of_being_forgotten() -> None:
    here, writer = await writing()
    here.store.faults = [StoreUnavailable("gone")]
    writer.write_later(note("the result of a paid call"))
    with pytest.raises(StoreUnavailable):
        await writer.write(note("b"))
    with pytest.raises(StoreUnavailable):
        await writer.finish(lambda run: released(run, now=START))
    assert here.store.commits == []


async def test_a_defect_in_a_change_is_heard_by_whoever_waits_and_ends_the_claim() -> None:
    _, writer = await writing()

    def defect(run: RunContext) -> Changed:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await writer.write(defect)
    with pytest.raises(KeyError):
        await writer.finish(lambda run: released(run, now=START))


async def test_the_turn_shows_when_it_began_and_how_often() -> None:
    here, writer = await writing()
    await writer.write(note("a"))
    turn = (await here.store.read("r")).run.turns[0]
    assert (turn.started_at, turn.attempts) == (START, 1)
    here.store.time += 5
    await writer.finish(lambda run: released(run, now=START))
    again = Writer(here.store, await here.claim())
    await again.write(note("b"))
    turn = (await here.store.read("r")).run.turns[0]
    assert (turn.started_at, turn.attempts) == (START, 2)


async def test_what_is_left_is_the_time_until_the_hard_stop() -> None:
    here, writer = await writing()
    assert writer.left() == timedelta(seconds=300)
    here.store.time += 1_000
    assert writer.left() == timedelta(0)


async def test_every_commit_has_a_name_of_its_own() -> None:
    here, writer = await writing()
    for n in range(3):
        await writer.write(note(str(n)))
    assert len({write.op_id for write in here.store.writes}) == 3
    assert all(write.holder for write in here.store.writes)


async def test_a_release_puts_the_stage_back_into_its_queue() -> None:
    here, writer = await writing()
    await writer.finish(lambda run: released(run, now=START))
    decision = here.store.writes[-1].decision
    assert decision.placement == Queued(Stage.EXECUTE)
