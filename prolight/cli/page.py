"""How one whole run reads to people: `prolight show RUN`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prolight.cli.rendering import finding_text, moment, one_line, outputs, picture, printable, state_text, unapproved
from prolight.ports import Snapshot
from prolight.schemas import Approval, Check, Finding, RunContext, State, Step, StepResult, Turn, compact_json
from prolight.spoken import duration

DIGITS_OF_A_HASH = 12
MAX_PARAMS_CHARS = 240


def page(snapshot: Snapshot, *, now: float) -> RenderableType:
    """The run as a list of titled parts; a part that has nothing to say is left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, content in _parts(snapshot, now):
        table.add_row(title, content)
    return table


def _parts(snapshot: Snapshot, now: float) -> Iterator[tuple[str, RenderableType]]:
    run = snapshot.run
    yield "run", Text.assemble(run.run_id, "  ", state_text(run.state), f" ({_activity(snapshot, now)})")
    if run.parent or snapshot.child:
        yield "redrive", _lines(_line_of(snapshot))
    if run.recipe:
        yield "recipe", Text(f"the plan of {run.recipe.run_id}")
    yield from _asked(run)
    if run.plan:
        yield "plan", plan(run)
    if run.critique:
        yield "verdict", verdict(run)
    if waits := _waits_for(run):
        yield "waits for", waits
    if run.approval and run.approval.decision:
        yield "answer", Text(_answer(run.approval))
    if run.turns:
        yield "timeline", Group(*(_turn(turn, now) for turn in run.turns))
    yield "times", Text(_times(run, now))
    yield "cost", Text(_cost(run))
    yield from _pictures(snapshot)
    yield from (("check", _check(check)) for check in run.checks)
    if run.error:
        yield "error", Text(_error(run), "red")


def _asked(run: RunContext) -> Iterator[tuple[str, RenderableType]]:
    if run.preset:
        yield "preset", Text(run.preset.name)
    yield "brief", Text(printable(run.brief))
    yield "picture", Text(run.asset_id)
    if run.metadata:
        yield "metadata", _lines(f"{key} = {value}" for key, value in run.metadata.items())


def _pictures(snapshot: Snapshot) -> Iterator[tuple[str, RenderableType]]:
    for title, made in ("outputs", outputs(snapshot)), ("unapproved", unapproved(snapshot)):
        if made:
            yield title, _lines(f"{picture(output)}  {output.id}" for output in made)


def _check(check: Check) -> Text:
    """What the preset says of one finished picture: what it misses, and what the shop advises besides."""
    found = [(sentence, "red" if check.misses else "yellow") for sentence in check.sentences]
    found = found or [(f"preset {check.preset} met", "green")]
    found += [(f"advice, {miss}", "dim") for miss in check.advice]
    said = [Text(f"{check.picture_id[:DIGITS_OF_A_HASH]}…")]
    return Text("\n").join([*said, *(Text(one_line(words, 600), style) for words, style in found)])


def _line_of(snapshot: Snapshot) -> Iterator[str]:
    if parent := snapshot.run.parent:
        yield f"of {parent}, in the stage that failed there"
    if snapshot.child:
        yield f"goes on as {snapshot.child}"


def plan(run: RunContext) -> RenderableType:
    """The steps as a numbered list; what became of each and the Critic's findings beside it."""
    assert run.plan
    made_by = f"by {run.lock.model_version}, hash {run.lock.plan_hash[:DIGITS_OF_A_HASH]}" if run.lock else ""
    lines = [Text(f"round {run.round}, {made_by} {one_line(run.plan.summary, 600)}".strip(), "dim")]
    results = {result.id: result for result in run.exec_result.steps} if run.exec_result else {}
    for number, step in enumerate(run.plan.steps, 1):
        lines.append(_step(number, step, results.get(step.id)))
        lines += [Text.assemble("     ", finding_text(finding)) for finding in _findings(run, step.id)]
    if run.plan.not_understood:
        lines.append(
            Text(f"not understood, so not done: {one_line(', '.join(run.plan.not_understood), 600)}", "yellow")
        )
    return Group(*lines)


