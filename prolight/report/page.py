"""The page: one file, no request to anywhere, every text escaped, no script or style but our own two."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from prolight.errors import PictureRefused
from prolight.pictures import Header, measure
from prolight.report.diagram import plan_view, side_view
from prolight.report.markup import Markup, el
from prolight.report.plan import plan_section
from prolight.report.timeline import timeline
from prolight.report.words import Light, dollars, lights
from prolight.schemas import Check, RunContext, State
from prolight.spoken import duration

LONG_BRIEF_CHARS = 160
SAME_SHAPE = 0.02
"""Pictures whose aspect ratios differ by more are shown side by side: a slider would lie."""

_STATE_WORDS = {
    State.PLANNING: "Planning",
    State.CRITIQUING: "Under review by the critic",
    State.AWAITING_APPROVAL: "Waiting for a person's approval",
    State.EXECUTING: "At work",
    State.NEEDS_REVIEW: "Needs a person's decision",
    State.CANCELLING: "Stopping",
    State.COMPLETED: "Finished",
    State.FAILED: "Failed",
    State.REJECTED: "Rejected",
    State.CANCELLED: "Cancelled",
}
_STATE_TONES = {State.COMPLETED: "good", State.FAILED: "bad", State.REJECTED: "bad", State.CANCELLED: "bad"}


def render_report(run: RunContext, events: Sequence[Mapping[str, Any]], pictures: Mapping[str, bytes]) -> str:
    """One run as a self-contained HTML file.

    `pictures` maps artifact ids to bytes (JPEG, PNG or WebP): the input, the outputs, and whatever else
    the steps made. What is absent, or is no picture, is said on the page.
    """
    style, script = _own("style.css"), _own("slider.js")
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"ProLight: {run.brief[:80] or run.run_id}"),
        el("style", style),
    )
    body = el("body", _header(run), el("main", _sections(run, events, pictures)), el("script", script))
    return "<!doctype html>\n" + el("html", head, body, lang="en") + "\n"


def _own(name: str) -> Markup:
    return Markup((files("prolight.report") / name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    """Pictures from data: only, and exactly our own style and script (CSP Level 3 hashes)."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)
    )
    sources = f"img-src data:; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'"
    return f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"


def _sections(
    run: RunContext, events: Sequence[Mapping[str, Any]], pictures: Mapping[str, bytes]
) -> Iterator[Markup | None]:
    yield _trouble(run)
    yield from (_missed(sentence) for sentence in run.missed)
    yield _photographs(run, pictures)
    yield _light(run)
    yield plan_section(run, {name: tag for name in pictures if (tag := _thumbnail(run, name, pictures))})
    if bars := timeline(run):
        legend = el(
            "p",
            el("span", "waiting", class_="key waiting"),
            el("span", "working", class_="key working"),
            class_="legend",
        )
        yield _section("time", "Time", legend, bars)
    yield _section("record", "Record", _record(run), _events(events))


def _section(name: str, title: str, *children: Markup | None) -> Markup:
    return el("section", el("h2", title, id=f"{name}-title"), children, aria_labelledby=f"{name}-title", class_=name)


def _header(run: RunContext) -> Markup:
    state = el("span", _STATE_WORDS[run.state], class_=f"state {_STATE_TONES.get(run.state, 'open')}")
    masthead = el("p", el("b", "ProLight"), state, class_="masthead")
    brief = el(
        "h1",
        run.brief or "Run without a brief",
        dir="auto",
        class_="long" if len(run.brief) > LONG_BRIEF_CHARS else None,
    )
    summary = el("p", run.plan.summary, dir="auto", class_="summary") if run.plan and run.plan.summary else None
    return el("header", masthead, brief, summary, el("p", " · ".join(_facts(run)), class_="facts"))


def _facts(run: RunContext) -> Iterator[str]:
    if run.finished_at is not None and run.finished_at >= run.created_at:
        yield duration(run.finished_at - run.created_at)
    yield f"{dollars(run.spent_usd)} of {dollars(run.budget_usd)} budget" if run.spent_usd else "no cost"
    if run.lock:
        yield f"planned by {run.lock.model_version}"
    if run.round:
        yield f"sent back {run.round} time{'s' * (run.round > 1)} by the critic"


def _trouble(run: RunContext) -> Markup | None:
    """Why the run is not simply finished."""
    if run.error:
        where = [name for name in (run.error.stage, run.error.step) if name]
        place = f" ({', '.join(where)})" if where else ""
        return el("p", el("b", f"{run.error.code}{place}: "), run.error.message, class_="trouble bad", role="note")
    if run.approval and run.approval.decision != "approved":
        asked = f"A person is asked to approve the {run.approval.subject}"
        word = f"The {run.approval.subject} was not approved" if run.approval.decision else asked
        return el("p", el("b", f"{word}: "), "; ".join(run.approval.reasons), class_="trouble open", role="note")
    return None


def _missed(sentence: str) -> Markup:
    return el("p", el("b", "Not as the preset asks: "), sentence, class_="trouble open", role="note")


def _photographs(run: RunContext, pictures: Mapping[str, bytes]) -> Markup:
    outputs = [output.id for output in run.outputs]
    if not outputs:
        return el("div", _figure(run.picture, "The picture as it came in", pictures), class_="photographs")
    first = _before_and_after(run.picture, outputs[0], pictures)
    others = [_figure(name, f"Result {number}", pictures) for number, name in enumerate(outputs[1:], 2)]
    return el("div", first, el("div", others, class_="others") if others else None, class_="photographs")


