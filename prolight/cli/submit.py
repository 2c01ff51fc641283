"""`prolight submit`: a picture and a brief become a run."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prolight.cli.output import ExitCode, Json, console, detaching, record, run_goes_on, say, wait_for
from prolight.cli.rendering import ending, event_line, summary
from prolight.cli.watch import exit_code, follow
from prolight.errors import InvalidInput
from prolight.schemas import MAX_BRIEF_CHARS, RUN_ID

if TYPE_CHECKING:
    from prolight.client import AsyncClient


Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Hold the result to what this shop asks for; brings a brief (`prolight presets`)."
    ),
]


Recipe = Annotated[
    str | None, typer.Option(metavar="RUN", help="Apply the plan of this COMPLETED run; no model is asked.")
]
Timeout = Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="With --wait: at most so long.")]
Meta = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Kept with the run. Repeatable.")]


def submit(
    picture: Annotated[str, typer.Argument(help="A file (JPEG, PNG, WebP), or an asset's id or alias.")],
    brief: Annotated[
        str, typer.Argument(help='What to make of it: "soft warm key from the left". `-` reads stdin.')
    ] = "",
    *,
    recipe: Recipe = None,
    preset: Preset = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the run ends or waits for a person.")] = False,
    timeout: Timeout = None,
    ask: Annotated[bool, typer.Option("--ask", help="Wait for a person to approve the plan.")] = False,
    approve_result: Annotated[
        bool, typer.Option("--approve-result", help="Wait for a person to approve the finished pictures.")
    ] = False,
    budget: Annotated[str | None, typer.Option(metavar="USD", help="The most that this run may spend.")] = None,
    deadline: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Of working time; later the run is FAILED.")
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key makes the same run, once.")] = None,
    run_id: Annotated[str | None, typer.Option(help="An id of your own: letters, digits, `.`, `_`, `-`.")] = None,
    meta: Meta = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only plan and judge, here: no run is made, nothing is carried out.")
    ] = False,
    as_json: Json = False,
) -> ExitCode:
    """Hand in a picture and a brief; prints the run's id."""
    _check_options(wait=wait, timeout=timeout, dry_run=dry_run)
    check_asked(brief, recipe, preset, field="BRIEF")
    request = {
        "ask": ask,
        "approve_result": approve_result,
        "recipe": recipe,
        "preset": preset,
        "budget_usd": budget,
        "deadline": deadline,
        "run_id": run_id,
        "idempotency_key": idempotency_key,
        "metadata": metadata(meta or []),
    }
    if dry_run:
        from prolight.cli.dry_run import dry_run as only_plan

        named = {"recipe": recipe, "preset": preset, "budget": budget}
        return wait_for(only_plan(_picture(picture), _brief(brief), **named, as_json=as_json))
    return wait_for(_submit(_picture(picture), _brief(brief), request, wait=wait, timeout=timeout, as_json=as_json))


def check_asked(brief: str, recipe: str | None, preset: str | None, *, field: str) -> None:
    """Raises `InvalidInput` where nothing says what to make, and for a preset that there is not."""
    if not brief and recipe is None and preset is None:
        raise InvalidInput("is missing: say what to make, or --preset NAME, or --recipe RUN", field=field)
    if preset is not None:
        from prolight.presets import preset as named

        named(preset)


def _check_options(*, wait: bool, timeout: float | None, dry_run: bool) -> None:
    if timeout is not None and not wait:
        raise InvalidInput("is the limit of --wait: add --wait, or drop it", field="--timeout")
    if dry_run and wait:
        raise InvalidInput("carries nothing out, so there is nothing to wait for: drop --wait", field="--dry-run")


def metadata(pairs: list[str]) -> dict[str, str]:
    """`["sku=123"]` as a mapping. Raises `InvalidInput` for a pair without key or `=`, or a key given twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise InvalidInput(f"{pair!r} is not KEY=VALUE", field="--meta")
        if key in found:
            raise InvalidInput(f"{key!r} is given twice", field="--meta")
        found[key] = value
    return found


def _picture(named: str) -> Path | str:
    """A file if there is one, else an asset. Raises `InvalidInput` for what can only have been meant as a file."""
    path = Path(named)
    if path.is_file():
        return path
    if re.fullmatch(RUN_ID, named) and not path.suffix:
        return named
    raise InvalidInput(f"{named!r} is {'a folder' if path.is_dir() else 'not there'}", field="PICTURE")


def _brief(brief: str) -> str:
    if brief != "-":
        return brief
    try:
        return sys.stdin.read(MAX_BRIEF_CHARS + 1)
    except UnicodeDecodeError:
        raise InvalidInput("stdin is not UTF-8 text", field="brief") from None


async def _submit(
    picture: Path | str, brief: str, request: dict[str, Any], *, wait: bool, timeout: float | None, as_json: bool
) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        run_id = await client.submit(picture, brief, **request)
        if as_json:
            record({"run_id": run_id, "state": (await client.get(run_id)).run.state})
        else:
            console().print(run_id)
        limit = timedelta(seconds=timeout) if timeout is not None else None
        return await _to_its_end(client, run_id, limit, as_json=as_json) if wait else ExitCode.OK


async def _to_its_end(client: AsyncClient, run_id: str, limit: timedelta | None, *, as_json: bool) -> ExitCode:
    in_time = await _progress(client, run_id, limit)
    snapshot = await client.get(run_id)
    if as_json:
        record(summary(snapshot))
    else:
        console().print(ending(snapshot))
    if in_time:
        return exit_code(snapshot.run.state)
    say(f"time is up; run {run_id} goes on: `prolight watch {run_id}`")
    return ExitCode.STOPPED


async def _progress(client: AsyncClient, run_id: str, limit: timedelta | None) -> bool:
    """Show the run's events on stderr until it ends or parks. Answers whether it did within `limit`."""
    terminal = console(stderr=True)
    seconds = limit.total_seconds() if limit is not None else None
    with detaching(run_goes_on(run_id)), terminal.status(run_id):
        try:
            async with asyncio.timeout(seconds), aclosing(follow(client, run_id)) as events:
                async for event in events:
                    terminal.print(event_line(event))
        except TimeoutError:
            return False
    return True
