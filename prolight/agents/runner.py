"""The same three stages in this process: no broker, no server, no worker. One store in memory per run."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import queue
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from prolight import assets, commands, lifecycle, portal
from prolight.adapters.memory_store import MemoryStore
from prolight.attempt import Attempt, Attempts
from prolight.bootstrap import build_attempts, connect_artifacts
from prolight.determinism import fingerprint
from prolight.determinism import plan_hash as hash_of
from prolight.errors import ArtifactMissing, IllegalMove, InvalidInput, PicturesChanged, PlanChanged, RunNotFound
from prolight.events import Warned
from prolight.lifecycle import PARKED, STAGES, TERMINAL
from prolight.mcp import MCPClient
from prolight.ports import ChatModel, ToolGateway
from prolight.schemas import RunContext, RunError, RunRequest, State
from prolight.settings import Settings
from prolight.sweeper import settle_overdue

log = logging.getLogger(__name__)

EventHook = Callable[[str, dict[str, Any]], Any]
"""Gets `(run_id, event)`, each event once and in order. May be a coroutine function."""

NEUTRAL_BRIEF = "soft neutral key from the front"
"""What is asked for where neither `ctx.brief` nor `ctx.metadata["brief"]` says anything."""
CALLER = "caller"
"""The principal on the record when `human_approved=True` answers."""
PROCESS = "in-process"
NO_PICTURE = "0" * 64
HOOK_GRACE = timedelta(seconds=5)
"""A hook has so long to hear the rest when the caller cancels."""


class AgentRunnerAsync:
    """`ctx = await AgentRunnerAsync(MCPClient(), event_hook).run_workflow(RunContext(run_id="r", asset_id="a"))`

    `model` plans and judges; by default the one that the settings name.
    """

    def __init__(
        self,
        tools: ToolGateway | MCPClient,
        event_hook: EventHook | None = None,
        *,
        settings: Settings | None = None,
        model: ChatModel | None = None,
    ) -> None:
        self.settings = settings or Settings.load()
        self._tools: ToolGateway = tools.asynchronous if isinstance(tools, MCPClient) else tools
        self._hook = event_hook
        self._model = model
        self._artifacts = connect_artifacts(self.settings)

    async def run_workflow(self, ctx: RunContext, *, human_approved: bool = False) -> RunContext:
        """Plan, judge and execute; the run as it ended, or as it waits for a person.

        A context that came back AWAITING_APPROVAL, passed again with `human_approved=True`, goes on where it
        stopped. `True` answers for the plan that the Critic accepted, never against the Critic; and for finished
        pictures (`ctx.approve_result`) only when they come back in the context. A failing hook
        is logged. Cancelled, the run ends CANCELLED, and the hook still hears so. Raises `InvalidInput`,
        `IllegalMove` for a context that has ended or is under way elsewhere, `PlanChanged` for one that was altered.
        """
        events: asyncio.Queue[str | None] = asyncio.Queue()
        store = MemoryStore(heard=events.put_nowait, sparing=self.settings.sparing)
        telling = asyncio.create_task(self._tell(events))
        try:
            await self._begin(store, ctx, human_approved=human_approved)
            await self._drive(store, ctx.run_id, human_approved=human_approved)
        except asyncio.CancelledError:
            with suppress(IllegalMove, RunNotFound):
                await commands.cancel(
                    store, ctx.run_id, reason="the caller stopped it", deadlines=self.settings.deadlines
                )
            raise
        else:
            events.put_nowait(None)
            await asyncio.shield(telling)
        finally:
            events.put_nowait(None)
            try:
                await asyncio.wait({telling}, timeout=HOOK_GRACE.total_seconds())
            finally:
                telling.cancel()
        snapshot = await store.read(ctx.run_id)
        return snapshot.run.evolve(seq=snapshot.seq)

    async def _begin(self, store: MemoryStore, ctx: RunContext, *, human_approved: bool) -> None:
        if ctx.state is State.AWAITING_APPROVAL:
            _check_unaltered(ctx)
            store.adopt(ctx)
            if human_approved and ctx.approval and ctx.approval.subject == "result":
                pictures, deadlines = ctx.approval.pictures, self.settings.deadlines
                await commands.publish(store, ctx.run_id, pictures, by=CALLER, deadlines=deadlines)
        elif ctx.state is State.PLANNING and not ctx.turns:
            await self._create(store, _asked(ctx, self.settings.budget_usd, human_approved=human_approved))
        else:
            raise IllegalMove(f"run {ctx.run_id} is {ctx.state}: only a new one, or one that waits, can be worked on")

    async def _create(self, store: MemoryStore, asked: RunContext) -> None:
        error = None
        try:
            asked = asked.evolve(picture_id=(await assets.find(self._artifacts, asked.asset_id)).id)
        except ArtifactMissing as missing:
            error = RunError(code=missing.code, message=str(missing))
        except InvalidInput as no_name:
            error = RunError(code=ArtifactMissing.code, message=str(no_name))
        decision = lifecycle.begun(asked, now=store.now(), deadlines=self.settings.deadlines)
        if notice := getattr(self._tools, "notice", ""):
            decision = replace(decision, events=(*decision.events, Warned(code="tools", message=notice)))
        await store.create(decision, fingerprint=fingerprint(asked.run_id), idempotency_key=None)
        if error:
            await commands.fail(store, asked.run_id, error, deadlines=self.settings.deadlines)

    async def _drive(self, store: MemoryStore, run_id: str, *, human_approved: bool) -> None:
        """What workers and sweepers do between them, in turn, until the run has ended or waits for a person."""
        parts = build_attempts(self.settings, store, self._tools, self._model)
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
                await _attempt(parts, store, snapshot.run)
            else:
                await asyncio.sleep(max(0.0, (snapshot.due_at or 0.0) - store.now()))

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
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
            raise  # it is ours, not the hook's
        log_failure(run_id, event)


def log_failure(run_id: str, event: dict[str, Any]) -> None:
    log.exception("the event hook failed at event %s of run %s", event.get("seq"), run_id)


async def _attempt(parts: Attempts, store: MemoryStore, run: RunContext) -> None:
    """As a worker does it, which would also be stopped by a sweeper at the hard stop."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    for claim in await store.claim(STAGES[run.state], 1, PROCESS):
        async with asyncio.timeout((claim.snapshot.hard_stop or store.now()) - store.now()):
            await Attempt(parts, claim).make()
    if task and task.cancelling() > before:  # the attempt has taken that for its own and ended in good order
        raise asyncio.CancelledError


