import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from prolight.cli.failures import exit_code as code_of_error
from prolight.cli.failures import message
from prolight.cli.output import ExitCode, console, record
from prolight.cli.page import page
from prolight.cli.rendering import ending, event_line, one_line, printable, size, summary
from prolight.cli.runs import listing, whole
from prolight.cli.watch import exit_code
from prolight.errors import InvalidInput, PictureRefused, RunNotFound, StoreUnavailable
from prolight.events import (
    PAYLOADS,
    Blocked,
    Cost,
    Event,
    Failure,
    Judged,
    Note,
    Payload,
    PlanMade,
    Progress,
    Result,
    Status,
    StepMoved,
    Warned,
)
from prolight.ports import Snapshot
from prolight.schemas import (
    Approval,
    Artifact,
    Critique,
    ExecutionResult,
    Finding,
    Lock,
    Plan,
    RunContext,
    RunError,
    Stage,
    State,
    Step,
    StepResult,
    Turn,
    Verdict,
)
from prolight.spoken import duration

PICTURE = Artifact(id="a" * 64, media_type="image/jpeg", size_bytes=150_000, width=1200, height=900)
PLAN = Plan(
    steps=(
        Step(id="key", tool="studio.relight", params={"picture": "$input"}, why="a warm key, [bold]soft[/bold]"),
        Step(id="white", tool="studio.replace_background", params={"picture": "$key", "color": "#ffffff"}),
    ),
    summary="key, then white",
    not_understood=("sparkle",),
)
FINDINGS = (
    Finding(id="key.hot", severity="blocking", message="the key clips", step="key", fix="lower it by 1 EV"),
    Finding(id="brief.vague", severity="advice", message="the brief is vague"),
)
PAYLOAD_OF_EACH_TYPE: list[Payload] = [
    Status(state=State.CRITIQUING, previous=State.PLANNING, reason="because"),
    PlanMade(plan=PLAN, plan_hash="b" * 64, model="offline-rules", round=0),
    Judged(critique=Critique(verdict=Verdict.REVISE, findings=FINDINGS), model="offline-rules", round=0),
    Blocked(subject="plan", reasons=("it costs 2 USD",), until=1e9),
    Progress(stage=Stage.EXECUTE, step="key", fraction=0.4, message="lighting"),
    StepMoved(step="key", tool="studio.relight", status="done", artifact=PICTURE, seconds=0.42),
    Result(outputs=(PICTURE,)),
    Warned(code="not_understood", message="sparkle"),
    Failure(error=RunError(code="tool_failed", message="no subject")),
    Cost(spent_usd=Decimal("0.25"), reserved_usd=Decimal(0), budget_usd=Decimal(1)),
    Note(message="taken over"),
]


def event(payload: Payload) -> Event:
    return Event(run_id="r", seq=3, epoch=1, at=1.8e9, type=payload.type, payload=payload)


def finished_run() -> Snapshot:
    run = RunContext(
        run_id="run-1",
        asset_id="c" * 64,
        brief="soft warm key\x1b[31m from the left",
        state=State.COMPLETED,
        plan=PLAN,
        critique=Critique(verdict=Verdict.ACCEPT, findings=FINDINGS),
        lock=Lock(
            plan_hash="b" * 64,
            input_sha256="c" * 64,
            model_version="offline-rules",
            prompt_hash="d" * 64,
            seed=1,
            policy_version="1",
            prolight_version="0.1.0",
        ),
        exec_result=ExecutionResult(
            steps=(StepResult(id="key", status="done", artifact=PICTURE, started_at=103.0, finished_at=103.5),),
            outputs=(PICTURE,),
        ),
        turns=(
            Turn(stage=Stage.PLAN, queued_at=100, started_at=101, finished_at=102, attempts=2, model="offline-rules"),
        ),
        created_at=100,
        updated_at=104,
        finished_at=104,
    )
    return Snapshot(run, ver=7, epoch=3, attempt=1, seq=12)


def read(renderable: object) -> str:
    paper = Console(width=200, markup=False, highlight=False)
    with paper.capture() as capture:
        paper.print(renderable)
    return capture.get()


def test_there_is_a_sample_of_every_event_type() -> None:
    assert {payload.type for payload in PAYLOAD_OF_EACH_TYPE} == set(PAYLOADS)


@pytest.mark.parametrize("payload", PAYLOAD_OF_EACH_TYPE, ids=lambda payload: payload.type)
def test_an_event_is_one_line_with_its_number_and_type(payload: Payload) -> None:
    line = event_line(event(payload)).plain
    assert line.split()[0] == "3"
    assert payload.type in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (PAYLOAD_OF_EACH_TYPE[0], "CRITIQUING (because)"),
        (PAYLOAD_OF_EACH_TYPE[1], "key → white"),
        (PAYLOAD_OF_EACH_TYPE[2], "revise: the key clips"),
        (PAYLOAD_OF_EACH_TYPE[3], "waits for a person (plan): it costs 2 USD"),
        (PAYLOAD_OF_EACH_TYPE[4], "execute key 40% lighting"),
        (PAYLOAD_OF_EACH_TYPE[5], "key (studio.relight) done in 0.42 s: JPEG 1200 × 900, 146 KB"),
        (PAYLOAD_OF_EACH_TYPE[8], "tool_failed: no subject"),
    ],
)
def test_an_event_says_what_happened(payload: Payload, words: str) -> None:
    assert words in event_line(event(payload)).plain


@given(st.text())
def test_no_text_from_outside_reaches_the_terminal_as_a_command(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in printable(text))


