"""The command line. `COMMANDS` is the table; a command's module is imported when it is called.

So `prolight --help` and a mistyped command cost typer and rich, never celery, mcp or OpenCV.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from prolight.cli.failures import exit_code, message
from prolight.cli.output import ExitCode, complain
from prolight.errors import ProLightError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("prolight.cli.demo:demo", "See it work: one picture, relit, on this machine alone. Needs nothing else."),
    "up": ("prolight.cli.up:up", "Start everything here: store, tools, worker, Flower. Ctrl-C stops it."),
    "submit": ("prolight.cli.submit:submit", "Hand in a picture and a brief; prints the run's id."),
    "batch": ("prolight.cli.batch:batch", "Make the same of many pictures: a folder, a CSV or JSON lines."),
    "batches": ("prolight.cli.batch:app", "Batches: list, show, watch, approve, decline, cancel."),
    "presets": (
        "prolight.cli.presets:presets",
        "What `--preset` takes: what shops ask of a picture.",
    ),
    "watch": ("prolight.cli.watch:watch", "Follow a run's events, live."),
    "list": ("prolight.cli.runs:list_", "The newest runs."),
    "show": ("prolight.cli.runs:show", "One run, whole: plan, verdict, steps, timeline, cost."),
    "why": ("prolight.cli.why:why", "Why a run does not move, and when somebody looks at it next."),
    "approve": ("prolight.cli.approval:approve", "Let the plan of a run that waits for a person be carried out."),
    "reject": ("prolight.cli.approval:reject", "Say no to a run that waits for a person."),
    "review": ("prolight.cli.review:app", "Calls that a person has to look at: list, adopt, resend, allow, abandon."),
    "failed": ("prolight.cli.failed:failed", "Failed runs: why, where, what they cost; filters and counts."),
    "redrive": ("prolight.cli.redrive:redrive", "Go on with failed runs where they failed: one, many, or by filter."),
    "cancel": ("prolight.cli.runs:cancel", "Stop a run."),
    "artifacts": ("prolight.cli.artifacts:artifacts", "Save a run's finished pictures."),
    "assets": ("prolight.cli.assets:app", "Pictures kept under a name: add, list."),
    "mask": ("prolight.cli.mask:mask", "What the studio takes for the subject of a picture, as a file."),
    "tools": ("prolight.cli.tools:tools", "The tools that plans may use, and the servers that do not answer."),
    "workers": ("prolight.cli.workers:app", "The fleet: list, pause, resume."),
    "worker": ("prolight.cli.worker:worker", "Run a Celery worker for some stages or all."),
    "audit": (
        "prolight.cli.audit:audit",
        "Is the store in order: nothing left over, missing or lost?",
    ),
    "restore": ("prolight.cli.restore:restore", "After the store was restored from a backup, before workers start."),
    "doctor": ("prolight.cli.doctor:doctor", "What works here, what does not, and how to mend it."),
    "bench": ("prolight.cli.bench:bench", "Measure this installation."),
}
"""Name → module and function, and one line for `prolight --help`."""

EXIT_CODES = (
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 cancelled or timed out, 4 authentication, 5 the run failed, "
    "6 it waits for a person, 130 Ctrl-C, which stops no run."
)
HELP_STYLE: Literal["rich"] | None = "rich" if sys.stdout.isatty() else None
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class LazyGroup(TyperGroup):
    """Knows every command's name and line; imports the one that is called."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, (_, line) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=line))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and load(str(name)), rest


def load(name: str) -> Any:
    """The command, with its options, from its module; a group of commands is an app of its own."""
    place, line = COMMANDS[name]
    module, _, attribute = place.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_command(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, rich_markup_mode=HELP_STYLE, context_settings=HELP_OPTIONS)
    alone.command(name, short_help=line)(found)
    return typer.main.get_command(alone)


app = typer.Typer(cls=LazyGroup, rich_markup_mode=HELP_STYLE, context_settings=HELP_OPTIONS)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"prolight {version('prolight')}")
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def prolight(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A picture and a brief in, a relit picture out: durable runs of plan, critique and execution."""


def run(arguments: Sequence[str]) -> int:
    """One command line, carried out. Answers the exit code; no `ProLightError` leaves it."""
    as_json = "--json" in arguments
    try:
        answer = typer.main.get_command(app).main(
            list(arguments) or ["--help"], prog_name="prolight", standalone_mode=False
        )
    except TyperException as error:
        return _misused(error, as_json=as_json)
    except typer.Abort:
        return ExitCode.DETACHED
    except ProLightError as error:
        complain(error.code, message(error), as_json=as_json)
        return exit_code(error)
    except OSError as error:  # a folder that cannot be written, a full disk: the user's to mend, not a defect
        complain("os_error", f"{error.filename or 'the system'}: {error.strerror or error}", as_json=as_json)
        return ExitCode.FAILED
    return int(answer or ExitCode.OK)


def _misused(error: TyperException, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "prolight"
    complain("usage", f"{error.format_message()} Try `{command} --help`.", as_json=as_json)
    return ExitCode.USAGE


def main() -> None:
    """The `prolight` program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


__all__ = ["COMMANDS", "app", "main", "run"]
