"""`prolight artifacts`: a run's finished pictures, as files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prolight.cli.failures import Refused
from prolight.cli.output import ExitCode, Json, console, record, wait_for
from prolight.cli.rendering import picture
from prolight.errors import NothingFinished
from prolight.ports import Snapshot
from prolight.schemas import Artifact, State

if TYPE_CHECKING:
    from prolight.client import AsyncClient

SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/tiff": "tif"}


def artifacts(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    folder: Annotated[Path, typer.Option("-o", "--output", file_okay=False, metavar="DIR", help="Where to.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    unapproved: Annotated[
        bool, typer.Option("--unapproved", help="Also those that wait for a person's approval.")
    ] = False,
    as_json: Json = False,
) -> ExitCode:
    """Save a run's finished pictures as RUN-1.jpg, RUN-2.png …"""
    return wait_for(_artifacts(run, folder, force=force, unapproved=unapproved, as_json=as_json))


async def _artifacts(run_id: str, folder: Path, *, force: bool, unapproved: bool, as_json: bool) -> ExitCode:
    from prolight.client import AsyncClient

    async with AsyncClient() as client:
        snapshot = await client.get(run_id)
        paths = await save(client, snapshot, folder, force=force, unapproved=unapproved)
    if as_json:
        record({"run_id": run_id, "state": snapshot.run.state, "paths": [str(path) for path in paths]})
    else:
        console().print("\n".join(str(path) for path in paths))
    return ExitCode.OK


async def save(
    client: AsyncClient, snapshot: Snapshot, folder: Path, *, force: bool, unapproved: bool = False
) -> list[Path]:
    """Write the run's pictures into `folder`, all checked before the first. Raises `Refused`."""
    try:
        finished = await client.artifacts(snapshot.run.run_id, unapproved=unapproved)
    except NothingFinished:
        raise Refused(_nothing_finished(snapshot)) from None
    paths = [folder / name for name in names(snapshot.run.run_id, finished)]
    if not force:
        refuse_to_overwrite(paths)
    for path, output in zip(paths, finished, strict=True):
        write(path, await client.download(output))
    return paths


def refuse_to_overwrite(paths: Iterable[Path]) -> None:
    for path in paths:
        if os.path.lexists(path):  # a dangling link counts
            raise Refused(f"{path} is there already: take another name, or --force to overwrite")


def names(run_id: str, finished: tuple[Artifact, ...]) -> list[str]:
    """File names from the run's id and each picture's type alone: no text from outside names a file."""
    return [f"{run_id}-{number}.{SUFFIXES.get(output.media_type, 'bin')}" for number, output in enumerate(finished, 1)]


def write(path: Path, content: bytes) -> None:
    """The whole file or none, and never through a link that stands at its place. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".prolight-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _nothing_finished(snapshot: Snapshot) -> str:
    run = snapshot.run
    if run.state is State.AWAITING_APPROVAL and run.approval and run.approval.subject == "result":
        return (
            f"nobody has approved the pictures of run {run.run_id} yet: look at them with --unapproved,"
            f" then `prolight approve {run.run_id}`"
        )
    steps = run.exec_result.steps if run.exec_result else ()
    made = [f"{step.id} ({picture(step.artifact)})" for step in steps if step.artifact]
    so_far = f"its steps made {', '.join(made)}, which are kept" if made else "its steps made none"
    return f"run {run.run_id} is {run.state} and has no finished pictures: {so_far}; `prolight show {run.run_id}`"
