"""Planted: I13, I14."""

from __future__ import annotations

from prolight.schemas import Plan, RunContext, State, Verdict
from tests.chaos.edits import Edited, in_state, is_step
from tests.chaos.planted.calls import key_of
from tests.chaos.planted.plant import Plants
from tests.chaos.tape import sha

PLANTED = plant = Plants()


def other_plan(run: RunContext) -> Plan:
    assert run.plan
    return run.plan.evolve(summary="another plan")


@plant("I13", "the plan that is carried out is not the one that is locked")
def _(h: Edited) -> None:
    for place in h.where("audit", in_state(State.EXECUTING), run="happy"):
        h.document(place, plan=other_plan(h.at("audit", place).document))


@plant("I13", "the plan changes between two steps")
def _(h: Edited) -> None:
    place = h.where("audit", in_state(State.EXECUTING), run="happy")[-1]
    h.document(place, plan=other_plan(h.at("audit", place).document))


@plant("I13", "a plan is carried out that nobody judged")
def _(h: Edited) -> None:
    for place in h.where("audit", in_state(State.EXECUTING), run="happy"):
        h.document(place, critique=None)


@plant("I13", "the verdict is on record of the run, but no Critic ever gave it")
def _(h: Edited) -> None:
    place = h.where("audit", in_state(State.EXECUTING), run="happy")[0]
    h.change("audit", place, by="client", under="")


@plant("I13", "a plan is carried out that its caller wanted a person to see first")
def _(h: Edited) -> None:
    h.documents("happy", lambda run: run.evolve(ask=True))


@plant("I13", "a plan that the Critic rejected is carried out without a person")
def _(h: Edited) -> None:
    def rejected(run: RunContext) -> RunContext:
        return run.evolve(critique=run.critique and run.critique.evolve(verdict=Verdict.REJECT))

    h.documents("paused", rejected)


@plant("I13", "a plan above the price that wants a person is carried out without one")
def _(h: Edited) -> None:
    policy = h.end.settings.policy.evolve(approve_above_usd=0)
    h.ends(settings=h.end.settings.evolve(policy=policy))


@plant("I13", "the approval names nobody")
def _(h: Edited) -> None:
    def anonymous(run: RunContext) -> RunContext:
        return run.evolve(approval=run.approval and run.approval.evolve(decided_by=None))

    h.documents("approved", anonymous)


@plant("I13", "the worker approved the plan itself")
def _(h: Edited) -> None:
    place = h.where("audit", in_state(State.EXECUTING), run="approved")[0]
    h.change("audit", place, by="holder")


@plant("I13", "a tool is called that is no step of the plan")
def _(h: Edited) -> None:
    place, key = h.starts(is_step, run="happy")[0]
    h.change("audit", place, journal={"0" * 40: h.at("audit", place).journal[key]})


@plant("I13", "a step is carried out with other arguments than planned")
def _(h: Edited) -> None:
    place, key = h.starts(is_step, run="happy")[0]
    h.entry(place, key, arguments_hash=sha("other arguments"))


@plant("I13", "a step starts before the step that it needs is done")
def _(h: Edited) -> None:
    place, _key = h.dones(is_step, run="happy")[0]
    h.change("audit", place, journal={})


@plant("I13", "a banned tool is called")
def _(h: Edited) -> None:
    policy = h.end.settings.policy.evolve(banned_tools=frozenset({"world.mask"}))
    h.ends(settings=h.end.settings.evolve(policy=policy))


@plant("I14", "a tool was called whose definition had changed since the plan was made")
def _(h: Edited) -> None:
    h.change("world", h.where("world", key=key_of(h, "happy"), what="received")[0], pin=sha("another definition"))


@plant("I14", "another tool was called than was recorded")
def _(h: Edited) -> None:
    h.change("world", h.where("world", key=key_of(h, "paused"), what="received")[0], tool="world.mask")


@plant("I14", "a tool was called that the plan did not pin")
def _(h: Edited) -> None:
    place, _ = h.starts(is_step, run="happy")[0]
    lock = h.at("audit", place).document.lock
    h.document(place, lock=lock.evolve(tool_pins={}))
