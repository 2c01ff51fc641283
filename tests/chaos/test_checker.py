"""The checker acquits what is good and convicts what is not, each time of the right invariant."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.checker import INVARIANTS, judge, judge_one
from tests.chaos.edits import Edited
from tests.chaos.good import good
from tests.chaos.histories import Unreadable, load, save
from tests.chaos.mutator import mutate
from tests.chaos.planted import PLANTED
from tests.chaos.planted.plant import Plant

SEEDS = range(50)
MUTANTS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_history_is_acquitted_and_everything_was_looked_at(seed: int) -> None:
    verdicts = judge(good(seed))
    assert [str(found) for verdict in verdicts.values() for found in verdict.violations] == []
    assert [name for name, verdict in verdicts.items() if not verdict.checked] == []


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: f"{plant.invariant}: {plant.says}")
def test_a_planted_violation_is_convicted(plant: Plant) -> None:
    edited = Edited(good(0))
    plant.edit(edited)
    found = judge_one(plant.invariant, edited.history()).violations
    assert found
    assert all(violation.invariant == plant.invariant and violation.says for violation in found)


def test_each_invariant_has_three_planted_violations() -> None:
    planted = Counter(plant.invariant for plant in PLANTED)
    assert {name for name in INVARIANTS if planted[name] < 3} == set()


def test_a_folder_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    save(good(1), tmp_path)
    assert load(tmp_path) == good(1)


def test_a_line_torn_by_a_crash_does_not_count(tmp_path: Path) -> None:
    save(good(1), tmp_path)
    with (tmp_path / "world.jsonl").open("a") as file:
        file.write('{"n":99,"wh')
    assert load(tmp_path) == good(1)


def test_a_line_of_another_format_is_named(tmp_path: Path) -> None:
    save(good(1), tmp_path)
    with (tmp_path / "llm.jsonl").open("a") as file:
        file.write('{"n":99}\n')
    with pytest.raises(Unreadable, match=r"llm.jsonl:\d+"):
        load(tmp_path)


@pytest.mark.parametrize("name", INVARIANTS)
def test_twenty_mutations_of_good_histories_are_convicted(name: str) -> None:
    """Each is of its own, and made in one of several ways."""
    mutated = [mutate(name, good(seed), seed) for seed in MUTANTS]
    acquitted = [(seed, how) for seed, (how, history) in enumerate(mutated) if not judge_one(name, history).violations]
    assert acquitted == []
    assert len({repr(history) for _, history in mutated}) == len(MUTANTS)
