"""`prolight tools` against real servers, listed, unlisted and away. No store runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prolight.cli import run
from prolight.embedded.valkey import free_port
from tests.unit.tool_server import served

FILE = """
[servers.world]
url = "{url}"
[servers.world.tools.good]
effect = "billed"
price_usd = "0.04"
timeout_seconds = 90
description = "Makes a picture, for money."
[servers.world.tools.charge]
effect = "pure"
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def file(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server stands in for the studio as well, whose tools it does not have."""
    file = tmp_path / "tools.toml"
    file.write_text(FILE.format(url=url))
    monkeypatch.setenv("PROLIGHT_TOOLS_FILE", str(file))
    monkeypatch.setenv("PROLIGHT_STUDIO_URL", url)
    monkeypatch.setenv("PROLIGHT_REDIS_URL", "redis://127.0.0.1:1/0")
    return file


def records(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {f"{line['server']}.{line.get('tool', '')}": line for line in lines}


def test_each_tool_is_one_record_of_what_we_say_of_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tools", "--json"]) == 0
    found = records(capsys)
    pin = found["world.good"].pop("pin")
    assert len(pin) == 12
    assert found["world.good"] == {
        "server": "world",
        "tool": "good",
        "effect": "billed",
        "price_usd": "0.04",
        "timeout_seconds": 90.0,
        "description": "Makes a picture, for money.",
        "listed": True,
        "missing": False,
    }
    assert pin == found["studio.good"]["pin"]


def test_unlisted_and_missing_tools_are_marked(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tools"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["SERVER", "TOOL", "EFFECT", "PRICE", "TIME-OUT", "PIN", "DESCRIPTION"]
    assert ["world", "charge", "pure", "0", "USD", "5", "min", "0", "s", "missing"] in lines
    assert ["studio", "relight", "pure", "0", "USD", "2", "min", "0", "s", "missing"] in lines
    (measures,) = (line for line in lines if line[:2] == ["world", "measures"])
    assert measures[2:4] == ["blind", "(unlisted)"]
    assert run(["tools", "--json"]) == 0
    found = records(capsys)
    assert (found["world.measures"]["effect"], found["world.measures"]["listed"]) == ("blind", False)
    assert (found["world.charge"]["missing"], found["world.charge"]["pin"]) == (True, None)


def test_a_server_that_does_not_answer_is_a_line_with_reason_and_fix_beside_the_others(
    file: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"http://127.0.0.1:{free_port()}/mcp"
    file.write_text(FILE.format(url=away))
    assert run(["tools"]) == 1
    printed = capsys.readouterr()
    assert "studio  good" in printed.out
    assert "world" not in printed.out
    assert printed.err.splitlines() == [
        f"✗ world tool server {away} refuses the connection",
        f"    fix: start it, or correct servers.world.url in {file}",
    ]
    assert run(["tools", "--json"]) == 1
    found = records(capsys)
    assert found["world."]["url"] == away
    assert found["world."]["error"]["code"] == "not_sent"
    assert str(file) in found["world."]["error"]["fix"]


def test_without_the_studio_the_fix_is_what_starts_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROLIGHT_STUDIO_URL", f"http://127.0.0.1:{free_port()}/mcp")
    assert run(["tools"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "prolight up" in printed.err


def test_a_file_that_cannot_be_used_is_a_usage_error_that_names_it(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[servers.world]\n")
    assert run(["tools", "--json"]) == 2
    assert capsys.readouterr().err == f"error: {file}: servers.world.url: Field required\n"


def test_tools_that_need_no_server_are_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROLIGHT_TOOLS", "instant")
    assert run(["tools"]) == 0
    assert "no server is asked" in capsys.readouterr().err


def test_what_a_server_says_cannot_act_on_the_terminal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(file.read_text().replace("Makes", "\\u001b[2J"))
    assert run(["tools"]) == 0
    assert "\x1b" not in capsys.readouterr().out
