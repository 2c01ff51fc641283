"""The same three stages in this process: no broker, no server, no worker. One store in memory per run."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import queue
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from prolight import assets, commands, lifecycle, portal
from prolight.adapters.memory_store import MemoryStore
from prolight.attempt import Attempt, Attempts
from prolight.bootstrap import build_attempts, connect_artifacts
from prolight.determinism import fingerprint
from prolight.errors import ArtifactMissing, IllegalMove, InvalidInput, RunNotFound
from prolight.events import Warned
from prolight.lifecycle import PARKED, STAGES, TERMINAL
from prolight.mcp import MCPClient
from prolight.ports import ToolGateway
from prolight.schemas import RunContext, RunError, State
from prolight.settings import Settings
from prolight.sweeper import settle_overdue

log = logging.getLogger(__name__)

EventHook = Callable[[str, dict[str, Any]], Awaitable[None] | None]
"""Gets `(run_id, event)`, each event once and in order. May be a coroutine function."""

NEUTRAL_BRIEF = "soft neutral key from the front"
"""What is asked for where neither `ctx.brief` nor `ctx.metadata["brief"]` says anything."""
CALLER = "caller"
"""The principal on the record when `human_approved=True` answers."""
PROCESS = "in-process"


class AgentRunnerAsync:
    """`ctx = await AgentRunnerAsync(MCPClient(), event_hook).run_workflow(RunContext(run_id="r", asset_id="a"))`"""

    def __init__(
        self,
        tools: ToolGateway | MCPClient,
        event_hook: EventHook | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings.load()
        self._tools: ToolGateway = tools.asynchronous if isinstance(tools, MCPClient) else tools
        self._hook = event_hook
        self._artifacts = connect_artifacts(self.settings)

    async def run_workflow(self, ctx: RunContext, *, human_approved: bool = False) -> RunContext:
        """Plan, judge and execute; the run as it ended, or as it waits for a person.

        A context that came back AWAITING_APPROVAL, passed again with `human_approved=True`, goes on where it
        stopped. `True` answers for the plan that the Critic accepted, never against the Critic. A failing hook
        is logged. Raises `IllegalMove` for a context that has ended or is under way elsewhere.
        """
        events: asyncio.Queue[str | None] = asyncio.Queue()
        store = MemoryStore(heard=events.put_nowait)
        telling = asyncio.create_task(self._tell(events))
        try:
            await self._begin(store, ctx, human_approved=human_approved)
            await self._drive(store, ctx.run_id, human_approved=human_approved)
            snapshot = await store.read(ctx.run_id)
            return snapshot.run.evolve(seq=snapshot.seq)
        except asyncio.CancelledError:
            with suppress(IllegalMove, RunNotFound):
                await commands.cancel(
                    store, ctx.run_id, reason="the caller stopped it", deadlines=self.settings.deadlines
                )
            raise
        finally:
            events.put_nowait(None)
            await telling

    async def _begin(self, store: MemoryStore, ctx: RunContext, *, human_approved: bool) -> None:
        if ctx.state is State.AWAITING_APPROVAL:
            store.adopt(ctx)
        elif ctx.state is State.PLANNING and not ctx.turns:
            await self._create(store, ctx, human_approved=human_approved)
        else:
            raise IllegalMove(f"run {ctx.run_id} is {ctx.state}: only a new one, or one that waits, can be worked on")

    async def _create(self, store: MemoryStore, ctx: RunContext, *, human_approved: bool) -> None:
        brief = ctx.brief.strip() or ctx.metadata.get("brief", "").strip() or NEUTRAL_BRIEF
        asked = ctx.evolve(brief=brief, ask=ctx.ask or not human_approved)
        missing = ""
        try:
            asked = asked.evolve(picture_id=(await assets.find(self._artifacts, ctx.asset_id)).id)
        except (ArtifactMissing, InvalidInput) as refused:
            missing = str(refused)
        decision = lifecycle.begun(asked, now=store.now(), deadlines=self.settings.deadlines)
        if notice := getattr(self._tools, "notice", ""):
            decision = replace(decision, events=(*decision.events, Warned(code="tools", message=notice)))
        await store.create(decision, fingerprint=fingerprint(ctx.run_id), idempotency_key=None)
        if missing:
            error = RunError(code=ArtifactMissing.code, message=missing)
            await commands.fail(store, ctx.run_id, error, deadlines=self.settings.deadlines)

    async def _drive(self, store: MemoryStore, run_id: str, *, human_approved: bool) -> None:
        """What workers and sweepers do between them, in turn, until the run has ended or waits for a person."""
        parts = build_attempts(self.settings, store, self._tools)
        while True:
            await settle_overdue(store, await store.sweep(), parts.deadlines)
            snapshot = await store.read(run_id)
            if snapshot.run.state in TERMINAL:
                return
            if snapshot.run.state in PARKED:
                if not (human_approved and _accepted(snapshot.run)):
                    return
                plan_hash = snapshot.run.lock.plan_hash if snapshot.run.lock else ""
                await commands.approve(store, run_id, plan_hash, by=CALLER, deadlines=parts.deadlines)
            elif snapshot.ready:
                await self._attempt(parts, store, snapshot.run)
            else:
                await asyncio.sleep(max(0.0, (snapshot.due_at or 0.0) - store.now()))

    async def _attempt(self, parts: Attempts, store: MemoryStore, run: RunContext) -> None:
        for claim in await store.claim(STAGES[run.state], 1, PROCESS):
            await Attempt(parts, claim).make()
        task = asyncio.current_task()
        if task and task.cancelling():  # the attempt has taken that for its own and ended in good order
            raise asyncio.CancelledError

    async def _tell(self, events: asyncio.Queue[str | None]) -> None:
        while (text := await events.get()) is not None:
            if self._hook:
                event = json.loads(text)
                await tell(self._hook, event["run_id"], event)


async def tell(hook: EventHook, run_id: str, event: dict[str, Any]) -> None:
    """Give an event to a hook, whose failure is its own."""
    try:
        answer = hook(run_id, event)
        if inspect.isawaitable(answer):
            await answer
    except Exception:
        log.exception("the event hook failed at event %s of run %s", event["seq"], run_id)


def _accepted(run: RunContext) -> bool:
    """The Critic accepted exactly this plan."""
    return bool(
        run.state is State.AWAITING_APPROVAL
        and run.critique
        and run.critique.ok
        and run.lock
        and run.critique.plan_hash == run.lock.plan_hash
    )


class AgentRunner:
    """The sync face of `AgentRunnerAsync`. The hook is called in the caller's thread."""

    def __init__(
        self,
        tools: ToolGateway | MCPClient,
        event_hook: EventHook | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings.load()
        self._tools = tools
        self._hook = event_hook

    def run_workflow(self, ctx: RunContext, *, human_approved: bool = False) -> RunContext:
        """As `AgentRunnerAsync.run_workflow`. Ctrl-C cancels the run."""
        heard: queue.SimpleQueue[tuple[str, dict[str, Any]] | None] = queue.SimpleQueue()
        runner = AgentRunnerAsync(self._tools, lambda *event: heard.put(event), settings=self.settings)
        future = portal.start(runner.run_workflow(ctx, human_approved=human_approved))
        future.add_done_callback(lambda _: heard.put(None))
        try:
            for run_id, event in iter(heard.get, None):
                if self._hook:
                    _tell_here(self._hook, run_id, event)
            return future.result()
        finally:
            future.cancel()


def _tell_here(hook: EventHook, run_id: str, event: dict[str, Any]) -> None:
    """`tell` in this thread; only what a coroutine function awaits needs the background loop."""
    if inspect.iscoroutinefunction(hook):
        portal.call(tell(hook, run_id, event))
        return
    try:
        hook(run_id, event)
    except Exception:
        log.exception("the event hook failed at event %s of run %s", event["seq"], run_id)
