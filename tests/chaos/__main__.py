"""Break the real system, and judge what it leaves behind.

    uv run python -m tests.chaos --profile ci|nightly --seed N
        [--only NAME] [--trials N] [--runs N] [--keep FOLDER] [--without GUARD|all]
    uv run python -m tests.chaos --baseline --seed N [--trials N] [--runs N]
    uv run python -m tests.chaos --power-cuts N [--fsync always|everysec] --seed N [--keep FOLDER]

One line a trial on stderr; the last line on stdout is the JSON record. Exit code 0 when nothing was violated, 1 when
something was, 2 when nothing could be judged. `--without GUARD` takes that guard out of the workers and plays what is
to convict them (`all`: each in turn, and 1 only if every one is convicted).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos import baseline, power
from tests.chaos.guards import GUARDS
from tests.chaos.playing import Session, play_all, say, storm
from tests.chaos.plays import CONVICTS, DECISIVE, PLAYS, PROXIED, REPORTED
from tests.chaos.report import exit_code, last_line, summary
from tests.chaos.storms import STORMS

A_WHILE = 1_000
"""So many runs an arena lasts."""
ARENAS = 2
"""So many are played in at a time: a trial mostly waits."""


@dataclass(frozen=True)
class Profile:
    """How often each play is played, the decisive ones, and how many runs each storm gets."""

    each: int
    decisive: int
    runs_under_kills: int
    runs_under_others: int
    runs_a_trial: int
    reported: bool = True
    """Also what is known to be convicted."""


PROFILES: Mapping[str, Profile] = {
    "ci": Profile(each=1, decisive=3, runs_under_kills=200, runs_under_others=40, runs_a_trial=50, reported=False),
    "nightly": Profile(
        each=30, decisive=300, runs_under_kills=20_000, runs_under_others=2_000, runs_a_trial=100
    ),
}  # fmt: skip


async def play(session: Session, profile: Profile, only: str) -> None:
    counts = {name: profile.decisive if name in DECISIVE else profile.each for name in PLAYS}
    left_out = set() if profile.reported or only else set(REPORTED)
    names = [
        name for name, count in counts.items() for _ in range(count) if only in ("", name) and name not in left_out
    ]
    plain = [name for name in names if name not in PROXIED]
    halves = [plain[number::ARENAS] for number in range(ARENAS)]
    await asyncio.gather(*(play_all(session, half) for half in halves if half))
    if proxied := [name for name in names if name in PROXIED]:
        await play_all(session, proxied, proxied=True)
    blown = [name for name in STORMS if only in ("", name)]
    await asyncio.gather(*(_storms(session, profile, blown[number::ARENAS]) for number in range(ARENAS)))


async def _storms(session: Session, profile: Profile, names: Sequence[str]) -> None:
    for name in names:
        runs = profile.runs_under_kills if name == "kills" else profile.runs_under_others
        for first in range(0, runs, A_WHILE):
            await storm(session, name, min(A_WHILE, runs - first), at_a_time=profile.runs_a_trial)


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
            asyncio.run(play(session, profile, options.only))
    record = {
        "profile": options.profile,
        "seconds": round(time.monotonic() - began),
        "left_out": {} if profile.reported or options.only else dict(REPORTED),
        **summary(options.seed, session.judged),
    }
    print(last_line(record))
    return exit_code(record)


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
    parser.add_argument("--keep", type=Path, help="where the folders of convicted trials are kept")
    parser.add_argument("--without", default="", choices=["", "all", *GUARDS], help="take this guard out")
    parser.add_argument("--baseline", action="store_true", help="a stock Celery chain does the same work")
    parser.add_argument("--power-cuts", type=int, default=0, help="so many power cuts of the store's machine")
    parser.add_argument("--fsync", choices=["always", "everysec"], default="always", help="of the store, then")
    return parser


if __name__ == "__main__":
    sys.exit(main())
