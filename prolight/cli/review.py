"""`prolight review`: calls that may have happened, or are not what was accepted, and a person's word about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from prolight.cli.failures import Refused
from prolight.cli.output import By, ExitCode, Json, console, record, say, wait_for
from prolight.cli.rendering import moment, one_line, summary
from prolight.cli.runs import tell
from prolight.errors import InvalidInput, ProLightError
from prolight.ledger import Said
from prolight.ports import Snapshot
from prolight.schemas import State

if TYPE_CHECKING:
    from prolight.client import AsyncClient

MOST = 1_000
app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Calls that a person has to look at, and what to do about them."
)

Runs = Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="The runs' ids; or use --all.")]
Every = Annotated[bool, typer.Option("--all", help="Every run that waits, within --tool.")]
Tool = Annotated[str | None, typer.Option(metavar="SERVER.TOOL", help="Only calls of this tool.")]
Reason = Annotated[str, typer.Option(help="Kept on the record.")]


@app.command("list")
def list_(tool: Tool = None, as_json: Json = False) -> ExitCode:
    """What waits, the money at risk, and until when."""
    return wait_for(_list(tool, as_json=as_json))


async def _list(tool: str | None, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        found = await waiting(client, tool)
    if as_json:
        for snapshot in found:
            record({**summary(snapshot), "review": snapshot.run.review and snapshot.run.review.model_dump(mode="json")})
    elif found:
        console().print(listing(found))
    else:
        say("nothing waits for a review")
    return ExitCode.OK


async def waiting(client: AsyncClient, tool: str | None) -> list[Snapshot]:
    """The runs in NEEDS_REVIEW, newest first."""
    parked = await client.list(limit=MOST, state=State.NEEDS_REVIEW)
    return [found for found in parked if found.run.review and tool in (None, found.run.review.call)]


def listing(found: Sequence[Snapshot]) -> Table:
    table = Table("RUN", "CALL", "STEP", "AT RISK", "UNTIL", "WHAT IS UNCLEAR", box=None, pad_edge=False)
    for snapshot in found:
        asked = snapshot.run.review
        assert asked
        risk = f"{asked.at_risk_usd} USD"
        unclear = Text(one_line(asked.message, 200))
        table.add_row(snapshot.run.run_id, asked.call, asked.step or "", risk, moment(asked.until), unclear)
    return table


@app.command()
def adopt(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    *,
    picture: Annotated[str | None, typer.Option(metavar="FILE|ASSET", help="The picture that the call made.")] = None,
    output: Annotated[str, typer.Option(metavar="JSON", help="What else it answered.")] = "{}",
    reason: Reason = "",
    by: By = None,
    as_json: Json = False,
) -> ExitCode:
    """It did happen: the run goes on with what the call made."""
    made = (Path(picture) if Path(picture).is_file() else picture) if picture else None
    return wait_for(_say([run], "adopt", reason, by, as_json=as_json, picture=made, output=_json(output)))


def _of_many(said: Said, line: str) -> None:
    """A command that says this of one run, several, or all that wait."""

    @app.command(said, help=line)
    def command(
        runs: Runs = None,
        *,
        every: Every = False,
        tool: Tool = None,
        reason: Reason = "",
        by: By = None,
        as_json: Json = False,
    ) -> ExitCode:
        return wait_for(_say(runs or [], said, reason, by, every=every, tool=tool, as_json=as_json))


_of_many("resend", "It did not happen, or a repeat is fine: send it again, once nothing of it can be under way.")
_of_many("allow", "Go on although the tool, or the code, is not what it was when the plan was accepted.")
_of_many("abandon", "Give the runs up: FAILED(abandoned).")


async def _say(
    runs: Sequence[str],
    said: Said,
    reason: str,
    by: str | None,
    *,
    every: bool = False,
    tool: str | None = None,
    as_json: bool,
    **made: Any,
) -> ExitCode:
    from prolight.client import AsyncClient

    if bool(runs) == every:
        raise InvalidInput("name runs, or say --all: one of the two", field="RUN")
    async with AsyncClient() as client:
        chosen = [found.run.run_id for found in await waiting(client, tool)] if every else runs
        refused = 0
        for run_id in chosen:
            try:
                snapshot = await client.review(run_id, said, reason=reason, by=by, **made)
            except ProLightError as error:
                if len(chosen) == 1:
                    raise
                refused += 1
                say(f"{run_id}: {error}")
                continue
            tell(snapshot, as_json=as_json)
    if every and not chosen:
        say("nothing waits for a review")
    if refused:
        raise Refused(f"{refused} of {len(chosen)} were refused")
    return ExitCode.OK


def _json(text: str) -> dict[str, Any]:
    try:
        output = json.loads(text)
    except ValueError:
        output = None
    if not isinstance(output, dict):
        raise InvalidInput("is not a JSON object", field="--output")
    return output
