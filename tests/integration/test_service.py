"""A service that enqueues: in a process of its own, while the fleet behind it changes; and with the bare wheel."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from prolight import presets
from tests.integration.fleet import ROOT, Fleet
from tests.integration.test_faults import picture

pytestmark = pytest.mark.integration

SHOP = Path(__file__).parent / "shop.py"
HEAVY = ("celery", "kombu", "mcp", "anthropic", "cv2", "numpy", "fastapi", "starlette", "flower")


async def shop(fleet: Fleet, count: int, *, python: str = sys.executable) -> asyncio.subprocess.Process:
    """The service, begun."""
    file = fleet.home / "chair.png"
    file.write_bytes(picture())
    return await asyncio.create_subprocess_exec(
        python,
        *(str(SHOP), fleet.settings.redis_url, str(file), str(count)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PROLIGHT_HOME": str(fleet.home)},
        cwd=fleet.home,
    )


async def records(service: asyncio.subprocess.Process) -> AsyncIterator[dict[str, object]]:
    assert service.stdout and service.stderr
    async for line in service.stdout:
        yield json.loads(line)
    assert (await service.wait(), (await service.stderr.read()).decode()) == (0, "")


async def test_two_hundred_runs_complete_with_gapless_events_while_workers_come_and_go(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        first, second = await fleet.start_worker("-c", "4"), await fleet.start_worker("-c", "4")
        service = await shop(fleet, 200)
        told = []
        async for record in records(service):
            told.append(record)
            match len(told):
                case 1:
                    fleet.kill(first)
                    await fleet.start_worker("-c", "4")
                case 60:
                    await fleet.terminate(second)
                case 100:
                    await fleet.start_worker("-c", "4")
        assert len({record["run_id"] for record in told}) == 200
        assert {record["state"] for record in told} == {"COMPLETED"}
        for record in told:
            seqs = record["seqs"]
            assert isinstance(seqs, list)
            assert seqs == list(range(1, len(seqs) + 1))
            assert record["pictures"]


def loaded_by(python: str, statement: str) -> set[str]:
    program = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.split())


def test_the_client_loads_no_heavy_library() -> None:
    used = "from prolight import Client; Client('redis://127.0.0.1:1/0'); import prolight.client"
    assert not loaded_by(sys.executable, used) & set(HEAVY)


@pytest.mark.heavy
@pytest.mark.timeout(400)
async def test_the_bare_wheel_with_unpinned_base_dependencies_is_all_that_a_service_needs(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    assert uv, "uv is not on PATH"
    environment, python = tmp_path / "venv", str(tmp_path / "venv" / "bin" / "python")

    def build() -> None:
        subprocess.run([uv, "build", "-q", "--wheel", "-o", tmp_path / "dist", ROOT], check=True, cwd=tmp_path)
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, environment], check=True, cwd=tmp_path)
        (wheel,) = (tmp_path / "dist").glob("*.whl")
        subprocess.run([uv, "pip", "install", "-q", "--python", python, wheel], check=True, cwd=tmp_path)

    await asyncio.to_thread(build)
    assert not await asyncio.to_thread(loaded_by, python, "from prolight import Client; Client()") & set(HEAVY)
    known = "from prolight.presets import names, preset; print(*(preset(name).name for name in names()))"
    shipped = await asyncio.to_thread(
        subprocess.run, [python, "-c", known], capture_output=True, text=True, cwd=tmp_path
    )
    assert shipped.stdout.split() == list(presets.names())
    async with Fleet(tmp_path / "fleet", studio=False) as fleet:
        await fleet.start_worker()
        told = [record async for record in records(await shop(fleet, 3, python=python))]
        assert [record["state"] for record in told] == ["COMPLETED"] * 3
