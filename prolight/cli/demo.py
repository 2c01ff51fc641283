"""`prolight demo`: one picture, relit, with every real part started here and stopped again."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prolight.cli.artifacts import SUFFIXES, write
from prolight.cli.failures import Refused
from prolight.cli.output import ExitCode, Json, console, record, say, wait_for
from prolight.cli.rendering import ending, event_line, outputs
from prolight.cli.takeover import Takeover, repeated
from prolight.cli.watch import exit_code, follow
from prolight.ports import Snapshot
from prolight.schemas import Turn
from prolight.settings import Settings

if TYPE_CHECKING:
    from prolight.client import AsyncClient
    from prolight.embedded import Stack
    from prolight.events import Event

BUNDLED_PICTURE = Path(__file__).parent / "demo_picture" / "helmet.jpg"
BUNDLED_BRIEF = "soft warm key from the left, cool rim from behind, white background"
DEFAULT_FOLDER = Path("prolight-demo")
RUN_LIMIT = timedelta(minutes=3)
"""A demo that takes longer has failed, and says so."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo's run came to."""

    snapshot: Snapshot
    events: list[Event]
    pictures: dict[str, bytes]
    takeover_seconds: float | None = None
    repeated: int | None = None


def demo(
    *,
    brief: Annotated[str, typer.Option(help="What to make of the picture.")] = BUNDLED_BRIEF,
    picture: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, readable=True, show_default=False, help="Your own picture.")
    ] = BUNDLED_PICTURE,
    folder: Annotated[Path, typer.Option("-o", "--output", file_okay=False, metavar="DIR")] = DEFAULT_FOLDER,
    kill: Annotated[bool, typer.Option("--kill", help="Kill the worker in the middle, and see it survived.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep store, pictures and logs in DIR/home.")] = False,
    as_json: Json = False,
) -> ExitCode:
    """See it work: one picture, relit, on this machine alone. Starts what it needs and stops it again."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="prolight-demo-") as home:
        try:
            shown = wait_for(_perform(Path(home), picture.read_bytes(), brief, kill=kill))
        finally:
            if keep:
                shutil.copytree(home, folder / "home", dirs_exist_ok=True)
    told = summary(shown, save(shown, folder), time.monotonic() - began)
    if as_json:
        record(told)
    else:
        _tell(shown, told)
    return exit_code(shown.snapshot.run.state)


def _tell(shown: Shown, told: Mapping[str, Any]) -> None:
    console().print(ending(shown.snapshot))
    console().print("\n".join([told["before"], *told["outputs"], told["report"]]))
    if shown.repeated is not None:
        took = f"{told['takeover_seconds']} s" if told["takeover_seconds"] is not None else "never"
        say(f"killed and taken over: {took}; finished calls that were sent again: {shown.repeated}")
    say(f"{told['seconds']} s in all; everything that was started has stopped. Next: `prolight up`")


async def _perform(home: Path, content: bytes, brief: str, *, kill: bool) -> Shown:
    """Start the parts, carry the run out, collect what it left, stop the parts."""
    async with started(home, workers=2 if kill else 1) as (stack, client):
        pids = frozenset(worker.pid for worker in stack.workers)
        takeover = Takeover(client, pids) if kill else None
        run_id = await client.submit(content, brief)
        events = await witness(client, run_id, takeover)
        snapshot = await client.get(run_id)
        return Shown(
            snapshot,
            events,
            await _pictures(client, snapshot),
            takeover_seconds=takeover.seconds if takeover else None,
            repeated=repeated(await _calls(client.settings), takeover.finished) if takeover else None,
        )


@asynccontextmanager
async def started(home: Path, *, workers: int) -> AsyncIterator[tuple[Stack, AsyncClient]]:
    """Everything that a run needs, in `home`, whatever the environment says of other servers."""
    from prolight.client import AsyncClient
    from prolight.embedded import Stack

    settings = Settings.load(
        home=home, artifacts=home / "artifacts", redis_url="", studio_url="", model="offline", tools="studio"
    )
    say("starting store, tools and worker …")
    async with Stack(settings, workers=workers, flower=False) as stack, AsyncClient(settings=stack.settings) as client:
        yield stack, client


async def witness(client: AsyncClient, run_id: str, takeover: Takeover | None) -> list[Event]:
    """Show every event as it comes, and answer them all. Raises `Refused` after `RUN_LIMIT`."""
    terminal, events = console(stderr=True), []
    with terminal.status(f"run {run_id}"):
        try:
            async with asyncio.timeout(RUN_LIMIT.total_seconds()), aclosing(follow(client, run_id)) as coming:
                async for event in coming:
                    terminal.print(event_line(event))
                    events.append(event)
                    if takeover:
                        await takeover.saw(event)
        except TimeoutError:
            raise Refused(f"the run did not end within {RUN_LIMIT}: `prolight demo --keep` keeps the logs") from None
    return events


async def _pictures(client: AsyncClient, snapshot: Snapshot) -> dict[str, bytes]:
    """The input, what the steps made, and the outputs, by artifact id."""
    result = snapshot.run.exec_result
    made = [step.artifact.id for step in result.steps if step.artifact] if result else []
    wanted = {snapshot.run.picture, *made, *(output.id for output in outputs(snapshot))}
    return {artifact_id: await client.download(artifact_id) for artifact_id in sorted(wanted)}


async def _calls(settings: Settings) -> list[dict[str, Any]]:
    """The tool server's own log of calls."""
    import httpx

    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(httpx.URL(settings.tool_server_url).copy_with(path="/calls"))
        answer.raise_for_status()
        return list(answer.json())


def save(shown: Shown, folder: Path) -> dict[str, Path]:
    """Write before, after and report; answers what is where."""
    from prolight.pictures import measure
    from prolight.report import render_report

    run = shown.snapshot.run
    taken = shown.pictures[run.picture]
    files = {"before": folder / f"before.{SUFFIXES[measure(taken).media_type]}", "report": folder / "report.html"}
    for number, output in enumerate(outputs(shown.snapshot), 1):
        name = "after" if number == 1 else f"after-{number}"
        files[name] = folder / f"{name}.{SUFFIXES.get(output.media_type, 'bin')}"
        write(files[name], shown.pictures[output.id])
    write(files["before"], taken)
    report = render_report(run, [event.model_dump(mode="json") for event in shown.events], shown.pictures)
    write(files["report"], report.encode())
    return files


def stages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """What each stage took, from its claim to its commit."""
    return [
        {
            "stage": turn.stage,
            "round": turn.round,
            "seconds": round(turn.finished_at - turn.started_at, 3) if turn.finished_at and turn.started_at else None,
            "attempts": turn.attempts,
            "model": turn.model,
        }
        for turn in turns
    ]


def summary(shown: Shown, files: Mapping[str, Path], seconds: float) -> dict[str, Any]:
    """The demo's one record."""
    run = shown.snapshot.run
    told = {
        "run_id": run.run_id,
        "state": run.state,
        "seconds": round(seconds, 2),
        "stages": stages(run.turns),
        "before": str(files["before"]),
        "outputs": [str(path) for name, path in files.items() if name.startswith("after")],
        "report": str(files["report"]),
        "events": len(shown.events),
    }
    if shown.repeated is not None:
        took = shown.takeover_seconds
        told |= {"takeover_seconds": round(took, 2) if took is not None else None, "repeated": shown.repeated}
    return told
