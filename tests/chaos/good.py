"""Good histories: small and rich. Each life below is a story; `good(seed)` tells all of them at once, interleaved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

from prolight import answers, lifecycle
from prolight.decisions import Decision
from prolight.determinism import plan_hash
from prolight.schemas import Critique, Finding, Plan, Review, RunError, Step, Verdict
from tests.chaos.crashes import frozen, poisonous
from tests.chaos.histories import History
from tests.chaos.tape import DEADLINES, Life, Tape, pin_of
from tests.chaos.tape_calls import Call, inspection, locked, question, step_call

Story = Iterator[None]
"""Yields wherever another run may come in between."""

MEASURE = ("measure", "world.measure", "$light")
ERROR = RunError(code="tool_failed", message="the tool cannot do this")


def plan_of(life: Life, *steps: tuple[str, str, str], asks: bool = False) -> Plan:
    made = (Step(id=id, tool=tool, params={"picture": picture, "for": life.id}) for id, tool, picture in steps)
    return Plan(steps=tuple(made), summary=f"light for {life.id}", asks_approval=asks)


def plans(life: Life, *steps: tuple[str, str, str]) -> Story:
    """The Planner's turn: the picture is measured, the model asked, and its answer joined with the outcome."""
    life.claim()
    yield
    if life.run.inspection is None:
        looked = inspection(life).whole()
        life.run = life.run.evolve(inspection=looked.result)
        yield
    asked = question(life, "planner").start()
    yield
    asked.received().answered()
    yield
    plan = plan_of(life, *steps)
    _plan_is_made(life, asked, plan)


def _plan_is_made(life: Life, asked: Call, plan: Plan) -> None:
    life.tape.pass_time()
    life.run, _, entry = asked.settled()
    lock = locked(life, plan_hash(plan), {step.tool: pin_of(step.tool) for step in plan.steps})
    decision = lifecycle.planned(life.run, plan, lock, now=life.tape.now, deadlines=DEADLINES)
    life.write(decision, {asked.key: entry})


def judges(life: Life, verdict: Verdict = Verdict.ACCEPT) -> Story:
    life.claim("worker-2")
    yield
    asked = question(life, "critic").start()
    yield
    asked.received().answered()
    yield
    life.tape.pass_time()
    assert life.run.lock
    findings = () if verdict is Verdict.ACCEPT else (Finding(id="too-dark", severity="blocking", message="too dark"),)
    critique = Critique(verdict=verdict, findings=findings, plan_hash=life.run.lock.plan_hash)
    life.run, _, entry = asked.settled()
    decision = lifecycle.judged(life.run, critique, model="stub-1", now=life.tape.now, deadlines=DEADLINES)
    life.write(decision, {asked.key: entry})


def until_execution(life: Life, *steps: tuple[str, str, str]) -> Story:
    yield from plans(life, *steps)
    yield
    yield from judges(life)
    yield


def step_of(life: Life, number: int = 0) -> Call:
    assert life.run.plan
    return step_call(life, life.run.plan.steps[number])


def completes(life: Life, *, settle: Call | None = None) -> None:
    """The Executor's outcome; with the last call's result in the same commit."""
    life.tape.pass_time()
    events, journal = list[Any](), {}
    if settle:
        life.run, events, journal[settle.key] = settle.settled()
    assert life.run.exec_result
    outputs = tuple(step.artifact for step in life.run.exec_result.steps[-1:] if step.artifact)
    decision = lifecycle.executed(life.run, outputs, now=life.tape.now, deadlines=DEADLINES)
    life.write(replace(decision, events=(*events, *decision.events)), journal)


def happy(tape: Tape) -> Story:
    """All goes well; the caller asks twice under one key, and adds a note."""
    life = tape.accept("happy", key="order-1")
    yield
    tape.submit("happy False", "accepted", run="happy", key="order-1")
    tape.submit("other content", "refused", run=None, key="order-1", code="idempotency_mismatch")
    yield from until_execution(life, ("light", "world.relight", "$input"), MEASURE)
    life.note("look at this one")
    life.claim()
    yield
    step_of(life).whole()
    yield
    last = step_of(life, 1).start().received().applied().answered()
    yield
    completes(life, settle=last)


