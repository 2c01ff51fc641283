"""`prolight tools`: what each tool server offers, and what we say of it. Needs no store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from prolight.cli.failures import STUDIO_FIX
from prolight.cli.output import ExitCode, Json, console, record, say, wait_for
from prolight.cli.rendering import one_line
from prolight.errors import CallError
from prolight.ports import Tool
from prolight.settings import Settings
from prolight.spoken import duration

if TYPE_CHECKING:
    from prolight.adapters.registry import Registry, Server

PIN_DIGITS = 12
DESCRIPTION_CHARS = 80


@dataclass(frozen=True, slots=True)
class Row:
    """A tool that is offered, listed, or both. Without a pin the server does not have it."""

    server: str
    tool: str
    effect: str
    price_usd: str
    timeout_seconds: float
    pin: str
    description: str
    listed: bool

    def record(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in self.__slots__},
            "pin": self.pin[:PIN_DIGITS] or None,
            "missing": not self.pin,
        }

    def cells(self) -> tuple[Text, ...]:
        effect = self.effect if self.listed else f"{self.effect} (unlisted)"
        return (
            Text(self.server),
            Text(one_line(self.tool)),
            Text(effect, "" if self.listed else "yellow"),
            Text(f"{self.price_usd} USD"),
            Text(duration(self.timeout_seconds)),
            Text(self.pin[:PIN_DIGITS]) if self.pin else Text("missing", "red"),
            Text(one_line(self.description, DESCRIPTION_CHARS)),
        )


def tools(as_json: Json = False) -> ExitCode:
    """The tools that plans may use. Exit 0 when every tool server answered."""
    return wait_for(_tools(Settings.load(), as_json=as_json))


async def _tools(settings: Settings, *, as_json: bool) -> ExitCode:
    from prolight.adapters.tool_servers import ToolServers
    from prolight.bootstrap import tool_servers

    if settings.tools != "studio":
        say(f"PROLIGHT_TOOLS={settings.tools}: one tool that does nothing, inside the worker; no server is asked")
        return ExitCode.OK
    declared = tool_servers(settings)
    gateway = ToolServers(declared)
    try:
        found = await gateway.survey()
    finally:
        await gateway.close()
    away = {name: answer for name, answer in found.items() if isinstance(answer, CallError)}
    rows = [
        row
        for name, answer in found.items()
        if not isinstance(answer, CallError)
        for row in rows_of(name, declared[name].tools, answer)
    ]
    _print(rows, as_json=as_json)
    for name, error in away.items():
        _complain(declared[name], name, error, settings, as_json=as_json)
    return ExitCode.FAILED if away else ExitCode.OK


def rows_of(server: str, registry: Registry, offered: Mapping[str, Tool]) -> Iterator[Row]:
    """What the server offers, then what only our registry lists."""
    for name, tool in offered.items():
        bare = name.partition(".")[2]
        price, seconds = f"{tool.price_usd:f}", tool.timeout.total_seconds()
        yield Row(server, bare, tool.effect, price, seconds, tool.pin, tool.description, bare in registry)
    for bare, said in registry.items():
        if f"{server}.{bare}" not in offered:
            price, seconds = f"{said.price_usd:f}", said.timeout.total_seconds()
            yield Row(server, bare, said.effect, price, seconds, "", said.description, listed=True)


def _print(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            record(row.record())
        return
    table = Table("SERVER", "TOOL", "EFFECT", "PRICE", "TIME-OUT", "PIN", "DESCRIPTION", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.cells())
    if rows:
        console().print(table)


def _complain(server: Server, name: str, error: CallError, settings: Settings, *, as_json: bool) -> None:
    from prolight.adapters.registry import STUDIO

    fix = STUDIO_FIX if name == STUDIO else f"start it, or correct servers.{name}.url in {settings.tools_file}"
    if as_json:
        told = {"code": error.code, "message": str(error), "fix": fix}
        record({"server": name, "url": server.url, "error": told})
    say(Text.assemble(("✗ ", "red"), (f"{name} ", "bold"), one_line(str(error)), f"\n    fix: {fix}"))
