"""`prolight presets`: what the shops ask of a picture, the brief that asks for it, and where it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from prolight.cli.output import ExitCode, Json, console, record

if TYPE_CHECKING:
    from prolight.presets import Preset
    from prolight.schemas import Requirements

WORDS = {
    "background": "ground exactly {}",
    "shadow": "shadow: {}",
    "min_fill_percent": "subject fills at least {:g} %",
    "max_fill_percent": "subject fills at most {:g} %",
    "min_margin_px": "at least {} px around the subject",
    "formats": "{}",
    "min_long_side_px": "long side at least {:,} px",
    "max_long_side_px": "long side at most {:,} px",
    "min_short_side_px": "short side at least {:,} px",
    "max_pixels": "at most {:,} pixels",
    "aspect": "{}",
    "max_bytes": "at most {:,} bytes",
}
"""For each of the `Requirements`, in their order."""


def presets(
    name: Annotated[str | None, typer.Argument(help="Show this one whole.")] = None, as_json: Json = False
) -> ExitCode:
    """What `--preset` takes: each shop's requirements, brief and sources."""
    from prolight.presets import names, preset

    shown = [preset(name)] if name else [preset(each) for each in names()]
    if as_json:
        for one in shown:
            record(one.model_dump(mode="json"))
    elif name:
        console().print(_page(shown[0]))
    else:
        console().print(_listing(shown))
    return ExitCode.OK


def in_words(asked: Requirements) -> str:
    """What is asked for, on one line."""
    return "; ".join(_told(asked)) or "nothing"


def _told(asked: Requirements) -> Iterator[str]:
    for field, words in WORDS.items():
        value: Any = getattr(asked, field)
        if field == "formats" and value:
            yield " or ".join(form.upper() for form in value)
        elif value not in (None, ()):
            yield words.format(value)


def _listing(shown: list[Preset]) -> Table:
    table = Table("PRESET", "FOR", "REQUIRED", box=None, pad_edge=False)
    for one in shown:
        table.add_row(Text(one.name, no_wrap=True), one.title, in_words(one.required))
    return table


def _page(one: Preset) -> Table:
    made = one.deliver
    fill = f", subject on {made.fill_percent:g} % of the frame" if made.fill_percent else ""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("preset", f"{one.name}: {one.title}")
    table.add_row("brief", one.brief)
    table.add_row("required", in_words(one.required))
    table.add_row("recommended", in_words(one.recommended))
    table.add_row("made", f"{made.width_px} x {made.height_px} px {made.format.upper()}{fill}")
    for source in one.sources:
        table.add_row("source", f"{source.url} ({source.kind}, read {source.read}): {source.says}")
    return table