def _asked(ctx: RunContext, budget_usd: Decimal, *, human_approved: bool) -> RunContext:
    """What a new context asks for, checked at the door; nothing of what it says was done already.

    Its budget may be smaller than the settings', never larger. Raises `InvalidInput`.
    """
    brief = ctx.brief.strip() or ctx.metadata.get("brief", "").strip() or NEUTRAL_BRIEF
    others = {name: value for name, value in ctx.metadata.items() if name != "brief"}
    request = RunRequest.parse(run_id=ctx.run_id, picture_id=NO_PICTURE, brief=brief, metadata=others)
    return RunContext(
        run_id=ctx.run_id,
        asset_id=ctx.asset_id,
        brief=request.brief,
        metadata=ctx.metadata,
        ask=ctx.ask or not human_approved,
        approve_result=ctx.approve_result,
        recipe=ctx.recipe,
        preset=ctx.preset,
        budget_usd=min(ctx.budget_usd, budget_usd),
    )


def _check_unaltered(run: RunContext) -> None:
    """Raises `PlanChanged` unless plan, picture, verdict and question still belong to each other."""
    lock, plan = run.lock, run.plan
    if not (lock and plan and run.critique and run.approval and math.isfinite(run.approval.until)):
        raise PlanChanged(f"run {run.run_id} waits for an approval, but holds no plan with a verdict to approve")
    hashes = {hash_of(plan), lock.plan_hash, run.critique.plan_hash, run.approval.plan_hash}
    if len(hashes) > 1 or lock.input_sha256 != run.picture:
        raise PlanChanged(f"run {run.run_id} holds another plan or picture than the one that was judged")
    if run.approval.pictures != tuple(output.id for output in run.outputs):
        raise PicturesChanged(f"run {run.run_id} holds other pictures than those that wait for an approval")


def _accepted(run: RunContext) -> bool:
    """The Critic accepted exactly this plan."""
    return bool(
        run.state is State.AWAITING_APPROVAL
        and run.approval
        and run.approval.subject == "plan"
        and run.critique
        and run.critique.ok
        and run.lock
        and run.critique.plan_hash == run.lock.plan_hash
    )


class AgentRunner:
    """The sync face of `AgentRunnerAsync`. A plain hook is called in the caller's thread."""

    def __init__(
        self,
        tools: ToolGateway | MCPClient,
        event_hook: EventHook | None = None,
        *,
        settings: Settings | None = None,
        model: ChatModel | None = None,
    ) -> None:
        self.settings = settings or Settings.load()
        self._tools = tools
        self._hook = event_hook
        self._model = model

    def run_workflow(self, ctx: RunContext, *, human_approved: bool = False) -> RunContext:
        """As `AgentRunnerAsync.run_workflow`. Ctrl-C cancels the run and waits for its end; a second one does not."""
        heard: queue.SimpleQueue[tuple[str, dict[str, Any]] | None] = queue.SimpleQueue()
        runner = AgentRunnerAsync(
            self._tools, lambda *event: heard.put(event), settings=self.settings, model=self._model
        )
        work = portal.start(runner.run_workflow(ctx, human_approved=human_approved))
        work.answer.add_done_callback(lambda _: heard.put(None))
        try:
            self._listen(heard)
        except BaseException:
            work.cancel()
            self._listen(heard)
            raise
        return work.result()

    def _listen(self, heard: queue.SimpleQueue[tuple[str, dict[str, Any]] | None]) -> None:
        for run_id, event in iter(heard.get, None):
            if self._hook:
                _tell_here(self._hook, run_id, event)


def _tell_here(hook: EventHook, run_id: str, event: dict[str, Any]) -> None:
    """`tell` in this thread; only what a coroutine function awaits needs the background loop."""
    try:
        answer = hook(run_id, event)
        if inspect.isawaitable(answer):
            portal.call(_awaited(answer))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - whatever it is, it is the hook's own
        log_failure(run_id, event)


async def _awaited(answer: Awaitable[Any]) -> None:
    await answer
