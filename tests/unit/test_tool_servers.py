"""Several real tool servers behind one gateway, while some of them are away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from decimal import Decimal

import httpx2
import pytest

from prolight.adapters.mcp_tools import McpTools, pooled_http
from prolight.adapters.registry import Registered, Server
from prolight.adapters.tool_servers import FRESH, ToolServers
from prolight.embedded.valkey import free_port
from prolight.errors import NotSent, OutcomeUnknown, RateLimited
from prolight.outcomes import BackingOff, Executed, Judged, Planned, Unclear
from prolight.ports import Tool, ToolResult
from prolight.schemas import Critique, Plan, RunContext, Stage, State, Step, Verdict
from tests.unit.scripted import PICTURE, ScriptedModel, World, planning
from tests.unit.tool_server import served

LONG = timedelta(seconds=20)
HOUR = timedelta(hours=1)
BILLED = {"good": Registered(effect="billed", price_usd=Decimal("0.04"))}
ACCEPT = Critique(verdict=Verdict.ACCEPT).model_dump_json()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served() as url:
        yield url


def at(port: int) -> str:
    return f"http://127.0.0.1:{port}/mcp"


@asynccontextmanager
async def servers(
    *, again: timedelta = timedelta(0), fresh: timedelta = FRESH, **urls: str
) -> AsyncIterator[ToolServers]:
    """A gateway as a worker process has one; `world` is a server of which we know something."""
    declared = {name: Server(url=url, tools=BILLED if name == "world" else {}) for name, url in urls.items()}
    gateway = ToolServers(declared, fresh=fresh, look_again_after=again)
    try:
        yield gateway
    finally:
        await gateway.close()


class Silent:
    """Takes connections and never says a word."""

    def __init__(self) -> None:
        self.connections = 0
        self.knocked = asyncio.Event()

    async def __aenter__(self) -> Silent:
        self._server = await asyncio.start_server(self._listen, "127.0.0.1", 0)
        self.url = at(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.knocked.set()
        while await reader.read(1024):
            pass
        writer.close()


class Busy(Silent):
    """Asks for an hour's pause, whatever is asked."""

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 Busy\r\nretry-after: 3600\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await super()._listen(reader, writer)


async def ask(gateway: ToolServers, name: str, deadline: timedelta = LONG) -> ToolResult:
    tool = (await gateway.tools({name}))[name]
    return await gateway.call(tool, {"picture": PICTURE}, key="k", deadline=deadline)


# The gateway


async def test_a_tool_is_named_by_its_server_and_called_there(url: str) -> None:
    with served() as other:
        async with servers(odd=url, world=other) as gateway:
            tools = await gateway.tools()
            assert (tools["odd.good"].effect, tools["world.good"].effect) == ("blind", "billed")
            assert tools["odd.good"].pin == tools["world.good"].pin
            with pytest.raises(OutcomeUnknown):
                await ask(gateway, "world.dies")
            assert (await ask(gateway, "odd.good")).artifact
            with pytest.raises(NotSent):
                for _ in range(100):  # while the process ends, its socket may still take a connection
                    with suppress(OutcomeUnknown):
                        await ask(gateway, "world.good")


async def test_a_server_that_is_away_hides_no_other_and_is_missed_by_those_that_need_it(url: str) -> None:
    async with servers(odd=url, world=at(free_port())) as gateway:
        for needed in ((), {"odd.good"}, {"nowhere.good"}):
            tools = await gateway.tools(needed)
            assert "odd.good" in tools
            assert not any(name.startswith("world.") for name in tools)
        with pytest.raises(NotSent, match="refuses the connection"):
            await gateway.tools({"odd.good", "world.good"})


async def test_a_server_that_asks_for_a_pause_is_not_looked_at_before_it_is_over(url: str) -> None:
    async with Busy() as busy, servers(odd=url, world=busy.url) as gateway:
        knocks = []
        for _ in range(3):
            with pytest.raises(RateLimited) as limited:
                await gateway.tools({"world.good"})
            assert limited.value.retry_after == HOUR
            assert "odd.good" in await gateway.tools()
            knocks.append(busy.connections)
        assert knocks == [knocks[0]] * 3


async def test_a_server_that_comes_up_later_is_offered_then(url: str) -> None:
    port = free_port()
    async with servers(fresh=HOUR, odd=url, world=at(port)) as gateway:
        assert "world.good" not in await gateway.tools()
        with served(port):
            assert "world.good" in await gateway.tools()
        assert "world.good" in await gateway.tools({"world.good"})  # once listed, believed for its time


