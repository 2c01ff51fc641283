"""`prolight submit --dry-run`: the plan and the verdict are shown, and nothing is kept or made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prolight.cli import run as prolight
from prolight.presets import preset

VASE = str(Path(__file__).parents[2] / "photos" / "demo-vase.jpg")
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing answers at the store's address: a dry run needs none."""
    monkeypatch.setenv("PROLIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("PROLIGHT_REDIS_URL", "redis://127.0.0.1:1/0")
    return tmp_path


def test_the_plan_and_the_verdict_are_shown_and_nothing_is_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prolight(["submit", VASE, "warm key from the left, white background", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "studio.relight" in shown
    assert "studio.replace_background  after s1" in shown
    assert "verdict     accept" in shown
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_the_record_holds_plan_verdict_figures_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert prolight(["submit", VASE, "warm key from the left", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [step["tool"] for step in told["plan"]["steps"]] == ["studio.relight", "studio.export"]
    assert (told["critique"]["verdict"], told["waits_for"], told["error"]) == ("accept", [], None)
    assert told["inspection"]["width"] > 0
    assert (told["estimated_cost_usd"], told["spent_usd"]) == ("0", "0")


def test_a_preset_brings_its_brief_and_is_judged_against(capsys: pytest.CaptureFixture[str]) -> None:
    assert prolight(["submit", VASE, "--preset", "ebay", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["preset"], told["brief"]) == ("ebay", preset("ebay").brief)
    prolight(["submit", VASE, "export as webp", "--preset", "etsy", "--dry-run", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["plan"]["steps"][-1]["params"]["format"] == "jpeg", "the Critic had the Planner set it"


def test_a_plan_that_would_wait_for_a_person_says_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert prolight(["submit", VASE, "paint it like Vermeer", "--dry-run", "--json"]) == 6
    [reason] = json.loads(capsys.readouterr().out)["waits_for"]
    assert "nothing of the brief became a step" in reason


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([VASE, "key left", "--wait"], "drop --wait"),
        (["nowhere.jpg", "key left"], "is not there"),
        ([__file__, "key left"], "PNG"),
        ([VASE, "key left", "--budget", "much"], "budget_usd"),
        ([VASE, " "], "brief"),
    ],
)
def test_what_cannot_be_planned_is_refused(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert prolight(["submit", *argv, "--dry-run"]) == 2
    assert says in capsys.readouterr().err
