"""The plan as a list to read: what each step does, why, what it came to, and what the Critic says of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from prolight.report.markup import Markup, el
from prolight.report.words import dollars, sentences, title
from prolight.schemas import Finding, RunContext, Step, StepResult, Verdict
from prolight.spoken import duration

_VERDICTS = {
    Verdict.ACCEPT: ("good", "The critic accepts this plan."),
    Verdict.REVISE: ("open", "The critic sends this plan back."),
    Verdict.REJECT: ("bad", "The critic rejects this plan."),
}
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def plan_section(run: RunContext, thumbnails: Mapping[str, Markup]) -> Markup | None:
    """`thumbnails` maps artifact ids to the images of them that are not shown elsewhere."""
    if not run.plan:
        return None
    results = {result.id: result for result in run.exec_result.steps} if run.exec_result else {}
    findings = run.critique.findings if run.critique else ()
    steps = {step.id for step in run.plan.steps}
    cards = (_card(step, results.get(step.id), _about(findings, step.id), thumbnails) for step in run.plan.steps)
    return el(
        "section",
        el("h2", "Plan", id="plan-title"),
        _not_understood(run.plan.not_understood),
        el("ol", cards, class_="steps") if steps else el("p", "The plan has no steps."),
        _verdict(run),
        _findings(finding for finding in findings if finding.step not in steps),
        class_="plan",
        aria_labelledby="plan-title",
    )


def _about(findings: Iterable[Finding], step: str) -> list[Finding]:
    return [finding for finding in findings if finding.step == step]


def _not_understood(words: tuple[str, ...]) -> Markup | None:
    if not words:
        return None
    quoted = (el("q", word, dir="auto") for word in words)
    return el(
        "p", el("b", "Not understood, so nothing was done about it: "), quoted, class_="not-understood", role="note"
    )


def _verdict(run: RunContext) -> Markup | None:
    if not run.critique:
        return None
    tone, sentence = _VERDICTS[run.critique.verdict]
    return el("p", sentence, class_=f"verdict {tone}")


def _card(step: Step, result: StepResult | None, findings: list[Finding], thumbnails: Mapping[str, Markup]) -> Markup:
    heading = el("h3", title(step), " ", el("span", step.id, class_="mono"))
    says = el("ul", (el("li", sentence, _swatch(sentence)) for sentence in sentences(step)), class_="does")
    why = el("p", "Serves: ", el("q", step.why, dir="auto"), class_="why") if step.why else None
    made = thumbnails.get(result.artifact.id) if result and result.artifact else None
    facts = el("p", " · ".join(_outcome(step, result)), class_=f"outcome {result.status if result else 'open'}")
    words = el("div", heading, says, why, facts, _findings(findings))
    return el("li", words, made, id=f"step-{step.id}")


def _swatch(sentence: str) -> Markup | None:
    found = _COLOUR.search(sentence)
    if not found:
        return None
    return el(
        "svg", el("circle", cx=6, cy=6, r=5, fill=found[0]), viewBox="0 0 12 12", aria_hidden="true", class_="swatch"
    )


def _outcome(step: Step, result: StepResult | None) -> Iterator[str]:
    if result is None:
        yield "not carried out"
        yield f"estimated {dollars(step.estimated_cost_usd)}" if step.estimated_cost_usd else "no cost expected"
        return
    took = f" in {duration(result.finished_at - result.started_at)}" if result.finished_at is not None else ""
    yield {"done": "✓ done", "failed": "✕ failed", "running": "… running"}[result.status] + took
    estimate = f" (estimated {dollars(step.estimated_cost_usd)})" if result.cost_usd != step.estimated_cost_usd else ""
    yield dollars(result.cost_usd) + estimate
    if result.artifact:
        yield f"{result.artifact.width} × {result.artifact.height} px"


def _findings(findings: Iterable[Finding]) -> Markup | None:
    items = [_finding(finding) for finding in findings]
    return el("ul", items, class_="findings") if items else None


def _finding(finding: Finding) -> Markup:
    mark = "■ Blocking" if finding.severity == "blocking" else "○ Advice"
    fix = el("span", f" Fix: {finding.fix}") if finding.fix else None
    return el("li", el("b", mark), " ", el("span", finding.message), fix, class_=finding.severity, title=finding.id)