async def test_between_two_looks_only_those_that_need_it_knock(url: str) -> None:
    port = free_port()
    async with servers(again=HOUR, odd=url, world=at(port)) as gateway:
        assert "world.good" not in await gateway.tools()
        with served(port):
            assert "world.good" not in await gateway.tools({"odd.good"})
            assert "world.good" in await gateway.tools({"world.good"})


async def test_while_no_server_answers_everybody_looks_and_hears_why() -> None:
    port = free_port()
    async with servers(again=HOUR, odd=at(port), world=at(free_port())) as gateway:
        for needed in ((), {"world.good"}):
            with pytest.raises(NotSent, match="refuses the connection"):
                await gateway.tools(needed)
        with served(port):
            assert "odd.good" in await gateway.tools()


async def test_a_wrong_address_is_no_reason_to_fail_while_another_server_may_come_up(url: str) -> None:
    wrong = url.replace("/mcp", "/elsewhere")
    async with servers(odd=wrong, world=at(free_port())) as gateway:
        with pytest.raises(NotSent):
            await gateway.tools()


async def test_a_hundred_that_wait_for_a_silent_server_knock_once_and_keep_nobody_else(url: str) -> None:
    async with Silent() as silent, servers(odd=url, world=silent.url) as gateway:
        waiting = [asyncio.create_task(gateway.tools({"world.good"})) for _ in range(100)]
        await silent.knocked.wait()
        assert "odd.good" in await gateway.tools({"odd.good"})
        assert silent.connections == 1
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_server_that_hangs_takes_no_connection_from_the_others(url: str) -> None:
    with served() as slow:
        async with servers(odd=url, world=slow) as gateway, servers(world=slow) as bystander:
            await gateway.tools()
            hanging = [asyncio.create_task(ask(gateway, "world.hangs")) for _ in range(120)]
            async with asyncio.timeout(LONG.total_seconds()):
                while (await ask(bystander, "world.how_many_hang")).output["score"] < 100:
                    pass
                assert (await ask(gateway, "odd.good")).artifact
            for task in hanging:
                task.cancel()
            ended = await asyncio.gather(*hanging, return_exceptions=True)
            assert {type(end) for end in ended} == {asyncio.CancelledError}


async def test_a_list_is_believed_for_a_short_time_only_and_before_an_effect_not_at_all(url: str) -> None:
    port = free_port()
    async with servers(fresh=HOUR, world=at(port)) as long, servers(fresh=timedelta(0), world=at(port)) as short:
        with served(port):
            before = {gateway: (await gateway.tools())["world.good"].pin for gateway in (long, short)}
        with served(port, good_says="Makes another picture."):
            after = (await short.tools({"world.good"}))["world.good"].pin
            assert after != before[short]
            assert (await long.tools({"world.good"}))["world.good"].pin == before[long]
            assert (await long.tools({"world.good"}, anew=True))["world.good"].pin == after
            assert (await long.tools())["world.good"].pin == after


