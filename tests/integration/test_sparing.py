"""Two real worker processes spare a dependency together: the truth is what its own ledger counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from prolight.events import Warned, parse
from prolight.retry import DEFAULT_SPARING
from prolight.schemas import RunContext, State
from tests.chaos.driving import Control, Program
from tests.chaos.ledger import read
from tests.chaos.llm import URL_VARIABLE
from tests.chaos.world import declared
from tests.integration.fleet import Fleet, until
from tests.integration.test_faults import picture

pytestmark = pytest.mark.integration
PAUSE_SECONDS = 60


class Outside:
    """The World and the LLM, and what reached them."""

    def __init__(self, home: Path) -> None:
        self.ledgers = {name: home / f"{name}.ledger" for name in ("world", "llm")}
        self.programs = {
            name: Program(f"tests.chaos.{name}", "--ledger", ledger, log=home / f"{name}.log")
            for name, ledger in self.ledgers.items()
        }
        self.tools_file = home / "tools.toml"

    def received(self, name: str) -> Counter[str]:
        """How many requests, by what follows the `#` of their runs' briefs."""
        lines = (line for line in read(self.ledgers[name]) if line["what"] == "received")
        return Counter(line["label"].partition(".")[0] for line in lines)

    def control(self, name: str) -> Control:
        return Control(self.programs[name].url)

    @property
    def environment(self) -> dict[str, str]:
        return {URL_VARIABLE: self.programs["llm"].said}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    outside = Outside(tmp_path)
    with outside.programs["world"] as world, outside.programs["llm"]:
        outside.tools_file.write_text(declared(world.said))
        yield outside


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def fleet_with(outside: Outside, home: Path, stack: AsyncExitStack, **settings: Any) -> Fleet:
    given = {"model": "tests.chaos.llm:model", "tools": "studio", "tools_file": outside.tools_file, **settings}
    return await stack.enter_async_context(Fleet(home, studio=False, **given))


async def warnings(fleet: Fleet, run_id: str) -> list[Warned]:
    payloads = [parse(text).payload for text in await fleet.client.store.events(run_id)]
    return [payload for payload in payloads if isinstance(payload, Warned)]


async def warned(fleet: Fleet, run_ids: list[str], code: str) -> None:
    """Returns when each of them has backed off for this reason."""

    async def told() -> bool:
        return all([code in {warning.code for warning in await warnings(fleet, run_id)} for run_id in run_ids])

    await until(told, what=f"every run backs off ({code})")


async def pause_is_over(fleet: Fleet) -> None:
    """By the clock of the store."""
    await fleet.client.store._ask("HINCRBY", "prolight:clock", "offset", 2 * PAUSE_SECONDS * 1000)


async def ended(fleet: Fleet) -> dict[str, RunContext]:
    return {snapshot.run.brief.partition("#")[2]: snapshot.run for snapshot in await fleet.all_ended()}


async def test_a_pause_that_one_worker_was_asked_for_is_kept_by_one_that_never_heard_of_it(
    tmp_path: Path, outside: Outside, stack: AsyncExitStack
) -> None:
    fleet = await fleet_with(outside, tmp_path, stack)
    world = await stack.enter_async_context(outside.control("world"))
    await world.script("http_429", times=None, retry_after=PAUSE_SECONDS)
    first = await fleet.start_worker(**outside.environment)
    told = await fleet.client.submit(picture(), "pure #told")
    await warned(fleet, [told], "rate_limited")
    fleet.kill(first)

    await fleet.start_worker(**outside.environment)
    others = [await fleet.client.submit(picture(), f"pure #other-{number}") for number in range(5)]
    await warned(fleet, others, "cooling_down")
    assert outside.received("world") == {"told": 1}
    why = await fleet.client.why(others[0])
    assert "cooling down: world asks for a pause until" in why.sentence

    await world.clear()
    await pause_is_over(fleet)
    runs = await ended(fleet)
    assert {run.state for run in runs.values()} == {State.COMPLETED}
    assert outside.received("world") == {"told": 2, **{f"other-{number}": 1 for number in range(5)}}


async def test_two_workers_at_work_leave_a_model_alone_that_asked_one_of_them_for_a_pause(
    tmp_path: Path, outside: Outside, stack: AsyncExitStack
) -> None:
    fleet = await fleet_with(outside, tmp_path, stack, slots=2)
    llm = await stack.enter_async_context(outside.control("llm"))
    await llm.script("http_529", times=None, retry_after=PAUSE_SECONDS)
    for _ in range(2):
        await fleet.start_worker(**outside.environment)
    told = await fleet.client.submit(picture(), "pure #told")
    await warned(fleet, [told], "rate_limited")
    others = [await fleet.client.submit(picture(), f"pure #other-{number}") for number in range(8)]
    await warned(fleet, others, "cooling_down")
    assert outside.received("llm") == {"told": 1}

    await llm.clear()
    await pause_is_over(fleet)
    runs = await ended(fleet)
    assert {run.state for run in runs.values()} == {State.COMPLETED}
    assert outside.received("llm") == {"told": 3, **{f"other-{number}": 2 for number in range(8)}}


async def test_so_many_tries_are_so_many_requests_in_all_layers_together(
    tmp_path: Path, outside: Outside, stack: AsyncExitStack
) -> None:
    policies = {"plan": {"max_tries": 2}, "world.pure": {"max_tries": 3}}
    fleet = await fleet_with(outside, tmp_path, stack, retry_base_seconds=0.01, retry_policies=policies)
    world = await stack.enter_async_context(outside.control("world"))
    llm = await stack.enter_async_context(outside.control("llm"))
    await world.script("http_503", times=None, label="broken.pure-1")
    await llm.script("http_429", times=None, label="busy", role="planner")
    await llm.script("http_401", times=None, label="barred", role="planner")
    await fleet.start_worker(**outside.environment)
    for tag in ("broken", "busy", "barred"):
        await fleet.client.submit(picture(), f"pure #{tag}")

    runs = await ended(fleet)
    codes = {tag: run.error.code for tag, run in runs.items() if run.error}
    assert codes == {"broken": "outcome_unknown", "busy": "rate_limited", "barred": "call_rejected"}
    assert outside.received("world") == {"broken": 3}
    assert outside.received("llm") == {"broken": 2, "busy": 2, "barred": 1}


@pytest.mark.heavy
@pytest.mark.parametrize("act", ["http_503", "http_429"])
async def test_with_a_server_wholly_down_two_workers_send_a_tenth_more_than_offered_and_the_burst_at_most(
    tmp_path: Path, outside: Outside, stack: AsyncExitStack, act: str
) -> None:
    offered = 200
    fleet = await fleet_with(
        outside, tmp_path, stack, step_timeout_seconds=20, retry_budget_window_seconds=600, retry_base_seconds=0.1
    )
    world = await stack.enter_async_context(outside.control("world"))
    await world.script(act, times=None)
    for _ in range(2):
        await fleet.start_worker(**outside.environment)
    for number in range(offered):
        await fleet.client.submit(picture(), f"pure #r{number}")

    runs = await ended(fleet)
    sent = outside.received("world")
    assert {run.state for run in runs.values()} == {State.FAILED}
    assert sent.total() <= 1.1 * offered + DEFAULT_SPARING.burst
    assert max(sent.values()) <= 4
