"""Fixtures of all tests: a real Valkey, one per test process, empty for each test."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from redis import Redis

from prolight.embedded.valkey import ValkeyServer, start_valkey

# A gate must say the same twice; people's own runs go on searching.
settings.register_profile("gate", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("gate")


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with start_valkey(tmp_path_factory.mktemp("valkey"), appendfsync="no") as server:
        yield server


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> ValkeyServer:
    """A running Valkey with nothing in it."""
    with Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server


LEFT_OUT = ("heavy", "needs_debian")
"""Markers of what `uv run pytest` alone leaves out, and names; `--all` runs it too."""
LEFT_OUT_COUNTS = pytest.StashKey[dict[str, int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also what takes long or needs Debian's packages")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all"):
        return
    left_out = {item.nodeid: name for item in items for name in LEFT_OUT if item.get_closest_marker(name)}
    files = (f"{nodeid.partition('::')[0]} ({name})" for nodeid, name in left_out.items())
    config.stash[LEFT_OUT_COUNTS] = dict(Counter(files))
    items[:] = [item for item in items if item.nodeid not in left_out]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of xdist tells the process that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT_COUNTS, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LEFT_OUT_COUNTS] = getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT_COUNTS, {}):
        terminalreporter.section("left out; `uv run pytest --all` runs it too")
        for file, count in left_out.items():
            terminalreporter.line(f"{count:4} tests of {file}")
