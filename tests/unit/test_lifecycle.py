"""What may happen to a run: the table, the whole table, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolight import answers, lifecycle
from prolight.decisions import Deadlines, Decision, Ended, Held, Parked, Queued
from prolight.determinism import plan_hash
from prolight.errors import IllegalMove
from prolight.events import Blocked, Failure, Payload, Result, Status, Warned
from prolight.lifecycle import PARKED, STAGES, TERMINAL, TRANSITIONS, Move, follow
from prolight.outcomes import Unclear, conclude
from prolight.schemas import (
    Approval,
    Artifact,
    Critique,
    Finding,
    Lock,
    Plan,
    Review,
    RunContext,
    RunError,
    RunRequest,
    Stage,
    State,
    Step,
    Turn,
    Usage,
    Verdict,
)
from tests.unit.strategies import UNHURRIED

NOW = 1_000.0
DEADLINES = Deadlines()
PLAN = Plan(steps=(Step(id="a", tool="studio.relight"), Step(id="b", tool="studio.export")))
LOCK = Lock(
    plan_hash=plan_hash(PLAN),
    input_sha256="a" * 64,
    model_version="m-1",
    prompt_hash="b" * 64,
    seed=1,
    policy_version="p",
    prolight_version="v",
)
ASKED = Approval(subject="plan", reasons=("costly",), asked_at=950.0, until=NOW + 50, plan_hash=LOCK.plan_hash)
OTHER_PLAN = Plan(steps=PLAN.steps[:1])
OTHER_LOCK = LOCK.evolve(plan_hash=plan_hash(OTHER_PLAN))
DOUBT = Review(key="k", call="t.light", why="outcome_unknown", message="?", at_risk_usd=Decimal("0.3"))
PICTURE = Artifact(id="c" * 64, media_type="image/png", size_bytes=1, width=1, height=1)
ERROR = RunError(code="tool_failed", message="no")
BLOCKING = Finding(id="too-dark", severity="blocking", message="too dark", fix="more light")
ADVICE = Finding(id="hint", severity="advice", message="softer")


def run_in(state: State, **changes: object) -> RunContext:
    stage = STAGES.get(state)
    parked = state in PARKED
    return RunContext(
        run_id="r",
        asset_id="a" * 64,
        brief="warm",
        state=state,
        plan=PLAN,
        lock=LOCK,
        turns=(Turn(stage=stage, queued_at=900.0),) if stage else (),
        works_until=None if parked else 2_000.0,
        working_left_seconds=600.0 if parked else 0.0,
        finished_at=999.0 if state in TERMINAL else None,
        approval=ASKED if state is State.AWAITING_APPROVAL else None,
    ).evolve(**changes)


def judged(run: RunContext, verdict: Verdict, *findings: Finding, **more: tuple[str, ...]) -> Decision:
    critique = Critique(verdict=verdict, findings=findings)
    return lifecycle.judged(run, critique, model="m", now=NOW, deadlines=DEADLINES, **more)


MOVES: dict[str, tuple[Callable[[RunContext], Decision], dict[State, State]]] = {
    "planned": (
        lambda run: lifecycle.planned(run, PLAN, LOCK, now=NOW, deadlines=DEADLINES),
        {State.PLANNING: State.CRITIQUING},
    ),
    "accepted": (lambda run: judged(run, Verdict.ACCEPT), {State.CRITIQUING: State.EXECUTING}),
    "revised": (lambda run: judged(run, Verdict.REVISE, BLOCKING), {State.CRITIQUING: State.PLANNING}),
    "doubted": (
        lambda run: judged(run, Verdict.REJECT, BLOCKING),
        {State.CRITIQUING: State.AWAITING_APPROVAL, State.EXECUTING: State.AWAITING_APPROVAL},
    ),
    "executed": (
        lambda run: lifecycle.executed(run, (PICTURE,), now=NOW, deadlines=DEADLINES),
        {State.EXECUTING: State.COMPLETED},
    ),
    "failed": (
        lambda run: lifecycle.failed(run, ERROR, now=NOW, deadlines=DEADLINES),
        dict.fromkeys((*STAGES, State.NEEDS_REVIEW), State.FAILED),
    ),
    "poisoned": (
        lambda run: lifecycle.poisoned(run, 5, now=NOW, deadlines=DEADLINES),
        dict.fromkeys((*STAGES, State.NEEDS_REVIEW), State.FAILED),
    ),
    "expired": (
        lambda run: lifecycle.expired(run, now=NOW, deadlines=DEADLINES),
        {
            **dict.fromkeys((*STAGES, State.NEEDS_REVIEW), State.FAILED),
            State.AWAITING_APPROVAL: State.REJECTED,
            State.CANCELLING: State.CANCELLED,
        },
    ),
    "cancelled while held": (
        lambda run: lifecycle.cancelled(run, held=True, reason="so", now=NOW, deadlines=DEADLINES),
        {state: State.CANCELLING for state in State if state not in TERMINAL | {State.CANCELLING}},
    ),
    "cancelled": (
        lambda run: lifecycle.cancelled(run, held=False, reason="so", now=NOW, deadlines=DEADLINES),
        {state: State.CANCELLED for state in State if state not in TERMINAL | {State.CANCELLING}},
    ),
    "approved": (
        lambda run: answers.approved(run, LOCK.plan_hash, by="ann", now=NOW, deadlines=DEADLINES),
        {State.AWAITING_APPROVAL: State.EXECUTING},
    ),
    "edited": (
        lambda run: answers.edited(run, LOCK.plan_hash, OTHER_PLAN, OTHER_LOCK, by="ann", now=NOW, deadlines=DEADLINES),
        {State.AWAITING_APPROVAL: State.CRITIQUING},
    ),
    "declined": (
        lambda run: answers.declined(run, by="ann", comment="too dark", now=NOW, deadlines=DEADLINES),
        {State.AWAITING_APPROVAL: State.REJECTED},
    ),
    "let go": (
        lambda run: lifecycle.let_go(run, now=NOW, deadlines=DEADLINES),
        {State.CANCELLING: State.CANCELLED},
    ),
    "unclear": (
        lambda run: lifecycle.unclear(run, DOUBT, now=NOW, deadlines=DEADLINES),
        {
            State.EXECUTING: State.NEEDS_REVIEW,
            State.PLANNING: State.FAILED,
            State.CRITIQUING: State.FAILED,
            State.NEEDS_REVIEW: State.FAILED,
        },
    ),
}
LEGAL = [(name, state) for name, (_, moves) in MOVES.items() for state in moves]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("move", Move)
def test_every_pair_is_an_arrow_of_the_table_or_refused(state: State, move: Move) -> None:
    if move in TRANSITIONS[state]:
        assert follow(state, move) is TRANSITIONS[state][move]
    else:
        with pytest.raises(IllegalMove, match=rf"{state}.*{move}"):
            follow(state, move)


@pytest.mark.parametrize(("name", "state"), list(itertools.product(MOVES, State)))
def test_what_happens_follows_the_table_and_never_touches_the_run_it_was_given(name: str, state: State) -> None:
    happen, moves = MOVES[name]
    run = run_in(state)
    before = run.to_json()
    if state in moves:
        decision = happen(run)
        assert decision.run.state is moves[state]
        assert decision.run.updated_at == NOW
    else:
        with pytest.raises(IllegalMove):
            happen(run)
    assert run.to_json() == before


def test_the_terminal_states_are_these_and_have_no_way_out() -> None:
    assert {State.COMPLETED, State.FAILED, State.REJECTED, State.CANCELLED} == TERMINAL


def test_every_state_is_in_the_table_and_reaches_an_end() -> None:
    assert set(TRANSITIONS) == set(State)
    ending = set(TERMINAL)
    for _ in State:
        ending |= {state for state, moves in TRANSITIONS.items() if ending & set(moves.values())}
    assert ending == set(State)


def test_every_state_is_reached_from_a_new_run() -> None:
    reached = {State.PLANNING}
    for _ in State:
        reached |= {after for state in reached for after in TRANSITIONS[state].values()}
    assert reached == set(State)


@pytest.mark.parametrize("state", [state for state in State if state not in TERMINAL])
def test_every_live_run_can_be_cancelled_and_ends_when_its_time_does(state: State) -> None:
    assert Move.EXPIRED in TRANSITIONS[state]
    assert Move.CANCEL in TRANSITIONS[state] or state is State.CANCELLING


def ends(events: tuple[Payload, ...]) -> list[int]:
    return [place for place, event in enumerate(events) if isinstance(event, Status) and event.state in TERMINAL]


@pytest.mark.parametrize(("name", "state"), LEGAL)
def test_an_end_is_told_once_and_last_after_its_result_or_error(name: str, state: State) -> None:
    decision = MOVES[name][0](run_in(state))
    if decision.run.state not in TERMINAL:
        assert ends(decision.events) == []
        return
    assert ends(decision.events) == [len(decision.events) - 1]
    if decision.run.state is State.FAILED:
        failure = decision.events[-2]
        assert isinstance(failure, Failure)
        assert failure.error == decision.run.error
        assert failure.error.code
        assert failure.error.message
    if decision.run.state is State.COMPLETED:
        assert decision.events[-2] == Result(outputs=(PICTURE,))


@pytest.mark.parametrize(("name", "state"), LEGAL)
def test_the_last_event_tells_where_the_run_is_and_where_it_came_from(name: str, state: State) -> None:
    decision = MOVES[name][0](run_in(state))
    status = decision.events[-1]
    assert isinstance(status, Status)
    assert status.state is decision.run.state
    assert status.previous in (state, State.CANCELLING)
    assert status.stage == STAGES.get(decision.run.state)


@pytest.mark.parametrize(("name", "state"), LEGAL)
def test_money_that_is_still_reserved_counts_as_spent_at_the_end_only(name: str, state: State) -> None:
    run = run_in(state, spent_usd=Decimal("0.2"), reserved_usd=Decimal("0.3"))
    after = MOVES[name][0](run).run
    ended = after.state in TERMINAL
    assert after.spent_usd == Decimal("0.5" if ended else "0.2")
    assert after.reserved_usd == Decimal("0" if ended else "0.3")
    assert (after.finished_at == NOW) == ended


@pytest.mark.parametrize(("name", "state"), LEGAL)
def test_a_move_closes_the_turn_and_opens_one_for_the_next_stage(name: str, state: State) -> None:
    run = run_in(state)
    after = MOVES[name][0](run).run
    stage = STAGES.get(after.state)
    assert [turn.finished_at for turn in after.turns[: len(run.turns)]] == [NOW] * len(run.turns)
    assert (after.turn.stage if after.turn else None) == stage
    if after.turn:
        assert (after.turn.queued_at, after.turn.round, after.turn.started_at) == (NOW, after.round, None)
    assert len(after.turns) == len(run.turns) + (stage is not None)


@pytest.mark.parametrize(("name", "state"), LEGAL)
def test_where_a_run_stands_says_who_looks_at_it_next(name: str, state: State) -> None:
    decision = MOVES[name][0](run_in(state))
    match decision.placement:
        case Queued(stage, after, budget):
            assert STAGES[decision.run.state] is stage
            assert after == timedelta(0)
            assert budget == (DEADLINES.step * 2 if stage is Stage.EXECUTE else DEADLINES.stage)
        case Parked(wait):
            assert wait == (DEADLINES.review if decision.run.state is State.NEEDS_REVIEW else DEADLINES.approval)
        case Ended(retention):
            assert decision.run.state in TERMINAL
            assert retention == DEADLINES.retention
        case Held():
            assert decision.run.state is State.CANCELLING


def test_a_new_run_waits_for_the_planner_and_its_clock_runs() -> None:
    request = RunRequest(picture_id="a" * 64, brief="warm", metadata={"k": "v"})
    decision = lifecycle.submitted(request, "r", budget_usd=Decimal(2), now=NOW, deadlines=DEADLINES)
    run = decision.run
    assert (run.state, run.brief, run.metadata, run.budget_usd) == (State.PLANNING, "warm", {"k": "v"}, Decimal(2))
    assert run.works_until == NOW + 3600
    assert run.turn == Turn(stage=Stage.PLAN, queued_at=NOW)
    assert decision.events == (Status(state=State.PLANNING, stage=Stage.PLAN),)
    assert decision.placement == Queued(Stage.PLAN, budget=DEADLINES.stage)


@pytest.mark.parametrize(("name", "state"), LEGAL)
def test_the_runs_clock_stands_still_while_a_person_is_awaited(name: str, state: State) -> None:
    run = run_in(state)
    after = MOVES[name][0](run).run
    if after.state in PARKED:
        assert after.works_until is None
        assert after.working_left_seconds == 1_000.0
    elif state not in PARKED:
        assert after.works_until == run.works_until


@pytest.mark.parametrize("state", sorted(PARKED))
def test_the_runs_clock_goes_on_where_it_stopped(state: State) -> None:
    move = Move.APPROVED if state is State.AWAITING_APPROVAL else Move.RESOLVED
    after = lifecycle.move(run_in(state), move, NOW, DEADLINES).run
    assert (after.state, after.works_until, after.working_left_seconds) == (State.EXECUTING, NOW + 600.0, 0.0)


def test_no_time_is_given_back_to_a_run_that_has_none_left() -> None:
    late = run_in(State.EXECUTING, works_until=NOW - 5)
    assert lifecycle.unclear(late, DOUBT, now=NOW, deadlines=DEADLINES).run.working_left_seconds == 0.0


@pytest.mark.parametrize(
    ("state", "works_until", "message"),
    [
        (State.EXECUTING, NOW, "the run's deadline passed in EXECUTING"),
        (State.EXECUTING, NOW + 1, "the stage's deadline passed in EXECUTING"),
        (State.PLANNING, NOW - 1, "the run's deadline passed in PLANNING"),
        (State.NEEDS_REVIEW, None, "nobody decided in time"),
    ],
)
def test_a_deadline_says_which_one_it_was(state: State, works_until: float | None, message: str) -> None:
    after = lifecycle.expired(run_in(state, works_until=works_until), now=NOW, deadlines=DEADLINES).run
    assert after.error == RunError(code="deadline_exceeded", message=message, stage=STAGES.get(state))


def test_a_persons_silence_is_a_no() -> None:
    asked = judged(run_in(State.CRITIQUING), Verdict.ACCEPT, asks=("costly",)).run
    after = lifecycle.expired(asked, now=NOW + 1, deadlines=DEADLINES).run
    assert after.state is State.REJECTED
    assert after.approval is not None
    assert (after.approval.decision, after.approval.decided_at) == ("expired", NOW + 1)


def test_a_plan_goes_back_so_often_and_then_to_a_person() -> None:
    run, states = run_in(State.CRITIQUING), []
    for _ in range(DEADLINES.critic_rounds + 1):
        run = judged(run, Verdict.REVISE, BLOCKING).run
        states.append((run.state, run.round))
        if run.state is State.PLANNING:
            run = lifecycle.planned(run, PLAN, LOCK, now=NOW, deadlines=DEADLINES).run
    assert states == [(State.PLANNING, 1), (State.PLANNING, 2), (State.AWAITING_APPROVAL, 2)]
    assert run.approval is not None
    assert run.approval.reasons == ("too dark",)


def test_who_is_asked_learns_the_reasons_the_plan_and_until_when() -> None:
    decision = judged(run_in(State.CRITIQUING), Verdict.REJECT, BLOCKING, ADVICE, asks=("costly",))
    assert decision.run.approval is not None
    assert decision.run.approval.plan_hash == LOCK.plan_hash
    assert decision.events[1:3] == (
        Warned(code="hint", message="softer"),
        Blocked(
            subject="plan",
            reasons=("too dark", "costly"),
            plan_hash=LOCK.plan_hash,
            until=NOW + DEADLINES.approval.total_seconds(),
        ),
    )


def test_a_rejection_without_reasons_still_gives_one() -> None:
    run = judged(run_in(State.CRITIQUING), Verdict.REJECT).run
    assert run.approval is not None
    assert run.approval.reasons == ("the Critic says reject",)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_guardrail_that_denies_outranks_every_verdict(verdict: Verdict) -> None:
    decision = judged(run_in(State.CRITIQUING), verdict, denied=("a URL", "too dear"))
    assert decision.run.state is State.FAILED
    assert decision.run.critique is not None
    assert decision.run.error == RunError(code="guardrail_denied", message="a URL; too dear", stage=Stage.CRITIQUE)


def test_what_the_planner_did_not_understand_is_said() -> None:
    decision = lifecycle.planned(
        run_in(State.PLANNING), PLAN.evolve(not_understood=("sparkle", "oomph")), LOCK, now=NOW, deadlines=DEADLINES
    )
    assert decision.events[1] == Warned(code="not_understood", message="not understood, so not done: sparkle, oomph")


def test_the_critic_still_sees_what_was_said_of_the_plan_before() -> None:
    run = run_in(State.PLANNING, critique=Critique(verdict=Verdict.REVISE))
    assert lifecycle.planned(run, PLAN, LOCK, now=NOW, deadlines=DEADLINES).run.critique == run.critique


def test_a_cancel_tells_both_steps_when_nobody_has_to_let_go() -> None:
    decision = lifecycle.cancelled(run_in(State.PLANNING), held=False, reason="so", now=NOW, deadlines=DEADLINES)
    assert decision.events == (
        Status(state=State.CANCELLING, previous=State.PLANNING, reason="so"),
        Status(state=State.CANCELLED, previous=State.CANCELLING),
    )


def test_a_held_run_that_is_cancelled_stays_with_its_holder() -> None:
    decision = lifecycle.cancelled(run_in(State.PLANNING), held=True, reason="so", now=NOW, deadlines=DEADLINES)
    assert decision.placement == Held()


@pytest.mark.parametrize("state", STAGES)
def test_a_back_off_keeps_state_turn_and_stage_deadline(state: State) -> None:
    run = run_in(state)
    decision = lifecycle.backing_off(run, timedelta(seconds=10), ERROR, now=NOW)
    assert decision.run == run.evolve(updated_at=NOW)
    assert decision.events == (Warned(code="tool_failed", message="no; next try in 10 s"),)
    assert decision.placement == Queued(STAGES[state], after=timedelta(seconds=10), budget=None)


@pytest.mark.parametrize("state", STAGES)
def test_a_release_hands_over_at_once_and_in_silence(state: State) -> None:
    decision = lifecycle.released(run_in(state), now=NOW)
    assert (decision.events, decision.placement) == ((), Queued(STAGES[state]))


def test_execution_has_time_for_each_of_its_steps() -> None:
    assert lifecycle.stage_budget(run_in(State.EXECUTING), Stage.EXECUTE, DEADLINES) == 2 * DEADLINES.step
    empty = run_in(State.EXECUTING, plan=Plan(steps=()))
    assert lifecycle.stage_budget(empty, Stage.EXECUTE, DEADLINES) == DEADLINES.step
    assert lifecycle.stage_budget(empty, Stage.PLAN, DEADLINES) == DEADLINES.stage


@UNHURRIED
@given(quote=st.decimals(0, 10, places=6), cost=st.decimals(0, 10, places=6))
def test_settling_a_call_returns_its_quote_and_books_its_cost(quote: Decimal, cost: Decimal) -> None:
    run = run_in(State.EXECUTING, reserved_usd=quote, spent_usd=Decimal(1))
    after = lifecycle.spent(run, reserved=quote, usage=Usage(cost_usd=cost, input_tokens=3))
    assert after.reserved_usd == 0
    assert after.spent_usd == 1 + cost
    assert after.usage == Usage(cost_usd=cost, input_tokens=3)


@pytest.mark.parametrize("state", [State.PLANNING, State.CRITIQUING])
def test_a_model_call_in_doubt_fails_the_run_since_nobody_can_adopt_its_answer(state: State) -> None:
    decision = conclude(Unclear(DOUBT), run_in(state), now=NOW, deadlines=DEADLINES)
    assert decision.run.error == RunError(code="outcome_unknown", message="?", stage=STAGES[state])


@pytest.mark.parametrize("state", STAGES)
def test_whatever_the_outcome_a_run_that_is_being_cancelled_is_let_go(state: State) -> None:
    run = lifecycle.cancelled(run_in(state), held=True, reason="", now=NOW, deadlines=DEADLINES).run
    assert conclude(Unclear(DOUBT), run, now=NOW, deadlines=DEADLINES).run.state is State.CANCELLED
