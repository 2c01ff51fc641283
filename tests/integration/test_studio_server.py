"""The studio as people and workers start it: a process of its own, over HTTP and over stdio."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import RequestParamsMeta

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.mcp_tools import McpTools, pooled_http
from prolight.adapters.registry import studio_tools
from prolight.errors import ToolFailed
from prolight.studio.codec import decode

PHOTOS = Path(__file__).parents[1] / "photos"
WITHIN_SECONDS = 60
KEY = {"azimuth_deg": -45, "elevation_deg": 30, "ev": 0, "kelvin": 3400, "softness": 0.8}
RIM = {"azimuth_deg": 150, "elevation_deg": 30, "ev": 0, "kelvin": 9000}


def command(root: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "prolight.studio", "--artifacts", str(root), *options]


def about(key: str) -> RequestParamsMeta:
    return cast("RequestParamsMeta", {"prolight/key": key})


class Served:
    """A studio process over HTTP. `url` is its MCP endpoint."""

    def __init__(self, process: subprocess.Popen[str], root: Path) -> None:
        self.process, self.store = process, LocalArtifacts(root)
        assert process.stdout is not None
        self.url: str = json.loads(process.stdout.readline())["studio"]

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        request = urllib.request.Request(self.url.replace("/mcp", path), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None

    async def put(self, name: str) -> str:
        return (await self.store.put((PHOTOS / name).read_bytes(), media_type="image/jpeg")).id

    async def statuses(self, key: str) -> list[str]:
        _, calls = await asyncio.to_thread(self.get, "/calls")
        return [call["status"] for call in calls if call["key"] == key]

    async def until(self, key: str, status: str) -> None:
        give_up_at = time.monotonic() + WITHIN_SECONDS
        while status not in (seen := await self.statuses(key)):
            assert time.monotonic() < give_up_at, f"never {status}: {seen}"
            await asyncio.sleep(0.02)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with subprocess.Popen(
        command(tmp_path, "--port", "0", "--slots", "1"), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Served(process, tmp_path)
        finally:
            process.terminate()


async def test_the_demo_plan_runs_over_http_as_the_workers_call_it(served: Served) -> None:
    picture = await served.put("demo-helmet.jpg")
    http = pooled_http()
    gateway = McpTools(served.url, namespace="studio", registry=studio_tools(), http=http)
    tools, hour = await gateway.tools(), timedelta(hours=1)
    lit = await gateway.call(
        tools["studio.relight"], {"picture": picture, "key": KEY, "rim": RIM}, key="light", deadline=hour
    )
    assert lit.artifact is not None and lit.output["mask_trusted"] is True
    cut = await gateway.call(
        tools["studio.replace_background"],
        {"picture": lit.artifact.id, "color": "#ffffff", "mask_of": picture},
        key="background",
        deadline=hour,
    )
    assert cut.artifact is not None
    with pytest.raises(ToolFailed, match="ask for 3200 or less") as refused:
        await gateway.call(
            tools["studio.export"],
            {"picture": cut.artifact.id, "format": "jpeg", "long_side_px": 10_000},
            key="export",
            deadline=hour,
        )
    await http.aclose()
    assert refused.value.tool_code == "unsupported"
    codes = decode(await served.store.get(cut.artifact.id)).pixels
    assert codes.shape == (1600, 1558, 3) and (codes[:20, :20] == 255).all()
    for key, status in (("light", "finished"), ("background", "finished"), ("export", "failed")):
        assert await served.statuses(key) == [status]


async def test_an_error_reaches_the_client_with_its_code_and_data(served: Served) -> None:
    async with Client(served.url) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("inspect_image", {"picture": "0" * 64})
    assert caught.value.code == -32050
    assert caught.value.error.data == {"code": "asset_not_found", "retryable": False}


async def test_a_call_whose_caller_went_away_is_logged_as_cancelled_and_the_next_one_is_served(served: Served) -> None:
    picture = await served.put("demo-helmet.jpg")

    async def measure(key: str) -> None:
        async with Client(served.url) as client:
            await client.call_tool("inspect_image", {"picture": picture}, meta=about(key))

    gone = asyncio.create_task(measure("gone"))
    await served.until("gone", "received")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await served.until("gone", "cancelled")
    await measure("stayed")
    assert await served.statuses("stayed") == ["finished"]


async def test_health_and_calls_are_plain_http_and_foreign_hosts_are_refused(served: Served) -> None:
    assert served.get("/healthz") == (200, {"ok": True})
    assert served.get("/calls") == (200, [])
    assert served.get("/calls", Host="evil.example")[0] == 421
    assert served.get("/mcp", Host="evil.example")[0] == 421


async def test_a_named_host_is_answered(tmp_path: Path) -> None:
    options = ("--port", "0", "--allowed-host", "studio:8765")
    with subprocess.Popen(command(tmp_path, *options), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert Served(process, tmp_path).get("/calls", Host="studio:8765")[0] == 200
        finally:
            process.terminate()


def test_the_server_stops_at_once_when_asked(served: Served) -> None:
    assert served.get("/healthz")[0] == 200
    served.process.terminate()
    assert served.process.wait(WITHIN_SECONDS) in (0, -15)


async def test_over_stdio_the_same_call_makes_the_same_bytes_as_over_http(served: Served, tmp_path: Path) -> None:
    picture = await served.put("demo-vase.jpg")
    arguments = {"picture": picture, "key": KEY, "rim": RIM}
    async with Client(served.url) as client:
        over_http = await client.call_tool("relight", arguments)
    argv = command(tmp_path, "--stdio")
    parameters = StdioServerParameters(command=argv[0], args=argv[1:], env=dict(os.environ))
    async with Client(parameters) as client:
        over_stdio = await client.call_tool("relight", arguments, meta=about("stdio"))
        calls = (await client.read_resource("studio://calls")).contents[0]
        with pytest.raises(MCPError) as caught:
            await client.call_tool("export", {"picture": "0" * 64, "format": "png"})
    assert over_stdio.structured_content == over_http.structured_content
    assert '"key":"stdio","tool":"relight","status":"finished"' in calls.text  # type: ignore[union-attr]
    assert caught.value.error.data == {"code": "asset_not_found", "retryable": False}
