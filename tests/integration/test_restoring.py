"""`prolight restore`, after a real server was started again with a copy of its data from before things were done."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prolight.embedded.stack import environment
from prolight.schemas import RunContext, State
from tests.chaos.paid import png
from tests.integration.fleet import Fleet, until
from tests.integration.test_effects import SHORT, Shop, shop

pytestmark = pytest.mark.integration

QUICK = {"effect_grace_seconds": 0.2, **SHORT}
FILES = "appendonlydir"


async def back_up(fleet: Fleet, copy: Path) -> None:
    await fleet.client.store._ask("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
    shutil.copytree(fleet.valkey.data_dir / FILES, copy)


def put_back(fleet: Fleet, copy: Path) -> None:
    fleet.valkey.stop()
    shutil.rmtree(fleet.valkey.data_dir / FILES)
    shutil.copytree(copy, fleet.valkey.data_dir / FILES)
    fleet.valkey.start()


async def prolight(fleet: Fleet, *words: str) -> Any:
    """A command, and the record that it prints."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", "from prolight.cli import main; main()", *words, "--json"],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment(fleet.settings)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def finished_after_the_copy(here: Shop, copy: Path, brief: str) -> RunContext:
    """A run whose first call was under way when the copy was made, and which completed after that."""
    run_id = await here.held(brief, "hold_before_apply")
    await back_up(here.fleet, copy)
    await here.world.release()
    return await here.reaches(run_id, State.COMPLETED)


@pytest.mark.heavy
async def test_what_was_done_after_the_copy_is_not_done_again_before_a_person_has_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(tmp_path, monkeypatch, call_timeout=2.0, **QUICK) as here:
        fleet, copy = here.fleet, tmp_path / "copy"
        worker = await fleet.start_worker()
        done = await finished_after_the_copy(here, copy, "blind,keyed")
        run_id = done.run_id
        assert await here.applied() == 2
        await fleet.terminate(worker)
        put_back(fleet, copy)

        before = {"PLANNING": 0, "CRITIQUING": 0, "AWAITING_APPROVAL": 0, "NEEDS_REVIEW": 0, "CANCELLING": 0}
        counts = {**before, "EXECUTING": 1}
        assert await prolight(fleet, "restore", "--dry-run") == {"restored": False, "runs": counts}
        with pytest.raises(AssertionError, match="--yes: is needed where nobody can be asked"):
            await prolight(fleet, "restore")
        assert (await here.run(run_id)).state is State.EXECUTING
        assert await prolight(fleet, "restore", "--yes") == {"restored": True, "runs": counts}
        parked = await here.run(run_id)
        assert parked.review
        assert (parked.state, parked.review.why) == (State.NEEDS_REVIEW, "restored")

        await fleet.start_worker()
        await fleet.client.review(run_id, "allow", by="ann", reason="let us see")
        asked = await here.reaches(run_id, State.NEEDS_REVIEW, State.COMPLETED, State.FAILED)
        assert asked.review
        assert (asked.review.call, asked.review.why) == ("world.blind", "outcome_unknown")
        assert done.plan
        made = png("blind", done.plan.steps[0].params["label"])
        kept = await fleet.client.artifact_store.put(made, media_type="image/png")
        await fleet.client.review(run_id, "adopt", picture=kept.id, by="ann")
        await here.reaches(run_id, State.COMPLETED)
        assert await here.applied() == 2, "the keyed call was sent again under its key, which its server knew"
        assert not (await fleet.client.audit()).findings


async def test_a_worker_of_before_is_not_heard_and_what_its_call_brought_is_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(tmp_path, monkeypatch, call_timeout=20.0, **QUICK) as here:
        fleet, copy = here.fleet, tmp_path / "copy"
        zombie = await fleet.start_worker()
        run_id = await here.held("blind", "hold_after_apply")
        await back_up(fleet, copy)
        os.kill(zombie.pid, signal.SIGSTOP)
        put_back(fleet, copy)
        epoch = (await fleet.client.get(run_id)).epoch
        await prolight(fleet, "restore", "--yes")
        await here.world.release()
        os.kill(zombie.pid, signal.SIGCONT)

        async def kept() -> bool:
            return any("#" in key for key in await fleet.client.store.journal(run_id))

        await until(kept, what="the late result is kept")
        snapshot = await fleet.client.get(run_id)
        assert (snapshot.run.state, snapshot.claim_id) == (State.NEEDS_REVIEW, "")
        assert snapshot.epoch > epoch + 100_000
        await fleet.client.review(run_id, "allow", by="ann")
        await here.reaches(run_id, State.COMPLETED)
        assert await here.applied() == 1