def taken_over(tape: Tape) -> Story:
    """The worker dies after a billed call was carried out: it is sent once more, with a warning."""
    life = tape.accept("taken-over")
    yield from until_execution(life, ("light", "world.relight", "$input"))
    tape.process("worker-3", "started")
    life.claim("worker-3")
    zombie = life.claimed
    yield
    step_of(life).start().received().applied()
    tape.process("worker-3", "killed")
    tape.pass_time(1000, 1500)
    life.ends("death")
    yield
    life.claim()
    yield
    life.refused("lost", zombie)
    again = step_of(life).start()
    yield
    again.received().applied().answered().done()
    yield
    completes(life)


def sent_again(tape: Tape) -> Story:
    """A lease runs out in the middle of a keyed call; the same key again, and the server knows it."""
    life = tape.accept("sent-again", key="order-2", heard=False)
    yield
    tape.submit("sent-again False", "accepted", run="sent-again", key="order-2")
    yield from until_execution(life, ("light", "world.mask", "$input"))
    life.claim()
    step_of(life).start().received().applied()
    yield
    life.ends("lease")
    life.claim()
    yield
    step_of(life).start().received().answered().done()
    completes(life)


def paused(tape: Tape) -> Story:
    """The server asks for a pause, the run backs off; one more try is never sent."""
    life = tape.accept("paused")
    yield from until_execution(life, ("light", "world.relight", "$input"))
    life.claim()
    call = step_of(life).start().received().answered_no().refused()
    yield
    tape.pass_time()
    life.write(lifecycle.backing_off(life.run, timedelta(seconds=1), ERROR, now=tape.now))
    yield
    tape.pass_time(900, 1100)
    life.claim()
    call.start()
    yield
    call.refused(sent=False)
    yield
    call.whole()
    completes(life)


def asked_again(tape: Tape) -> Story:
    """The model's answer is lost, so it is asked once more; then the worker drains."""
    life = tape.accept("asked-again")
    yield
    life.claim()
    inspection(life).whole()
    life.run = life.run.evolve(inspection={"width": 8})
    yield
    asked = question(life, "planner").start().received()
    yield
    asked.unknown()
    asked.start()
    yield
    asked.received().answered()
    _plan_is_made(life, asked, plan_of(life, ("light", "world.relight", "$input")))
    yield
    life.claim()
    tape.pass_time()
    life.write(lifecycle.released(life.run, now=tape.now))
    yield
    yield from judges(life)
    yield
    life.claim("worker-4")
    life.ends("retire")
    life.claim()
    step_of(life).whole()
    completes(life)


def approved(tape: Tape) -> Story:
    """The caller wants a person to look, who edits the plan and approves that one."""
    life = tape.accept("approved", ask=True)
    yield from plans(life, ("light", "world.relight", "$input"))
    yield from judges(life)
    yield
    tape.pass_time()
    life.refused("conflict", "")
    assert life.run.lock
    plan = plan_of(life, ("light", "world.mask", "$input"), MEASURE)
    lock = locked(life, plan_hash(plan), {step.tool: pin_of(step.tool) for step in plan.steps})
    waiting = life.run.lock.plan_hash
    edit = answers.edited(life.run, waiting, plan, lock, by="ada", now=tape.now, deadlines=DEADLINES)
    life.run = life.run.evolve(round=1)
    life.write(replace(edit, run=edit.run.evolve(round=1)), by="client")
    yield
    yield from judges(life)
    yield
    tape.pass_time()
    decision = answers.approved(life.run, lock.plan_hash, by="ada", now=tape.now, deadlines=DEADLINES)
    life.write(decision, by="client")
    yield
    life.claim()
    step_of(life).whole()
    yield
    last = step_of(life, 1).start().received().applied().answered()
    completes(life, settle=last)


def declined(tape: Tape) -> Story:
    life = tape.accept("declined", ask=True)
    yield from plans(life, ("light", "world.relight", "$input"))
    yield from judges(life)
    yield
    tape.pass_time()
    no = answers.declined(life.run, by="ada", comment="too bright", now=tape.now, deadlines=DEADLINES)
    life.write(no, by="client")


def revised(tape: Tape) -> Story:
    """The Critic sends the plan back once; execution then fails."""
    life = tape.accept("revised")
    yield from plans(life, ("dark", "world.relight", "$input"))
    yield from judges(life, Verdict.REVISE)
    yield
    yield from plans(life, ("light", "world.relight", "$input"))
    yield from judges(life)
    yield
    life.claim()
    step_of(life).start().received().answered_no().refused()
    yield
    tape.pass_time()
    life.write(lifecycle.failed(life.run, ERROR, now=tape.now, deadlines=DEADLINES))


