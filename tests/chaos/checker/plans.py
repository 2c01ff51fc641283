"""I13 only the plan that was judged, and approved where it has to be, is carried out; I14 with the pinned tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from prolight.ledger import Entry
from prolight.schemas import Plan, RunContext, State, Step
from tests.chaos.checker.facts import (
    Facts,
    Start,
    Violation,
    Written,
    by_person,
    canonical_hash,
    inspect_key,
    look,
    plan_hash,
    step_key,
)

CARRIED_OUT = (State.EXECUTING, State.NEEDS_REVIEW)


def only_the_judged_plan(facts: Facts) -> Iterator[Violation | None]:
    """I13: at each call of the Executor: this plan was judged and approved, and has this very call as a step."""
    for start in facts.starts:
        if start.written.after.state is State.EXECUTING and start.key != inspect_key(start.run):
            yield from _may_start(facts, start)
    for writes in facts.written.values():
        for written in writes:
            before = written.before
            if before and before.state in CARRIED_OUT and written.after.state in CARRIED_OUT:
                yield look(before.plan == written.after.plan, written.run, "its plan changed under way", written)


def _may_start(facts: Facts, start: Start) -> Iterator[Violation | None]:
    run, plan, name = start.written.after, start.written.after.plan, start.entry.name
    if plan is None:
        yield look(False, start.run, f"{name} starts without a plan", start)
        return
    hashed = plan_hash(plan)
    locked = run.lock.plan_hash if run.lock else ""
    yield look(locked == hashed, start.run, f"the plan is {hashed[:12]}, locked is {locked[:12]}", start)
    earlier = [w for w in facts.written[start.run] if w.record.lsn < start.written.record.lsn]
    judged = run.critique is not None and run.critique.plan_hash == hashed and _was_judged(earlier, hashed)
    yield look(judged, start.run, f"{name} starts, and nobody judged plan {hashed[:12]}", start)
    if reason := _wants_a_person(facts, run, plan):
        approved = _was_approved(earlier, run, hashed)
        yield look(approved, start.run, f"{name} starts unapproved, though {reason}", start)
    yield from _is_a_step(facts, start, plan, hashed)


def _was_judged(earlier: list[Written], hashed: str) -> bool:
    return any(
        written.before is not None
        and written.before.state is State.CRITIQUING
        and written.after.state is not State.CRITIQUING
        and not by_person(written)
        and written.after.critique is not None
        and written.after.critique.plan_hash == hashed
        for written in earlier
    )


def _was_approved(earlier: list[Written], run: RunContext, hashed: str) -> bool:
    approval = run.approval
    if approval is None or (approval.decision, approval.plan_hash) != ("approved", hashed) or not approval.decided_by:
        return False
    return any(
        written.before is not None
        and written.before.state is State.AWAITING_APPROVAL
        and written.after.state is State.EXECUTING
        and by_person(written)
        and written.after.approval == approval
        for written in earlier
    )


def _wants_a_person(facts: Facts, run: RunContext, plan: Plan) -> str:
    """Why somebody has to have approved; empty when nobody has to."""
    above, tools = facts.terms.policy.approve_above_usd, facts.terms.tools
    prices = (max(s.estimated_cost_usd, tools[s.tool].price_usd if s.tool in tools else Decimal(0)) for s in plan.steps)
    reasons = {
        "its caller asked for a person": run.ask,
        "the Critic did not accept it": run.critique is None or not run.critique.ok,
        "the plan asks for it": plan.asks_approval,
        f"it costs more than {above} USD": above is not None and sum(prices, Decimal(0)) > above,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _is_a_step(facts: Facts, start: Start, plan: Plan, hashed: str) -> Iterator[Violation | None]:
    name, policy = start.entry.name, facts.terms.policy
    permitted = name not in policy.banned_tools and (not policy.allowed_tools or name in policy.allowed_tools)
    yield look(permitted, start.run, f"{name} is not allowed here", start)
    step = next((step for step in plan.steps if step_key(start.run, hashed, step.id) == start.key), None)
    if step is None or step.tool != name:
        yield look(False, start.run, f"{name} is called, and no step of the plan says so", start)
        return
    made = _made(start, plan, hashed)
    missing = sorted(step.needs - made.keys())
    yield look(not missing, start.run, f"step {step.id} starts before {missing} are done", start)
    arguments = canonical_hash(_resolved(step, made, start.written.after.picture))
    same = arguments == start.entry.arguments_hash
    yield look(same or bool(missing), start.run, f"step {step.id} starts with other arguments than planned", start)


def _made(start: Start, plan: Plan, hashed: str) -> dict[str, str]:
    """The steps that are done, each with the picture that it made."""
    journal: Mapping[str, Entry] = {**start.written.journal, **start.written.entries}
    entries = ((step.id, journal.get(step_key(start.run, hashed, step.id))) for step in plan.steps)
    return {id: _picture(entry) for id, entry in entries if entry and entry.status == "done"}


def _picture(entry: Entry) -> str:
    picture = (entry.result or {}).get("artifact")
    return str(picture["id"]) if picture else ""


def _resolved(step: Step, made: Mapping[str, str], picture: str) -> Any:
    known = {"$input": picture, **{f"${id}": made_picture for id, made_picture in made.items()}}

    def resolve(value: Any) -> Any:
        match value:
            case str():
                return known.get(value, value)
            case dict():
                return {name: resolve(item) for name, item in value.items()}
            case list() | tuple():
                return [resolve(item) for item in value]
            case _:
                return value

    return resolve(step.params)


def only_the_pinned_tool(facts: Facts) -> Iterator[Violation | None]:
    """I14: each request of the Executor reaches the tool that its plan was locked with, in that definition."""
    for key, sends in facts.sends.items():
        starts = [s for s in facts.starts_of.get(key, ()) if s.written.after.state is State.EXECUTING]
        if not starts or key == inspect_key(starts[0].run):
            continue
        lock = starts[-1].written.after.lock
        pins = lock.tool_pins if lock else {}
        for sent in sends:
            same = pins.get(sent.tool) == sent.pin and sent.tool == starts[-1].entry.name
            says = f"{sent.tool} was called with pin {sent.pin[:12]}, locked is {pins.get(sent.tool, 'none')[:12]}"
            yield look(same, starts[0].run, says, sent, starts[-1])
