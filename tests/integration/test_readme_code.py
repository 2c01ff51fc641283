"""The Python in the README runs as it is printed."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.fleet import ROOT, Fleet
from tests.integration.test_faults import picture

pytestmark = pytest.mark.integration

SERVICE, IN_PROCESS, MIRRORED = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
NAME_THE_CHAIR = "from prolight.cli import run; assert run(['assets', 'add', 'chair.jpg', '--id', 'chair-1']) == 0\n"
RUN_IT = """
import asyncio
from prolight.agents import RunContext
ctx = asyncio.run(runner.run_workflow(RunContext(run_id="run-2", asset_id="chair-1"), human_approved=True))
print(ctx.state, ctx.seq)
"""


async def python(program: str, home: Path, **environment: str) -> str:
    """What the program prints, run in a folder with a chair in it."""
    (home / "chair.jpg").write_bytes(picture())

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=home,
            env={**os.environ, "PROLIGHT_HOME": str(home), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_service_follows_its_run_and_saves_the_pictures(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker()
        printed = await python(SERVICE.replace("redis://redis:6379/0", fleet.settings.redis_url), tmp_path)
        assert [int(line.split()[0]) for line in printed.splitlines()] == list(range(1, printed.count("\n") + 1))
        (saved,) = [path for path in tmp_path.glob("*.jpg") if path.name != "chair.jpg"]
        assert saved.stat().st_size


async def test_the_run_in_this_process_stops_for_a_person_and_then_completes(tmp_path: Path) -> None:
    printed = await python(NAME_THE_CHAIR + IN_PROCESS, tmp_path)
    assert "AWAITING_APPROVAL " in printed
    assert "COMPLETED (Artifact(" in printed


async def test_the_mirrored_run_can_be_read_in_the_store(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        imports = "from prolight.mcp import MCPClient\n"
        printed = await python(
            NAME_THE_CHAIR + imports + MIRRORED + RUN_IT, tmp_path, PROLIGHT_REDIS_URL=fleet.settings.redis_url
        )
        *_, last = printed.splitlines()
        state, seq = last.split()
        assert state == "COMPLETED"
        assert len(await fleet.client.store.events("run-2")) == int(seq)
