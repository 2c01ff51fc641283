"""The scripted model plans what the brief says, and each of its failures means what the design says it means."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from prolight.determinism import fingerprint
from prolight.errors import CallError, CallRejected, NotSent, OutcomeUnknown, RateLimited
from prolight.ports import ChatModel, ChatReply, ChatRequest
from prolight.schemas import Critique, Plan, Verdict
from prolight.settings import Settings
from tests.chaos.driving import Control, Program
from tests.chaos.ledger import read
from tests.chaos.llm import ACTS, PRICE, ScriptedModel, model, plan_of

LONG = timedelta(seconds=30)
tags = (f"run-{number}" for number in itertools.count(1))


def question(brief: str, role: Literal["planner", "critic"] = "planner") -> ChatRequest:
    return ChatRequest(role, {"brief": brief, "tools": {"world.pure": {}, "world.blind": {}}}, {})


class Here:
    """One LLM, the model that asks it, its control face and its ledger."""

    def __init__(self, program: Program, ledger: Path) -> None:
        self.program, self.ledger = program, ledger
        self.control = Control(program.url)
        self.model: ChatModel = ScriptedModel(program.said)

    async def ask(self, request: ChatRequest, deadline: timedelta = LONG) -> ChatReply:
        return await self.model.complete(request, deadline=deadline)

    def receipts(self, tag: str) -> list[tuple[str, str]]:
        return [(line["what"], line["charged_usd"]) for line in read(self.ledger) if line["label"] == tag]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Path]]:
    folder = tmp_path_factory.mktemp("llm")
    with Program("tests.chaos.llm", "--ledger", folder / "ledger", log=folder / "log") as llm:
        yield llm, folder / "ledger"


@pytest.fixture
async def llm(program: tuple[Program, Path]) -> AsyncIterator[Here]:
    here = Here(*program)
    yield here
    await here.control.clear()
    await here.control.release()
    await here.control.__aexit__()


@pytest.fixture
def tag() -> str:
    return next(tags)


@pytest.mark.parametrize(
    ("brief", "steps"),
    [
        ("pure", [("pure-1", "$input", ())]),
        ("blind,pure", [("blind-1", "$input", ()), ("pure-2", "$blind-1", ("blind-1",))]),
        (
            "pure | billed , blind",
            [("pure-1", "$input", ()), ("billed-2", "$input", ()), ("blind-3", "$pure-1", ("pure-1", "billed-2"))],
        ),
    ],
)
def test_a_brief_writes_the_plan_out(brief: str, steps: list[tuple[str, str, tuple[str, ...]]]) -> None:
    plan = plan_of(brief, ["elsewhere.blind"])
    assert [(step.id, step.params["picture"], step.depends_on) for step in plan.steps] == steps
    assert [step.params["label"] for step in plan.steps] == [step.id for step in plan.steps]
    assert {step.tool for step in plan.steps} <= {"world.pure", "world.billed", "elsewhere.blind"}


def test_what_follows_the_hash_tells_the_labels_of_runs_apart() -> None:
    assert [step.params["label"] for step in plan_of("pure,pure #run-7", []).steps] == ["run-7.pure-1", "run-7.pure-2"]


async def test_an_answer_is_the_plan_with_its_price_and_both_are_on_record(llm: Here, tag: str) -> None:
    reply = await llm.ask(question(f"blind,pure #{tag}"))
    assert Plan.model_validate_json(reply.text) == plan_of(f"blind,pure #{tag}", [])
    assert reply.usage.cost_usd == llm.model.quote(question("pure")) == PRICE
    received, answered = (line for line in read(llm.ledger) if line["label"] == tag)
    assert (received["what"], received["role"], received["charged_usd"]) == ("received", "planner", "0")
    assert (answered["what"], answered["role"], answered["charged_usd"]) == ("answered", "planner", "0.01")
    assert reply.request_id == f"req-{received['n']}"


async def test_its_key_is_the_arguments_hash_of_the_journal(llm: Here, tag: str) -> None:
    request = question(f"pure #{tag}")
    await llm.ask(request)
    expected = fingerprint([llm.model.prompt_hash, request.role, request.facts])
    assert {line["key"] for line in read(llm.ledger) if line["label"] == tag} == {expected}


async def test_the_critic_accepts_unless_it_is_scripted(llm: Here, tag: str) -> None:
    request = question(f"pure #{tag}", "critic")
    await llm.control.script("verdict", role="critic", label=tag, verdict="revise", skip=1)
    verdicts = [Critique.model_validate_json((await llm.ask(request)).text).verdict for _ in range(3)]
    assert verdicts == [Verdict.ACCEPT, Verdict.REVISE, Verdict.ACCEPT]


MEANING: dict[str, tuple[type[CallError], Decimal]] = {
    "http_429": (RateLimited, Decimal(0)),
    "http_529": (RateLimited, Decimal(0)),
    "http_400": (CallRejected, Decimal(0)),
    "http_401": (CallRejected, Decimal(0)),
    "http_500": (OutcomeUnknown, Decimal(0)),
    "http_503": (OutcomeUnknown, Decimal(0)),
    "reset": (OutcomeUnknown, PRICE),
    "bad_body": (OutcomeUnknown, PRICE),
}


def test_every_act_is_tested() -> None:
    otherwise = {"hang", "hang_after", "hold", "hold_after", "truncated", "garbage", "slow", "answer", "verdict"}
    assert MEANING.keys() | otherwise == ACTS


@pytest.mark.parametrize("act", MEANING)
async def test_a_failure_means_this_and_the_next_call_is_answered(llm: Here, tag: str, act: str) -> None:
    meaning, charged = MEANING[act]
    await llm.control.script(act, label=tag)
    with pytest.raises(CallError) as error:
        await llm.ask(question(f"pure #{tag}"))
    assert type(error.value) is meaning
    assert llm.receipts(tag) == [("received", "0"), ("answered", str(charged))]
    assert (await llm.ask(question(f"pure #{tag}"))).text


@pytest.mark.parametrize("act", ["http_429", "http_529"])
@pytest.mark.parametrize(("asked", "wait"), [(5, 5.0), (0, 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), (None, None)])
async def test_a_rate_limit_carries_the_wait_that_was_asked_for(
    llm: Here, tag: str, act: str, asked: Any, wait: float | None
) -> None:
    await llm.control.script(act, label=tag, retry_after=asked)
    with pytest.raises(RateLimited) as limited:
        await llm.ask(question(f"pure #{tag}"))
    assert limited.value.retry_after == (None if wait is None else timedelta(seconds=wait))


@pytest.mark.parametrize(("act", "charged"), [("hang", []), ("hang_after", [("answered", "0.01")])])
async def test_silence_until_the_deadline_has_no_known_outcome(
    llm: Here, tag: str, act: str, charged: list[tuple[str, str]]
) -> None:
    await llm.control.script(act, label=tag)
    with pytest.raises(OutcomeUnknown, match="no answer within"):
        await llm.ask(question(f"pure #{tag}"), deadline=timedelta(milliseconds=100))
    assert llm.receipts(tag) == [("received", "0"), *charged]


@pytest.mark.parametrize(("act", "charged"), [("hold", []), ("hold_after", [("answered", "0.01")])])
async def test_a_held_answer_comes_when_it_is_released(
    llm: Here, tag: str, act: str, charged: list[tuple[str, str]]
) -> None:
    await llm.control.script(act, label=tag)
    asking = asyncio.create_task(llm.ask(question(f"pure #{tag}")))
    held = await llm.control.held(label=tag)
    assert (held["role"], held["label"]) == ("planner", tag)
    assert llm.receipts(tag) == [("received", "0"), *charged]
    await llm.control.release(held["id"])
    assert (await asking).text


async def test_what_the_model_says_may_be_slow_cut_short_prose_or_anything(llm: Here, tag: str) -> None:
    for act, told in (("slow", {"ms": 20}), ("truncated", {}), ("garbage", {}), ("answer", {"text": "[]"})):
        await llm.control.script(act, label=tag, **told)
    whole, half, prose, anything = [(await llm.ask(question(f"pure #{tag}"))).text for _ in range(4)]
    assert whole.startswith(half)
    assert 0 < len(half) < len(whole)
    assert prose.startswith("Certainly!")
    assert anything == "[]"


async def test_facts_without_a_brief_and_an_unwritable_plan_are_rejected(llm: Here) -> None:
    with pytest.raises(CallRejected):
        await llm.ask(ChatRequest("planner", {}, {}))
    with pytest.raises(CallRejected):
        await llm.ask(question("No Tool!"))


async def test_a_refused_connection_sent_nothing_and_a_killed_model_leaves_its_answer_unknown(tmp_path: Path) -> None:
    with Program("tests.chaos.llm", "--ledger", tmp_path / "ledger", log=tmp_path / "log") as program:
        llm = Here(program, tmp_path / "ledger")
        await llm.control.script("hold_after")
        asking = asyncio.create_task(llm.ask(question("pure #a")))
        await llm.control.held()
        program.kill()
        with pytest.raises(OutcomeUnknown):
            await asking
        with pytest.raises(NotSent):
            await llm.ask(question("pure #a"))
        program.start()
        assert (await llm.ask(question("pure #a"))).request_id == "req-3"
        assert llm.receipts("a") == [("received", "0"), ("answered", "0.01")] * 2
        await llm.control.__aexit__()


async def test_the_factory_finds_the_url_in_the_environment(llm: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_LLM_URL", llm.program.said)
    assert (await model(Settings()).complete(question("pure"), deadline=LONG)).model_version == "scripted-1"
