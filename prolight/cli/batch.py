"""`prolight batch`: many pictures at once, and `prolight batches`: what became of them."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from prolight.batches import DEFAULT_IN_FLIGHT, Batch, BatchState, Line, Look
from prolight.cli import manifest
from prolight.cli.artifacts import SUFFIXES, write
from prolight.cli.output import By, ExitCode, Json, console, detaching, record, say, wait_for
from prolight.cli.redrive import dollars
from prolight.cli.rendering import one_line
from prolight.cli.submit import Preset, Recipe, check_asked
from prolight.schemas import State
from prolight.spoken import duration

if TYPE_CHECKING:
    from prolight.client import AsyncClient

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What became of batches.")

LOOK_EVERY_SECONDS = 0.5
PAGE = 200
SHOWN = 20
REASON_CHARS = 100
MAX_STEM = 80

Named = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id.")]
Into = Annotated[
    Path | None, typer.Option("-o", "--output", file_okay=False, metavar="DIR", help="Save the finished pictures here.")
]
Report = Annotated[Path | None, typer.Option(dir_okay=False, metavar="FILE.csv", help="One line a picture.")]
Sheet = Annotated[Path | None, typer.Option(dir_okay=False, metavar="FILE.jpg", help="A contact sheet.")]


def batch(
    source: Annotated[
        Path, typer.Argument(help="A folder, or a .csv/.jsonl with `picture` and, if you like, `name` and `brief`.")
    ],
    *,
    brief: Annotated[str, typer.Option(help="What to make of every picture.")] = "",
    recipe: Recipe = None,
    preset: Preset = None,
    proof: Annotated[int, typer.Option(min=0, help="Make so many first; the rest waits for your approval.")] = 0,
    max_in_flight: Annotated[int, typer.Option(min=1, help="At most so many runs at once.")] = DEFAULT_IN_FLIGHT,
    budget: Annotated[
        str | None, typer.Option(metavar="USD", help="The most that all runs together may spend.")
    ] = None,
    run_budget: Annotated[str | None, typer.Option(metavar="USD", help="The most that one run may spend.")] = None,
    ask: Annotated[bool, typer.Option("--ask", help="A person approves each plan.")] = False,
    approve_result: Annotated[
        bool, typer.Option("--approve-result", help="A person approves each finished picture.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Print the batch's id and leave it to the workers.")] = False,
    into: Into = None,
    report: Report = None,
    sheet: Sheet = None,
    as_json: Json = False,
) -> ExitCode:
    """Make the same of many pictures: each becomes a run, the workers go on without you, Ctrl-C only detaches."""
    check_asked(brief, recipe, preset, field="--brief")
    request = {
        "brief": brief,
        "recipe": recipe,
        "preset": preset,
        "proof": proof,
        "max_in_flight": max_in_flight,
        "budget_usd": dollars(budget),
        "run_budget_usd": dollars(run_budget),
        "ask": ask,
        "approve_result": approve_result,
    }
    return wait_for(_batch(source, request, Ending(into, report, sheet, as_json), detach=detach))


async def _batch(source: Path, request: dict[str, Any], ending: Ending, *, detach: bool) -> ExitCode:
    from prolight.client import AsyncClient

    inputs = manifest.read(source)
    async with AsyncClient() as client:
        with _bar("taking in", len(inputs)) as bar:
            batch_id = await client.begin_batch(inputs, **request, progress=lambda done: bar(done, ""))
        if ending.as_json:
            record({"batch_id": batch_id, "total": len(inputs)})
        else:
            console().print(batch_id)
        return ExitCode.OK if detach else await _to_its_end(client, batch_id, ending)


@dataclass(frozen=True, slots=True)
class Ending:
    """What is made of a batch once nobody works on it any more."""

    into: Path | None
    report: Path | None
    sheet: Path | None
    as_json: bool


async def _to_its_end(client: AsyncClient, batch_id: str, ending: Ending) -> ExitCode:
    look = await _watch(client, batch_id)
    lines = [line async for line in _lines(client, batch_id)]
    paths = await _saved(client, lines, ending.into) if ending.into else {}
    if ending.report:
        write(ending.report, _report(lines, paths))
    if ending.sheet:
        write(ending.sheet, await _sheet(client, lines))
    _report_on(look, lines, paths, as_json=ending.as_json)
    return _exit_code(look)


async def _watch(client: AsyncClient, batch_id: str) -> Look:
    """Show how far it is, until it is over or goes no further without a person."""
    look = await client.batch(batch_id)
    go_on = f"the workers go on: `prolight batches watch {batch_id}`, or `cancel {batch_id}` to stop it"
    with detaching(go_on), _bar("made", look.batch.total) as bar:
        while not (look.batch.finished_at is not None or look.waits):
            bar(look.batch.closed, _counts(look))
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            look = await client.batch(batch_id)
        bar(look.batch.closed, _counts(look))
    return look


def _exit_code(look: Look) -> ExitCode:
    batch = look.batch
    if batch.state is BatchState.CANCELLED:
        return ExitCode.STOPPED
    if batch.finished_at is None:
        return ExitCode.WAITS
    return ExitCode.OK if batch.counts == {State.COMPLETED: batch.total} else ExitCode.RUN_FAILED


@contextmanager
def _bar(doing: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """A bar on a terminal, nothing elsewhere."""
    terminal = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[also]}"))
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(doing, total=total, also="")
        yield lambda done, also: progress.update(task, completed=done, also=also)


def _counts(look: Look) -> str:
    said = [f"{count} {state}" for state, count in sorted(look.batch.counts.items())]
    at_work = look.open - look.waiting
    said += [f"{at_work} at work"] * bool(at_work) + [f"{look.waiting} wait for a person"] * bool(look.waiting)
    return ", ".join(said)


async def _lines(client: AsyncClient, batch_id: str) -> AsyncGenerator[Line]:
    first = 0
    while page := await client.batch_page(batch_id, first, PAGE):
        for line in page:
            yield line
        first += PAGE


async def _saved(client: AsyncClient, lines: Sequence[Line], folder: Path) -> dict[int, str]:
    """Write each finished picture; the paths by number. A file of this name is written anew."""
    paths: dict[int, str] = {}
    for line in lines:
        for at, output in enumerate(line.result.outputs if line.result else ()):
            path = folder / _file_name(line, at, SUFFIXES.get(output.media_type, "bin"))
            write(path, await client.download(output))
            paths.setdefault(line.number, str(path))
    return paths


def _file_name(line: Line, at: int, suffix: str) -> str:
    """`0007-chair.jpg`: the number keeps it apart, and of the name only what is safe in a file name is kept."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePath(line.name).stem)[:MAX_STEM].strip("._") or "picture"
    return f"{line.number + 1:04}-{stem}{f'-{at + 1}' if at else ''}.{suffix}"


