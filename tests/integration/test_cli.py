"""The command line against a real Valkey. No worker runs: a hand carries the runs where a test needs it."""

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from PIL import Image

from prolight import lifecycle
from prolight.cli import run
from prolight.cli.demo import BUNDLED_PICTURE
from prolight.client import AsyncClient
from prolight.decisions import Decision
from prolight.determinism import plan_hash
from prolight.embedded import ValkeyServer, start_valkey
from prolight.ports import Write
from prolight.schemas import Critique, Finding, Lock, Plan, Review, RunContext, RunError, Stage, Step, Verdict

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PICTURE = str(BUNDLED_PICTURE)
PLAN = Plan(steps=(Step(id="key", tool="studio.relight", params={"picture": "$input"}),))
Move = Callable[[RunContext, dict[str, Any]], Decision]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with start_valkey(tmp_path_factory.mktemp("valkey"), appendfsync="no") as server:
        yield server


@pytest.fixture(autouse=True)
def own_store(server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis.Redis.from_url(server.url) as store:
        store.flushall()
    for name in [name for name in os.environ if name.startswith("PROLIGHT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PROLIGHT_REDIS_URL", server.url)
    monkeypatch.setenv("PROLIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROLIGHT_STUDIO_URL", "http://127.0.0.1:1/mcp")


class Shell:
    """Runs command lines in this process, and keeps what the last one printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        self._capsys.readouterr()
        code = run(arguments)
        self.out, self.err = self._capsys.readouterr()
        return code

    def records(self, *arguments: str) -> list[dict[str, Any]]:
        self(*arguments, "--json")
        return [json.loads(line) for line in self.out.splitlines()]

    def submitted(self, *arguments: str, brief: str = "soft warm key from the left") -> str:
        assert self("submit", PICTURE, brief, *arguments) == 0, self.err
        return self.out.strip()


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The real program, in a process of its own, which a failing test does not leave behind."""
    program = [sys.executable, "-c", "from prolight.cli import main; main()", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def planned(run: RunContext, times: dict[str, Any]) -> Decision:
    lock = Lock(
        plan_hash=plan_hash(PLAN),
        input_sha256=run.asset_id,
        model_version="by-hand",
        prompt_hash="",
        seed=0,
        tool_pins={"studio.relight": "1" * 64},
        policy_version="1",
        prolight_version="0",
    )
    return lifecycle.planned(run, PLAN, lock, **times)


def accepted(run: RunContext, times: dict[str, Any]) -> Decision:
    return lifecycle.judged(run, Critique(verdict=Verdict.ACCEPT), model="by-hand", **times)


def rejected(run: RunContext, times: dict[str, Any]) -> Decision:
    finding = Finding(id="key.hot", severity="blocking", message="the key clips", step="key")
    return lifecycle.judged(run, Critique(verdict=Verdict.REJECT, findings=(finding,)), model="by-hand", **times)


def failed(run: RunContext, times: dict[str, Any]) -> Decision:
    return lifecycle.failed(run, RunError(code="tool_failed", message="no subject", stage=Stage.PLAN), **times)


def carry(*moves: tuple[Stage, Move]) -> None:
    """Do what workers would: claim the oldest run that waits for the stage, and commit the move."""

    async def work() -> None:
        async with AsyncClient() as client:
            for stage, move in moves:
                [claim] = await client.store.claim(stage, 1, "hand-1")
                decision = move(claim.snapshot.run, {"now": client.store.now(), "deadlines": client.settings.deadlines})
                await client.store.commit(Write(claim.snapshot, decision, op_id=uuid.uuid4().hex))

    asyncio.run(work())


def finish(picture: bytes = BUNDLED_PICTURE.read_bytes()) -> None:
    """Carry the waiting run to COMPLETED, with this JPEG as its one output."""

    async def kept() -> Any:
        async with AsyncClient() as client:
            return await client.artifact_store.put(picture, media_type="image/jpeg")

    output = asyncio.run(kept())

    def executed(run: RunContext, times: dict[str, Any]) -> Decision:
        return lifecycle.executed(run, (output,), **times)

    carry((Stage.PLAN, planned), (Stage.CRITIQUE, accepted), (Stage.EXECUTE, executed))


# --- submit ---


def test_submit_prints_the_id_and_nothing_else_on_stdout(shell: Shell) -> None:
    assert shell("submit", PICTURE, "soft warm key from the left") == 0
    assert str(uuid.UUID(shell.out.strip())) == shell.out.strip()
    assert shell.err == ""


def test_submit_with_json_is_one_record_with_id_and_state(shell: Shell) -> None:
    assert shell.records("submit", PICTURE, "warm", "--run-id", "mine") == [{"run_id": "mine", "state": "PLANNING"}]


def test_one_idempotency_key_makes_one_run(shell: Shell) -> None:
    first = shell.submitted("--idempotency-key", "k")
    assert shell.submitted("--idempotency-key", "k") == first
    assert len(shell.records("list")) == 1


def test_an_idempotency_key_with_other_content_is_refused(shell: Shell) -> None:
    first = shell.submitted("--idempotency-key", "k")
    assert shell("submit", PICTURE, "another brief", "--idempotency-key", "k", "--json") == 2
    error = json.loads(shell.out)["error"]
    assert error["code"] == "idempotency_mismatch"
    assert first in error["message"]


def test_metadata_is_kept_with_the_run(shell: Shell) -> None:
    run_id = shell.submitted("--meta", "sku=12", "--meta", "channel=web")
    assert shell.records("show", run_id)[0]["metadata"] == {"sku": "12", "channel": "web"}


def test_the_brief_may_come_from_stdin(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("cool rim from behind\n"))
    run_id = shell.submitted(brief="-")
    assert shell.records("show", run_id)[0]["brief"] == "cool rim from behind"


@pytest.mark.parametrize(
    ("brief", "words"), [("x" * 4001, "4000 characters"), ("   ", "says nothing"), ("a\x00b", "NUL")]
)
def test_a_brief_that_is_refused_leaves_no_trace(brief: str, words: str, shell: Shell) -> None:
    assert shell("submit", PICTURE, brief) == 2
    assert "brief" in shell.err
    assert words in shell.err
    assert shell.records("list") == []


def test_a_file_that_is_no_picture_is_refused_with_what_would_be_taken(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not a picture")
    assert shell("submit", str(tmp_path / "notes.jpg"), "warm", "--json") == 2
    assert json.loads(shell.out)["error"]["code"] == "picture_refused"
    assert "JPEG, PNG or WebP" in shell.err
    assert shell.records("list") == []


def test_a_picture_above_the_limit_is_refused_with_the_limit(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROLIGHT_MAX_UPLOAD_BYTES", "1000")
    assert shell("submit", PICTURE, "warm") == 2
    assert "picture" in shell.err
    assert "1,000" in shell.err or "1000" in shell.err


def test_a_time_limit_without_wait_is_refused(shell: Shell) -> None:
    assert shell("submit", PICTURE, "warm", "--timeout", "5") == 2
    assert "--wait" in shell.err


def test_waiting_stops_at_its_time_limit_and_the_run_goes_on(shell: Shell) -> None:
    first, last = shell.records("submit", PICTURE, "warm", "--wait", "--timeout", "0.2")
    assert first["run_id"] == last["run_id"]
    assert last["state"] == "PLANNING"
    assert f"prolight watch {first['run_id']}" in shell.err
    assert shell("submit", PICTURE, "warm", "--wait", "--timeout", "0") == 3


@pytest.mark.parametrize(
    ("moves", "state", "code"),
    [
        ([(Stage.PLAN, failed)], "FAILED", 5),
        ([(Stage.PLAN, planned), (Stage.CRITIQUE, rejected)], "AWAITING_APPROVAL", 6),
    ],
)
def test_waiting_ends_with_the_run_and_tells_the_shell_how(
    moves: list[tuple[Stage, Move]], state: str, code: int
) -> None:
    with started("submit", PICTURE, "warm", "--wait", "--json") as waiting:
        assert waiting.stdout
        run_id = json.loads(waiting.stdout.readline())["run_id"]
        carry(*moves)
        last = json.loads(waiting.stdout.readline())
        assert (last["run_id"], last["state"]) == (run_id, state)
        assert waiting.wait() == code


def test_waiting_shows_progress_on_stderr_and_the_end_on_stdout() -> None:
    with started("submit", PICTURE, "warm", "--wait") as waiting:
        assert waiting.stdout
        run_id = waiting.stdout.readline().strip()
        finish()
        out, err = waiting.communicate()
    assert waiting.returncode == 0
    assert f"{run_id}  COMPLETED" in out
    assert [line.split()[2] for line in err.splitlines()][:3] == ["status", "plan", "status"]
    assert "\x1b" not in out + err


def test_ctrl_c_detaches_and_the_run_goes_on(shell: Shell) -> None:
    with started("submit", PICTURE, "warm", "--wait") as waiting:
        assert waiting.stdout
        assert waiting.stderr
        run_id = waiting.stdout.readline().strip()
        waiting.stderr.readline()  # the first event: it is watching
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate()
    assert waiting.returncode == 130
    assert f"prolight watch {run_id}" in err
    assert "Traceback" not in err
    assert shell.records("show", run_id)[0]["state"] == "PLANNING"


# --- watch ---


def test_watch_prints_every_event_of_a_finished_run_and_ends(shell: Shell) -> None:
    run_id = shell.submitted()
    finish()
    events = shell.records("watch", run_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["payload"]["state"] == "COMPLETED"
    assert {event["run_id"] for event in events} == {run_id}
    assert shell("watch", run_id) == 0
    assert len(shell.out.splitlines()) == len(events)


def test_watch_after_a_number_prints_only_what_follows(shell: Shell) -> None:
    run_id = shell.submitted()
    finish()
    everything = shell.records("watch", run_id)
    assert shell.records("watch", run_id, "--after", "3") == everything[3:]
    assert shell.records("watch", run_id, "--after", "9999") == []


def test_watch_leaves_a_run_that_waits_for_a_person(shell: Shell) -> None:
    run_id = shell.submitted()
    carry((Stage.PLAN, planned), (Stage.CRITIQUE, rejected))
    assert shell("watch", run_id) == 6
    assert "the key clips" in shell.out
    assert shell("watch", run_id, "--after", "9999") == 6


def test_watch_with_keep_stays_with_a_run_that_waits_until_it_ends(shell: Shell) -> None:
    run_id = shell.submitted()
    carry((Stage.PLAN, planned), (Stage.CRITIQUE, rejected))
    with started("watch", run_id, "--keep", "--json") as watching:
        assert watching.stdout
        while json.loads(watching.stdout.readline())["payload"].get("state") != "AWAITING_APPROVAL":
            pass
        assert shell("cancel", run_id) == 0
        out, _ = watching.communicate()
    assert json.loads(out.splitlines()[-1])["payload"]["state"] == "CANCELLED"
    assert watching.returncode == 3


def test_a_reader_that_goes_away_causes_no_traceback(shell: Shell) -> None:
    run_id = shell.submitted()
    finish()
    with started("watch", run_id, "--json") as watching:
        assert watching.stdout
        assert watching.stderr
        watching.stdout.close()
        assert "Traceback" not in watching.stderr.read()


# --- list, show, cancel ---


def test_list_is_newest_first_and_obeys_its_limit(shell: Shell) -> None:
    runs = [shell.submitted(brief=brief) for brief in ("one", "two", "three")]
    assert [record["run_id"] for record in shell.records("list")] == runs[::-1]
    assert [record["brief"] for record in shell.records("list", "--limit", "2")] == ["three", "two"]


def test_list_by_state_leaves_the_others_out(shell: Shell) -> None:
    cancelled, _ = shell.submitted(), shell.submitted()
    shell("cancel", cancelled)
    assert [record["run_id"] for record in shell.records("list", "--state", "cancelled")] == [cancelled]


def test_an_empty_list_says_how_to_make_a_run_on_stderr(shell: Shell) -> None:
    assert shell("list") == 0
    assert shell.out == ""
    assert "prolight submit" in shell.err


def test_show_prints_plan_and_finding_for_people_and_the_whole_document_for_programs(shell: Shell) -> None:
    run_id = shell.submitted()
    carry((Stage.PLAN, planned), (Stage.CRITIQUE, rejected))
    assert shell("show", run_id) == 0
    for words in ("AWAITING_APPROVAL (waiting for a person)", "1. key  studio.relight", "✗ the key clips", "reject"):
        assert words in shell.out
    [document] = shell.records("show", run_id)
    assert document["plan"] == PLAN.model_dump(mode="json")
    assert (document["activity"], document["ver"]) == ("waiting for a person", 3)


@pytest.mark.parametrize("command", ["show", "cancel", "watch"])
def test_a_run_that_is_not_there_is_an_error_that_names_the_list(command: str, shell: Shell) -> None:
    assert shell(command, "nobody", "--json") == 1
    assert json.loads(shell.out)["error"]["code"] == "run_not_found"
    assert "prolight list" in shell.err


def test_a_waiting_run_is_cancelled_at_once_with_its_reason(shell: Shell) -> None:
    run_id = shell.submitted()
    [record] = shell.records("cancel", run_id, "--reason", "wrong picture")
    assert (record["run_id"], record["state"]) == (run_id, "CANCELLED")
    assert "wrong picture" in [event["payload"].get("reason") for event in shell.records("watch", run_id)]


def test_a_finished_run_cannot_be_cancelled(shell: Shell) -> None:
    run_id = shell.submitted()
    finish()
    assert shell("cancel", run_id) == 1
    assert "it is COMPLETED" in shell.err


# --- artifacts ---


def test_artifacts_saves_the_outputs_and_refuses_to_overwrite_them(shell: Shell, tmp_path: Path) -> None:
    run_id = shell.submitted()
    finish()
    [record] = shell.records("artifacts", run_id, "-o", str(tmp_path / "out"))
    path = tmp_path / "out" / f"{run_id}-1.jpg"
    assert record == {"run_id": run_id, "state": "COMPLETED", "paths": [str(path)]}
    assert path.read_bytes() == BUNDLED_PICTURE.read_bytes()
    path.write_bytes(b"mine")
    assert shell("artifacts", run_id, "-o", str(tmp_path / "out")) == 1
    assert "--force" in shell.err
    assert path.read_bytes() == b"mine"
    assert shell("artifacts", run_id, "-o", str(tmp_path / "out"), "--force") == 0
    assert path.read_bytes() == BUNDLED_PICTURE.read_bytes()


def test_artifacts_of_an_unfinished_run_say_what_is_there_instead(shell: Shell, tmp_path: Path) -> None:
    run_id = shell.submitted()
    assert shell("artifacts", run_id, "-o", str(tmp_path / "out")) == 1
    assert "is PLANNING and has no finished pictures" in shell.err
    assert not (tmp_path / "out").exists()


# --- the store is away; doctor ---


def test_without_a_store_every_command_names_the_way_to_start_one(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROLIGHT_REDIS_URL", "redis://127.0.0.1:1/0")
    for command in (["list"], ["show", "r"], ["submit", PICTURE, "warm"]):
        assert shell(*command, "--json") == 1
        assert json.loads(shell.out)["error"]["code"] == "store_unavailable"
        assert "`prolight up`" in shell.err
        assert len(shell.err.splitlines()) == 1


def test_a_store_that_wants_a_password_is_an_authentication_error(server: ValkeyServer, shell: Shell) -> None:
    with redis.Redis.from_url(server.url) as store:
        store.config_set("requirepass", "secret")
        try:
            assert shell("list") == 4
            assert "put its password into PROLIGHT_REDIS_URL" in shell.err
        finally:
            store.config_set("requirepass", "")


def test_doctor_without_workers_fails_with_a_fix_for_each_broken_part(shell: Shell) -> None:
    assert shell("doctor", "--json") == 1
    parts = {part["part"]: part for part in map(json.loads, shell.out.splitlines())}
    broken = {name for name, part in parts.items() if not part["ok"] and not part["warning"]}
    assert broken == {"worker:plan", "worker:critique", "worker:execute", "tools"}
    assert all(parts[name]["fix"] for name in broken)
    assert parts["store"]["ok"]
    assert not parts["durability"]["ok"]
    assert "appendfsync" in parts["durability"]["fix"]


def test_doctor_without_a_store_still_looks_at_the_rest(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROLIGHT_REDIS_URL", "redis://127.0.0.1:1/0")
    assert shell("doctor") == 1
    assert "✗ store" in shell.out
    assert "✓ artifacts" in shell.out
    assert "fix: `prolight up`" in shell.out


def test_doctor_finds_a_picture_folder_that_is_not_the_one_of_the_store(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.submitted()
    assert {part["part"]: part["ok"] for part in shell.records("doctor")}["artifacts"]
    monkeypatch.setenv("PROLIGHT_ARTIFACTS", str(tmp_path / "elsewhere"))
    [artifacts] = [part for part in shell.records("doctor") if part["part"] == "artifacts"]
    assert not artifacts["ok"]
    assert "PROLIGHT_ARTIFACTS" in artifacts["fix"]


def test_doctor_binds_no_unused_store_to_its_folder(server: ValkeyServer, shell: Shell) -> None:
    shell("doctor")
    with redis.Redis.from_url(server.url) as store:
        assert store.keys("prolight:store") == []


# --- the demo, with every real part ---


@pytest.fixture
def demo_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo's home is made, and by which its processes are known."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def processes_of(folder: Path) -> list[str]:
    """The command lines of this machine's processes that were started with `folder` as TMPDIR (Linux)."""
    mark = f"TMPDIR={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended meanwhile
    return found


def demonstrated(folder: Path, *options: str) -> dict[str, Any]:
    with started("demo", "-o", str(folder), "--json", *options) as demo:
        out, err = demo.communicate()
    assert demo.returncode == 0, err
    assert "\x1b" not in out + err
    return dict(json.loads(out))


def test_the_demo_makes_picture_and_report_and_leaves_nothing_running(tmp_path: Path, demo_env: Path) -> None:
    told = demonstrated(tmp_path / "out")
    assert told["state"] == "COMPLETED"
    assert [stage["stage"] for stage in told["stages"]] == ["plan", "critique", "execute"]
    assert all(stage["attempts"] == 1 and stage["seconds"] > 0 for stage in told["stages"])
    [after] = told["outputs"]
    assert Path(after).read_bytes() != Path(told["before"]).read_bytes() == BUNDLED_PICTURE.read_bytes()
    assert Path(told["report"]).read_text().startswith("<!doctype html>")
    assert told["run_id"] in Path(told["report"]).read_text()
    assert processes_of(demo_env) == []
    assert list(demo_env.iterdir()) == []


def test_the_demo_survives_the_death_of_the_worker_that_holds_the_run(tmp_path: Path, demo_env: Path) -> None:
    told = demonstrated(tmp_path / "out", "--kill", "--keep")
    assert told["state"] == "COMPLETED"
    assert told["takeover_seconds"] > 0
    assert told["stages"][-1]["attempts"] == 2
    assert told["repeated"] == 0
    assert (tmp_path / "out" / "home" / "valkey" / "valkey.log").is_file()
    assert processes_of(demo_env) == []


def test_ctrl_c_stops_the_demo_and_everything_that_it_started(tmp_path: Path, demo_env: Path) -> None:
    with started("demo", "-o", str(tmp_path / "out")) as demo:
        assert demo.stderr
        while "PLANNING" not in demo.stderr.readline():
            pass
        assert len(processes_of(demo_env)) > 3
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate()
    assert demo.returncode == 130
    assert "Traceback" not in err
    assert processes_of(demo_env) == []


# --- approve, reject, why ---


def held_for_approval(shell: Shell) -> tuple[str, str]:
    """A run that its caller wants to see the plan of; its id and the plan's hash."""
    run_id = shell.submitted("--ask")
    carry((Stage.PLAN, planned), (Stage.CRITIQUE, accepted))
    return run_id, plan_hash(PLAN)


class Terminal:
    """The real program on a real terminal, answered by a hand."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        program = [sys.executable, "-c", "from prolight.cli import main; main()", *arguments]
        self._process = subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
        os.close(theirs)
        self.shown = ""

    def wait_for(self, words: str) -> None:
        while words not in self.shown:
            self._read()

    def answer(self, words: str) -> int:
        os.write(self._ours, words.encode())
        with suppress(OSError):  # the other end is closed: the program has ended
            while True:
                self._read()
        os.close(self._ours)
        return self._process.wait()

    def _read(self) -> None:
        got = os.read(self._ours, 4096)
        if not got:
            raise OSError("closed")
        self.shown += got.decode()


def test_on_a_terminal_approve_shows_the_plan_with_its_hash_and_asks(shell: Shell) -> None:
    run_id, shown = held_for_approval(shell)
    terminal = Terminal("approve", run_id, "--by", "ann")
    terminal.wait_for("carry out exactly this plan?")
    for part in ("studio.relight", shown, "wants a person to see the plan first"):
        assert part in terminal.shown.replace("\r\n", "")
    assert terminal.answer("y\n") == 0
    record = shell.records("show", run_id)[0]
    assert record["state"] == "EXECUTING"
    assert (record["approval"]["decided_by"], record["approval"]["plan_hash"]) == ("ann", shown)
    assert shell("show", run_id) == 0
    assert "approved by ann" in shell.out


def test_a_no_on_the_terminal_approves_nothing(shell: Shell) -> None:
    run_id, _ = held_for_approval(shell)
    terminal = Terminal("approve", run_id)
    terminal.wait_for("carry out exactly this plan?")
    assert terminal.answer("n\n") == 6
    assert shell.records("show", run_id)[0]["state"] == "AWAITING_APPROVAL"


def test_a_second_persons_terminal_cannot_approve_a_plan_that_changed_while_it_asked(
    shell: Shell, tmp_path: Path
) -> None:
    run_id, shown = held_for_approval(shell)
    second = Terminal("approve", run_id, "--by", "bob")
    second.wait_for("carry out exactly this plan?")
    other = tmp_path / "plan.json"
    other.write_text(
        Plan(steps=(PLAN.steps[0].evolve(params={"picture": "$input", "exposure_ev": 1}),)).model_dump_json()
    )
    assert shell("approve", run_id, "--plan", shown, "--edit", str(other), "--by", "ann") == 0, shell.err
    carry((Stage.CRITIQUE, accepted))
    assert second.answer("y\n") == 1
    assert "waits with the plan" in second.shown
    record = shell.records("show", run_id)[0]
    assert (record["state"], record["plan"]["steps"][0]["params"]["exposure_ev"]) == ("AWAITING_APPROVAL", 1)


def test_off_a_terminal_approve_wants_the_hash_and_says_where_it_stands(shell: Shell) -> None:
    run_id, shown = held_for_approval(shell)
    assert shell("approve", run_id, "--json") == 2
    message = json.loads(shell.out)["error"]["message"]
    assert f"--plan {shown}" in message
    assert shell.records("approve", run_id, "--plan", shown)[0]["state"] == "EXECUTING"


def test_approve_names_the_plan_that_waits_when_given_another_hash(shell: Shell) -> None:
    run_id, shown = held_for_approval(shell)
    assert shell("approve", run_id, "--plan", "f" * 64, "--json") == 1
    error = json.loads(shell.out)["error"]
    assert error["code"] == "plan_changed"
    assert shown in error["message"]


@pytest.mark.parametrize(("content", "complaint"), [("{", "is not JSON"), ('{"steps": [{}]}', "steps.0")])
def test_an_edited_plan_that_is_none_is_refused_before_anything_is_asked(
    content: str, complaint: str, shell: Shell, tmp_path: Path
) -> None:
    run_id, shown = held_for_approval(shell)
    (tmp_path / "plan.json").write_text(content)
    assert shell("approve", run_id, "--plan", shown, "--edit", str(tmp_path / "plan.json")) == 2
    assert complaint in shell.err


def held_for_its_result(shell: Shell) -> tuple[str, str]:
    """A run whose caller wants to see the pictures; its id and the picture's."""
    run_id = shell.submitted("--approve-result")
    finish()
    (made,) = shell.records("show", run_id)[0]["approval"]["pictures"]
    return run_id, made


def test_finished_pictures_that_wait_are_saved_only_as_unapproved(shell: Shell, tmp_path: Path) -> None:
    run_id, made = held_for_its_result(shell)
    assert shell("artifacts", run_id, "-o", str(tmp_path / "out")) == 1
    assert "--unapproved" in shell.err
    assert not (tmp_path / "out").exists()
    assert shell("artifacts", run_id, "-o", str(tmp_path / "out"), "--unapproved") == 0, shell.err
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"{run_id}-1.jpg"]
    (record,) = shell.records("list")
    assert (record["outputs"], [picture["id"] for picture in record["unapproved"]]) == ([], [made])


def test_on_a_terminal_approve_shows_which_pictures_wait_and_asks(shell: Shell) -> None:
    run_id, made = held_for_its_result(shell)
    terminal = Terminal("approve", run_id, "--by", "ann")
    terminal.wait_for("are these pictures finished?")
    shown = terminal.shown.replace("\r\n", "")
    assert made in shown
    assert "--unapproved" in shown
    assert terminal.answer("y\n") == 0
    (record,) = shell.records("list")
    assert (record["state"], [picture["id"] for picture in record["outputs"]]) == ("COMPLETED", [made])


def test_off_a_terminal_approve_wants_each_picture_and_refuses_a_plan_for_it(shell: Shell, tmp_path: Path) -> None:
    run_id, made = held_for_its_result(shell)
    assert shell("approve", run_id, "--json") == 2
    assert f"--picture {made}" in json.loads(shell.out)["error"]["message"]
    assert shell("approve", run_id, "--plan", plan_hash(PLAN), "--json") == 1
    assert "of its result, not of its plan" in json.loads(shell.out)["error"]["message"]
    (tmp_path / "plan.json").write_text(PLAN.model_dump_json())
    assert shell("approve", run_id, "--picture", made, "--edit", str(tmp_path / "plan.json")) == 2
    assert shell("approve", run_id, "--picture", "f" * 64, "--json") == 1
    assert json.loads(shell.out)["error"]["code"] == "pictures_changed"
    assert shell.records("approve", run_id, "--picture", made)[0]["state"] == "COMPLETED"


def test_reject_ends_the_run_and_keeps_the_reason(shell: Shell) -> None:
    run_id, _ = held_for_approval(shell)
    assert shell.records("reject", run_id, "--reason", "wrong chair")[0]["state"] == "REJECTED"
    approval = shell.records("show", run_id)[0]["approval"]
    assert (approval["decision"], approval["comment"]) == ("rejected", "wrong chair")
    assert "@" in approval["decided_by"]
    assert shell("reject", run_id) == 1
    assert "waits for no approval" in shell.err


def test_why_is_one_sentence_and_one_record(shell: Shell) -> None:
    run_id = shell.submitted()
    assert shell("why", run_id) == 0
    assert shell.out == "No living worker serves the stage plan: start one (`prolight worker -Q plan`).\n"
    [record] = shell.records("why", run_id)
    assert (record["run_id"], record["reason"], record["next_look_at"]) == (run_id, "no_worker", None)
    shell("cancel", run_id)
    run_id, _ = held_for_approval(shell)
    [record] = shell.records("why", run_id)
    assert record["reason"] == "awaits_approval"
    assert 71 * 3600 < record["next_look_in_seconds"] <= 72 * 3600


def test_why_of_a_run_that_is_not_there_is_an_error(shell: Shell) -> None:
    assert shell("why", "nobody") == 1
    assert "no run 'nobody'" in shell.err


# --- assets ---


def test_a_named_picture_is_handed_in_by_its_name_and_needs_no_server_to_be_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.environ["PROLIGHT_REDIS_URL"]
    monkeypatch.setenv("PROLIGHT_REDIS_URL", "redis://127.0.0.1:1/0")
    [added] = shell.records("assets", "add", PICTURE, "--id", "chair-1")
    assert (added["asset_id"], added["media_type"]) == ("chair-1", "image/jpeg")
    assert [record["asset_id"] for record in shell.records("assets", "list")] == ["chair-1"]
    monkeypatch.setenv("PROLIGHT_REDIS_URL", there)
    assert shell("submit", "chair-1", "warm") == 0
    record = shell.records("show", shell.out.strip())[0]
    assert (record["asset_id"], record["picture_id"]) == ("chair-1", added["id"])


def test_a_name_is_moved_only_when_asked(shell: Shell, tmp_path: Path) -> None:
    shell("assets", "add", PICTURE, "--id", "chair")
    other = tmp_path / "other.png"
    Image.new("RGB", (32, 32), "teal").save(other)
    assert shell("assets", "add", str(other), "--id", "chair") == 2
    assert "--replace" in shell.err
    assert shell("assets", "add", str(other), "--id", "chair", "--replace") == 0


def test_a_picture_that_is_neither_file_nor_asset_says_so(shell: Shell) -> None:
    assert shell("submit", "nowhere.jpg", "warm") == 2
    assert "'nowhere.jpg' is not there" in shell.err
    assert shell("submit", "nothing", "warm") == 1
    assert "prolight assets add" in shell.err


# --- budget, deadline, the fleet ---


def test_a_run_may_bring_its_own_budget_and_deadline(shell: Shell) -> None:
    run_id = shell.submitted("--budget", "0.25", "--deadline", "90")
    record = shell.records("show", run_id)[0]
    assert record["budget_usd"] == "0.25"
    assert record["works_until"] - record["created_at"] == pytest.approx(90, abs=0.01)


@pytest.mark.parametrize(
    ("option", "value", "limit"),
    [
        ("--budget", "1000", "PROLIGHT_MAX_BUDGET_USD"),
        ("--budget", "-1", "budget_usd"),
        ("--budget", "much", "budget_usd"),
        ("--deadline", "1e9", "PROLIGHT_MAX_RUN_DEADLINE_SECONDS"),
        ("--deadline", "0", "deadline_seconds"),
    ],
)
def test_a_budget_or_deadline_that_does_not_fit_is_refused_with_its_limit(
    option: str, value: str, limit: str, shell: Shell, tmp_path: Path
) -> None:
    assert shell("submit", PICTURE, "warm", option, value) == 2
    assert limit in shell.err
    assert shell.records("list") == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and len(path.name) == 62]


def test_a_paused_stage_says_who_why_and_how_to_go_on(shell: Shell) -> None:
    run_id = shell.submitted()
    assert shell.records("workers", "pause", "plan", "--reason", "new lights") == [{"stages": ["plan"], "paused": True}]
    [record] = shell.records("why", run_id)
    assert record["reason"] == "paused"
    assert "new lights" in record["sentence"]
    assert "prolight workers resume plan" in record["sentence"]
    assert [record["paused"] for record in shell.records("workers", "list")] == ["plan"]
    assert shell("workers", "resume") == 0
    assert shell.records("workers", "list") == []
    assert shell.records("why", run_id)[0]["reason"] == "no_worker"


def test_nothing_that_waits_for_a_review_is_said_and_a_run_that_waits_for_none_is_refused(shell: Shell) -> None:
    assert shell("review", "list") == 0
    assert "nothing waits" in shell.err
    run_id = shell.submitted()
    assert shell("review", "resend", run_id) == 1
    assert "waits for no review" in shell.err
    assert shell("review", "abandon") == 2
    assert shell("review", "abandon", run_id, "--all") == 2


def doubted(run: RunContext, times: dict[str, Any]) -> Decision:
    doubt = Review(call="studio.relight", step="key", why="tool_changed", message="it has changed", pin="2" * 64)
    return lifecycle.unclear(run, doubt, **times)


def test_what_waits_for_a_review_is_listed_with_its_call_and_answered_by_filter(shell: Shell) -> None:
    for _ in range(2):
        shell.submitted()
        carry((Stage.PLAN, planned), (Stage.CRITIQUE, accepted), (Stage.EXECUTE, doubted))
    listed = shell.records("review", "list", "--tool", "studio.relight")
    assert [record["review"]["message"] for record in listed] == ["it has changed"] * 2
    assert shell.records("review", "list", "--tool", "studio.export") == []
    assert shell("review", "list") == 0
    assert "studio.relight" in shell.out
    allowed = shell.records("review", "allow", "--all", "--tool", "studio.relight", "--reason", "looked at it")
    assert [record["state"] for record in allowed] == ["EXECUTING"] * 2
    record = shell.records("show", listed[0]["run_id"])[0]
    assert (record["review"]["decision"], record["review"]["comment"]) == ("allowed", "looked at it")
    assert record["lock"]["tool_pins"]["studio.relight"] == "2" * 64