async def test_planners_keep_the_tools_of_a_server_that_went_away_and_whoever_needs_it_waits(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    async with servers(fresh=timedelta(0), odd=url, world=at(port)) as gateway:
        with served(port):
            await gateway.tools()
        for _ in range(2):
            assert "world.good" in await gateway.tools()
            assert "world.good" in await gateway.tools({"odd.good"})
        with pytest.raises(NotSent, match="refuses the connection"):
            await gateway.tools({"world.good"})
        with served(port):
            assert "world.good" in await gateway.tools({"world.good"})
    assert [record.message.partition(":")[0] for record in caplog.records] == ["plans know only the old tools of world"]


async def test_a_hundred_effects_at_once_have_their_server_asked_once(url: str) -> None:
    class Counting(McpTools):
        lists = 0

        async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
            self.lists += 1
            return await super().tools(needed, anew=anew)

    async with pooled_http() as http:
        odd = Counting(url, namespace="odd", registry={}, http=http)
        gateway = ToolServers({"odd": Server(url=url)}, here={"odd": odd})
        for lists in (1, 2):
            await asyncio.gather(*(gateway.tools({"odd.good"}, anew=True) for _ in range(100)))
            assert odd.lists == lists
        await gateway.close()


async def test_a_look_that_began_too_early_is_followed_by_another_one(url: str) -> None:
    """What a server says while it is already being asked may be from before it changed."""

    class Held(McpTools):
        def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
            super().__init__(url, namespace="odd", registry={}, http=http)
            self.lists, self.go = 0, asyncio.Event()

        async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
            self.lists += 1
            await self.go.wait()
            return await super().tools(needed, anew=anew)

    async with pooled_http() as http:
        odd = Held(url, http)
        gateway = ToolServers({"odd": Server(url=url)}, here={"odd": odd})
        first = asyncio.create_task(gateway.tools())
        while not odd.lists:
            await asyncio.sleep(0)
        second = asyncio.create_task(gateway.tools({"odd.good"}, anew=True))
        await asyncio.sleep(0)
        odd.go.set()
        await asyncio.gather(first, second)
        assert odd.lists == 2
        await gateway.close()


async def test_an_absence_is_logged_once(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="prolight")
    async with servers(odd=url, world=at(free_port())) as gateway:
        for _ in range(3):
            await gateway.tools()
    assert [record.message.partition(":")[0] for record in caplog.records] == ["plans go without the tools of world"]


# Runs, while a server is away


def plan(server: str) -> Plan:
    return Plan(steps=(Step(id="light", tool=f"{server}.good", params={"picture": "$input"}),))


async def world(gateway: ToolServers, *plans: Plan) -> World:
    answers = {"planner": [plan.model_dump_json() for plan in plans], "critic": [ACCEPT] * len(plans)}
    here = World(gateway, ScriptedModel(answers))  # type: ignore[arg-type]
    await here.add(planning())
    return here


async def through(here: World) -> list[type]:
    """Attempt by attempt until the run ends or backs off."""
    ends: list[type] = []
    stages = {State.PLANNING: Stage.PLAN, State.CRITIQUING: Stage.CRITIQUE, State.EXECUTING: Stage.EXECUTE}
    while not ends or (ends[-1] is not BackingOff and (await run_of(here)).state in stages):
        ends.append(type(await (await here.attempt(stages[(await run_of(here)).state])).make()))
    return ends


async def due(here: World) -> None:
    here.store.time = (await here.store.read("r")).due_at or 0
    await here.store.sweep()


async def run_of(here: World) -> RunContext:
    return (await here.store.read("r")).run


async def test_a_run_that_needs_only_the_servers_that_are_up_completes(url: str) -> None:
    async with servers(odd=url, world=at(free_port())) as gateway:
        here = await world(gateway, plan("odd"))
        assert await through(here) == [Planned, Judged, Executed]
        offered = here.model.asked[0].facts["tools"]
    assert {name.partition(".")[0] for name in offered} == {"odd"}


async def test_a_plan_that_names_a_tool_of_a_server_that_is_down_waits_for_it(url: str) -> None:
    port = free_port()
    async with servers(odd=url, world=at(port)) as gateway:
        here = await world(gateway, plan("world"), plan("world"))
        assert await through(here) == [BackingOff]
        await due(here)
        with served(port):
            assert await through(here) == [Planned, Judged, Executed]
    assert (await run_of(here)).spent_usd == Decimal("0.04")


@pytest.mark.parametrize("before", [State.CRITIQUING, State.EXECUTING])
async def test_a_server_that_went_away_is_waited_for_by_the_stage_that_needs_it(url: str, before: State) -> None:
    port = free_port()
    async with servers(odd=url, world=at(port)) as gateway:
        here = await world(gateway, plan("world"))
        with served(port):
            for stage in (Stage.PLAN, Stage.CRITIQUE)[: 1 if before is State.CRITIQUING else 2]:
                await (await here.attempt(stage)).make()
        assert (await run_of(here)).state is before
    async with servers(odd=url, world=at(port)) as another_process:
        here.tools = another_process  # type: ignore[assignment]
        assert await through(here) == [BackingOff]
        await due(here)
        with served(port):
            assert (await through(here))[-1] is Executed


async def test_a_tool_that_changes_under_a_running_worker_is_not_called(url: str) -> None:
    port = free_port()
    async with servers(fresh=HOUR, world=at(port)) as gateway:
        here = await world(gateway, plan("world"))
        with served(port):
            for stage in (Stage.PLAN, Stage.CRITIQUE):
                await (await here.attempt(stage)).make()
        with served(port, good_says="Makes another picture."):
            assert await through(here) == [Unclear]
            pin = (await gateway.tools())["world.good"].pin
    review = (await run_of(here)).review
    assert review and (review.why, review.call, review.pin) == ("tool_changed", "world.good", pin)
    assert not await here.store.journal("r") or all(e.name != "world.good" for e in await here.store.entries())
