"""Failed runs on the command line against a real Valkey, and one that real workers fail and complete."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from prolight import AsyncClient, Client, lifecycle
from prolight.cli import run as prolight
from prolight.embedded import ValkeyServer
from prolight.errors import IllegalMove
from prolight.ports import Write
from prolight.schemas import RunError, RunRequest, Stage, State
from tests.chaos import llm, world
from tests.chaos.driving import Control, Program
from tests.chaos.ledger import read
from tests.integration.fleet import Fleet
from tests.integration.test_faults import picture

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def own_store(valkey: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROLIGHT_REDIS_URL", valkey.url)
    monkeypatch.setenv("PROLIGHT_HOME", str(tmp_path / "home"))


def broken(*codes: str) -> list[str]:
    """Runs that failed in their first stage with these codes, oldest first."""

    async def work() -> list[str]:
        async with AsyncClient() as client:
            first = await client.submit(picture(), "warm key")
            asset = (await client.get(first)).run.asset_id
            for number in range(1, len(codes)):
                await client.enqueue(RunRequest(picture_id=asset, brief=f"warm key {number}"))
            runs = []
            for code in codes:
                [claim] = await client.store.claim(Stage.PLAN, 1, "hand-1")
                error = RunError(code=code, message=f"no {code}", stage=Stage.PLAN)
                times: Any = {"now": client.store.now(), "deadlines": client.settings.deadlines}
                decision = lifecycle.failed(claim.snapshot.run, error, **times)
                await client.store.commit(Write(claim.snapshot, decision, op_id=uuid.uuid4().hex))
                runs.append(claim.run_id)  # of the same millisecond, the order is not that of their making
            return runs

    return asyncio.run(work())


def records(capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert prolight([*arguments, "--json"]) == exit_code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_failed_lists_reason_and_place_and_counts_by_code(capsys: pytest.CaptureFixture[str]) -> None:
    runs = broken("poison", "rate_limited", "poison")
    assert prolight(["failed", "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [runs[2], runs[1]]
    assert "no rate_limited" in lines[2]
    assert lines[-1] == "3 failed, 2 shown: 2 poison, 1 rate_limited"


def test_failed_as_records_obeys_its_filters_and_names_parent_and_child(capsys: pytest.CaptureFixture[str]) -> None:
    runs = broken("poison", "rate_limited")
    [record] = records(capsys, "failed", "--code", "poison", "--stage", "plan", "--since", "1h", "--text", "POISON")
    assert (record["run_id"], record["failed_in"], record["error"]["code"]) == (runs[0], "plan", "poison")
    assert (record["parent"], record["child"]) == (None, None)
    [child] = records(capsys, "redrive", runs[0])
    assert child["parent"] == runs[0]
    assert [one["child"] for one in records(capsys, "failed", "--code", "poison")] == [child["run_id"]]
    assert records(capsys, "failed", "--stage", "execute") == []
    assert records(capsys, "failed", "--tool", "studio.relight") == []


def test_redrive_prints_the_ids_of_the_children_and_progress_besides(capsys: pytest.CaptureFixture[str]) -> None:
    runs = broken("poison", "poison")
    assert prolight(["redrive", *runs]) == 0
    out, err = capsys.readouterr()
    children = out.split()
    assert len(set(children)) == 2
    assert f"2 of 2: {runs[1]} goes on as {children[1]}, PLANNING" in err
    assert prolight(["redrive", *runs]) == 0
    assert capsys.readouterr().out.split() == children, "asked again, they are the same"


def test_redrive_of_all_takes_those_without_a_child_oldest_first(capsys: pytest.CaptureFixture[str]) -> None:
    runs = broken("poison", "rate_limited", "poison")
    made = records(capsys, "redrive", "--all", "--code", "poison", "--pace", "1000/s", "--budget", "2.5")
    assert [record["parent"] for record in made] == [runs[0], runs[2]]
    with Client() as client:
        assert str(client.get(made[0]["run_id"]).run.budget_usd) == "2.5"
    assert [record["parent"] for record in records(capsys, "redrive", "--all")] == [runs[1]]
    assert prolight(["redrive", "--all"]) == 0
    assert "no failed runs without a child" in capsys.readouterr().err


def test_redrive_of_a_run_that_did_not_fail_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    [parent] = broken("poison")
    [child] = records(capsys, "redrive", parent)
    [refused] = records(capsys, "redrive", child["run_id"], exit_code=1)
    assert refused["error"]["code"] == "illegal_move"
    assert "PLANNING, not ended: only a FAILED one is redriven" in refused["error"]["message"]
    assert prolight(["redrive", child["run_id"], parent]) == 1
    assert "1 of 2 were refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["run", "--all"], ["run", "--code", "poison"], ["--all", "--pace", "0/s"], ["--all", "--budget", "nan"]],
)
def test_a_command_line_that_says_too_much_or_too_little_is_refused(arguments: list[str]) -> None:
    assert prolight(["redrive", *arguments]) == 2


def test_show_names_parent_and_child(capsys: pytest.CaptureFixture[str]) -> None:
    [parent] = broken("poison")
    [child] = records(capsys, "redrive", parent)
    prolight(["show", parent])
    assert f"goes on as {child['run_id']}" in capsys.readouterr().out
    prolight(["show", child["run_id"]])
    assert f"of {parent}, in the stage that failed there" in capsys.readouterr().out


def test_ctrl_c_stops_between_two_runs_and_says_how_far_it_came() -> None:
    broken("poison", "poison", "poison")
    program = [sys.executable, "-c", "from prolight.cli import main; main()", "redrive", "--all", "--pace", "1/h"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        child = process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped: 1 of 3 redriven; the same command goes on from there" in err
    with Client() as client:
        assert [one.run.run_id for one in client.list(state=State.PLANNING)] == [child]


def test_the_sync_client_finds_and_redrives_failed_runs() -> None:
    [parent] = broken("poison")
    with Client() as client:
        [found] = client.failed()
        assert found.run.run_id == parent
        child = client.redrive(parent)
        assert client.redrive(parent) == child
        with pytest.raises(IllegalMove):
            client.redrive(child)


async def test_real_workers_complete_a_redriven_run_and_apply_its_first_step_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, ledger, asked = tmp_path / "tools.toml", tmp_path / "world.jsonl", tmp_path / "llm.jsonl"
    pictures = tmp_path / "fleet" / "artifacts"
    outside = Program("tests.chaos.world", "--ledger", ledger, "--artifacts", pictures, log=tmp_path / "world.log")
    thinking = Program("tests.chaos.llm", "--ledger", asked, log=tmp_path / "llm.log")
    with outside, thinking:
        tools.write_text(world.declared(outside.said))
        monkeypatch.setenv(llm.URL_VARIABLE, thinking.url)
        parts: dict[str, Any] = {"tools": "studio", "tools_file": tools, "model": "tests.chaos.llm:model"}
        async with Fleet(tmp_path / "fleet", studio=False, **parts) as fleet, Control(outside.url) as control:
            await control.script("refuse", tool="billed", code="no_light")
            await fleet.start_worker(**{llm.URL_VARIABLE: thinking.url})
            parent = await fleet.client.submit(picture(), "blind,billed,keyed")
            ended = await fleet.client.wait(parent)
            assert (ended.run.state, ended.run.error and ended.run.error.code) == (State.FAILED, "no_light")

            await control.script("hold_before_apply", tool="keyed")
            child = await fleet.client.redrive(parent)
            await control.held(tool="keyed")
            busy = await fleet.client.audit()
            await control.release()
            done = await fleet.client.wait(child)
            quiet = await fleet.client.audit()

    assert (busy.findings, quiet.findings) == ((), ()), "with a call under way, and at the end"
    assert done.run.state is State.COMPLETED
    applied = [receipt["label"] for receipt in read(ledger) if receipt["what"] == "applied"]
    assert applied == ["blind-1", "billed-2", "keyed-3"]
    assert [call["role"] for call in read(asked) if call["what"] == "answered"] == ["planner", "critic"]
    assert str(ended.run.spent_usd) == "0.07", "two questions and the blind step"
    assert str(done.run.spent_usd) == "0.06", "the two steps after it"
