"""The README is true: its diagram, commands and settings are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from prolight.cli import COMMANDS
from prolight.events import PAYLOADS
from prolight.lifecycle import TERMINAL, TRANSITIONS
from prolight.schemas import State
from prolight.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def diagram() -> str:
    """The table of `lifecycle.py` as a Mermaid state diagram."""
    arrows = [f"    [*] --> {State.PLANNING}"]
    for state, moves in TRANSITIONS.items():
        targets: dict[State, list[str]] = {}
        for move, target in moves.items():
            targets.setdefault(target, []).append(move.value)
        arrows += [f"    {state} --> {target}: {', '.join(names)}" for target, names in targets.items()]
    arrows += [f"    {state} --> [*]" for state in TRANSITIONS if state in TERMINAL]
    return "\n".join(["stateDiagram-v2", *arrows])


def test_the_state_diagram_is_the_table() -> None:
    assert diagram() in README


def test_every_command_it_names_exists() -> None:
    words = re.sub(r"```python\n.*?```", "", README, flags=re.DOTALL)
    named = set(re.findall(r"(?<![\w./-])prolight ([a-z]+)", words))
    assert named <= COMMANDS.keys()
    assert named >= {
        "demo",
        "up",
        "submit",
        "list",
        "show",
        "watch",
        "artifacts",
        "cancel",
        "doctor",
        "approve",
        "reject",
        "why",
    }


def test_every_setting_it_names_exists() -> None:
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `PROLIGHT_")]
    names = [name.removeprefix("PROLIGHT") for row in rows for name in re.findall(r"`((?:PROLIGHT)?_[A-Z_]+)`", row)]
    assert names
    assert {name.lower().strip("_") for name in names} <= Settings.model_fields.keys()


def test_every_event_it_names_exists() -> None:
    listed = README.partition("with the state change itself: ")[2].partition(".")[0]
    assert set(re.findall(r"`([a-z]+)`", listed)) == PAYLOADS.keys()


def test_it_names_the_two_commands_of_a_newcomer() -> None:
    assert "pip install -q uv && uv run prolight demo" in README
    assert "pip install -q uv && uv run pytest" in README