def _before_and_after(before: str, after: str, pictures: Mapping[str, bytes]) -> Markup:
    sizes = _size(before, pictures), _size(after, pictures)
    if not _same_shape(*sizes):
        pair = _figure(before, "Before", pictures), _figure(after, "After", pictures)
        return el("div", pair, class_="pair")
    slider = el(
        "input",
        type="range",
        min="0",
        max="100",
        value="50",
        step="1",
        aria_label="How much of the picture shows before",
    )
    stage = el(
        "div",
        _image(after, "After", pictures),
        _image(before, "Before", pictures),
        slider,
        el("span", class_="handle", aria_hidden="true"),
        el("span", "Before", class_="tag left", aria_hidden="true"),
        el("span", "After", class_="tag right", aria_hidden="true"),
        class_="stage",
    )
    hint = el("figcaption", "Drag the line, or move it with the arrow keys.")
    return el("figure", stage, hint, class_="compare", data_compare=True)


def _size(name: str, pictures: Mapping[str, bytes]) -> Header | None:
    try:
        return measure(pictures.get(name, b""))
    except PictureRefused:
        return None


def _same_shape(one: Header | None, other: Header | None) -> bool:
    if not one or not other:
        return False
    crosswise = one.width * other.height, other.width * one.height
    return abs(crosswise[0] - crosswise[1]) <= SAME_SHAPE * max(crosswise)


def _figure(name: str, caption: str, pictures: Mapping[str, bytes]) -> Markup:
    return el("figure", _image(name, caption, pictures), el("figcaption", caption))


def _image(name: str, alt: str, pictures: Mapping[str, bytes]) -> Markup:
    size = _size(name, pictures)
    if not size:
        return el("p", f"{alt}: the picture {name[:12]}… is not part of this report.", class_="absent")
    source = f"data:{size.media_type};base64,{base64.b64encode(pictures[name]).decode()}"
    return el("img", src=source, alt=alt, width=size.width, height=size.height, draggable="false")


def _thumbnail(run: RunContext, name: str, pictures: Mapping[str, bytes]) -> Markup | None:
    """Of a picture that is not shown large already: each picture is embedded once."""
    shown = {run.picture, *(output.id for output in run.outputs)}
    return None if name in shown or not _size(name, pictures) else _image(name, "What this step made", pictures)


def _light(run: RunContext) -> Markup | None:
    lit = [(step, lights(step)) for step in (run.plan.steps if run.plan else ())]
    lit = [(step, found) for step, found in lit if found]
    if not lit:
        return None
    return _section("light", "Light", *(_set(step.id if len(lit) > 1 else "", found) for step, found in lit))


def _set(step: str, found: tuple[Light, ...]) -> Markup:
    name = f"light-{step}" if step else "light"
    above = el("figure", plan_view(found, f"{name}-plan"), el("figcaption", "From above"))
    side = el("figure", side_view(found, f"{name}-side"), el("figcaption", "Height"))
    return el("div", el("h3", step, class_="mono") if step else None, above, side, class_="set")


def _record(run: RunContext) -> Markup:
    rows = ((el("dt", name), el("dd", value)) for name, value in _record_rows(run) if value)
    return el("dl", rows)


def _record_rows(run: RunContext) -> Iterator[tuple[str, str]]:
    yield "Run", run.run_id
    yield "State", run.state.value
    yield "Created", datetime.fromtimestamp(run.created_at, UTC).isoformat(" ", "seconds") if run.created_at else ""
    yield "Input picture", run.picture
    for number, output in enumerate(run.outputs, 1):
        yield f"Result {number}", f"{output.id} ({output.media_type}, {output.width} × {output.height} px)"
    yield "Preset", run.preset.name if run.preset else ""
    for check in run.checks:
        yield f"Check of {check.picture_id[:12]}…", "; ".join(_said(check))
    yield "Models", ", ".join(dict.fromkeys(turn.model for turn in run.turns if turn.model))
    tokens = run.usage.input_tokens + run.usage.output_tokens
    yield "Tokens", f"{run.usage.input_tokens:,} in, {run.usage.output_tokens:,} out" if tokens else ""
    yield from _lock_rows(run)
    yield from ((f"Metadata: {key}", value) for key, value in run.metadata.items())


def _said(check: Check) -> Iterator[str]:
    yield from check.sentences or (f"preset {check.preset} met",)
    yield from (f"advice, {miss}" for miss in check.advice)


def _lock_rows(run: RunContext) -> Iterator[tuple[str, str]]:
    if not run.lock:
        return
    yield "Plan hash", run.lock.plan_hash
    yield "Planned by", run.lock.model_version
    yield "Prompt hash", run.lock.prompt_hash
    yield "Seed", str(run.lock.seed)
    yield "Policy", run.lock.policy_version
    yield "ProLight", run.lock.prolight_version
    yield from ((f"Tool {name}", pin) for name, pin in run.lock.tool_pins.items())


def _events(events: Sequence[Mapping[str, Any]]) -> Markup:
    items = (el("li", el("b", str(event.get("type", ""))), el("code", _readable(event))) for event in events)
    return el("details", el("summary", f"Events ({len(events)})"), el("ol", items))


def _readable(event: Mapping[str, Any]) -> str:
    return json.dumps(dict(event), ensure_ascii=False, default=str)
