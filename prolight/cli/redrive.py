"""`prolight redrive`: go on with failed runs where they failed, one, many, or by filter, at a pace."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from prolight.cli.failed import MOST, SECONDS, Code, InStage, Since, Tool, Words, period
from prolight.cli.failures import Refused
from prolight.cli.output import ExitCode, Json, record, say, wait_for
from prolight.cli.rendering import summary
from prolight.errors import InvalidInput, ProLightError
from prolight.redrive import EVERY_FAILURE, Failures

if TYPE_CHECKING:
    from prolight.client import AsyncClient

Answer = TypeVar("Answer")


def redrive(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="The runs' ids; or use --all.")] = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Every failed run that has no child yet, within the filters.")
    ] = False,
    code: Code = None,
    stage: InStage = None,
    tool: Tool = None,
    since: Since = None,
    text: Words = "",
    pace: Annotated[str | None, typer.Option(metavar="N/s", help="At most so many: 5/s, 30/m, 100/h.")] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="USD", help="Of each child; by default as its parent's.")
    ] = None,
    as_json: Json = False,
) -> ExitCode:
    """Make a new run of each failed one: it goes on in the stage that failed, and buys nothing again that is done.

    Prints the ids of the new runs. Asked again, a run gives the same child. Ctrl-C stops after the run at hand.
    """
    wanted = Failures(code, stage, tool, period(since), text)
    if bool(runs) == every:
        raise InvalidInput("name runs, or say --all: one of the two", field="RUN")
    if runs and wanted != EVERY_FAILURE:
        raise InvalidInput("filters go with --all", field="RUN")
    return wait_for(_redrive(runs or [], wanted, rate(pace), dollars(budget), as_json=as_json))


def rate(given: str | None) -> float | None:
    """`5/s` as runs a second. Raises `InvalidInput`."""
    if given is None:
        return None
    found = re.fullmatch(r"(\d{1,6})(?:/([smh]))?", given.strip())
    if not found or not int(found[1]):
        raise InvalidInput(f"{given!r} is no pace: 5/s, 30/m or 100/h", field="--pace")
    return int(found[1]) / SECONDS[found[2] or "s"]


def dollars(given: str | None) -> Decimal | None:
    """Raises `InvalidInput`."""
    try:
        amount = None if given is None else Decimal(given)
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount is not None and not (amount.is_finite() and amount >= 0 and amount == round(amount, 6)):
        raise InvalidInput(f"{given!r} is no amount in dollars", field="--budget")
    return amount


async def _redrive(
    runs: Sequence[str], wanted: Failures, per_second: float | None, budget: Decimal | None, *, as_json: bool
) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        failed = [] if runs else await client.failed(wanted, limit=MOST)
        chosen = [*runs] or [one.run.run_id for one in reversed(failed) if not one.child]
        many = Redrive(client, chosen, budget, as_json=as_json)
        try:
            async for run_id in paced(chosen, per_second):
                await to_its_end(many.one(run_id))
        except asyncio.CancelledError:
            say(f"stopped: {many.done} of {len(chosen)} redriven; the same command goes on from there")
            raise
    if not chosen:
        say("no failed runs without a child")
    if len(failed) == MOST:
        say(f"these were the newest {MOST:,} failed runs: say it again for the rest")
    if many.refused:
        raise Refused(f"{many.refused} of {len(chosen)} were refused")
    return ExitCode.OK


class Redrive:
    """Many runs, one after the other, and how far it came."""

    def __init__(self, client: AsyncClient, chosen: Sequence[str], budget: Decimal | None, *, as_json: bool) -> None:
        self._client, self._chosen, self._budget, self._as_json = client, chosen, budget, as_json
        self.done = self.refused = 0

    async def one(self, run_id: str) -> None:
        total = len(self._chosen)
        try:
            child = await self._client.get(await self._client.redrive(run_id, budget_usd=self._budget))
        except ProLightError as error:
            if total == 1:
                raise
            self.refused += 1
            say(f"{run_id}: {error}")
            return
        self.done += 1
        if self._as_json:
            record(summary(child))
        else:
            typer.echo(child.run.run_id)
        say(f"{self.done + self.refused} of {total}: {run_id} goes on as {child.run.run_id}, {child.run.state}")


async def paced(
    items: Sequence[str],
    per_second: float | None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncIterator[str]:
    """The items, no faster than so many a second."""
    began = clock()
    for number, item in enumerate(items):
        if per_second and (early := began + number / per_second - clock()) > 0:
            await sleep(early)
        yield item


async def to_its_end(work: Coroutine[Any, Any, Answer]) -> Answer:
    """What began is finished, whoever wants it to stop; that is heard afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