@given(st.text(), st.integers(min_value=2, max_value=50))
def test_one_line_is_one_line_within_its_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert "\n" not in line
    assert len(line) <= limit


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_an_event_with_any_text_stays_one_harmless_line(text: str) -> None:
    line = event_line(event(Warned(code="x", message=text))).plain
    assert all(char.isprintable() for char in line)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.00 s"), (0.42, "0.42 s"), (12.34, "12.3 s"), (185, "3 min 5 s"), (7500, "2 h 5 min"), (273600, "3 d 4 h")],
)
def test_a_duration_has_the_unit_that_people_would_use(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_size_has_the_unit_that_people_would_use() -> None:
    assert (size(2048), size(3 * 1024 * 1024)) == ("2 KB", "3.0 MB")


def test_a_page_shows_the_finding_beside_its_step_and_the_loose_one_beside_the_verdict() -> None:
    lines = read(page(finished_run(), now=104)).splitlines()
    step = next(number for number, line in enumerate(lines) if "1. key" in line)
    assert "the key clips → lower it by 1 EV" in "".join(lines[step : step + 4])
    assert "the brief is vague" in "".join(lines[lines.index(next(line for line in lines if "verdict" in line)) :][:3])


def test_a_page_tells_plan_steps_timeline_cost_and_outputs() -> None:
    told = read(page(finished_run(), now=104))
    for words in (
        "COMPLETED (ended)",
        "after key",
        "✓ 0.50 s, JPEG 1200 × 900",
        "not understood, so not done: sparkle",
        "waited 1.00 s, worked 1.00 s, 2 attempts, offline-rules",
        "of 1; 0 tokens",
        PICTURE.id,
    ):
        assert words in told


def test_a_page_takes_text_from_outside_literally() -> None:
    told = read(page(finished_run(), now=104))
    assert "[bold]soft[/bold]" in told
    assert "\\x1b[31m" in told
    assert "\x1b" not in told


def test_a_page_of_a_waiting_run_says_for_what() -> None:
    approval = Approval(subject="plan", reasons=("it costs 2 USD",), asked_at=1.0, until=1.0)
    run = finished_run().run.evolve(state=State.AWAITING_APPROVAL, approval=approval, finished_at=None)
    assert "it costs 2 USD" in read(page(Snapshot(run, ver=3), now=200))
    assert summary(Snapshot(run, ver=3))["waits_for"] == ["it costs 2 USD"]


def test_a_page_of_a_failed_run_gives_code_reason_and_place() -> None:
    error = RunError(code="tool_failed", message="no subject", stage=Stage.EXECUTE, step="key", cause="empty mask")
    snapshot = Snapshot(finished_run().run.evolve(state=State.FAILED, error=error, exec_result=None), ver=3)
    assert "tool_failed: no subject (execute, step key)" in read(page(snapshot, now=200))
    assert "FAILED after 4.00 s: tool_failed: no subject" in ending(snapshot).plain


def test_a_page_of_a_run_that_just_began_is_short() -> None:
    run = RunContext(run_id="new", asset_id="c" * 64, brief="warm", created_at=100)
    told = read(page(Snapshot(run, ver=1, ready=True), now=101.5))
    assert "PLANNING (queued)" in told
    assert "verdict" not in told


def test_a_list_is_one_line_per_run_and_cuts_long_briefs() -> None:
    run = finished_run().run.evolve(brief="word " * 100)
    lines = read(listing([Snapshot(run, ver=1), Snapshot(run, ver=1)], now=104)).splitlines()
    assert len(lines) == 3
    assert lines[1].rstrip().endswith("…")


def test_the_whole_record_holds_the_run_as_it_is_and_what_the_store_knows() -> None:
    snapshot = finished_run()
    told = json.loads(json.dumps(whole(snapshot)))
    beside = {name: told.pop(name) for name in ("ver", "epoch", "attempt", "activity", "child")}
    assert RunContext.from_dict(told) == snapshot.run
    assert beside == {"ver": 7, "epoch": 3, "attempt": 1, "activity": "ended", "child": None}


@given(st.dictionaries(st.text(), st.text(alphabet=st.characters(exclude_categories=["Cs"]))))
def test_a_record_is_one_line_whatever_it_holds(value: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        patch.setattr("sys.stdout.write", written.append)
        record({"text": list(value.values())})
    [line] = written
    assert line.count("\n") == 1
    assert json.loads(line) == {"text": list(value.values())}


def test_off_a_terminal_there_is_no_colour_and_no_line_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(event_line(event(Warned(code="long", message="word " * 100))), style="red")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("state", State)
def test_every_state_has_an_exit_code_for_the_command_that_watched(state: State) -> None:
    assert exit_code(state) in ExitCode
    assert (exit_code(state) is ExitCode.OK) == (state is State.COMPLETED)


def test_the_exit_codes_are_those_that_scripts_rely_on() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0, "FAILED": 1, "USAGE": 2, "STOPPED": 3, "AUTH": 4, "RUN_FAILED": 5, "WAITS": 6, "DETACHED": 130,
    }  # fmt: skip


def test_refused_input_is_usage_and_other_errors_are_failures() -> None:
    assert code_of_error(PictureRefused("too large")) is ExitCode.USAGE
    assert code_of_error(InvalidInput("too long", field="brief")) is ExitCode.USAGE
    assert code_of_error(RunNotFound("x")) is ExitCode.FAILED


def test_a_store_that_is_away_names_the_way_to_start_one() -> None:
    assert "`prolight up`" in message(StoreUnavailable("no answer"))
    assert message(StoreUnavailable("no answer: `prolight up`")).count("prolight up") == 1
