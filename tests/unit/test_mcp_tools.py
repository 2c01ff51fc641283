"""What a real MCP server may answer, and what it means: done, refused, or nobody knows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from mcp_types import CallToolResult

from prolight.adapters.mcp_tools import McpTools, _result, pooled_http
from prolight.adapters.registry import Registered, Registry
from prolight.embedded.valkey import free_port
from prolight.errors import (
    CallError,
    CallRejected,
    ConnectionLost,
    NotSent,
    OutcomeUnknown,
    ProLightError,
    RateLimited,
    ServerCrashed,
    ToolFailed,
)
from prolight.ports import Effect, Tool, ToolResult
from prolight.schemas import Artifact
from tests.unit.tool_server import HTTP, PICTURE, served

LONG = timedelta(seconds=20)
REGISTRY: Registry = {
    "good": Registered(
        effect="billed",
        price_usd=Decimal("0.04"),
        timeout_seconds=9,
        picture_params=frozenset({"picture"}),
        description="ours",
    ),
    "raises": Registered(effect="pure"),
    "hangs": Registered(effect="keyed", key_window_seconds=3600),
    "no_picture": Registered(effect="probeable", probe="measures"),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with pooled_http() as http:
        yield http


@pytest.fixture
def odd(url: str, http: httpx2.AsyncClient) -> McpTools:
    return McpTools(url, namespace="odd", registry=REGISTRY, http=http)


async def ask(tools: McpTools, name: str, deadline: timedelta = LONG, **arguments: Any) -> ToolResult:
    tool = (await tools.tools())[f"odd.{name}"]
    return await tools.call(tool, {"picture": "a" * 64, **arguments}, key="k", deadline=deadline)


async def test_a_picture_and_the_rest_of_the_answer_come_back(odd: McpTools) -> None:
    assert await ask(odd, "good", strength=2.0) == ToolResult(
        {"score": 2.0, "warnings": []}, Artifact.model_validate(PICTURE)
    )
    assert await ask(odd, "measures") == ToolResult({"score": 0.5, "warnings": ["dark"]})


async def test_arguments_that_are_none_are_left_out(odd: McpTools) -> None:
    assert (await ask(odd, "good", strength=None)).output["score"] == 1.0


async def test_tools_are_what_our_registry_says_of_them_and_else_blind(odd: McpTools) -> None:
    tools = await odd.tools()
    good, other = tools["odd.good"], tools["odd.measures"]
    assert (good.effect, good.price_usd, good.timeout) == ("billed", Decimal("0.04"), timedelta(seconds=9))
    assert (good.description, good.picture_params) == ("ours", frozenset({"picture"}))
    assert (other.effect, other.description) == ("blind", "Makes no picture.")
    assert (tools["odd.hangs"].key_window, good.key_window) == (timedelta(hours=1), None)
    assert (tools["odd.no_picture"].probe, good.probe) == ("odd.measures", "")


async def test_pins_are_the_same_for_everybody_and_differ_by_tool(
    odd: McpTools, url: str, http: httpx2.AsyncClient
) -> None:
    again = McpTools(url, namespace="odd", registry={}, http=http)
    pins = {name: tool.pin for name, tool in (await odd.tools()).items()}
    assert {name: tool.pin for name, tool in (await again.tools()).items()} == pins
    assert len(set(pins.values())) == len(pins)


MEANING: dict[str, type[CallError]] = {
    "typed_error": ToolFailed,
    "untyped_error": OutcomeUnknown,
    "raises": CallRejected,  # registered as pure
    "no_picture": OutcomeUnknown,
    "huge": OutcomeUnknown,
    "http_429": RateLimited,
    "http_429_json": RateLimited,
    "http_529": RateLimited,
    "http_429_date": RateLimited,
    "http_429_past": RateLimited,
    "http_429_bare": RateLimited,
    "http_500": OutcomeUnknown,
    "http_503": OutcomeUnknown,
    "http_401_json": CallRejected,
    "http_403": CallRejected,
    "http_400_typed": ToolFailed,
    "http_202": OutcomeUnknown,
    "http_html": OutcomeUnknown,
    "http_garbage": OutcomeUnknown,
    "http_redirect": CallRejected,
}


def test_every_odd_answer_has_a_meaning() -> None:
    assert HTTP.keys() <= MEANING.keys()


@pytest.mark.parametrize(("name", "meaning"), MEANING.items())
async def test_an_answer_means(odd: McpTools, name: str, meaning: type[CallError]) -> None:
    with pytest.raises(CallError) as error:
        await ask(odd, name)
    assert type(error.value) is meaning
    assert len(str(error.value)) < 1_000


@pytest.mark.parametrize(
    ("name", "wait"),
    [
        ("http_429", 7),
        ("http_429_json", 7),
        ("http_529", 7),
        ("http_429_date", 90),
        ("http_429_past", 0),
        ("http_429_bare", None),
    ],
)
async def test_a_rate_limit_carries_the_wait_that_was_asked_for(odd: McpTools, name: str, wait: float | None) -> None:
    with pytest.raises(RateLimited) as error:
        await ask(odd, name)
    assert error.value.retry_after == (None if wait is None else timedelta(seconds=wait))


async def test_a_typed_error_keeps_its_code_and_message(odd: McpTools) -> None:
    with pytest.raises(ToolFailed, match="nothing to light") as error:
        await ask(odd, "typed_error")
    assert error.value.tool_code.startswith("no_subject")
    assert len(error.value.tool_code) <= 64


async def test_an_effect_that_raised_may_have_happened(url: str, http: httpx2.AsyncClient) -> None:
    tools = McpTools(url, namespace="odd", registry={}, http=http)
    with pytest.raises(OutcomeUnknown):
        await ask(tools, "raises")


def test_a_number_that_json_cannot_hold_does_not_get_in() -> None:
    tool = Tool("odd.good", "", {}, pin="1" * 64)
    with pytest.raises(OutcomeUnknown, match="JSON cannot hold"):
        _result(tool, CallToolResult(content=[], structured_content={"score": float("nan")}))


async def test_no_answer_within_the_deadline_is_unknown(odd: McpTools) -> None:
    await odd.tools()
    with pytest.raises(OutcomeUnknown):
        await ask(odd, "hangs", timedelta(milliseconds=50))
    assert (await ask(odd, "good")).artifact


async def test_a_call_that_is_cancelled_stays_cancelled_and_disturbs_nobody(odd: McpTools) -> None:
    await odd.tools()
    hanging = asyncio.create_task(ask(odd, "hangs"))
    await ask(odd, "good")
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert (await ask(odd, "good")).artifact


async def test_a_broken_call_does_not_disturb_those_beside_it(odd: McpTools) -> None:
    names = ["good", "http_500", "good", "hangs", "http_garbage", "good", "http_html", "good"]
    answers = await asyncio.gather(
        *(ask(odd, name, timedelta(seconds=1) if name == "hangs" else LONG) for name in names), return_exceptions=True
    )
    assert [type(answer).__name__ for answer in answers] == [
        "ToolResult" if name == "good" else "OutcomeUnknown" for name in names
    ]


async def test_a_server_killed_in_the_middle_of_a_call_leaves_its_outcome_unknown_and_is_then_away(
    http: httpx2.AsyncClient,
) -> None:
    with served() as url:
        tools = McpTools(url, namespace="odd", registry=REGISTRY, http=http)
        assert (await ask(tools, "good")).artifact
        with pytest.raises(OutcomeUnknown):
            await ask(tools, "dies")
        with pytest.raises(NotSent):
            for _ in range(100):  # while the process ends, its socket may still take a connection
                with suppress(OutcomeUnknown):
                    await ask(tools, "good")


@pytest.mark.parametrize(("effect", "error"), [("pure", ServerCrashed), ("billed", ConnectionLost)])
async def test_a_pure_call_that_our_own_server_dies_of_may_be_to_blame(
    effect: Effect, error: type[ProLightError], http: httpx2.AsyncClient
) -> None:
    with served() as url:
        registry = {"dies": Registered(effect=effect)}
        tools = McpTools(url, namespace="odd", registry=registry, http=http, ours=True)
        with pytest.raises(error):
            await ask(tools, "dies")


async def test_a_refused_connection_sent_nothing(http: httpx2.AsyncClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/mcp"
        tools = McpTools(url, namespace="odd", registry={}, http=http)
        with pytest.raises(NotSent, match="refuses the connection"):
            await tools.tools()


async def test_a_server_that_comes_up_later_is_discovered_then(http: httpx2.AsyncClient) -> None:
    port = free_port()
    tools = McpTools(f"http://127.0.0.1:{port}/mcp", namespace="odd", registry={}, http=http)
    with pytest.raises(NotSent):
        await tools.tools()
    with served(port):
        assert "odd.good" in await tools.tools()
