"""Fixtures of all tests: a real Valkey, one per test process, empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from prolight.embedded.valkey import ValkeyServer, start_valkey


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also what takes long or needs Debian's packages")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all"):
        return
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in LEFT_OUT)]
    config.stash[LEFT_OUT_ITEMS] = [item.nodeid for item in left_out]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT_ITEMS, []):
        terminalreporter.section("left out; `uv run pytest --all` runs it")
        for nodeid in left_out:
            terminalreporter.line(nodeid)


LEFT_OUT_ITEMS = pytest.StashKey[list[str]]()
