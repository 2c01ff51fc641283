"""How events and runs read: one line for people, one record for programs. Pure.

Briefs, findings and tool messages come from outside: `printable` takes the terminal's control
characters out of them, and nothing here is read as markup.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import singledispatch
from typing import Any

from rich.text import Text

from prolight.events import (
    Blocked,
    Cost,
    Event,
    Failure,
    Judged,
    Note,
    Payload,
    PlanMade,
    Progress,
    Result,
    Status,
    StepMoved,
    Warned,
)
from prolight.ports import Snapshot
from prolight.schemas import Artifact, Finding, State
from prolight.spoken import duration

STATE_STYLES = {
    State.COMPLETED: "green",
    State.FAILED: "red",
    State.REJECTED: "red",
    State.CANCELLED: "yellow",
    State.CANCELLING: "yellow",
    State.AWAITING_APPROVAL: "magenta",
    State.NEEDS_REVIEW: "magenta",
}
LIVE_STYLE = "cyan"
EVENT_STYLES = {"error": "bold red", "warning": "yellow", "blocked": "magenta", "result": "bold green"}


def printable(text: str) -> str:
    """`text` without anything that a terminal would act on: such characters show as escapes."""
    return "".join(char if char.isprintable() or char == "\n" else _shown(char) for char in text)


def _shown(char: str) -> str:
    return " " if char.isspace() else char.encode("unicode_escape", "backslashreplace").decode()


def one_line(text: str, limit: int = 200) -> str:
    """`text` on one line of at most `limit` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def size(size_bytes: int) -> str:
    return f"{size_bytes / 1024:.0f} KB" if size_bytes < 1024 * 1024 else f"{size_bytes / 1024 / 1024:.1f} MB"


def picture(artifact: Artifact) -> str:
    kind = artifact.media_type.removeprefix("image/").upper()
    return f"{kind} {artifact.width} × {artifact.height}, {size(artifact.size_bytes)}"


def clock(at: float) -> str:
    """The time of day here, with tenths."""
    moment = datetime.fromtimestamp(at, UTC).astimezone()
    return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"


def moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def state_text(state: State) -> Text:
    return Text(state.value, STATE_STYLES.get(state, LIVE_STYLE))


def event_line(event: Event) -> Text:
    """One event as one line: number, time, type, words."""
    words = _words(event.payload)
    if isinstance(words, str):
        words = Text(one_line(words))
    head = (
        (f"{event.seq:>4} ", "dim"),
        (f"{clock(event.at)}  ", "dim"),
        (f"{event.type:<9}", EVENT_STYLES.get(event.type, "bold")),
    )
    return Text.assemble(*head, words)


@singledispatch
def _words(payload: Payload) -> str | Text:
    return payload.model_dump_json(exclude_none=True)


@_words.register
def _(payload: Status) -> Text:
    reason = f" ({one_line(payload.reason)})" if payload.reason else ""
    return Text.assemble(state_text(payload.state), reason)


@_words.register
def _(payload: PlanMade) -> str:
    steps = " → ".join(step.id for step in payload.plan.steps) or "no steps"
    return f"{steps} (round {payload.round}, {payload.model}) {payload.plan.summary}"


@_words.register
def _(payload: Judged) -> str:
    findings = "; ".join(finding.message for finding in payload.critique.findings)
    against = f": {findings}" if findings else ""
    return f"{payload.critique.verdict}{against} (round {payload.round}, {payload.model})"


@_words.register
def _(payload: Blocked) -> str:
    return f"waits for a person ({payload.subject}): {'; '.join(payload.reasons)}"


@_words.register
def _(payload: Progress) -> str:
    return f"{payload.stage}{_optional(payload.step)}{_percent(payload.fraction)} {payload.message}"


@_words.register
def _(payload: StepMoved) -> str:
    took = f" in {duration(payload.seconds)}" if payload.seconds is not None else ""
    made = f": {picture(payload.artifact)}" if payload.artifact else ""
    said = f": {payload.message}" if payload.message else ""
    return f"{payload.step} ({payload.tool}) {payload.status}{took}{made}{said}"


@_words.register
def _(payload: Result) -> str:
    return "; ".join(picture(output) for output in payload.outputs) or "no pictures"


@_words.register
def _(payload: Warned) -> str:
    return f"{payload.code}: {payload.message}"


@_words.register
def _(payload: Failure) -> str:
    return f"{payload.error.code}: {payload.error.message}"


@_words.register
def _(payload: Cost) -> str:
    return f"{payload.spent_usd} USD spent, {payload.reserved_usd} reserved, of {payload.budget_usd}"


@_words.register
def _(payload: Note) -> str:
    return payload.message


def _optional(word: str | None) -> str:
    return f" {word}" if word else ""


def _percent(fraction: float | None) -> str:
    return f" {fraction:.0%}" if fraction is not None else ""


def finding_text(finding: Finding) -> Text:
    mark, style = ("✗", "red") if finding.severity == "blocking" else ("·", "yellow")
    fix = f" → {one_line(finding.fix, 400)}" if finding.fix else ""
    return Text(f"{mark} {one_line(finding.message, 600)}{fix}", style)


def summary(snapshot: Snapshot) -> dict[str, Any]:
    """A run as one short record, the same in every command."""
    run = snapshot.run
    return {
        "run_id": run.run_id,
        "state": run.state,
        "activity": snapshot.activity,
        "ver": snapshot.ver,
        "brief": run.brief,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "planned_by": run.lock.model_version if run.lock else None,
        "spent_usd": str(run.spent_usd),
        "outputs": [output.model_dump(mode="json") for output in outputs(snapshot)],
        "unapproved": [output.model_dump(mode="json") for output in unapproved(snapshot)],
        "recipe": run.recipe.run_id if run.recipe else None,
        "preset": run.preset.name if run.preset else None,
        "checks": [check.model_dump(mode="json") for check in run.checks],
        "parent": run.parent,
        "child": snapshot.child or None,
        "waits_for": list(run.approval.reasons) if run.approval and not run.approval.decision else [],
        "error": run.error.model_dump(mode="json") if run.error else None,
    }


def outputs(snapshot: Snapshot) -> tuple[Artifact, ...]:
    """The finished pictures."""
    return snapshot.run.outputs if snapshot.run.state is State.COMPLETED else ()


def unapproved(snapshot: Snapshot) -> tuple[Artifact, ...]:
    """Pictures that are finished, but for a person's word, or against it."""
    return () if snapshot.run.state is State.COMPLETED else snapshot.run.outputs


def ending(snapshot: Snapshot) -> Text:
    """How a run stands, in one line for people."""
    run = snapshot.run
    took = f" after {duration((run.finished_at or run.updated_at) - run.created_at)}" if run.created_at else ""
    return Text.assemble(f"{run.run_id}  ", state_text(run.state), f"{took}{_because(snapshot)}")


def _because(snapshot: Snapshot) -> str:
    run = snapshot.run
    if run.error:
        return f": {run.error.code}: {one_line(run.error.message, 600)}"
    if run.state is State.AWAITING_APPROVAL and run.approval:
        return f": {one_line('; '.join(run.approval.reasons), 600)}"
    pictures = "; ".join([*(picture(output) for output in outputs(snapshot)), *map(one_line, run.missed)])
    return f": {pictures}" if pictures else ""
