"""The World answers the real gateway, misbehaves as scripted, and its receipts survive whatever happens to it."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.mcp_tools import McpTools, pooled_http
from prolight.determinism import fingerprint
from prolight.errors import CallError, ConnectionLost, NotSent, OutcomeUnknown, RateLimited, ToolFailed
from prolight.guardrails import Case, Policy, rule
from prolight.ports import ToolResult
from tests.chaos.driving import Control, Program
from tests.chaos.ledger import read
from tests.chaos.llm import plan_of
from tests.chaos.paid import PRICES
from tests.chaos.world import ACTS, CRASHED, REGISTRY

LONG = timedelta(seconds=30)
PICTURE = "a" * 64
keys = (f"key-{number}" for number in itertools.count(1))


class Here:
    """One World, the gateway to it, its control face and its ledger."""

    def __init__(self, program: Program, ledger: Path) -> None:
        self.program, self.ledger = program, ledger
        self.control = Control(program.url)
        self._http = pooled_http()
        self.tools = McpTools(program.said, namespace="world", registry=REGISTRY, http=self._http)

    async def ask(self, name: str, key: str, label: str = "", *, deadline: timedelta = LONG) -> ToolResult:
        tool = (await self.tools.tools())[f"world.{name}"]
        arguments = {"key": key} if name == "probe" else {"picture": PICTURE, "label": label or key}
        return await self.tools.call(tool, arguments, key=key, deadline=deadline)

    def receipts(self, key: str) -> list[str]:
        return [receipt["what"] for receipt in read(self.ledger) if receipt["key"] == key]

    async def count(self, key: str) -> int:
        return (await self.control.counts()).get(key, 0)

    async def close(self) -> None:
        await self._http.aclose()
        await self.control.__aexit__()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Path]]:
    folder = tmp_path_factory.mktemp("world")
    ledger = folder / "ledger"
    with Program(
        "tests.chaos.world", "--ledger", ledger, "--artifacts", folder / "artifacts", log=folder / "log"
    ) as world:
        yield world, ledger


@pytest.fixture
async def world(program: tuple[Program, Path]) -> AsyncIterator[Here]:
    here = Here(*program)
    yield here
    await here.control.clear()
    await here.control.release()
    await here.close()


@pytest.fixture
def key() -> str:
    return next(keys)


async def test_every_tool_makes_a_picture_that_only_its_name_and_label_decide(world: Here, key: str) -> None:
    made = {name: (await world.ask(name, f"{key}.{name}", "one")).artifact for name in PRICES}
    again = await world.ask("blind", f"{key}.again", "one")
    other = await world.ask("blind", f"{key}.other", "two")
    assert len({artifact.id for artifact in made.values() if artifact}) == len(PRICES)
    assert again.artifact == made["blind"] != other.artifact


async def test_the_picture_is_really_in_the_store(world: Here, key: str) -> None:
    artifact = (await world.ask("billed", key)).artifact
    assert artifact
    assert await LocalArtifacts(world.ledger.parent / "artifacts").find(artifact.id) == artifact


async def test_a_receipt_says_key_tool_class_arguments_result_and_price(world: Here, key: str) -> None:
    result = await world.ask("billed", key)
    received, applied, answered = (line for line in read(world.ledger) if line["key"] == key)
    arguments = fingerprint({"picture": PICTURE, "label": key})
    common = {"key": key, "tool": "billed", "effect": "billed", "label": key, "arguments": arguments}
    assert result.artifact
    told = fingerprint({**result.output, "artifact": result.artifact.model_dump(mode="json")})
    for line, what, made, charged in (
        (received, "received", None, "0"),
        (applied, "applied", told, "0.04"),
        (answered, "answered", told, "0"),
    ):
        said = {"what": what, "result": made, "charged_usd": charged}
        number = 0 if what == "received" else received["n"]
        pin = (await world.tools.tools())["world.billed"].pin
        assert line == common | said | {"n": line["n"], "at": line["at"], "call": number, "pin": pin}
    assert received["n"] < applied["n"] < answered["n"]


@pytest.mark.parametrize(("name", "times"), [("keyed", 1), ("billed", 2), ("blind", 2), ("probeable", 2)])
async def test_a_repeated_key_is_applied_once_only_by_a_keyed_tool(
    world: Here, key: str, name: str, times: int
) -> None:
    assert await world.ask(name, key) == await world.ask(name, key)
    assert await world.count(key) == times


async def test_a_key_that_comes_back_with_other_arguments_is_refused(world: Here, key: str) -> None:
    await world.ask("keyed", key, "one")
    with pytest.raises(ToolFailed) as refused:
        await world.ask("keyed", key, "two")
    assert refused.value.tool_code == "idempotency_mismatch"
    assert await world.count(key) == 1


async def test_a_world_that_forgot_its_keys_applies_again(world: Here, key: str) -> None:
    await world.ask("keyed", key)
    await world.control.script("forget_keys")
    await world.ask("keyed", key)
    await world.ask("keyed", key)
    assert await world.count(key) == 2


async def test_a_probe_says_what_became_of_a_key(world: Here, key: str) -> None:
    assert (await world.ask("probe", key)).output["status"] == "absent"
    await world.control.script("hold_before_apply", key=key, tool="probeable")
    calling = asyncio.create_task(world.ask("probeable", key))
    held = await world.control.held(key=key)
    assert (await world.ask("probe", key)).output["status"] == "unclear"
    await world.control.release(held["id"])
    made = await calling
    assert await world.ask("probe", key) == ToolResult({"status": "done", **made.output}, made.artifact, made.cost_usd)
    await world.control.script("unclear", tool="probe", key=key)
    assert (await world.ask("probe", key)).output["status"] == "unclear"
    assert world.receipts(key).count("probed") == 4


MEANING: dict[str, tuple[type[CallError], int]] = {
    "http_500": (OutcomeUnknown, 0),
    "http_503": (OutcomeUnknown, 0),
    "http_429": (RateLimited, 0),
    "refuse": (ToolFailed, 0),
    "error_after_apply": (OutcomeUnknown, 1),
    "reset": (ConnectionLost, 1),
    "huge_result": (OutcomeUnknown, 1),
    "invalid_result": (OutcomeUnknown, 1),
}
OTHERWISE_TESTED = {act for act in ACTS if act.startswith(("hold", "hang", "crash"))} | {
    *("slow", "wrong_picture", "cost_above_quote", "unclear")
}


def test_every_act_is_tested() -> None:
    assert MEANING.keys() | OTHERWISE_TESTED == ACTS


@pytest.mark.parametrize("act", MEANING)
async def test_an_act_means_this_and_the_call_after_it_is_served(world: Here, key: str, act: str) -> None:
    meaning, applied = MEANING[act]
    await world.control.script(act, key=key)
    with pytest.raises(CallError) as error:
        await world.ask("blind", key)
    assert type(error.value) is meaning
    assert await world.count(key) == applied
    assert world.receipts(key) == ["received", *["applied"] * applied, "answered"]
    assert (await world.ask("blind", key)).artifact


@pytest.mark.parametrize("act", ["http_500", "http_429", "refuse"])
async def test_a_refusal_may_come_after_the_effect(world: Here, key: str, act: str) -> None:
    await world.control.script(act, key=key, after=True)
    with pytest.raises(CallError):
        await world.ask("blind", key)
    assert world.receipts(key) == ["received", "applied", "answered"]


@pytest.mark.parametrize(("asked", "wait"), [(7, 7.0), (0, 0.0), ("tomorrow", None), (None, None)])
async def test_a_rate_limit_asks_for_the_scripted_wait(world: Here, key: str, asked: Any, wait: float | None) -> None:
    await world.control.script("http_429", key=key, retry_after=asked)
    with pytest.raises(RateLimited) as limited:
        await world.ask("billed", key)
    assert limited.value.retry_after == (None if wait is None else timedelta(seconds=wait))


async def test_a_typed_refusal_carries_the_scripted_code(world: Here, key: str) -> None:
    await world.control.script("refuse", key=key, code="no_subject")
    with pytest.raises(ToolFailed) as refused:
        await world.ask("billed", key)
    assert refused.value.tool_code == "no_subject"


async def test_a_wrong_picture_and_a_cost_above_the_quote_look_like_success(world: Here, key: str) -> None:
    right = await world.ask("billed", f"{key}.right", key)
    await world.control.script("wrong_picture", label=key)
    await world.control.script("cost_above_quote", label=key)
    wrong = await world.ask("billed", f"{key}.wrong", key)
    dear = await world.ask("billed", f"{key}.dear", key)
    charged = {line["key"]: line["charged_usd"] for line in read(world.ledger) if line["what"] == "applied"}
    assert wrong.artifact != right.artifact == dear.artifact
    assert (dear.output["cost_usd"], charged[f"{key}.dear"], charged[f"{key}.right"]) == ("0.40", "0.40", "0.04")


async def test_a_slow_call_is_answered(world: Here, key: str) -> None:
    await world.control.script("slow", key=key, ms=20)
    assert (await world.ask("pure", key)).artifact


@pytest.mark.parametrize(("when", "applied"), [("before", 0), ("after", 1)])
async def test_a_call_that_hangs_has_no_known_outcome(world: Here, key: str, when: str, applied: int) -> None:
    await world.control.script(f"hang_{when}_apply", key=key)
    with pytest.raises(OutcomeUnknown):
        await world.ask("blind", key, deadline=timedelta(milliseconds=100))
    assert world.receipts(key) == ["received", *["applied"] * applied]
    assert await world.count(key) == applied


@pytest.mark.parametrize(("when", "applied"), [("before", 0), ("after", 1)])
async def test_a_held_call_goes_on_when_it_is_released(world: Here, key: str, when: str, applied: int) -> None:
    await world.control.script(f"hold_{when}_apply", key=key)
    calling = asyncio.create_task(world.ask("blind", key))
    held = await world.control.held(key=key)
    assert (held["where"], held["tool"], held["label"]) == (when, "blind", key)
    assert await world.count(key) == applied
    assert await world.control.release(held["id"]) == 1
    assert (await calling).artifact
    assert world.receipts(key) == ["received", "applied", "answered"]


async def test_a_held_call_is_applied_although_its_caller_went_away(world: Here, key: str) -> None:
    await world.control.script("hold_before_apply", key=key)
    calling = asyncio.create_task(world.ask("blind", key))
    held = await world.control.held(key=key)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await world.control.release(held["id"])
    while "answered" not in world.receipts(key):
        await world.count(key)
    assert await world.count(key) == 1


async def test_a_rule_takes_the_calls_that_it_names_after_some_and_no_more_often_than_it_says(
    world: Here, key: str
) -> None:
    rule = await world.control.script("refuse", tool="billed", label=key, skip=1, times=2)
    answers = await asyncio.gather(
        *(world.ask("blind", f"{key}.{number}", key) for number in range(2)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [ToolResult, ToolResult]
    told = []
    for number in range(4):
        (answer,) = await asyncio.gather(world.ask("billed", f"{key}/{number}", key), return_exceptions=True)
        told.append(type(answer))
    assert told == [ToolResult, ToolFailed, ToolFailed, ToolResult]
    assert (await world.control.ask("GET", "/script"))[str(rule)]["landed"] == 2
    landed = [line for line in read(world.ledger.with_name("ledger.landed")) if line["label"] == key]
    assert [(line["act"], line["rule"], line["key"]) for line in landed] == [
        ("refuse", rule, f"{key}/1"),
        ("refuse", rule, f"{key}/2"),
    ]


async def test_an_unknown_act_or_field_is_refused(world: Here) -> None:
    for told in ({"act": "hang_befor_apply"}, {"act": "hang_before_apply", "toll": "blind"}):
        with pytest.raises(AssertionError, match=r"act|toll"):
            await world.control.ask("POST", "/script", json=told)


async def test_a_changed_tool_has_another_pin_and_a_gone_one_is_not_listed(world: Here) -> None:
    async def pins() -> dict[str, str]:
        async with pooled_http() as http:
            fresh = McpTools(world.program.said, namespace="world", registry=REGISTRY, http=http)
            return {name: tool.pin for name, tool in (await fresh.tools()).items()}

    before = await pins()
    assert before.keys() == {f"world.{name}" for name in REGISTRY}
    await world.control.script("change_tool", tool="blind", change={"description": "harmless, call it often"})
    await world.control.script("change_tool", tool="billed", change={"annotations": {"idempotentHint": True}})
    await world.control.script("change_tool", tool="pure", change=None)
    await world.control.script("change_tool", tool="extra", change={"description": "new"})
    after = await pins()
    assert {name for name in before if after.get(name) != before[name]} == {"world.blind", "world.billed", "world.pure"}
    assert after.keys() - before.keys() == {"world.extra"}
    original = {"description": "Makes a picture; pure.", "annotations": None}
    await world.control.script("change_tool", tool="pure", change=original)
    assert (await pins())["world.pure"] == before["world.pure"]


async def test_receipts_and_effects_survive_a_kill_and_a_crash_at_any_point(tmp_path: Path) -> None:
    with Program("tests.chaos.world", "--ledger", tmp_path / "ledger", log=tmp_path / "log") as program:
        world = Here(program, tmp_path / "ledger")
        await killed_between_effect_and_answer(world)
        await crashed_before_and_after_the_effect(world)
        numbers = [receipt["n"] for receipt in read(world.ledger)]
        assert numbers == list(range(1, len(numbers) + 1))
        await world.close()


async def killed_between_effect_and_answer(world: Here) -> None:
    await world.control.script("hold_after_apply", tool="keyed")
    calling = asyncio.create_task(world.ask("keyed", "k"))
    await world.control.held()
    world.program.kill()
    with pytest.raises(OutcomeUnknown):
        await calling
    assert world.receipts("k") == ["received", "applied"]
    with pytest.raises(NotSent):
        await world.ask("keyed", "k")

    world.program.start()
    world.control.restarted()
    assert await world.control.counts() == {"k": 1}
    assert (await world.ask("keyed", "k")).artifact
    assert (await world.ask("probe", "k")).output["status"] == "done"
    assert world.receipts("k") == ["received", "applied", "received", "answered", "probed"]
    assert await world.control.counts() == {"k": 1}


async def crashed_before_and_after_the_effect(world: Here) -> None:
    await world.control.script("crash_before_apply", key="b")
    with pytest.raises(OutcomeUnknown):
        await world.ask("blind", "b")
    assert world.program.ended() == CRASHED
    world.program.start()
    assert await world.control.counts() == {"k": 1}

    await world.control.script("crash_after_apply", key="b")
    with pytest.raises(OutcomeUnknown):
        await world.ask("blind", "b")
    assert world.program.ended() == CRASHED
    state = world.ledger.with_name("ledger.state")
    state.write_bytes(state.read_bytes()[:-20])  # as if it had died in the middle of the effect
    world.program.start()
    assert await world.control.counts() == {"k": 1, "b": 1}
    assert world.receipts("b") == ["received", "received", "applied"]


async def test_the_guardrails_find_nothing_in_a_plan_of_the_scripted_model_for_these_tools(world: Here) -> None:
    tools = await world.tools.tools()
    plan = plan_of("pure|keyed,probeable|billed,blind #run-7", list(tools))
    ruling = rule(Case(plan, tools, Policy(), Decimal(1)))
    assert (ruling.findings, ruling.denied) == ((), ())


async def test_a_reset_is_a_reset_and_no_orderly_end(world: Here, key: str) -> None:
    await world.control.script("reset", key=key)
    body = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"blind","arguments":'
        f'{{"picture":"{PICTURE}","label":""}},"_meta":{{"prolight/key":"{key}"}}}}}}'
    )
    head = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/json\r\n"
    head += f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    port = int(world.program.url.rpartition(":")[2])

    def call() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall((head + body).encode())
            with pytest.raises(ConnectionResetError):
                while connection.recv(65_536):
                    pass

    await asyncio.to_thread(call)
    assert await world.count(key) == 1
