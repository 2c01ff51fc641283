"""Tools for in-process use."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.registry import studio_tools
from prolight.errors import CallRejected, InvalidInput, ToolsMissing
from prolight.mcp import STUDIO_NOTICE, MCPClient, MCPClientAsync
from prolight.ports import ToolGateway
from prolight.schemas import Artifact
from prolight.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MCPClient:
    return MCPClient(settings=Settings.load(home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def vase(client: MCPClient) -> Artifact:
    content = (ROOT / "tests" / "photos" / "demo-vase.jpg").read_bytes()
    artifacts = LocalArtifacts(client.asynchronous.settings.artifact_root)
    return asyncio.run(artifacts.put(content, media_type="image/jpeg"))


def test_it_offers_the_studio_and_says_so(client: MCPClient) -> None:
    assert set(client.tools()) == {f"studio.{name}" for name in studio_tools()}
    assert client.asynchronous.notice == STUDIO_NOTICE


def test_a_tool_is_called_by_its_name(client: MCPClient, vase: Artifact) -> None:
    assert client.call("studio.inspect_image", picture=vase.id).output["width"] == vase.width
    made = client.call("studio.export", picture=vase.id, format="png", long_side_px=64).artifact
    assert made and max(made.width, made.height) == 64


async def test_it_is_called_inside_a_running_loop_as_well(client: MCPClient, vase: Artifact) -> None:
    assert client.call("studio.inspect_image", picture=vase.id).output["width"] == vase.width
    gateway: ToolGateway = client.asynchronous
    tool = (await gateway.tools())["studio.inspect_image"]
    answer = await gateway.call(tool, {"picture": vase.id}, key="k", deadline=tool.timeout)
    assert answer.output["width"] == vase.width


def test_a_tool_that_is_not_there_is_refused_with_the_names_of_those_that_are(client: MCPClient) -> None:
    with pytest.raises(InvalidInput, match=r"studio\.relight"):
        client.call("studio.dance")


def test_arguments_that_do_not_fit_are_refused(client: MCPClient) -> None:
    with pytest.raises(CallRejected):
        client.call("studio.export", picture="nobody", format="gif")


def test_without_the_studios_packages_the_error_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("prolight.studio")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ToolsMissing, match=r"prolight\[studio\]"):
        MCPClientAsync(settings=Settings.load(home=tmp_path))


def test_the_callers_logging_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    MCPClient(settings=Settings.load(home=tmp_path))
    assert logging.getLogger().handlers == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_client_of_before_a_fork_works_on_both_sides(client: MCPClient, vase: Artifact) -> None:
    body = f"""
import os, sys
from prolight.mcp import MCPClient
from prolight.settings import Settings
client = MCPClient(settings=Settings.load(home={str(client.asynchronous.settings.home)!r}))
def look(side):
    print(side, client.call("studio.inspect_image", picture={vase.id!r}).output["width"], flush=True)
look("before")
child = os.fork()
if child == 0:
    look("child")
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
look("parent")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", body],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    width = str(vase.width)
    assert (done.stderr, done.stdout.split()) == ("", ["before", width, "child", width, "parent", width])
