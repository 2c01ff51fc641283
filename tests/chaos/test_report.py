"""The record that a run ends with, and the command that judges a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chaos.checker import INVARIANTS, NOT_CHECKED, Verdict, Violation
from tests.chaos.edits import Edited
from tests.chaos.good import good
from tests.chaos.histories import Fault, save
from tests.chaos.judge import main
from tests.chaos.planted import PLANTED
from tests.chaos.report import Trial, exit_code, summary, upper_bound


@pytest.mark.parametrize(("trials", "percent"), [(30, 11.4), (300, 1.3), (3_000, 0.13), (20_000, 0.02)])
def test_no_failure_in_n_trials_bounds_the_rate(trials: int, percent: float) -> None:
    assert upper_bound(0, trials) * 100 == pytest.approx(percent, rel=0.05)


def test_nothing_tried_bounds_nothing() -> None:
    assert upper_bound(0, 0) == 1.0


def test_void_trials_are_counted_and_left_out() -> None:
    fine = Trial(("kill",), verdicts={"I1": Verdict(3)})
    record = summary(7, [fine, Trial(void=True), fine])
    assert (record["seed"], record["trials"], record["void"], record["landed"]) == (7, 2, 1, {"kill": 2})
    assert record["invariants"] == {"I1": {"checked": 6, "violations": 0, "trials_checked": 2, "at_most": 0.65762}}
    assert exit_code(record) == 0


def test_one_violation_fails_the_run() -> None:
    bad = Trial(verdicts={"I1": Verdict(1, (Violation("run", "is gone"),))})
    assert exit_code(summary(0, [Trial(verdicts={"I1": Verdict(1)}), bad])) == 1


def test_a_violation_in_a_void_trial_fails_the_run_all_the_same() -> None:
    bad = Trial(void=True, verdicts={"I1": Verdict(1, (Violation("run", "is gone"),))})
    record = summary(0, [Trial(verdicts={"I1": Verdict(1)}), bad])
    assert record["invariants"] == {"I1": {"checked": 1, "violations": 1, "trials_checked": 1, "at_most": 0.793451}}
    assert exit_code(record) == 1


def test_a_run_of_void_trials_is_no_success() -> None:
    assert exit_code(summary(0, [Trial(void=True)])) == 2


def test_a_good_folder_is_judged_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(good(2), tmp_path)
    assert main([str(tmp_path)]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(record["invariants"]) == set(INVARIANTS)
    assert record["not_checked"] == dict(NOT_CHECKED)
    assert record["landed"] == {"kill worker-3": 1, "kill worker-5": 1, "kill worker-6": 1}


def test_a_bad_folder_says_what_contradicts_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = Edited(good(2))
    next(plant for plant in PLANTED if plant.invariant == "I1").edit(edited)
    save(edited.history(), tmp_path)
    assert main([str(tmp_path)]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert "I1 happy: was accepted, and is gone at the end [client n=" in first


def test_a_folder_whose_fault_did_not_land_is_void(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = Edited(good(2))
    edited.lines["faults"].append(Fault(name="freeze", landed=False))
    save(edited.history(), tmp_path)
    assert main([str(tmp_path)]) == 2
    assert json.loads(capsys.readouterr().out)["void"] == 1


def test_what_is_no_trial_cannot_be_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "cannot be judged" in capsys.readouterr().err
