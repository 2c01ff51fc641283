import json
import subprocess
import sys
from pathlib import Path

import pytest

from prolight.cli import COMMANDS, load, run

HEAVY = {"celery", "mcp", "cv2", "redis", "PIL", "numpy", "anthropic"}


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `statement`."""
    program = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    assert not modules_after("import prolight.cli") & (HEAVY | {"pydantic", "httpx"})


def test_help_costs_no_heavy_library() -> None:
    assert not modules_after("from prolight.cli import run; run(['--help'])") & (HEAVY | {"pydantic", "httpx"})


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_costs_no_heavy_library(name: str) -> None:
    assert not modules_after(f"from prolight.cli import run; run([{name!r}, '--help'])") & HEAVY


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    assert load(name).name == name


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)
    assert "6 it waits" in " ".join(printed.split())


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("prolight ")


def test_a_mistyped_command_names_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["wacth"]) == 2
    printed = capsys.readouterr()
    assert "Did you mean 'watch'" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    "arguments", [["show"], ["show", "--nope"], ["list", "--limit", "0"], ["list", "--state", "DONE"], ["submit"]]
)
def test_a_misused_command_is_two_lines_at_most_and_names_its_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"`prolight {arguments[0]} --help`" in printed.err
    assert len(printed.err.splitlines()) <= 2


@pytest.mark.parametrize(("command", "instead"), [("submit", "--recipe"), ("batch", "--recipe")])
def test_without_a_brief_a_command_says_what_could_stand_in_its_place(
    command: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "x"]) == 2
    assert instead in capsys.readouterr().err


def test_with_json_a_misuse_is_one_record_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "--json"]) == 2
    record = json.loads(capsys.readouterr().out)
    assert record["error"]["code"] == "usage"
    assert "RUN" in record["error"]["message"]


def test_a_setting_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROLIGHT_SLOTS", "many")
    assert run(["doctor", "--json"]) == 2
    printed = capsys.readouterr()
    assert "PROLIGHT_SLOTS" in json.loads(printed.out)["error"]["message"]
    assert "Traceback" not in printed.err


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["demo", "-o", str(tmp_path / "file" / "out"), "--json"]) == 1
    printed = capsys.readouterr()
    assert str(tmp_path / "file") in json.loads(printed.out)["error"]["message"]
    assert len(printed.err.splitlines()) == 1


def test_completion_is_offered_for_the_shell() -> None:
    environment = {"_PROLIGHT_COMPLETE": "complete_bash", "COMP_WORDS": "prolight wa", "COMP_CWORD": "1"}
    program = "from prolight.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["watch"]
