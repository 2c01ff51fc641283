"""What ProLight costs on this machine, measured on the path that ships: real processes, a real store.

Figures of a machine move with what else runs on it. So what is compared is measured in one sitting,
in turns, and each record says how much of the machine other processes took meanwhile.
"""

from prolight.bench.sitting import Name, sit
from prolight.bench.terms import BenchFailed, Effort, Goal

__all__ = ["BenchFailed", "Effort", "Goal", "Name", "sit"]