def _step(number: int, step: Step, result: StepResult | None) -> Text:
    needs = f"  after {', '.join(sorted(step.needs))}" if step.needs else ""
    params = one_line(compact_json(step.params), MAX_PARAMS_CHARS)
    why = f"\n     {one_line(step.why, 400)}" if step.why else ""
    head = (f"{number:>2}. ", "dim"), (step.id, "bold"), f"  {step.tool}{needs}  ", _became(result)
    return Text.assemble(*head, (f"\n     {params}", "dim"), why)


def _became(result: StepResult | None) -> tuple[str, str]:
    match result:
        case None:
            return "", ""
        case StepResult(status="done", finished_at=float() as finished_at):
            made = f", {picture(result.artifact)}" if result.artifact else ""
            return f"✓ {duration(finished_at - result.started_at)}{made}", "green"
        case StepResult(status="failed"):
            return "✗ failed", "red"
        case _:
            return result.status, "cyan"


def _findings(run: RunContext, step: str | None) -> Iterator[Finding]:
    return (finding for finding in (run.critique.findings if run.critique else ()) if finding.step == step)


def verdict(run: RunContext) -> RenderableType:
    """The Critic's answer, and those findings that are about no step of this plan."""
    assert run.critique
    steps = {step.id for step in run.plan.steps} if run.plan else set()
    loose = [finding for finding in run.critique.findings if finding.step not in steps]
    return Group(Text(run.critique.verdict, "green" if run.critique.ok else "yellow"), *map(finding_text, loose))


def _turn(turn: Turn, now: float) -> Text:
    waited = duration(max(0.0, (turn.started_at or now) - turn.queued_at))
    if turn.started_at is None:
        work = "not begun"
    else:
        took = duration(max(0.0, (turn.finished_at or now) - turn.started_at))
        work = f"{'worked' if turn.finished_at else 'works since'} {took}, {_attempts(turn.attempts)}"
    by = f", {turn.model}" if turn.model else ""
    return Text(f"{turn.stage:<8}  round {turn.round}  waited {waited}, {work}{by}")


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _waits_for(run: RunContext) -> RenderableType | None:
    if run.state is State.AWAITING_APPROVAL and run.approval:
        answers = (
            f"`prolight approve {run.run_id}` or `prolight reject {run.run_id}`, until {moment(run.approval.until)}"
        )
        return _lines((*run.approval.reasons, answers))
    if run.state is State.NEEDS_REVIEW:
        asked = run.review
        message = asked.message if asked else "a call that may have happened"
        return _lines((message, f"`prolight review adopt|resend|allow|abandon {run.run_id}`"))
    return None


def _answer(approval: Approval) -> str:
    by = f" by {one_line(approval.decided_by)}" if approval.decided_by else ""
    at = f", {moment(approval.decided_at)}" if approval.decided_at else ""
    comment = f": {one_line(approval.comment, 600)}" if approval.comment else ""
    return f"{approval.decision}{by}{at}{comment}"


def _activity(snapshot: Snapshot, now: float) -> str:
    if snapshot.activity == "backing off" and snapshot.due_at:
        return f"backing off, next try in {duration(max(0.0, snapshot.due_at - now))}"
    return snapshot.activity


def _times(run: RunContext, now: float) -> str:
    if run.finished_at is None:
        return f"since {moment(run.created_at)}, {duration(max(0.0, now - run.created_at))} ago"
    return f"{moment(run.created_at)} to {moment(run.finished_at)}, {duration(run.finished_at - run.created_at)}"


def _cost(run: RunContext) -> str:
    tokens = run.usage.input_tokens + run.usage.output_tokens
    return f"{run.spent_usd} USD spent, {run.reserved_usd} reserved, of {run.budget_usd}; {tokens} tokens"


def _error(run: RunContext) -> str:
    assert run.error
    where = ", ".join(filter(None, (run.error.stage, run.error.step and f"step {run.error.step}")))
    cause = f"\ncause: {one_line(run.error.cause, 600)}" if run.error.cause else ""
    return f"{run.error.code}: {one_line(run.error.message, 600)}{f' ({where})' if where else ''}{cause}"


def _lines(lines: Iterator[str] | tuple[str, ...]) -> Text:
    return Text("\n".join(one_line(line, 600) for line in lines))
