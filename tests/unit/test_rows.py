"""What a row tells when its stage ends, and whose thread changes Celery's records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.utils.limits import TokenBucket

from prolight.outcomes import BackingOff, Executed, Failed, Judged, Lost, Outcome, Planned, Released, Unclear
from prolight.ports import Snapshot
from prolight.schemas import Critique, Lock, Plan, Review, RunContext, RunError, Stage, State, Turn, Verdict
from workers import strategy
from workers.board import GATHER, Board
from workers.row import Row, StageOfRun, stage_of, task_id
from workers.strategy import LimitedStage

ERROR = RunError(code="rate_limited", message="slow down")
LOCK = Lock(
    plan_hash="", input_sha256="", model_version="", prompt_hash="", seed=0, policy_version="", prolight_version=""
)


@pytest.fixture(autouse=True)
def _no_requests_left() -> Iterator[None]:
    yield
    state.reset_state()


class Dispatcher:
    """Celery's, as far as a board needs it."""

    enabled = True

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.flushed = 0

    def send(self, event: str, **fields: Any) -> None:
        self.sent.append({"event": event, **fields})

    def flush(self) -> None:
        self.flushed = len(self.sent)


def run(now: State = State.PLANNING, error: RunError | None = None, *stages: Stage) -> RunContext:
    turns = tuple(Turn(stage=stage, queued_at=0) for stage in stages or (Stage.PLAN,))
    ended = 1.0 if now in (State.FAILED, State.CANCELLED, State.REJECTED, State.COMPLETED) else None
    return RunContext(run_id="r", asset_id="a", state=now, error=error, turns=turns, finished_at=ended)


def connected() -> tuple[Board, Dispatcher]:
    board, dispatcher = Board(), Dispatcher()
    board.attach(SimpleNamespace(event_dispatcher=dispatcher, hub=None))
    return board, dispatcher


@pytest.mark.parametrize(
    ("outcome", "ended_as", "event", "says"),
    [
        (Planned(Plan(steps=()), LOCK), run(State.CRITIQUING), "task-succeeded", "Planned; the run is CRITIQUING"),
        (Executed(()), run(State.COMPLETED), "task-succeeded", "Executed; the run is COMPLETED"),
        (Executed(()), run(State.CANCELLED), "task-revoked", None),
        (Released(), run(State.CANCELLED), "task-revoked", None),
        (Released(), run(State.EXECUTING), "task-retried", "this worker stops, another one goes on"),
        (BackingOff(timedelta(1), ERROR), run(), "task-retried", "rate_limited: slow down"),
        (Failed(ERROR), run(State.FAILED, ERROR), "task-failed", "rate_limited: slow down"),
        (
            Judged(Critique(verdict=Verdict.ACCEPT), "m", denied=("no",)),
            run(State.FAILED, RunError(code="guardrail_denied", message="no")),
            "task-failed",
            "guardrail_denied: no",
        ),
        (
            Judged(Critique(verdict=Verdict.REJECT), "m"),
            run(State.REJECTED),
            "task-succeeded",
            "Judged; the run is REJECTED",
        ),
        (
            Unclear(Review(key="k", call="t.x", why="outcome_unknown", message="sent, no answer")),
            run(State.NEEDS_REVIEW),
            "task-retried",
            "a person decides: sent, no answer",
        ),
        (
            Unclear(Review(key="k", call="t.x", why="outcome_unknown", message="sent, no answer")),
            run(State.FAILED, RunError(code="outcome_unknown", message="sent, no answer")),
            "task-failed",
            "outcome_unknown: sent, no answer",
        ),
    ],
)
async def test_a_row_ends_as_its_run_did(outcome: Outcome, ended_as: RunContext, event: str, says: str | None) -> None:
    board, dispatcher = connected()
    Row(Snapshot(run(), ver=1), board, hostname="w").ended(outcome, ended_as)
    board.catch_up()
    (sent,) = dispatcher.sent
    assert sent["event"] == event
    assert (sent.get("result") or sent["exception"]) == says


