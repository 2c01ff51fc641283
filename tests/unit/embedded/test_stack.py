"""What the stack hands to its parts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from prolight.embedded import Stack, StackFailed
from prolight.embedded.stack import environment
from prolight.settings import Settings


def test_a_child_reads_the_very_settings_that_its_parent_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Settings(home=tmp_path, slots=3, banned_tools=("studio.export",), budget_usd=Decimal("0.5"))
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    assert Settings() == given


def test_the_settings_of_a_stack_name_its_addresses_and_absolute_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stack = Stack(Settings(home=Path("home"), redis_url="redis://elsewhere/0"), redis_port=7001)
    assert stack.settings.store_url == stack.redis_url == "redis://127.0.0.1:7001/0"
    assert stack.settings.tool_server_url == stack.studio_url
    assert stack.settings.home == tmp_path / "home"
    assert stack.settings.artifact_root == tmp_path / "home" / "artifacts"


def test_options_for_flower_that_happen_to_be_set_are_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    assert not [name for name in environment(Settings(home=tmp_path)) if name.startswith("FLOWER_")]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_taken_port_is_refused_by_the_name_of_its_flag_before_anything_starts(
    tmp_path: Path, taken_port: int
) -> None:
    settings = Settings(home=tmp_path)
    for stack, flag in (
        (Stack(settings, redis_port=taken_port), "--port"),
        (Stack(settings, flower=True, flower_port=taken_port), "--flower-port"),
    ):
        with pytest.raises(StackFailed, match=f"port {taken_port} is taken: .*{flag}"):
            await stack.__aenter__()
    assert not (tmp_path / "valkey").exists()
