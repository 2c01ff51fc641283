"""Break the real system, and judge what it leaves behind.

    uv run python -m tests.chaos --profile ci|nightly --seed N
        [--only NAME] [--trials N] [--runs N] [--arenas N] [--minutes N] [--keep FOLDER] [--without GUARD|all]
    uv run python -m tests.chaos --baseline --seed N [--trials N] [--runs N]
    uv run python -m tests.chaos --power-cuts N [--fsync always|everysec] --seed N [--keep FOLDER]

One line a trial on stderr; the last line on stdout is the JSON record. Exit code 0 when nothing was violated, 1 when
something was or the suite broke, 2 when nothing could be judged. `--without GUARD` takes that guard out of the
workers and plays what is to convict them (`all`: each in turn, and 1 only if every one is convicted).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean

from tests.chaos import baseline, power
from tests.chaos.guards import GUARDS
from tests.chaos.playing import Session, play_all, say, storm
from tests.chaos.plays import AS_SHIPPED, CONVICTS, DECISIVE, LONG, ONCE, PLAYS, PROXIED
from tests.chaos.report import exit_code, last_line, summary
from tests.chaos.storms import STORMS

TRIALS_AN_ARENA, RUNS_AN_ARENA = 40, 500
"""Then it is left for a new one: its ledgers are read again for each trial."""
ARENAS = 6
"""So many are played in at a time, unless the command line says otherwise: a trial mostly waits."""


@dataclass(frozen=True)
class Profile:
    """How often each play is played, the decisive ones, and how many runs each storm gets."""

    each: int
    decisive: int
    runs_under_kills: int
    runs_under_others: int
    runs_a_trial: int
    long: bool = True
    """Also the plays that take more than a minute."""

    def count(self, play: str) -> int:
        if play in ONCE:
            return 1
        return self.decisive if play in DECISIVE else self.each

    def runs(self, storm: str) -> int:
        return self.runs_under_kills if storm == "kills" else self.runs_under_others


PROFILES: Mapping[str, Profile] = {
    "ci": Profile(each=1, decisive=3, runs_under_kills=200, runs_under_others=40, runs_a_trial=50, long=False),
    "nightly": Profile(
        each=30, decisive=300, runs_under_kills=20_000, runs_under_others=2_000, runs_a_trial=100
    ),
}  # fmt: skip


async def play(session: Session, profile: Profile, only: str, arenas: int) -> None:
    """Whoever has an arena to spare takes what comes next. What breaks ends its arena, not the others."""
    jobs = iter([*_plays(session, profile, only, arenas), *_storms(session, profile, only)])

    async def work() -> None:
        for job in jobs:
            try:
                await job()
            except (AssertionError, OSError) as broken:
                say(f"broken: {broken!r}")
                session.broken.append(repr(broken)[:300])

    await asyncio.gather(*(work() for _ in range(arenas)))


Job = Callable[[], Awaitable[None]]


def _plays(session: Session, profile: Profile, only: str, arenas: int) -> Iterator[Job]:
    left_out = frozenset() if profile.long or only else LONG
    chosen = [name for name in PLAYS if only in ("", name) and name not in left_out]
    for name in chosen:
        if name in AS_SHIPPED:
            yield partial(play_all, session, [name] * profile.count(name), quick=False)
    for proxied in (True, False):
        names = [
            name
            for name in chosen
            if (name in PROXIED) == proxied and name not in AS_SHIPPED
            for _ in range(profile.count(name))
        ]
        batches = max(1, min(len(names), arenas), math.ceil(len(names) / TRIALS_AN_ARENA))
        for number in range(batches):
            if batch := names[number::batches]:
                yield partial(play_all, session, batch, proxied=proxied)


def _storms(session: Session, profile: Profile, only: str) -> Iterator[Job]:
    for name in STORMS:
        if only in ("", name):
            runs = profile.runs(name)
            for first in range(0, runs, RUNS_AN_ARENA):
                count = min(RUNS_AN_ARENA, runs - first)
                yield partial(storm, session, name, count, at_a_time=profile.runs_a_trial)


def in_full(session: Session, profile: Profile, arenas: int) -> float | None:
    """Minutes that the whole profile takes, by what was played; None unless all of it was."""
    wanted = {name: profile.count(name) for name in PLAYS} | {name: profile.runs(name) for name in STORMS}
    if not wanted.keys() <= session.spent.keys():
        return None
    return sum(count * mean(session.spent[name]) for name, count in wanted.items()) / arenas / 60


def without(guard: str, session: Session) -> bool:
    """Whether the missing guard was found out."""
    name = CONVICTS[guard]
    asyncio.run(play_all(session, [name], proxied=name in PROXIED))
    convicted = any(verdict.violations for trial in session.judged for verdict in trial.verdicts.values())
    say(f"without {guard}: {'convicted' if convicted else 'NOT CONVICTED'} by {name}")
    return convicted


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    logging.disable(logging.WARNING)
    profile = _asked(options)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="prolight-chaos-") as folder:
        if options.baseline:
            counts = (options.trials or baseline.TRIALS, options.runs or baseline.RUNS)
            print(last_line(asyncio.run(baseline.measure(Path(folder) / "stock", options.seed, *counts, say))))
            return 0
        session = Session(Path(folder), options.seed, options.keep)
        session.ends_at = began + 60 * options.minutes
        if options.power_cuts:
            said, code = power.play(session, options.power_cuts, options.fsync)
            print(last_line(said))
            return code
        if options.without == "all":
            return _without_each(session)
        if options.without:
            session.without = (options.without,)
            without(options.without, session)
        else:
            asyncio.run(play(session, profile, options.only, options.arenas))
    record = {
        "profile": options.profile,
        "seconds": round(time.monotonic() - began),
        "minutes_in_full": in_full(session, PROFILES[options.profile], options.arenas),
        "played": dict(session.counts),
        "cut_short": time.monotonic() > session.ends_at,
        "broken": session.broken,
        "left_out": [] if profile.long or options.only else sorted(LONG),
        **summary(options.seed, session.judged),
    }
    print(last_line(record))
    return 1 if session.broken else exit_code(record)


def _asked(options: argparse.Namespace) -> Profile:
    given: Profile = PROFILES[options.profile]
    trials, runs = options.trials, options.runs
    given = replace(given, each=trials, decisive=trials) if trials else given
    return replace(given, runs_under_kills=runs, runs_under_others=runs) if runs else given


def _without_each(session: Session) -> int:
    """1, as for any violation, when each is convicted; 2 when one is not: nothing was shown of that guard."""
    blind = []
    for guard in GUARDS:
        alone = Session(session.home / guard, session.seed, session.keep, without=(guard,))
        if not without(guard, alone):
            blind.append(guard)
    print(last_line({"convicted": sorted(GUARDS.keys() - blind), "not convicted": blind}))
    return 2 if blind else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="ci")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", choices=["", *PLAYS, *STORMS], help="one play, or one storm")
    parser.add_argument("--trials", type=int, default=0, help="so many of each play")
    parser.add_argument("--runs", type=int, default=0, help="so many under each storm")
    parser.add_argument("--arenas", type=int, default=ARENAS, help="so many are played in at a time")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing more after so long")
    parser.add_argument("--keep", type=Path, help="where the folders of convicted trials are kept")
    parser.add_argument("--without", default="", choices=["", "all", *GUARDS], help="take this guard out")
    parser.add_argument("--baseline", action="store_true", help="a stock Celery chain does the same work")
    parser.add_argument("--power-cuts", type=int, default=0, help="so many power cuts of the store's machine")
    parser.add_argument("--fsync", choices=["always", "everysec"], default="always", help="of the store, then")
    return parser


if __name__ == "__main__":
    sys.exit(main())
