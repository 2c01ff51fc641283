"""The last line of a run: what was tried, what landed, and what the checker saw, as one JSON record."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.chaos.checker import NOT_CHECKED, Verdict

Z = 1.959964
"""Of the two-sided 95 % interval."""


@dataclass(frozen=True)
class Trial:
    """One judged history. A void one, whose fault did not land, shows nothing, unless it shows a violation."""

    landed: tuple[str, ...] = ()
    void: bool = False
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)


def upper_bound(failures: int, trials: int) -> float:
    """Wilson's: with 95 % confidence the true rate of failures is at most this."""
    if trials == 0:
        return 1.0
    rate, spread = failures / trials, Z * Z / trials
    root = math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    return min(1.0, (rate + spread / 2 + Z * root) / (1 + spread))


def summary(seed: int, trials: Iterable[Trial]) -> dict[str, object]:
    """Counts, never averages. `at_most` bounds the share of trials in which the invariant fails."""
    made = list(trials)
    good = [trial for trial in made if not trial.void]
    landed: dict[str, int] = {}
    for name in (name for trial in good for name in trial.landed):
        landed[name] = landed.get(name, 0) + 1
    return {
        "seed": seed,
        "trials": len(good),
        "void": len(made) - len(good),
        "landed": landed,
        "invariants": {name: _line(name, made) for name in _names(made)},
        "not_checked": dict(NOT_CHECKED),
    }


def exit_code(record: Mapping[str, object]) -> int:
    """1 when anything was violated; 2 when nothing was tried at all, which is no success either."""
    invariants = record["invariants"]
    assert isinstance(invariants, dict)
    if any(line["violations"] for line in invariants.values()):
        return 1
    return 0 if record["trials"] else 2


def last_line(record: Mapping[str, object]) -> str:
    return json.dumps(record, separators=(",", ":"))


def _names(trials: list[Trial]) -> list[str]:
    return sorted({name for trial in trials for name in trial.verdicts}, key=lambda name: int(name[1:]))


def _line(name: str, trials: list[Trial]) -> dict[str, object]:
    verdicts = [trial.verdicts[name] for trial in trials if not trial.void]
    looked = [verdict for verdict in verdicts if verdict.checked]
    failed = sum(bool(verdict.violations) for verdict in looked)
    return {
        "checked": sum(verdict.checked for verdict in verdicts),
        "violations": sum(len(trial.verdicts[name].violations) for trial in trials if name in trial.verdicts),
        "trials_checked": len(looked),
        "at_most": round(upper_bound(failed, len(looked)), 6),
    }
