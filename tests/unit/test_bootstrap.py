"""How settings become parts: models and tool servers by reference, and what is wrong with a reference."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prolight.adapters.instant import InstantModel, InstantTools
from prolight.adapters.offline_model import OfflineModel
from prolight.adapters.registry import Registered, studio_tools
from prolight.bootstrap import connect_model, connect_tools, tool_servers
from prolight.errors import InvalidInput
from prolight.retry import DEFAULT_SPARING, Sparing
from prolight.settings import Settings
from tests.unit.scripted import ScriptedModel

HERE = "tests.unit.test_bootstrap"


def priced(settings: Settings) -> ScriptedModel:
    return ScriptedModel(price=settings.budget_usd)


def nothing(settings: Settings) -> None: ...


def broken(settings: Settings) -> ScriptedModel:
    raise RuntimeError("no key")


def test_a_model_is_named_or_made_by_a_factory_that_gets_the_settings() -> None:
    assert isinstance(connect_model(Settings.load()), OfflineModel)
    assert isinstance(connect_model(Settings.load(model="instant")), InstantModel)
    made = connect_model(Settings.load(model=f"{HERE}:priced", budget_usd=3))
    assert isinstance(made, ScriptedModel)
    assert made.price == Decimal(3)


@pytest.mark.parametrize("model", ["", "offlin", "a.b", "a:", ":b", "a..b:c", "a-b:c", "a:b.c", "a:b:c", "a:b "])
def test_what_cannot_be_a_model_is_refused_with_its_setting(model: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"setting PROLIGHT_MODEL.* must be offline, instant, or package\.module:fac"
    ):
        Settings.load(model=model)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("no_such_package.models:make", "ModuleNotFoundError: No module named 'no_such_package'"),
        (f"{HERE}:absent", "AttributeError: .* has no attribute 'absent'"),
        (f"{HERE}:HERE", "TypeError: 'str' object is not callable"),
        (f"{HERE}:broken", "RuntimeError: no key"),
        (f"{HERE}:nothing", "makes a NoneType, and no ChatModel"),
    ],
)
def test_a_reference_that_gives_no_model_is_an_error_that_names_the_setting(model: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"setting PROLIGHT_MODEL: {model} .*{reason}"):
        connect_model(Settings.load(model=model))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "tools.toml"
    file.write_text('[servers.world]\nurl = "http://h/mcp"\n[servers.world.tools.charge]\neffect = "billed"\n')
    return file


def test_the_users_servers_stand_beside_the_studio(file: Path) -> None:
    declared = tool_servers(Settings.load(studio_url="http://s/mcp", tools_file=file))
    assert (declared["studio"].url, declared["studio"].tools) == ("http://s/mcp", studio_tools())
    assert (declared["world"].url, declared["world"].tools) == ("http://h/mcp", {"charge": Registered(effect="billed")})


def test_a_tools_file_is_the_same_one_for_processes_that_start_elsewhere(file: Path) -> None:
    assert Settings.load(tools_file="tools.toml").tools_file == file


def test_a_tools_file_that_cannot_be_used_is_refused_when_the_tools_are_connected(file: Path) -> None:
    file.write_text("servers = 1")
    with pytest.raises(InvalidInput, match="servers: Input should be a valid dictionary"):
        connect_tools(Settings.load(tools_file=file))
    assert isinstance(connect_tools(Settings.load(tools_file=file, tools="instant")), InstantTools)


@pytest.mark.parametrize("url", ["localhost:8765", "ftp://h/mcp", "http://me:pw@h/mcp"])
def test_an_address_of_the_studio_that_is_none_is_refused_with_its_setting(url: str) -> None:
    with pytest.raises(InvalidInput, match="setting PROLIGHT_STUDIO_URL: url: must") as refused:
        tool_servers(Settings.load(studio_url=url))
    assert "pw" not in str(refused.value)


def test_retry_policies_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROLIGHT_MAX_TRIES", "6")
    monkeypatch.setenv(
        "PROLIGHT_RETRY_POLICIES", '{"plan": {"max_tries": 3}, "studio.relight": {"retry_base_seconds": 2}}'
    )
    policies = Settings.load().retry
    assert [policies.of(stage).max_tries for stage in ("plan", "critique")] == [3, 6]
    assert policies.of("execute", "studio.relight").base == timedelta(seconds=2)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"planing": {}}, r"'planing' is no stage \(plan, critique, execute\) and no tool, as in studio.relight"),
        ({"plan": {"max_tries": 0}}, r"retry_policies\.plan\.max_tries: Input should be greater than or equal to 1"),
        ({"plan": {"tries": 1}}, r"retry_policies\.plan\.tries: Extra inputs are not permitted"),
        ({"studio.relight": {"retry_base_seconds": -1}}, "greater than 0"),
    ],
)
def test_a_retry_policy_that_makes_no_sense_is_refused_with_its_setting(given: Any, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=f"setting PROLIGHT_RETRY_POLICIES: .*{complaint}"):
        Settings.load(retry_policies=given)


def test_what_is_no_json_is_refused_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROLIGHT_RETRY_POLICIES", "plan: 3")
    with pytest.raises(InvalidInput, match=r'no JSON: .*"retry_policies"'):
        Settings.load()


def test_a_retry_policy_for_a_tool_of_no_server_is_refused_before_work_begins() -> None:
    with pytest.raises(InvalidInput, match=r"_RETRY_POLICIES: stduio\.relight: there is no server stduio; there"):
        tool_servers(Settings.load(retry_policies={"stduio.relight": {"max_tries": 1}}))


def test_how_a_dependency_is_spared_is_set() -> None:
    assert Settings.load().sparing == DEFAULT_SPARING
    given = Settings.load(
        retry_budget_share=0.5, retry_budget_burst=0, retry_budget_window_seconds=6, cool_cap_seconds=1
    )
    assert given.sparing == Sparing(0.5, 0, timedelta(seconds=6), timedelta(seconds=1))
