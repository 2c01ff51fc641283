"""A person sees the finished pictures before anything gives them out as finished."""

from __future__ import annotations

from datetime import timedelta

import pytest

from prolight import commands
from prolight.decisions import Deadlines
from prolight.determinism import plan_hash
from prolight.errors import IllegalMove, NothingFinished, PicturesChanged
from prolight.events import Blocked, Result, Status
from prolight.lifecycle import given_out
from prolight.schemas import RunContext, Stage, State
from prolight.sweeper import settle_overdue
from tests.unit.scripted import START, ScriptedModel, ScriptedTools, World, executing, planning, steps, tool
from tests.unit.test_approval import ACCEPT, PLAN, approve, reject


async def finished(**parts: object) -> World:
    """A run that has carried out its plan, and whose caller wants to see the pictures."""
    tools = ScriptedTools({"t.light": tool("light")})
    here = World(tools, **parts)  # type: ignore[arg-type]
    await here.add(executing(PLAN, tools).evolve(approve_result=True))
    await (await here.attempt()).make()
    return here


async def run_of(here: World) -> RunContext:
    return (await here.store.read("r")).run


async def publish(here: World, *pictures: str) -> State:
    answer = await commands.publish(here.store, "r", pictures, by="ann@desk", deadlines=here.deadlines)
    return answer.run.state


async def test_finished_pictures_wait_and_the_event_names_them() -> None:
    here = await finished()
    run = await run_of(here)
    assert run.exec_result
    assert run.approval
    made = tuple(output.id for output in run.exec_result.outputs)
    assert (run.state, run.approval.subject, run.approval.pictures) == (State.AWAITING_APPROVAL, "result", made)
    told = [event.payload for event in await here.store.told()]
    blocked = next(payload for payload in told if isinstance(payload, Blocked))
    assert (blocked.subject, blocked.pictures) == ("result", made)
    assert not any(isinstance(payload, Result) for payload in told)


async def test_until_a_person_has_said_so_they_are_given_out_only_as_unapproved() -> None:
    here = await finished()
    run = await run_of(here)
    with pytest.raises(NothingFinished, match="nobody has approved"):
        given_out(run, unapproved=False)
    assert run.approval
    assert tuple(output.id for output in given_out(run, unapproved=True)) == run.approval.pictures


async def test_approved_they_are_the_result_and_the_record_names_who_and_when() -> None:
    here = await finished()
    asked = (await run_of(here)).approval
    assert asked
    here.store.time += 60
    assert await publish(here, *asked.pictures) is State.COMPLETED
    run = await run_of(here)
    assert run.approval
    assert (run.approval.decision, run.approval.decided_by, run.approval.decided_at) == (
        "approved",
        "ann@desk",
        START + 60,
    )
    assert [output.id for output in given_out(run, unapproved=False)] == list(asked.pictures)
    result, status = [event.payload for event in await here.store.told()][-2:]
    assert isinstance(result, Result)
    assert isinstance(status, Status)
    assert (status.state, status.reason) == (State.COMPLETED, "pictures approved by ann@desk")


@pytest.mark.parametrize("pictures", [(), ("f" * 64,)])
async def test_other_pictures_than_those_that_wait_are_not_approved(pictures: tuple[str, ...]) -> None:
    here = await finished()
    before = await here.store.read("r")
    with pytest.raises(PicturesChanged, match="look at them"):
        await publish(here, *pictures)
    assert await here.store.read("r") == before


async def test_the_hash_of_the_plan_approves_no_pictures() -> None:
    here = await finished()
    with pytest.raises(IllegalMove, match="waits for an approval of its result, not of its plan"):
        await approve(here, plan_hash(PLAN))


async def test_pictures_approve_no_plan() -> None:
    model = ScriptedModel({"planner": [PLAN.model_dump_json()], "critic": [ACCEPT]})
    here = World(ScriptedTools({"t.light": tool("light")}), model)
    await here.add(planning(ask=True))
    for stage in (Stage.PLAN, Stage.CRITIQUE):
        await (await here.attempt(stage)).make()
    with pytest.raises(IllegalMove, match="waits for an approval of its plan, not of its result"):
        await publish(here, "f" * 64)


async def test_rejected_pictures_are_never_given_out() -> None:
    here = await finished()
    assert await reject(here, "too warm") is State.REJECTED
    for unapproved in (False, True):
        with pytest.raises(NothingFinished):
            given_out(await run_of(here), unapproved=unapproved)


async def test_silence_about_pictures_is_a_no() -> None:
    here = await finished(deadlines=Deadlines(approval=timedelta(seconds=30)))
    here.store.time += 31
    await settle_overdue(here.store, await here.store.sweep(), here.deadlines)
    run = await run_of(here)
    assert (run.state, run.approval and run.approval.decision) == (State.REJECTED, "expired")


async def test_a_plan_that_makes_no_picture_has_nothing_to_show() -> None:
    tools = ScriptedTools({"t.light": tool("light")})
    here = World(tools)
    await here.add(executing(steps(), tools).evolve(approve_result=True))
    await (await here.attempt()).make()
    assert (await run_of(here)).state is State.COMPLETED
