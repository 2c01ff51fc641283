"""What we say of tools, as files: what they mean, and what is refused and how."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from prolight.adapters.registry import Server, read_tools_file, studio_tools
from prolight.errors import InvalidInput
from prolight.retry import UNCHANGED, RetryChange

SERVER = '[servers.world]\nurl = "http://127.0.0.1:9000/mcp"\n'
TOOL = f"{SERVER}[servers.world.tools.charge]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tools.toml"


def test_every_tool_of_the_studio_is_pure_and_says_which_of_its_parameters_are_pictures() -> None:
    masked, plain = frozenset({"picture", "mask_of", "mask"}), frozenset({"picture"})
    for name, tool in studio_tools().items():
        assert tool.effect == "pure" and tool.timeout_seconds == (
            60 if name in {"inspect_image", "check_picture"} else 120
        )
        assert tool.picture_params in (masked, plain)


def test_a_file_says_everything_of_a_tool(file: Path) -> None:
    file.write_text(
        TOOL
        + """
        effect = "keyed"
        price_usd = "0.040"
        timeout_seconds = 60
        key_window_seconds = 86400
        picture_params = ["picture"]
        description = "charges"
        max_tries = 2
        retry_base_seconds = 5
        retry_cap_seconds = 50.5

        [servers.world.tools.send]
        effect = "probeable"
        probe = "send_status"

        [servers.more]
        url = "https://tools.example:8443/mcp"
        """
    )
    servers = read_tools_file(file)
    assert servers["more"] == Server(url="https://tools.example:8443/mcp")
    charge, send = servers["world"].tools["charge"], servers["world"].tools["send"]
    assert (charge.effect, charge.price_usd, charge.description) == ("keyed", Decimal("0.04"), "charges")
    assert (charge.timeout, charge.key_window) == (timedelta(minutes=1), timedelta(days=1))
    assert charge.retry == RetryChange(2, timedelta(seconds=5), timedelta(seconds=50.5))
    assert send.retry == UNCHANGED
    assert charge.picture_params == frozenset({"picture"})
    assert (send.effect, send.probe, send.key_window) == ("probeable", "send_status", None)


def test_a_tool_of_which_nothing_is_said_is_blind_and_free(file: Path) -> None:
    file.write_text(TOOL)
    charge = read_tools_file(file)["world"].tools["charge"]
    assert (charge.effect, charge.price_usd, charge.timeout) == ("blind", Decimal(0), timedelta(minutes=5))


def test_an_empty_file_declares_nothing(file: Path) -> None:
    file.write_text("")
    assert read_tools_file(file) == {}


CHARGE = "servers.world.tools.charge"
REFUSED = {
    "[servers.world\n": "is not TOML: Expected ']' at the end of a table declaration (at line 1",
    "\n\nurl = http\n": "(at line 3",
    "a = 1\na = 2\n": "is not TOML: Cannot overwrite a value (at line 2",
    "x = 1": "x: there is no such key; there are servers",
    "servers = 1": "servers: Input should be a valid dictionary",
    "[servers.world]": "servers.world.url: Field required",
    "[servers.World]\nurl = 'http://h'": "servers.World: String should match pattern '^[a-z]",
    "[servers.studio]\nurl = 'http://h'": "servers.studio: is the built-in server",
    "[servers.world]\nurl = 'ftp://h'": "servers.world.url: must begin with http:// or https://",
    "[servers.world]\nurl = 'http:///mcp'": "servers.world.url: must begin with http:// or https:// and name a host",
    "[servers.world]\nurl = 'http://h:99999'": "servers.world.url: Port out of range",
    "[servers.world]\nurl = 'http://me:pw@h'": "servers.world.url: must hold no user or password",
    f"{SERVER}token = 'x'": "servers.world.token: there is no such key; there are url, tools",
    f"{SERVER}[servers.world.tools]\ncharge = 3": f"{CHARGE}: Input should be a valid dictionary",
    f"{SERVER}[servers.world.tools.'a b']": "servers.world.tools.a b: String should match pattern",
    f"{TOOL}efect = 'pure'": f"{CHARGE}.efect: there is no such key; there are effect, price_usd, timeout_seconds,",
    f"{TOOL}max_tries = 0": f"{CHARGE}.max_tries: Input should be greater than or equal to 1",
    f"{TOOL}max_tries = 2.0": f"{CHARGE}.max_tries: Input should be a valid integer",
    f"{TOOL}retry_base_seconds = '1'": f"{CHARGE}.retry_base_seconds: Input should be a valid number",
    f"{TOOL}retry_cap_seconds = inf": f"{CHARGE}.retry_cap_seconds: Input should be",
    f"{TOOL}effect = 'harmless'": f"{CHARGE}.effect: Input should be 'pure', 'keyed', 'probeable', 'billed' or 'blind'",
    f"{TOOL}effect = 'keyed'": f'{CHARGE}: effect = "keyed" needs key_window_seconds',
    f"{TOOL}effect = 'probeable'": f'{CHARGE}: effect = "probeable" needs probe',
    f"{TOOL}effect = 'pure'\nkey_window_seconds = 9": 'key_window_seconds is for effect = "keyed" only, not for "pure"',
    f"{TOOL}effect = 'billed'\nprobe = 'x'": f'{CHARGE}: probe is for effect = "probeable" only, not for "billed"',
    f"{TOOL}effect = 'probeable'\nprobe = 'charge'": "tools.charge.probe names charge itself",
    f"{TOOL}effect = 'probeable'\nprobe = 'world.status'": f"{CHARGE}.probe: String should match pattern",
    f"{TOOL}price_usd = 0.04": f'{CHARGE}.price_usd: must be a decimal in quotes, such as "0.04"',
    f"{TOOL}price_usd = '-0.01'": f"{CHARGE}.price_usd: Input should be greater than or equal to 0",
    f"{TOOL}price_usd = 'free'": f"{CHARGE}.price_usd: Input should be a valid decimal",
    f"{TOOL}price_usd = 'NaN'": f"{CHARGE}.price_usd: Input should be a finite number",
    f"{TOOL}timeout_seconds = 0": f"{CHARGE}.timeout_seconds: Input should be greater than 0",
    f"{TOOL}timeout_seconds = inf": f"{CHARGE}.timeout_seconds: Input should be a finite number",
    f"{TOOL}timeout_seconds = '60'": f"{CHARGE}.timeout_seconds: Input should be a valid number",
    f"{TOOL}timeout_seconds = true": f"{CHARGE}.timeout_seconds: Input should be a valid number",
    f"{TOOL}timeout_seconds = 1e12": f"{CHARGE}.timeout_seconds: Input should be less than or equal to",
    f"{TOOL}picture_params = 'picture'": f"{CHARGE}.picture_params: Input should be a valid frozenset",
    f"{TOOL}timeout_seconds = 0\nprice_usd = 1": ' "0.04" (and 1 more)',
}


@pytest.mark.parametrize(("text", "complaint"), REFUSED.items())
def test_a_file_is_refused_by_its_name_the_place_and_the_remedy(file: Path, text: str, complaint: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        read_tools_file(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "pw" not in str(refused.value).removeprefix(str(file))


def test_a_file_that_is_not_there_is_named_with_its_setting(file: Path) -> None:
    with pytest.raises(InvalidInput, match=r"No such file or directory \(PROLIGHT_TOOLS_FILE") as refused:
        read_tools_file(file)
    assert str(file) in str(refused.value)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is not TOML"):
        read_tools_file(file)