def _report(lines: Sequence[Line], paths: dict[int, str]) -> bytes:
    file = io.StringIO()
    table = csv.DictWriter(file, ["number", "input", "run_id", "state", "output", "spent_usd", "reason"])
    table.writeheader()
    for line in lines:
        told = {"number": line.number + 1, **_described(line, paths), "spent_usd": _spent(line)}
        table.writerow({name: _inert(value) for name, value in told.items()})
    return file.getvalue().encode()


def _inert(value: object) -> str:
    """A spreadsheet takes what begins like this for a formula (OWASP, CSV injection)."""
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _spent(line: Line) -> str:
    return str(line.result.spent_usd) if line.result else ""


def _described(line: Line, paths: dict[int, str]) -> dict[str, Any]:
    made = line.result.outputs[0].id if line.result and line.result.outputs else ""
    return {
        "run_id": line.run_id,
        "input": line.name,
        "state": line.state,
        "output": paths.get(line.number, made),
        "reason": line.result.reason if line.result else "",
    }


async def _sheet(client: AsyncClient, lines: Sequence[Line]) -> bytes:
    from prolight.report.sheet import MOST_CELLS, Cell, contact_sheet

    cells = []
    for line in lines[:MOST_CELLS]:
        outputs = line.result.outputs if line.result else ()
        content = await client.download(outputs[0]) if outputs else None
        cells.append(Cell(f"{line.number + 1} {_word(line)}", content))
    return contact_sheet(cells)


def _word(line: Line) -> str:
    if not (line.result and line.result.outputs):
        return line.state
    return f"{'missed: ' if line.result.reason else ''}{line.name}"


def _summary(look: Look) -> dict[str, Any]:
    batch = look.batch
    return {
        "batch_id": batch.batch_id,
        "state": batch.state,
        "total": batch.total,
        "opened": batch.opened,
        "waiting": look.waiting,
        "counts": batch.counts,
        "spent_usd": str(batch.spent_usd),
        "created_at": batch.created_at,
        "finished_at": batch.finished_at,
        "reason": batch.reason,
    }


