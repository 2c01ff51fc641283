"""What `from prolight import Client` costs a service at its start, as a whole process.

Beside it, in turns, a process that imports nothing but the libraries that any client of this store would: redis-py's
asyncio client, pydantic-settings and Pillow. The ratio holds when the machine's speed drifts.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from prolight.bench.terms import Effort, Figures, Goal, Say, rounded

FULL, QUICK = Effort(repeat=1, runs=21), Effort(repeat=1, runs=5)
GOALS = (Goal("import_ratio", at_most=1.5),)
CLIENT = "from prolight import Client"
LIBRARIES = "import redis.asyncio, pydantic_settings, PIL.Image"


async def measure(home: Path, effort: Effort, say: Say) -> Figures:
    """Medians over `runs` pairs of processes, and the median of their ratios."""
    _started(CLIENT), _started(LIBRARIES)  # the first ones read the disk
    pairs = [(_started(CLIENT), _started(LIBRARIES)) for _ in range(effort.repeat * effort.runs)]
    say(f"{len(pairs)} pairs of processes")
    ours, bare = zip(*pairs, strict=True)
    return {
        "import_cpu_seconds": rounded(statistics.median(ours), 3),
        "libraries_cpu_seconds": rounded(statistics.median(bare), 3),
        "import_ratio": rounded(statistics.median(a / b for a, b in pairs), 3),
    }


def _started(statement: str) -> float:
    """Seconds of processor time, which other processes disturb less than they disturb the clock on the wall."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
