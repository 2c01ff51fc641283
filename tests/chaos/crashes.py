"""Good histories of runs that crash whatever works on them, or seem to."""

from __future__ import annotations

from collections.abc import Iterator

from prolight import lifecycle
from tests.chaos.tape import DEADLINES, Tape


def poisonous(tape: Tape) -> Iterator[None]:
    """Two workers die of it, then a process of its own."""
    life = tape.accept("poisonous")
    for number in (5, 6):
        yield
        life.claim(f"worker-{number}")
        tape.process(f"worker-{number}", "killed")
        tape.pass_time(1000, 1300)
        life.ends("death")
    yield
    life.claim("worker-7")
    tape.pass_time()
    life.write(lifecycle.crashed(life.run, "it exited with 1", now=tape.now))
    yield
    tape.pass_time(1000, 1300)
    poison = lifecycle.poisoned(life.run, 3, now=tape.now, deadlines=DEADLINES)
    life.write(poison, by="client")


def frozen(tape: Tape) -> Iterator[None]:
    """Its workers freeze past their leases, again and again, and each takes the crash back when it goes on."""
    life = tape.accept("frozen")
    for _ in range(4):
        life.claim("worker-4")
        frozen = life.claimed
        yield
        tape.pass_time(2000, 2300)
        life.ends("lease")
        life.takes_back(frozen)
        yield
    tape.pass_time()
    gone = lifecycle.cancelled(life.run, held=False, reason="no more", now=tape.now, deadlines=DEADLINES)
    life.write(gone, by="client")