def _report_on(look: Look, lines: Sequence[Line], paths: dict[int, str], *, as_json: bool) -> None:
    """A record for each picture and one for all; for people, what is not as it was asked for, and how it stands."""
    if not as_json:
        _tell(look, lines)
        return
    for line in lines:
        record(_described(line, paths))
    record(_summary(look))


def _tell(look: Look, lines: Sequence[Line]) -> None:
    """Those that are not COMPLETED or missed their preset, and how it stands."""
    batch = look.batch
    others = [line for line in lines if line.state != State.COMPLETED or (line.result and line.result.reason)]
    for line in others[:SHOWN]:
        reason = f": {one_line(line.result.reason, REASON_CHARS)}" if line.result and line.result.reason else ""
        console().print(f"{line.number + 1:5}  {one_line(line.name, 40)}  {line.run_id}  {line.state}{reason}")
    if len(others) > SHOWN:
        console().print(f"       and {len(others) - SHOWN} more: --json, or --report FILE.csv, has them all")
    because = f": {batch.reason}" if batch.reason else ""
    took = f" in {duration(batch.finished_at - batch.created_at)}" if batch.finished_at is not None else ""
    words = f"{batch.state}{took}, {_counts(look) or 'nothing made'} of {batch.total}, {batch.spent_usd} USD{because}"
    console().print(f"{batch.batch_id}  {words}")
    if batch.state is BatchState.AWAITING_APPROVAL:
        say(f"the proofs wait for you: `prolight batches approve {batch.batch_id}`, or `decline {batch.batch_id}`")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20, as_json: Json = False
) -> ExitCode:
    """The newest batches."""
    return wait_for(_list(limit, as_json=as_json))


async def _list(limit: int, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        looks = [await client.batch(batch.batch_id) for batch in await client.batches(limit)]
    if as_json:
        for look in looks:
            record(_summary(look))
        return ExitCode.OK
    table = Table("batch", "state", "pictures", "how they stand", "USD", box=None)
    for look in looks:
        batch = look.batch
        table.add_row(batch.batch_id, batch.state, f"{batch.closed}/{batch.total}", _counts(look), str(batch.spent_usd))
    console().print(table if looks else "no batches")
    return ExitCode.OK


@app.command()
def show(batch: Named, as_json: Json = False) -> ExitCode:
    """How a batch stands, and its pictures that are not COMPLETED."""
    return wait_for(_show(batch, as_json=as_json))


async def _show(batch_id: str, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        look = await client.batch(batch_id)
        lines = [line async for line in _lines(client, batch_id)]
    _report_on(look, lines, {}, as_json=as_json)
    return ExitCode.OK


@app.command()
def watch(
    batch: Named, into: Into = None, report: Report = None, sheet: Sheet = None, as_json: Json = False
) -> ExitCode:
    """Follow a batch to its end, as `prolight batch` does."""
    return wait_for(_follow(batch, Ending(into, report, sheet, as_json)))


async def _follow(batch_id: str, ending: Ending) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        return await _to_its_end(client, batch_id, ending)


@app.command()
def approve(batch: Named, by: By = None, as_json: Json = False) -> ExitCode:
    """The proofs are good: the rest is made like them."""
    return wait_for(_answer(lambda client: client.approve_batch(batch, by=by), as_json=as_json))


@app.command()
def decline(
    batch: Named,
    reason: Annotated[str, typer.Option(help="Kept on the record.")] = "",
    by: By = None,
    as_json: Json = False,
) -> ExitCode:
    """The proofs are not good: nothing else is made."""
    return wait_for(_answer(lambda client: client.decline_batch(batch, reason=reason, by=by), as_json=as_json))


@app.command()
def cancel(batch: Named, by: By = None, as_json: Json = False) -> ExitCode:
    """Make nothing more, and cancel the runs that are under way."""
    return wait_for(_answer(lambda client: client.cancel_batch(batch, by=by), as_json=as_json))


async def _answer(say_it: Callable[[AsyncClient], Awaitable[Batch]], *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        batch = await say_it(client)
        look = await client.batch(batch.batch_id)
    if as_json:
        record(_summary(look))
    else:
        console().print(f"{batch.batch_id}  {look.batch.state}")
    return ExitCode.OK
