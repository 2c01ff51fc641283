"""`prolight why`: one sentence about a run that does not move."""

from __future__ import annotations

from typing import Annotated

import typer

from prolight.cli.output import ExitCode, Json, console, record, wait_for
from prolight.cli.rendering import moment, printable


def why(run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")], as_json: Json = False) -> ExitCode:
    """Why a run does not move, in one sentence, and when somebody looks at it next."""
    return wait_for(_why(run, as_json=as_json))


async def _why(run_id: str, *, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        answer = await client.why(run_id)
        now = client.store.now()
    at = answer.next_look_at
    if as_json:
        seconds = None if at is None else round(max(0.0, at - now), 3)
        looks = {"next_look_at": at, "next_look_in_seconds": seconds}
        record({"run_id": run_id, "reason": answer.reason, "sentence": answer.sentence, **looks})
    else:
        console().print(printable(answer.sentence) + (f" Next look: {moment(at)}." if at else ""))
    return ExitCode.OK
