"""Calls with effects, against a paid tool server of the tests: drain, cancel, deadlines, takeover and review."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prolight.schemas import RunContext, State
from tests.chaos.driving import Control, Program
from tests.chaos.world import declared
from tests.integration.fleet import Fleet, until
from tests.integration.test_faults import picture

pytestmark = pytest.mark.integration


SHORT = {"lease_seconds": 1.2, "heartbeat_seconds": 0.4, "sweep_seconds": 0.1}


@dataclass
class Shop:
    """A fleet whose plans call the World as the brief says (`tests.chaos.llm`)."""

    fleet: Fleet
    world: Control

    async def run(self, run_id: str) -> RunContext:
        return (await self.fleet.client.get(run_id)).run

    async def held(self, brief: str, act: str, **asked: Any) -> str:
        """A run whose first call the World holds."""
        await self.world.script(act)
        run_id = await self.fleet.client.submit(picture(), brief, **asked)
        await self.world.held()
        return run_id

    async def reaches(self, run_id: str, *states: State) -> RunContext:
        async def there() -> RunContext | None:
            run = await self.run(run_id)
            return run if run.state in states else None

        found: RunContext = await until(there, what=f"run {run_id} is {states}")
        return found

    async def applied(self) -> int:
        return sum((await self.world.counts()).values())


@asynccontextmanager
async def shop(
    home: Path, monkeypatch: pytest.MonkeyPatch, *, call_timeout: float = 10.0, **settings: Any
) -> AsyncIterator[Shop]:
    world = Program("tests.chaos.world", "--ledger", home / "world", log=home / "world.log")
    llm = Program("tests.chaos.llm", "--ledger", home / "llm", log=home / "llm.log")
    with world, llm:
        tools = declared(world.said).replace("timeout_seconds = 10.0", f"timeout_seconds = {call_timeout}")
        (home / "tools.toml").write_text(tools)
        monkeypatch.setenv("CHAOS_LLM_URL", llm.said)
        given = {"model": "tests.chaos.llm:model", "tools": "studio", "tools_file": home / "tools.toml", **settings}
        async with Fleet(home, studio=False, **given) as fleet, Control(world.url) as control:
            yield Shop(fleet, control)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


async def test_a_call_with_effects_ends_within_the_drain_and_nothing_is_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(home, monkeypatch) as here:
        worker = await here.fleet.start_worker()
        run_id = await here.held("blind,pure", "hold_after_apply")
        worker.terminate()
        await here.world.release()
        assert worker.wait(60) == 0
        await here.fleet.start_worker()
        run = await here.reaches(run_id, State.COMPLETED, State.FAILED, State.NEEDS_REVIEW)
        assert (run.state, run.review) == (State.COMPLETED, None)
        assert await here.applied() == 2


@pytest.mark.heavy
async def test_a_second_sigterm_is_as_safe_as_the_first_and_a_blind_call_is_never_sent_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(home, monkeypatch, call_timeout=2.0) as here:
        worker = await here.fleet.start_worker()
        run_id = await here.held("blind", "hold_after_apply")
        worker.send_signal(signal.SIGTERM)

        async def draining() -> bool:
            return "Warm shutdown" in here.fleet.log("worker1")

        await until(draining, what="the worker drains")
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
        snapshot = await here.fleet.client.get(run_id)
        assert (snapshot.claim_id, snapshot.crashes) == ("", 0)
        await here.world.release()
        assert await here.applied() == 1


async def test_a_cancel_reaches_the_call_at_once_and_says_what_it_may_still_cost(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(home, monkeypatch) as here:
        await here.fleet.start_worker()
        run_id = await here.held("blind", "hold_before_apply")
        asked = await here.fleet.client.cancel(run_id)
        assert asked.run.state is State.CANCELLING
        run = await here.reaches(run_id, State.CANCELLED)
        assert run.reserved_usd == 0
        assert run.spent_usd > 0
        warnings = [event.payload async for event in here.fleet.client.events(run_id) if event.type == "warning"]
        assert [warning.model_dump()["code"] for warning in warnings] == ["may_still_cost"]


async def test_a_run_deadline_ends_hung_work_although_its_heartbeat_lives(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(home, monkeypatch, sweep_seconds=0.1) as here:
        worker = await here.fleet.start_worker()
        run_id = await here.held("blind", "hold_before_apply", deadline=1.5)
        run = await here.reaches(run_id, State.FAILED)
        assert run.error
        assert run.error.code == "deadline_exceeded"
        assert worker.poll() is None

        async def let_go() -> bool:
            return "running': 0" in here.fleet.log("worker1") or not (await here.fleet.client.get(run_id)).claim_id

        await until(let_go, what="the worker let go")


async def test_a_budget_refuses_the_call_that_would_exceed_it_before_it_is_sent(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(home, monkeypatch) as here:
        await here.fleet.start_worker()
        run_id = await here.fleet.client.submit(picture(), "billed,blind", budget_usd=Decimal("0.05"))
        run = await here.reaches(run_id, State.FAILED, State.COMPLETED)
        assert run.state is State.FAILED
        assert run.spent_usd + run.reserved_usd <= run.budget_usd
        assert (await here.world.counts()).get("blind", 0) == 0


@pytest.mark.heavy
async def test_a_worker_killed_after_a_blind_tool_acted_leaves_a_review_and_a_persons_adoption_completes_the_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(home, monkeypatch, call_timeout=1.0, **SHORT) as here:
        worker = await here.fleet.start_worker()
        run_id = await here.held("blind", "hold_after_apply")
        here.fleet.kill(worker)
        await here.world.release()
        await here.fleet.start_worker()
        run = await here.reaches(run_id, State.NEEDS_REVIEW, State.FAILED, State.COMPLETED)
        assert (run.state, run.review and run.review.call) == (State.NEEDS_REVIEW, "world.blind")
        assert await here.applied() == 1
        kept = await here.fleet.client.artifact_store.put(picture(), media_type="image/png")
        await here.fleet.client.review(run_id, "adopt", picture=kept.id, reason="seen in their account", by="ann")
        run = await here.reaches(run_id, State.COMPLETED)
        assert run.exec_result
        assert [output.id for output in run.exec_result.outputs] == [kept.id]
        assert await here.applied() == 1


@pytest.mark.heavy
async def test_a_worker_killed_after_a_probeable_tool_acted_adopts_what_the_server_says_it_made(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(home, monkeypatch, call_timeout=1.0, **SHORT) as here:
        worker = await here.fleet.start_worker()
        run_id = await here.held("probeable", "hold_after_apply")
        here.fleet.kill(worker)
        await here.world.release()
        await here.fleet.start_worker()
        run = await here.reaches(run_id, State.NEEDS_REVIEW, State.FAILED, State.COMPLETED)
        assert run.state is State.COMPLETED
        assert await here.applied() == 1