@pytest.mark.parametrize(
    ("attempt", "ended_as", "events"),
    [
        (0, run(State.CANCELLED), ["task-received", "task-revoked"]),
        (2, run(State.CANCELLED), ["task-revoked"]),
        (1, run(State.FAILED, ERROR), ["task-failed"]),
        (1, run(State.REJECTED), []),
        (0, run(State.COMPLETED), []),
    ],
)
async def test_a_run_that_was_ended_from_outside_is_shown_even_if_nobody_worked_at_the_stage(
    attempt: int, ended_as: RunContext, events: list[str]
) -> None:
    board, dispatcher = connected()
    Row(Snapshot(ended_as, ver=1, attempt=attempt), board, hostname="w").settled(ended_as)
    board.catch_up()
    assert [sent["event"] for sent in dispatcher.sent] == events


async def test_who_lost_a_run_tells_nothing_of_it() -> None:
    board, dispatcher = connected()
    Row(Snapshot(run(), ver=1), board, hostname="w").ended(Lost(), run())
    board.catch_up()
    assert dispatcher.sent == []


async def test_celery_s_records_change_in_its_own_thread_only_and_nothing_is_lost_between_connections() -> None:
    board, woken = Board(), asyncio.Event()
    consumer = SimpleNamespace(event_dispatcher=Dispatcher(), hub=SimpleNamespace(call_soon=lambda _: woken.set()))
    board.attach(consumer)
    row = Row(Snapshot(run(), ver=1, attempt=2), board, hostname="w")
    row.started()
    await woken.wait()
    assert (len(state.active_requests), consumer.event_dispatcher.sent) == (0, [])

    consumer.event_dispatcher = None  # a reconnect has begun
    board.catch_up()
    assert len(state.active_requests) == 0
    consumer.event_dispatcher = dispatcher = Dispatcher()
    board.attach(consumer)
    assert list(state.active_requests) == list(state.reserved_requests) == [row]
    assert [(sent["event"], sent.get("retries")) for sent in dispatcher.sent] == [
        ("task-received", 1),
        ("task-started", None),
    ]
    assert dispatcher.flushed == 2
    assert timedelta(seconds=1) > GATHER


async def test_a_cold_shutdown_of_celery_leaves_rows_to_the_drain() -> None:
    board, _ = connected()
    row = Row(Snapshot(run(), ver=1), board, hostname="w")
    row.started()
    board.catch_up()
    Consumer.cancel_active_requests(SimpleNamespace(pool=None))
    assert list(state.active_requests) == [row]


@pytest.mark.parametrize("run_id", ["r", "a.b-c_d", "01a20fc6-3bb8-7537-a769-04d2d867490b", "x.plan.0"])
def test_a_task_id_names_its_run_stage_and_round(run_id: str) -> None:
    named = run().evolve(run_id=run_id)
    assert stage_of(task_id(named, Turn(stage=Stage.EXECUTE, round=2, queued_at=0))) == StageOfRun(
        run_id, Stage.EXECUTE, 2
    )


@pytest.mark.parametrize(
    "foreign", ["", "r", "r.plan", "r.plan.", "r.plan.-1", "r.paint.0", ".plan.0", "r.plan.0\n", "é.plan.0"]
)
def test_another_task_id_is_left_alone(foreign: str) -> None:
    assert stage_of(foreign) is None


class Timer:
    def __init__(self) -> None:
        self.later: list[tuple[float, Any]] = []

    def call_after(self, seconds: float, call: Any) -> None:
        self.later.append((seconds, call))

    def run(self) -> float:
        seconds, call = self.later.pop()
        call()
        return seconds


def test_of_many_bells_under_a_rate_limit_one_waits_for_its_time_and_for_a_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rung: list[Stage] = []
    runtime = SimpleNamespace(free=1, ring=rung.append)
    monkeypatch.setattr(strategy, "runtime", runtime)
    timer, bucket = Timer(), TokenBucket(1 / 60, capacity=1)
    consumer = SimpleNamespace(task_buckets={"prolight.plan": bucket}, timer=timer)
    limited = LimitedStage(Stage.PLAN, consumer)

    for _ in range(5):
        limited.hear()
    assert rung == [Stage.PLAN]
    assert len(timer.later) == 1
    assert 50 < timer.run() <= 60  # nothing yet
    assert (len(rung), len(timer.later)) == (1, 1)

    runtime.free, bucket._tokens = 0, 1  # its time has come, and no slot is free
    timer.run()
    assert len(rung) == 1
    runtime.free = 1
    assert timer.run() < 1
    assert len(rung) == 2

    limited.hear()
    consumer.task_buckets["prolight.plan"] = None  # the limit is lifted
    timer.run()
    assert (len(rung), timer.later) == (3, [])
