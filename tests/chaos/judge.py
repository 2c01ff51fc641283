"""Judge what a trial left behind: `uv run python -m tests.chaos.judge FOLDER...`

Violations first, one a line, then the JSON record. Exit code 1 on any violation, 2 when nothing could be judged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.chaos.checker import judge
from tests.chaos.histories import Unreadable, load
from tests.chaos.report import Trial, exit_code, last_line, summary


def judged(folder: Path) -> Trial:
    """Raises `Unreadable`."""
    history = load(folder)
    landed = tuple(fault.name for fault in history.faults if fault.landed)
    return Trial(landed, history.void, judge(history))


def main(folders: list[str]) -> int:
    if not folders:
        print(__doc__, file=sys.stderr)
        return 2
    trials = []
    for folder in folders:
        try:
            trials.append(judged(Path(folder)))
        except Unreadable as unreadable:
            print(f"cannot be judged: {unreadable}", file=sys.stderr)
            return 2
        for verdict in trials[-1].verdicts.values():
            for violation in verdict.violations:
                print(f"{folder}: {violation}")
    record = summary(0, trials)
    print(last_line(record))
    return exit_code(record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
