"""`prolight failed`: which runs failed, why and where, and what they cost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from prolight.cli.output import ExitCode, Json, console, record, say, wait_for
from prolight.cli.rendering import one_line, summary
from prolight.errors import InvalidInput
from prolight.ports import Snapshot
from prolight.redrive import Failures, failed_stage
from prolight.schemas import RunContext, Stage
from prolight.spoken import duration

MOST = 10_000
"""So many failed runs are counted, or redriven, at once."""
MESSAGE_IN_A_LIST_CHARS = 100
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Code = Annotated[str | None, typer.Option(help="Only with this error code.")]
InStage = Annotated[Stage | None, typer.Option(help="Only those that failed in this stage.")]
Tool = Annotated[str | None, typer.Option(metavar="SERVER.TOOL", help="Only those whose failed step calls this tool.")]
Since = Annotated[str | None, typer.Option(metavar="2h", help="Only those that failed within this time: 90s, 2h, 7d.")]
Words = Annotated[
    str, typer.Option("--text", metavar="WORDS", help="Only with these words in error, brief or metadata.")
]


def failed(
    *,
    code: Code = None,
    stage: InStage = None,
    tool: Tool = None,
    since: Since = None,
    text: Words = "",
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="List at most so many; all are counted.")] = 20,
    as_json: Json = False,
) -> ExitCode:
    """The failed runs, newest first, and how many there are of each error code."""
    return wait_for(_failed(Failures(code, stage, tool, period(since), text), limit, as_json=as_json))


def period(given: str | None) -> timedelta | None:
    """`2h` as a time. Raises `InvalidInput`."""
    if given is None:
        return None
    if not (found := re.fullmatch(r"(\d{1,6})([smhd])", given.strip())):
        raise InvalidInput(f"{given!r} is no time: a number and s, m, h or d, as in 2h", field="--since")
    return timedelta(seconds=int(found[1]) * SECONDS[found[2]])


async def _failed(wanted: Failures, limit: int, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        found = await client.failed(wanted, limit=limit if as_json else MOST)
        now = client.store.now()
    if as_json:
        for snapshot in found:
            record({**summary(snapshot), "failed_in": failed_stage(snapshot.run)})
    elif found:
        console().print(listing(found[:limit], now=now))
        console().print(counts(found, limit))
    else:
        say("no failed runs")
    return ExitCode.OK


def listing(found: Sequence[Snapshot], *, now: float) -> Table:
    """One line a run."""
    table = Table(box=None, pad_edge=False)
    for title in ("RUN", "AGE", "CODE", "WHERE", "ATTEMPTS", "USD", "REDRIVE", "MESSAGE"):
        table.add_column(title, no_wrap=title != "MESSAGE")
    for snapshot in found:
        run = snapshot.run
        assert run.error
        age = duration(max(0.0, now - (run.finished_at or now)))
        message = Text(one_line(run.error.message, MESSAGE_IN_A_LIST_CHARS))
        attempts = str(run.turns[-1].attempts)
        code, cost = Text(run.error.code, "red"), str(run.spent_usd)
        table.add_row(run.run_id, age, code, _where(run), attempts, cost, _relatives(snapshot), message)
    return table


def _where(run: RunContext) -> str:
    step = run.error.step if run.error else None
    return f"{failed_stage(run)}/{step}" if step else failed_stage(run)


def _relatives(snapshot: Snapshot) -> str:
    parent, child = snapshot.run.parent, snapshot.child
    return ", ".join(filter(None, (f"of {parent}" if parent else "", f"→ {child}" if child else "")))


def counts(found: Sequence[Snapshot], limit: int) -> Text:
    """`42 failed, 20 shown: 40 rate_limited, 2 poison`"""
    by_code = Counter(snapshot.run.error.code for snapshot in found if snapshot.run.error)
    shown = f", {limit} shown" if len(found) > limit else ""
    more = " or more" if len(found) == MOST else ""
    said = ", ".join(f"{count:,} {code}" for code, count in by_code.most_common())
    return Text(f"{len(found):,}{more} failed{shown}: {said}", "bold")
