"""`prolight assets`: pictures kept under a name of the caller's. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from prolight.cli.output import ExitCode, Json, console, record, say, wait_for
from prolight.cli.rendering import picture
from prolight.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Pictures kept under a name: add, list.")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A JPEG, PNG or WebP.")],
    alias: Annotated[str | None, typer.Option("--id", metavar="ALIAS", help="Your name for it.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Move the name from another picture.")] = False,
    as_json: Json = False,
) -> ExitCode:
    """Keep a picture, and give it a name; prints the id that runs refer to it by."""
    return wait_for(_add(file, alias, replace=replace, as_json=as_json))


async def _add(file: Path, alias: str | None, *, replace: bool, as_json: bool) -> ExitCode:
    from prolight import assets
    from prolight.bootstrap import connect_artifacts

    settings = Settings.load()
    store, limits = connect_artifacts(settings), settings.picture_limits
    kept = await assets.take_in(store, assets.read(file, limits), limits)
    if alias:
        await assets.name(store, alias, kept.id, replace=replace)
    if as_json:
        record({"asset_id": alias or kept.id, **kept.model_dump(mode="json")})
    else:
        console().print(alias or kept.id)
        say(f"{picture(kept)}, {kept.id}")
    return ExitCode.OK


@app.command("list")
def list_(as_json: Json = False) -> ExitCode:
    """The names, and the pictures that they stand for."""
    return wait_for(_list(as_json=as_json))


async def _list(*, as_json: bool) -> ExitCode:
    from prolight.bootstrap import connect_artifacts

    store = connect_artifacts(Settings.load())
    aliases = await store.aliases()
    table = Table("NAME", "PICTURE", "ID", box=None, pad_edge=False)
    for alias, artifact_id in aliases.items():
        kept = await store.find(artifact_id)
        if as_json:
            record({"asset_id": alias, "id": artifact_id, "artifact": kept and kept.model_dump(mode="json")})
        table.add_row(alias, picture(kept) if kept else "gone", artifact_id)
    if not as_json and aliases:
        console().print(table)
    elif not as_json:
        say("no names: `prolight assets add FILE --id NAME` makes one")
    return ExitCode.OK
