"""Trials one after the other in one arena, each judged as soon as it is over; a void one is taken again."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import dump
from tests.chaos.arena import Arena
from tests.chaos.judge import judged
from tests.chaos.plays import PLAYS
from tests.chaos.report import Trial as Judged
from tests.chaos.ring import Ring
from tests.chaos.storms import EVERY, STORMS, WORKERS, Storm
from tests.chaos.storms import PROXIED as STORM_PROXIED
from tests.chaos.trial import Trial

TAKES = 3
"""So often a trial is tried whose fault did not land."""


@dataclass
class Session:
    """What all arenas of one run of the program share."""

    home: Path
    seed: int
    keep: Path | None = None
    without: Collection[str] = ()
    judged: list[Judged] = field(default_factory=list)
    spent: dict[str, list[float]] = field(default_factory=dict)
    """Per play the seconds of each take, per storm those of each run."""
    played: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Per play the trials, per storm the runs, that were judged and not void."""
    ends_at: float = math.inf
    """On the monotonic clock; then nothing more begins."""
    broken: list[str] = field(default_factory=list)
    """What ended an arena that was not meant to end: a defect of the suite until shown to be another."""
    enough: bool = False
    """One violation is enough where a guard is missing."""

    @property
    def stop(self) -> bool:
        return self.enough or time.monotonic() > self.ends_at

    def name(self) -> str:
        self.played += 1
        return f"t{self.played}"

    def judge(self, folder: Path, play: str, since: float, *, runs: int = 1) -> Judged:
        trial = judged(folder)
        seconds = time.monotonic() - since
        self.spent.setdefault(play, []).append(seconds / runs)
        violations = [str(each) for verdict in trial.verdicts.values() for each in verdict.violations]
        self.judged.append(trial)
        self.counts[play] += 0 if trial.void else runs
        state = "void" if trial.void else f"{len(violations)} violations" if violations else "ok"
        say(f"{folder.name:>6} {play:<24} {state:<14} {seconds:5.1f} s")
        if violations:
            where = folder
            if self.keep:
                where = self.keep / folder.name
                shutil.copytree(folder, where, dirs_exist_ok=True)
            for violation in violations:
                say(f"       {where}: {violation}")
            self.enough = bool(self.without)
        shutil.rmtree(folder)
        return trial


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def play_all(session: Session, names: Sequence[str], *, proxied: bool = False, quick: bool = True) -> None:
    """All of these in one arena."""
    if session.stop:
        return
    async with AsyncExitStack() as undo:
        home = session.home / f"arena-{session.name()}"
        arena = await undo.enter_async_context(Arena(home, proxied=proxied, quick=quick, without=session.without))
        ring = Ring(arena)
        await ring.start()
        undo.push_async_callback(ring.close)
        for name in names:
            for _ in range(TAKES):
                if session.stop or not (await play_one(session, ring, name)).void:
                    break


async def play_one(session: Session, ring: Ring, name: str) -> Judged:
    await ring.spare()  # else a fault may find nobody who could take over
    since = time.monotonic()
    arena, label = ring.arena, session.name()
    trial = Trial(arena, label, session.seed * 100_003 + session.played)
    try:
        await PLAYS[name](ring, trial)
    finally:
        arena.disarm()
        await arena.heal_world()
    folder = session.home / label
    await trial.leave(folder)
    await dump.clear(arena.client.store)
    return session.judge(folder, name, since)


async def storm(session: Session, name: str, runs: int, *, at_a_time: int) -> None:
    """So many runs under these faults, in trials of `at_a_time`."""
    async with AsyncExitStack() as undo:
        home = session.home / f"arena-{session.name()}"
        arena = await undo.enter_async_context(Arena(home, proxied=name in STORM_PROXIED, without=session.without))
        for _ in range(WORKERS):
            await arena.worker()
        for first in range(0, runs, at_a_time):
            count = min(at_a_time, runs - first)
            for _ in range(TAKES):
                if session.stop or not (await _storm_once(session, arena, name, count)).void:
                    break


async def _storm_once(session: Session, arena: Arena, name: str, runs: int) -> Judged:
    since, label = time.monotonic(), session.name()
    trial = Trial(arena, label, session.seed * 100_003 + session.played)
    await Storm(arena, trial, runs=runs, faults=STORMS[name], every=EVERY[name]).play()
    folder = session.home / label
    await trial.leave(folder)
    await dump.clear(arena.client.store)
    return session.judge(folder, name, since, runs=runs)
