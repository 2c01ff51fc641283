"""Every benchmark at a tiny size: it measures real processes and gives its one record."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from prolight.bench import Goal
from prolight.bench.machine import Spent, cpu_seconds, others_share
from prolight.bench.relay import Relay
from prolight.bench.stock_chain import submit
from prolight.bench.terms import BenchFailed, percentile, rounded
from prolight.cli.bench import table
from prolight.embedded import ValkeyServer

pytestmark = pytest.mark.integration
BENCH = (sys.executable, "-c", "from prolight.cli import main; main()", "bench")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")


def bench(name: str, runs: int, home: Path) -> dict[str, Any]:
    """What `prolight bench NAME --json` prints; nothing that it started, and no file, may be left."""
    command = [*BENCH, name, "--json", "--repeat", "1", "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(home)}, check=False)
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
    [line] = done.stdout.splitlines()
    record: dict[str, Any] = json.loads(line)
    assert record["bench"] == name
    assert (record["repeat"], record["runs"]) == (1, runs)
    assert {"cpu", "cores", "python", "server", "prolight", "commit"} <= record["machine"].keys()
    for goal in record["goals"]:
        assert goal["value"] == record[goal["figure"]] > 0
    return record


def test_store_counts_commits_at_both_settings_of_appendfsync(tmp_path: Path) -> None:
    record = bench("store", 320, tmp_path)
    assert record["commits_per_second_always"] > 0


def test_relight_times_calls_with_and_without_their_mask(tmp_path: Path) -> None:
    record = bench("relight", 2, tmp_path)
    assert record["megapixels"] == pytest.approx(1, abs=0.01)
    assert record["first_cpu_seconds"] > record["p50_cpu_seconds"] > 0


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_studio_times_every_operation_and_bounds_its_memory(tmp_path: Path) -> None:
    record = bench("studio", 1, tmp_path)
    assert (
        min(record["cpu_seconds"].values()) > 0 and record["times_counterpart"].keys() <= record["cpu_seconds"].keys()
    )
    assert record["done_at_50_megapixels"] == ["inspect_image", "resize", "export"]
    assert record["peak_mb_of_50_megapixels"] <= 1500
    assert record["peak_mb_of_4_calls"] <= 1.1 * 400, "which of the calls meet is chance"


@on_linux
@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_overhead_compares_both_sides_at_both_settings_of_appendfsync(tmp_path: Path) -> None:
    record = bench("overhead", 60, tmp_path)
    for fsync in ("everysec", "always"):
        ours, stock = record[fsync]["prolight"], record[fsync]["stock"]
        assert record[fsync]["throughput_ratio"] == pytest.approx(
            ours["runs_per_second"] / stock["runs_per_second"], rel=0.01
        )
        assert ours["commits_per_run"] >= 4, "accepted, and each of three stages"
        assert ours["events_per_run"] >= 4


@pytest.mark.heavy
@pytest.mark.timeout(400)
def test_recovery_times_a_worker_that_fails_in_each_way_and_the_run_completes(tmp_path: Path) -> None:
    record = bench("recovery", 1, tmp_path)
    assert record["trials"] == 1
    assert record["least_seconds"] == record["p50_seconds"] == record["most_seconds"]
    assert [record[f"{how}_trials"] for how in ("stopped", "partitioned", "wedged")] == [1, 1, 1]


async def test_a_parted_relay_passes_nothing_and_tells_neither_side_until_it_is_healed() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            await heard.put(piece)
        await heard.put(b"it ended")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, Relay(server.sockets[0].getsockname()[1]) as relay:
        _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"whole")
        assert await heard.get() == b"whole"
        relay.part()
        writer.write(b"parted")
        writer.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(heard.get(), 0.2)
        relay.heal()
        assert [await heard.get(), await heard.get()] == [b"parted", b"it ended"]


def test_client_compares_its_import_with_that_of_its_libraries(tmp_path: Path) -> None:
    record = bench("client", 3, tmp_path)
    assert record["import_ratio"] > 0.5


def test_an_unknown_benchmark_is_refused_with_the_names_that_there_are() -> None:
    done = subprocess.run([*BENCH, "everything"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(name in done.stderr for name in ("overhead", "store", "relight", "recovery"))


def test_people_get_a_table_with_each_figure_beside_its_goal() -> None:
    record = {
        "bench": "overhead",
        "cpu_ratio": 0.7,
        "always": {"prolight": {"runs_per_second": 149.3}},
        "goals": [{"figure": "cpu_ratio", "goal": "≤ 0.6", "value": 0.7, "met": False}],
        "machine": {"commit": None},
    }
    console = Console(file=io.StringIO(), record=True, width=120)
    console.print(table(record))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["cpu_ratio", "0.7", "✗", "≤", "0.6"] in lines
    assert ["always.prolight.runs_per_second", "149.3"] in lines
    assert ["commit", "–"] in lines


def test_each_stock_chain_has_a_last_task_of_its_own(valkey: ValkeyServer) -> None:
    ids = submit(valkey.url, 5)
    assert len(set(ids)) == 5


@on_linux
async def test_processor_time_counts_descendants_that_live_and_those_that_were_reaped() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    parent = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); "
        f"child = subprocess.Popen([sys.executable, '-c', {burn!r} + '\\ninput()'], stdin=subprocess.PIPE); "
        "print('reaped', flush=True); input(); child.kill(); child.wait()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    assert await process.stdout.readline() == b"reaped\n"
    give_up_at = time.monotonic() + 60
    while cpu_seconds(process.pid) < 0.3:  # more than either of them alone, whatever the ticks round off
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)
    await process.communicate(b"\n")


@on_linux
async def test_processor_time_of_a_process_that_ended_is_no_zero_but_an_error() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    with pytest.raises(BenchFailed, match=str(process.pid)):
        cpu_seconds(process.pid)


def test_the_share_of_others_is_what_the_machine_worked_and_we_did_not() -> None:
    cores = os.cpu_count() or 1
    before, after = Spent(at=10, machine=100, ours=5), Spent(at=20, machine=100 + 8 * cores, ours=5 + 3 * cores)
    assert others_share(before, after) == 0.5
    assert others_share(None, after) is None


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_a_percentile_is_a_value_that_occurred_and_as_many_as_said_do_not_exceed(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-6


@given(st.floats(1e-6, 1e6))
def test_rounding_keeps_four_digits(value: float) -> None:
    assert rounded(value) == pytest.approx(value, rel=1e-3)


def test_a_goal_is_met_on_its_own_side() -> None:
    assert Goal("seconds", at_most=3).met(3)
    assert not Goal("seconds", at_most=3).met(3.01)
    assert Goal("rate", at_least=2).met(2)
    assert not Goal("rate", at_least=2).met(1.99)
    assert str(Goal("rate", at_least=3000)) == "≥ 3000"
