"""`prolight up` as people run it: the real program, with real parts."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

pytestmark = pytest.mark.integration

WITHIN_SECONDS = 60
POLL_SECONDS = 0.02
UP = (sys.executable, "-c", "from prolight.cli import main; main()", "up")
ELSEWHERE = ("PROLIGHT_REDIS_URL", "PROLIGHT_STUDIO_URL", "REDIS_URL")


def until(condition: Callable[[], Any]) -> Any:
    give_up_at = time.monotonic() + WITHIN_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < give_up_at, "never came true"
        time.sleep(POLL_SECONDS)
    return answer


def alive(pid: int) -> bool:
    """A zombie that nobody has reaped yet is dead."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def descendants(pid: int) -> set[int]:
    table = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, table.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    return {**inherited, "PROLIGHT_HOME": str(home)}


class Up:
    """A `prolight up --json` that was started, and what it printed and wrote."""

    record: dict[str, Any]

    def __init__(self, home: Path, *options: str) -> None:
        self.runtime_file = home / "up.json"
        self._log = (home.parent / f"{home.name}.log").open("w+")
        self.process = subprocess.Popen(
            [*UP, "--json", *options], stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment(home)
        )

    def ready(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.log
        self.record = dict(json.loads(line))
        return self.record

    @property
    def runtime(self) -> dict[str, Any]:
        return dict(json.loads(self.runtime_file.read_text()))

    @property
    def log(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self._log.close()


@contextmanager
def up(home: Path, *options: str) -> Iterator[Up]:
    started = Up(home, *options)
    try:
        yield started
    finally:
        started.close()


def run_up(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*UP, *options],
        check=False,
        capture_output=True,
        text=True,
        env=environment(home),
        timeout=WITHIN_SECONDS,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def status(url: str, password: str = "") -> int:
    request = urllib.request.Request(url)
    if password:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"prolight:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("home"), "--flower-port", str(free_port()), "--workers", "2") as started:
        started.ready()
        yield started


class TestWhileItRuns:
    def test_it_says_in_one_record_where_everything_is_but_not_the_password(self, stack: Up) -> None:
        record, runtime = dict(stack.record), stack.runtime
        password = runtime.pop("flower_password")
        assert record.pop("ready") is True
        assert record.pop("runtime_file") == str(stack.runtime_file)
        assert record == runtime
        assert runtime["pid"] == stack.process.pid
        assert len(password) >= 32

    def test_store_and_tools_answer(self, stack: Up) -> None:
        with Redis.from_url(stack.record["redis_url"]) as store:
            assert store.ping()
            assert store.config_get("appendfsync") == {"appendfsync": "always"}
        assert status(stack.record["studio_url"].replace("/mcp", "/healthz")) == 200

    def test_every_worker_has_announced_itself(self, stack: Up) -> None:
        with Redis.from_url(stack.record["redis_url"]) as store:
            announced = {json.loads(process)["pid"] for process in store.hvals("prolight:processes")}
        assert set(stack.record["worker_pids"]) <= announced
        assert len(stack.record["worker_pids"]) == 2

    def test_flower_wants_the_password_and_only_shows(self, stack: Up) -> None:
        pages = stack.record["flower_url"] + "/workers"
        assert status(pages) == 401
        assert status(pages, "guessed") == 401
        assert status(pages, stack.runtime["flower_password"]) == 200

    def test_only_the_owner_can_read_the_password_and_no_command_line_shows_it(self, stack: Up) -> None:
        assert stat.S_IMODE(stack.runtime_file.stat().st_mode) == 0o600
        shown = subprocess.run(["ps", "-e", "-ww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert "flower" in shown
        assert stack.runtime["flower_password"] not in shown + stack.log

    def test_a_second_one_is_refused_and_told_what_to_do(self, stack: Up) -> None:
        second = run_up(stack.runtime_file.parent, "--no-flower")
        assert second.returncode == 1
        assert f"already runs for {stack.runtime_file.parent} (pid {stack.process.pid})" in second.stderr
        assert "PROLIGHT_HOME" in second.stderr
        assert stack.runtime["pid"] == stack.process.pid

    def test_a_killed_worker_is_replaced_and_the_runtime_file_names_the_new_one(self, stack: Up) -> None:
        killed, other = stack.runtime["worker_pids"]
        os.kill(killed, signal.SIGKILL)
        new = until(lambda: [pid for pid in stack.runtime["worker_pids"] if pid not in (killed, other)])
        assert alive(new[0])
        assert other in stack.runtime["worker_pids"]
        assert "worker1  | was ended by signal 9 (Killed); starts again in 0.5 s" in stack.log

    def test_a_killed_store_is_back_at_the_same_address_with_its_data(self, stack: Up) -> None:
        with Redis.from_url(stack.runtime["redis_url"]) as store:
            store.set("kept", "yes")
        killed = stack.runtime["valkey_pid"]
        os.kill(killed, signal.SIGKILL)
        until(lambda: stack.runtime["valkey_pid"] != killed)
        with Redis.from_url(stack.record["redis_url"]) as store:
            assert store.get("kept") == b"yes"

    def test_ctrl_c_stops_everything_in_order_and_takes_the_runtime_file_away(self, stack: Up) -> None:
        pids = descendants(stack.process.pid)
        assert set(stack.runtime["worker_pids"]) < pids
        stack.interrupt()
        assert stack.process.wait(WITHIN_SECONDS) == 0, stack.log
        assert not [pid for pid in pids if alive(pid)]
        assert not stack.runtime_file.exists()
        assert "is killed" not in stack.log


def test_killing_it_leaves_nothing_alive_and_the_next_one_finds_the_data_and_replaces_the_stale_file(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with up(home, "--no-flower") as first:
        with Redis.from_url(first.ready()["redis_url"]) as store:
            store.set("kept", "yes")
        pids = descendants(first.process.pid)
        first.process.kill()
        until(lambda: not [pid for pid in pids if alive(pid)])
        stale = first.runtime
    with up(home, "--no-flower") as second:
        with Redis.from_url(second.ready()["redis_url"]) as store:
            assert store.get("kept") == b"yes"
        assert stale["pid"] != second.runtime["pid"] == second.process.pid
        assert second.runtime["flower_url"] is None


def test_ctrl_c_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home, "--no-flower") as starting:
        until((home / "valkey" / "valkey.log").exists)
        pids = descendants(starting.process.pid)
        starting.interrupt()
        assert starting.process.wait(WITHIN_SECONDS) == 0, starting.log
        assert pids
        assert not [pid for pid in pids if alive(pid)]
        assert not (home / "up.json").exists()


def test_a_second_ctrl_c_does_not_wait_for_a_worker_that_hangs(tmp_path: Path) -> None:
    with up(tmp_path / "home", "--no-flower") as stack:
        [worker] = stack.ready()["worker_pids"]
        os.kill(worker, signal.SIGSTOP)
        stack.interrupt()
        until(lambda: "Ctrl-C again" in stack.log)
        assert stack.process.poll() is None
        stack.interrupt()
        assert stack.process.wait(WITHIN_SECONDS) == 0, stack.log
        assert not alive(worker)


@pytest.mark.parametrize("flag", ["--port", "--flower-port"])
def test_a_taken_port_ends_it_with_the_name_of_the_flag(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = str(listener.getsockname()[1])
        refused = run_up(tmp_path, "--flower-port", str(free_port()), flag, taken)
    assert refused.returncode == 1
    assert f"port {taken} is taken" in refused.stderr
    assert flag in refused.stderr


def test_a_part_that_cannot_start_ends_it_with_that_parts_last_lines(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "appendonlydir").write_text("not a directory")
    failed = run_up(tmp_path, "--no-flower", "--json")
    assert failed.returncode == 1
    assert "valkey exited with 1 before it was ready" in failed.stderr
    assert "appendonlydir" in failed.stderr
    assert json.loads(failed.stdout)["error"]["code"] == "stack_failed"
