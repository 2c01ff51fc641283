"""A failed run goes on as a new one, its child, which buys nothing again that is bought already.

The child starts in the stage that failed, with everything before it: plan, lock, verdict, approval, finished steps. It
takes over its parent's journal under the same keys, so what is `done` answers at once, and what is unclear is decided
by its effect class as after a takeover. What the parent spent stays on the parent's bill; the child has the same budget
again, or the one that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from prolight.decisions import Deadlines, Decision, Queued
from prolight.determinism import call_key, fingerprint
from prolight.errors import IllegalMove, PlanInvalid
from prolight.events import Judged, Payload, PlanMade, Status, StepMoved
from prolight.ledger import inherited
from prolight.lifecycle import STAGES, TERMINAL, stage_budget
from prolight.ports import RunStore, Snapshot
from prolight.schemas import ExecutionResult, RunContext, Stage, State, Turn, Usage

STATES = {stage: state for state, stage in STAGES.items()}
ROLES = {Stage.PLAN: "planner", Stage.CRITIQUE: "critic"}


@dataclass(frozen=True, slots=True)
class Failures:
    """Which failed runs are meant. `text`: all of its words are in the error, the brief or the metadata."""

    code: str | None = None
    stage: Stage | None = None
    tool: str | None = None
    since: timedelta | None = None
    text: str = ""

    def hold(self, run: RunContext, *, now: float) -> bool:
        if run.state is not State.FAILED or run.error is None:
            return False
        return (
            self.code in (None, run.error.code)
            and self.stage in (None, failed_stage(run))
            and self.tool in (None, failed_tool(run))
            and (self.since is None or now - (run.finished_at or now) <= self.since.total_seconds())
            and self._said_in(run)
        )

    def _said_in(self, run: RunContext) -> bool:
        said = " ".join((run.error.message if run.error else "", run.brief, *run.metadata.values())).casefold()
        return all(word in said for word in self.text.casefold().split())


EVERY_FAILURE = Failures()


def failed_stage(run: RunContext) -> Stage:
    """The one that was worked on last, also where a person was waited for when the run failed."""
    return run.turns[-1].stage


def failed_tool(run: RunContext) -> str | None:
    """The tool of the step that failed."""
    steps = run.plan.steps if run.plan else ()
    return next((step.tool for step in steps if run.error and step.id == run.error.step), None)


async def redrive(
    store: RunStore, run_id: str, *, new_id: Callable[[], str], budget_usd: Decimal | None = None, deadlines: Deadlines
) -> Snapshot:
    """The child of a failed run: asked again, the same one; when that has failed too, its own child.

    Raises `IllegalMove` for a run that is not FAILED, or was redriven with another budget.
    """
    while True:
        parent = (await store.read(run_id)).run
        if parent.state is not State.FAILED:
            raise IllegalMove(f"run {run_id} is {parent.state}{_REFUSED[parent.state]}: only a FAILED one is redriven")
        decision = redriven(parent, new_id(), budget_usd=budget_usd, now=store.now(), deadlines=deadlines)
        journal = taken_over(parent, await store.journal(run_id), now=store.now())
        name = fingerprint(["redrive", run_id])
        child_id, new = await store.create(decision, fingerprint=name, idempotency_key=name, journal=journal)
        child = await store.read(child_id)
        if new or child.run.state is not State.FAILED:
            _check_budget(parent, child.run, budget_usd)
            return child
        run_id = child_id


def redriven(
    parent: RunContext, run_id: str, *, budget_usd: Decimal | None = None, now: float, deadlines: Deadlines
) -> Decision:
    """The child as it begins. Pure."""
    stage = failed_stage(parent)
    child = parent.evolve(
        run_id=run_id,
        parent=parent.run_id,
        origin=parent.journal_id,
        state=STATES[stage],
        critique=None if stage is Stage.CRITIQUE and _judged(parent) else parent.critique,
        exec_result=_finished_steps(parent),
        error=None,
        review=None,
        turns=(Turn(stage=stage, round=parent.round, queued_at=now),),
        usage=Usage(),
        budget_usd=parent.budget_usd if budget_usd is None else budget_usd,
        reserved_usd=Decimal(0),
        spent_usd=Decimal(0),
        created_at=now,
        updated_at=now,
        finished_at=None,
        works_until=now + deadlines.run.total_seconds(),
        working_left_seconds=0.0,
    )
    return Decision(child, tuple(_told(child, stage)), Queued(stage, budget=stage_budget(child, stage, deadlines)))


def taken_over(parent: RunContext, entries: Mapping[str, str], *, now: float) -> dict[str, str]:
    """The child's journal. A model's answer that was no plan or verdict is asked for again."""
    kept = inherited(entries, now=now)
    stage = failed_stage(parent)
    if stage in ROLES and parent.error and parent.error.code == PlanInvalid.code:
        for number in range(len(entries)):
            kept.pop(call_key(parent.journal_id, ROLES[stage], parent.round, number), None)
    return kept


def _judged(run: RunContext) -> bool:
    """It holds a verdict on this very plan: the Critic is asked again, and as it was asked before."""
    return bool(run.critique and run.lock and run.critique.plan_hash == run.lock.plan_hash)


def _finished_steps(run: RunContext) -> ExecutionResult | None:
    steps = run.exec_result.steps if run.exec_result else ()
    done = tuple(step for step in steps if step.status == "done")
    return ExecutionResult(steps=done) if done else None


def _told(child: RunContext, stage: Stage) -> Iterator[Payload]:
    """Whoever reads only the child's events learns from these what it starts with."""
    yield Status(state=child.state, stage=stage, reason=f"redrive of {child.parent}")
    if child.plan and child.lock and stage is not Stage.PLAN:
        model, plan_hash = child.lock.model_version, child.lock.plan_hash
        yield PlanMade(plan=child.plan, plan_hash=plan_hash, model=model, round=child.round)
        if child.critique and stage is Stage.EXECUTE:
            yield Judged(critique=child.critique, model=f"as in {child.parent}", round=child.round)
    tools = {step.id: step.tool for step in child.plan.steps} if child.plan else {}
    for step in child.exec_result.steps if child.exec_result else ():
        yield StepMoved(step=step.id, tool=tools.get(step.id, ""), status="reused", artifact=step.artifact)


_REFUSED = {state: ", not ended" for state in State if state not in TERMINAL} | {
    State.COMPLETED: ", there is nothing left to do",
    State.REJECTED: ", a person said no",
    State.CANCELLED: ", somebody stopped it",
}


def _check_budget(parent: RunContext, child: RunContext, budget_usd: Decimal | None) -> None:
    if budget_usd not in (None, child.budget_usd):
        raise IllegalMove(
            f"run {parent.run_id} goes on already, as {child.run_id}, with a budget of {child.budget_usd} USD"
        )
