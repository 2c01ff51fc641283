"""One sitting: a benchmark, where it was made, and whether it reached its goals."""

from __future__ import annotations

import shutil
import tempfile
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from prolight.bench import machine
from prolight.bench.terms import Effort, Goal, Say


class Name(StrEnum):
    """The benchmarks. Each is the module of this name, with `measure`, `FULL`, `QUICK` and `GOALS`."""

    OVERHEAD = "overhead"
    STORE = "store"
    RELIGHT = "relight"
    STUDIO = "studio"
    RECOVERY = "recovery"
    CLIENT = "client"


async def sit(
    name: Name, *, say: Say, quick: bool = False, repeat: int | None = None, runs: int | None = None
) -> dict[str, Any]:
    """The benchmark's record, JSON-able. `repeat` and `runs` stand for the module's own.

    Raises `BenchFailed`, or `StackFailed` when a part does not start.
    """
    module = import_module(f"prolight.bench.{name}")
    usual: Effort = module.QUICK if quick else module.FULL
    effort = Effort(repeat or usual.repeat, runs or usual.runs)
    home = Path(tempfile.mkdtemp(prefix=f"prolight-bench-{name}-"))
    try:
        described = machine.describe(home)
        before = machine.spent()
        figures = await module.measure(home, effort, say)
        others = machine.others_share(before, machine.spent())
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return {
        "bench": name.value,
        **figures,
        "goals": [_judged(goal, figures[goal.figure]) for goal in module.GOALS],
        "repeat": effort.repeat,
        "runs": effort.runs,
        "others_cpu_share": others,
        "machine": described,
    }


def _judged(goal: Goal, value: float) -> dict[str, Any]:
    return {"figure": goal.figure, "goal": str(goal), "value": value, "met": goal.met(value)}
