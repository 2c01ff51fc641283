"""Where the time went: one row per stage and step, all on one clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prolight.report.markup import Markup, el
from prolight.schemas import RunContext, Turn
from prolight.spoken import duration

BAR_WIDTH, BAR_HEIGHT = 1000, 20
MIN_BAR = 3.0


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a row, in seconds of the store's clock."""

    kind: Literal["waiting", "working"]
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return max(self.end - self.start, 0.0)


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    spans: tuple[Span, ...]
    is_step: bool = False


def timeline(run: RunContext) -> Markup | None:
    """Bars and seconds; None for a run in which nothing happened yet."""
    rows = tuple(sorted(_rows(run), key=lambda row: row.spans[0].start))
    if not rows:
        return None
    start = min(span.start for row in rows for span in row.spans)
    end = max(span.end for row in rows for span in row.spans)
    return el("ol", (_row(row, start, max(end - start, 0.001)) for row in rows), class_="timeline")


def _rows(run: RunContext) -> Iterator[Row]:
    latest = run.finished_at or run.updated_at
    for turn in run.turns:
        yield Row(_turn_label(turn), tuple(_turn_spans(turn, latest)))
    if run.approval:
        asked = run.approval.asked_at
        answered = run.approval.decided_at or max(latest, asked)
        yield Row(f"a person, about the {run.approval.subject}", (Span("waiting", asked, answered),))
    for step in run.exec_result.steps if run.exec_result else ():
        end = step.finished_at if step.finished_at is not None else max(latest, step.started_at)
        yield Row(step.id, (Span("working", step.started_at, end),), is_step=True)


def _turn_label(turn: Turn) -> str:
    round_ = f", round {turn.round + 1}" if turn.round else ""
    attempts = f" ({turn.attempts} attempts)" if turn.attempts > 1 else ""
    return f"{turn.stage.value}{round_}{attempts}"


def _turn_spans(turn: Turn, latest: float) -> Iterator[Span]:
    if turn.started_at is None:
        yield Span("waiting", turn.queued_at, turn.finished_at or max(latest, turn.queued_at))
        return
    yield Span("waiting", turn.queued_at, turn.started_at)
    yield Span("working", turn.started_at, turn.finished_at or max(latest, turn.started_at))


def _row(row: Row, start: float, total: float) -> Markup:
    bars = (_bar(span, start, BAR_WIDTH / total) for span in row.spans)
    box = f"0 0 {BAR_WIDTH} {BAR_HEIGHT}"
    picture = el("svg", bars, viewBox=box, preserveAspectRatio="none", aria_hidden="true")
    said = ", ".join(
        f"{duration(span.seconds)} {span.kind}" for span in row.spans if span.kind == "working" or span.seconds
    )
    label = el("span", row.label, class_="label")
    return el("li", label, picture, el("span", said, class_="took"), class_="step" if row.is_step else "stage")


def _bar(span: Span, start: float, scale: float) -> Markup:
    width = min(max(span.seconds * scale, MIN_BAR), float(BAR_WIDTH)) if span.seconds else 0.0
    x = min((span.start - start) * scale, BAR_WIDTH - width)
    height = BAR_HEIGHT if span.kind == "working" else BAR_HEIGHT / 4
    return el("rect", x=x, y=(BAR_HEIGHT - height) / 2, width=width, height=height, class_=span.kind)