def reviewed(tape: Tape) -> Story:
    """Nobody knows what came of a blind call; a person has it sent again."""
    life = tape.accept("reviewed")
    yield from until_execution(life, ("light", "world.publish", "$input"))
    life.claim()
    call = step_of(life).start().received().applied()
    yield
    call.unknown()
    tape.pass_time()
    doubt = Review(key=call.key, call="world.publish", why="outcome_unknown", message="publish may have happened")
    life.write(lifecycle.unclear(life.run, doubt, now=tape.now, deadlines=DEADLINES))
    yield
    tape.pass_time()
    life.write(_resent(life), by="client")
    yield
    life.claim()
    call.start().received().applied().answered().done()
    completes(life)


def _resent(life: Life) -> Decision:
    assert life.run.review
    said = life.run.review.evolve(decision="resent", decided_by="ada", decided_at=life.tape.now)
    return answers.resolved(life.run, said, now=life.tape.now, deadlines=DEADLINES)


def probed(tape: Tape) -> Story:
    """A probe finds nothing, so the call is sent again; its answer is lost, and the next probe finds it."""
    life = tape.accept("probed")
    yield from until_execution(life, ("light", "world.upscale", "$input"))
    life.claim()
    call = step_of(life).start().received()
    yield
    call.unknown()
    call.probed(found=False).start().received().applied()
    yield
    call.unknown()
    call.probed(found=True)
    yield
    call.quote = call.quote * 0
    call.done()
    completes(life)


def cancelled_at_once(tape: Tape) -> Story:
    life = tape.accept("cancelled-at-once")
    yield from plans(life, ("light", "world.relight", "$input"))
    yield
    tape.pass_time()
    gone = lifecycle.cancelled(life.run, held=False, reason="no more", now=tape.now, deadlines=DEADLINES)
    life.write(gone, by="client")


def cancelled_at_work(tape: Tape) -> Story:
    """Cancelled while a call is out: its answer still counts, then the holder lets go."""
    life = tape.accept("cancelled-at-work")
    yield from until_execution(life, ("light", "world.relight", "$input"))
    life.claim()
    call = step_of(life).start().received()
    yield
    tape.pass_time()
    asked = lifecycle.cancelled(life.run, held=True, reason="no more", now=tape.now, deadlines=DEADLINES)
    life.write(asked, by="client")
    yield
    call.applied().answered()
    tape.pass_time()
    run, events, entry = call.settled()
    gone = lifecycle.let_go(run, now=tape.now, deadlines=DEADLINES)
    life.write(replace(gone, events=(*events, *gone.events)), {call.key: entry})


def overdue(tape: Tape) -> Story:
    """Its deadline passes while a question is open, which counts as unknown."""
    life = tape.accept("overdue")
    yield
    life.claim()
    question(life, "planner").start().received()
    yield
    tape.pass_time()
    gone = lifecycle.expired(life.run, now=tape.now, deadlines=DEADLINES)
    life.write(gone, life.in_doubt(), by="client")


def waiting(tape: Tape) -> Story:
    """Still waits for a person when everything is over."""
    life = tape.accept("waiting", ask=True)
    yield from plans(life, ("light", "world.relight", "$input"))
    yield from judges(life)


def unanswered(tape: Tape) -> Story:
    """A submit whose answer was lost, and which the store never saw; one that was refused at the door."""
    tape.submit("never arrived", "unknown", run=None)
    yield
    tape.submit("no picture", "refused", run=None, code="invalid_input")
    yield
    life = tape.accept("answer-lost", heard=False)
    yield
    tape.pass_time()
    gone = lifecycle.cancelled(life.run, held=False, reason="no more", now=tape.now, deadlines=DEADLINES)
    life.write(gone, by="client")


STORIES: tuple[Callable[[Tape], Story], ...] = (
    happy, taken_over, sent_again, paused, asked_again, approved, declined, revised, reviewed, probed,
    cancelled_at_once, cancelled_at_work, poisonous, frozen, overdue, waiting, unanswered,
)  # fmt: skip


@lru_cache(maxsize=64)
def good(seed: int) -> History:
    tape = Tape(seed)
    for number in (1, 2, 4):
        tape.process(f"worker-{number}", "started")
    under_way = [story(tape) for story in STORIES]
    while under_way:
        story = tape.random.choice(under_way)
        if next(story, _OVER) is _OVER:
            under_way.remove(story)
    return tape.history()


_OVER = object()
