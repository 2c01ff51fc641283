"""Mutations against I13 and I14."""

from __future__ import annotations

from decimal import Decimal

from prolight.schemas import State, Verdict
from tests.chaos.edits import Edited, in_state, is_step
from tests.chaos.mutator.runs import a_run, some_hash

# I13


def _start(h: Edited) -> tuple[int, str]:
    return h.random.choice(h.starts(is_step))


def _run_that_executes(h: Edited) -> str:
    return a_run(h, lambda run: bool(h.starts(is_step, run=run)))


def carry_out_another_plan(h: Edited) -> None:
    place, _ = _start(h)
    plan = h.at("audit", place).document.plan
    h.document(place, plan=plan.evolve(summary=f"{h.random.random()}"))


def lock_another_plan(h: Edited) -> None:
    place, _ = _start(h)
    lock = h.at("audit", place).document.lock
    h.document(place, lock=lock.evolve(plan_hash=some_hash(h)))


def judge_another_plan(h: Edited) -> None:
    place, _ = _start(h)
    critique = h.at("audit", place).document.critique
    h.document(place, critique=critique.evolve(plan_hash=some_hash(h)))


def judge_nothing(h: Edited) -> None:
    """What the Critic's stage committed was written by a client."""
    run = _run_that_executes(h)
    for place in h.where("audit", in_state(State.EXECUTING, State.AWAITING_APPROVAL), run=run, kind="commit"):
        h.change("audit", place, by="client")


def ask_for_a_person(h: Edited) -> None:
    run = a_run(h, lambda run: run != "approved" and bool(h.starts(is_step, run=run)))
    if h.random.random() < 0.5:
        h.documents(run, lambda document: document.evolve(ask=True))
    else:
        reject = h.random.choice([Verdict.REJECT, Verdict.REVISE])
        for place, _ in h.starts(is_step, run=run):
            critique = h.at("audit", place).document.critique
            h.document(place, critique=critique.evolve(verdict=reject))


def want_a_person_for_less(h: Edited) -> None:
    policy = h.end.settings.policy.evolve(approve_above_usd=Decimal(h.random.randint(0, 39)) / 1000)
    h.ends(settings=h.end.settings.evolve(policy=policy))


def approve_otherwise(h: Edited) -> None:
    place = h.random.choice([place for place, _ in h.starts(is_step, run="approved")])
    approval = h.at("audit", place).document.approval
    others = approval.evolve(plan_hash=some_hash(h)), approval.evolve(decision="edited"), approval.evolve(decided_by="")
    h.document(place, approval=h.random.choice(others))


def call_another_step(h: Edited) -> None:
    place, key = _start(h)
    h.change("audit", place, journal={some_hash(h)[:40]: h.at("audit", place).journal[key]})


def call_with_other_arguments(h: Edited) -> None:
    place, key = _start(h)
    h.entry(place, key, arguments_hash=some_hash(h))


def call_another_tool(h: Edited) -> None:
    place, key = _start(h)
    h.entry(place, key, name=f"world.other{h.random.randrange(99)}")


def ban_a_tool(h: Edited) -> None:
    place, key = _start(h)
    policy = h.end.settings.policy.evolve(banned_tools=frozenset({h.at("audit", place).journal[key].name}))
    h.ends(settings=h.end.settings.evolve(policy=policy))


# I14


def _sent(h: Edited) -> int:
    """A request of a plan's step."""
    keys = {key for _, key in h.starts(is_step)}
    return h.some("world", lambda line: line.key in keys, what="received")


def change_a_tool(h: Edited) -> None:
    h.change("world", _sent(h), pin=some_hash(h))


def call_a_shadow(h: Edited) -> None:
    h.change("world", _sent(h), tool=f"shadow.tool{h.random.randrange(99)}")


def pin_another(h: Edited) -> None:
    """Every record of a run says that other tools were locked with its plan."""
    run = _run_that_executes(h)
    pin = some_hash(h)
    h.documents(run, lambda d: d.evolve(lock=d.lock and d.lock.evolve(tool_pins=dict.fromkeys(d.lock.tool_pins, pin))))


MUTATIONS = {
    "I13": (
        carry_out_another_plan, lock_another_plan, judge_another_plan, judge_nothing, ask_for_a_person,
        want_a_person_for_less, approve_otherwise, call_another_step, call_with_other_arguments, call_another_tool,
        ban_a_tool,
    ),
    "I14": (change_a_tool, call_a_shadow, pin_another),
}  # fmt: skip
