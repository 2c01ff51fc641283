"""What is played: one fault at one named point, for every effect class at once. `PLAYS` lists them by name.

A worker works, a spare one waits behind its gate; when the fault has landed, the spare takes over. Whether it landed
is never guessed: a worker that got to its point says so before it dies, the World says which call it holds.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from prolight.embedded.guard import guarded
from prolight.embedded.stack import environment
from prolight.schemas import Stage
from tests.chaos.driving import ROOT
from tests.chaos.failpoints import Arm, Point
from tests.chaos.ring import Play, Ring, cancel_all, dead, happens, hold_all, parked, submit_all
from tests.chaos.trial import CLASSES, Trial
from tests.integration.fleet import until

SOON = timedelta(seconds=20)
AWAY = timedelta(seconds=30)
GOOD_ONES = 50
ALL_GOOD_ONES_WITHIN = timedelta(minutes=2)


def at(point: Point, stage: Stage) -> str:
    """Where that is, as the last line names it."""
    calls = {Stage.PLAN: "plan_call", Stage.CRITIQUE: "critique_call", Stage.EXECUTE: "effect"}
    return f"{calls[stage] if point in ('started', 'sending', 'replied') else stage}_{point}"


def killed(point: Point, stage: Stage = Stage.EXECUTE, *, together: bool = True) -> Play:
    """kill -9 at a point, of all calls at once."""

    async def play(ring: Ring, trial: Trial) -> None:
        ring.arena.arm(Arm(point=point, stage=stage, runs=len(CLASSES) if together else 1))
        await submit_all(trial)
        await dead(ring, trial, at(point, stage))
        await trial.quiet()

    return play


def killed_while_held(when: str) -> Play:
    """kill -9 while the World holds every call: it has arrived, or it was applied."""

    async def play(ring: Ring, trial: Trial) -> None:
        await ring.spare()
        await hold_all(ring, trial, f"hold_{when}_apply")
        ring.arena.end(ring.victim)
        trial.landed(f"killed_effect_{when}_apply")
        await ring.arena.tell_world.release()
        await ring.take_over()
        await trial.quiet()

    return play


async def killed_mid_cancel(ring: Ring, trial: Trial) -> None:
    await hold_all(ring, trial, "hold_after_apply")
    ring.arena.arm(Arm(point="cancelled"))
    await cancel_all(ring, trial)
    await dead(ring, trial, "mid_cancel")
    await ring.arena.tell_world.release()
    await trial.quiet()


async def cancelled(ring: Ring, trial: Trial) -> None:
    """Nobody dies: what the worker has to write then meets a newer version."""
    await hold_all(ring, trial, "hold_after_apply")
    at_work = await cancel_all(ring, trial)
    trial.landed("cancelled", at_work)
    await ring.arena.tell_world.release()
    await trial.quiet()


def frozen(point: Point, *, until_all_is_over: bool) -> Play:
    """The worker stands still past its lease, and goes on when others have its runs, or have ended them."""

    async def play(ring: Ring, trial: Trial) -> None:
        arena = ring.arena
        arena.arm(Arm(point=point, act="stop", runs=len(CLASSES)))
        await submit_all(trial)
        zombie = await arena.hit()
        trial.landed(f"frozen_{at(point, Stage.EXECUTE)}", zombie is not None)
        if zombie is None:
            return
        arena.note_stopped(zombie)
        before = {seen.run.run_id: seen.epoch for seen in await trial.look()}
        await ring.take_over()

        async def taken() -> bool:
            return all(seen.epoch > before[seen.run.run_id] for seen in await trial.look())

        over = await (trial.quiet() if until_all_is_over else happens(taken))
        trial.landed("taken over", bool(over) or bool(arena.without))
        arena.go_on(zombie)
        await arena.terminated(zombie)
        await trial.quiet()

    return play


async def stale_outcome(ring: Ring, trial: Trial) -> None:
    """The outcome of a worker that froze comes while its successor has the claim and has written nothing yet."""
    arena = ring.arena
    arena.arm(Arm(point="finishing", act="stop"))
    await trial.submit("pure")
    zombie = await arena.hit()
    trial.landed(f"frozen_{at('finishing', Stage.EXECUTE)}", zombie is not None)
    if zombie is None:
        return
    arena.note_stopped(zombie)
    await ring.spare()
    arena.disarm()
    arena.arm(Arm(point="claimed", act="hold"))
    await ring.take_over()
    successor = await arena.hit()
    trial.landed("successor held after its claim", successor is not None)
    arena.go_on(zombie)
    await arena.terminated(zombie)
    (arena.control_folder / "go").touch()
    await trial.quiet()


def deadly(kills: Literal["worker", "studio"]) -> Play:
    """One of many runs kills its worker, or the studio, again and again. Whatever dies is started again."""

    async def play(ring: Ring, trial: Trial) -> None:
        arena = ring.arena
        run = f"{trial.name}-{GOOD_ONES // 2}"
        (arena.control_folder / ("deadly" if kills == "studio" else "deadly.worker")).write_text(run)
        for number in range(1, GOOD_ONES + 2):
            await trial.submit("pure" if number == GOOD_ONES // 2 else "pure|keyed", follow=False)
        deaths = 0

        async def over() -> bool:
            nonlocal deaths
            if ring.victim.process.poll() is not None:
                deaths += 1
                arena.gone(ring.victim)
                await ring.take_over()
            if not arena.world_runs:
                deaths += 1
                await arena.restart_world()
            return trial.all_over(await trial.look())

        await happens(over, within=ALL_GOOD_ONES_WITHIN)
        trial.landed(f"deadly_for_its_{kills}", deaths > 1, deadly=run, deaths=deaths)

    return play


async def store_away(ring: Ring, trial: Trial) -> None:
    """The store goes away while every call is out, and is back after half a minute. The answers come meanwhile."""
    arena = ring.arena
    await hold_all(ring, trial, "hold_after_apply")
    arena.valkey.kill()
    await arena.tell_world.release()
    await asyncio.sleep(AWAY.total_seconds())
    arena.valkey.start()
    trial.landed("store_away")
    await trial.quiet(timedelta(minutes=2))


async def flushed(ring: Ring, trial: Trial) -> None:
    """The store loses everything while every call is out. Its workers say so and go on, with new runs."""
    arena, store = ring.arena, ring.arena.client.store
    await hold_all(ring, trial, "hold_after_apply")
    await store._ask("FLUSHALL")
    noticed = await happens(store.emptied)
    await arena.tell_world.clear()
    await arena.tell_world.release()
    gone = not await trial.look()
    trial.forget()
    await submit_all(trial)
    await trial.quiet()
    survived = ring.victim.process.poll() is None and "by a defect" not in arena.log(ring.victim.name)
    trial.landed("flushed", bool(noticed) and gone and survived, noticed=noticed, gone=gone, survived=survived)


async def clock_steps(ring: Ring, trial: Trial) -> None:
    """The worker's wall clock is an hour ahead, then an hour behind, while its calls are out. The store's is not."""
    arena = ring.arena
    for step in (3600, -3600):
        (arena.control_folder / "clock").write_text(str(step))
        await submit_all(trial)
        await trial.quiet()
        stepped = (arena.control_folder / f"stepped.{ring.victim.process.pid}").exists()
        trial.landed(f"clock_steps_by_{step}", stepped)
    ring.arena.disarm()


def caller_dies(point: str) -> Play:
    """A caller that is gone before it heard anything; another one asks for the same."""

    async def play(ring: Ring, trial: Trial) -> None:
        run = f"{trial.name}-1"
        request = await trial.request(f"blind,pure #{run}", run_id=run, idempotency_key=f"key of {run}")
        sent = time.time()
        command = guarded([sys.executable, "-m", "tests.chaos.submitting", point, request.model_dump_json()])
        caller = subprocess.Popen(command, cwd=ROOT, env=environment(ring.arena.settings))
        code = await asyncio.to_thread(caller.wait, 60)
        trial.note_submit(request, "unknown", sent=sent, got=None, run=run)
        trial.landed(f"caller_dies_{point}", code == -signal.SIGKILL)
        trial.runs.append(run)
        await trial.ask(request)
        await trial.ask(request)
        trial.follow(run)
        await trial.quiet()

    return play


async def refused(ring: Ring, trial: Trial) -> None:
    """The same key with the same content is the same run, with other content a refusal that leaves nothing."""
    key = f"key of {trial.name}"
    first = await trial.submit("keyed", key=key)
    request = await trial.request(f"keyed #{first}", idempotency_key=key)
    await trial.ask(request)
    await trial.ask(request.model_copy(update={"brief": f"blind #{first}"}))
    await trial.quiet()


async def lost_replies(ring: Ring, trial: Trial) -> None:
    """Of each kind of commit a few are carried out, and nobody is told."""
    proxy = ring.arena.tell_proxy
    await proxy.faults(lose_reply={"containing": '"status":"started"', "times": 8, "rate": 0.5, "seed": 1})
    await submit_all(trial)
    await trial.quiet()
    counts = await proxy.ask("GET", "/counts")
    await proxy.faults()
    trial.landed("lost_replies", counts.get("lost_replies", 0) > 0, counts=counts)


async def above_budget(ring: Ring, trial: Trial) -> None:
    """The plan fits the budget, and what the model cost does not leave enough for it."""
    await trial.submit("blind", budget_usd="0.055")
    await trial.quiet()


async def waits_long(ring: Ring, trial: Trial) -> None:
    """A server asks for a pause that is too long to be waited for in place."""
    run = f"{trial.name}-1"
    await ring.arena.tell_world.script("http_429", label=f"{run}.billed-1", retry_after=3)
    await trial.submit("billed")
    await trial.quiet(SOON)
    rules = await ring.arena.tell_world.ask("GET", "/script")
    trial.landed("http_429", any(rule["landed"] for rule in rules.values()))


async def other_plan(ring: Ring, trial: Trial) -> None:
    """Somebody with access to the store puts another plan into the record after it was judged."""
    store = ring.arena.client.store
    run = f"{trial.name}-1"
    trial.keep_parked = True
    await trial.submit("pure", ask=True)
    await until(lambda: parked(trial), what="the plan waits")
    document = json.loads(await store._ask("HGET", f"prolight:run:{run}", "document"))
    document["plan"]["steps"][0]["params"]["label"] = f"{run}.another"
    await store._ask("HSET", f"prolight:run:{run}", "document", json.dumps(document))
    trial.landed("other_plan")
    trial.keep_parked = False
    await trial.quiet()


async def overcharged(ring: Ring, trial: Trial) -> None:
    """Each tool takes ten times its price."""
    for number, brief in enumerate(CLASSES, 1):
        await ring.arena.tell_world.script("cost_above_quote", label=f"{trial.name}-{number}.{brief}-1")
    await submit_all(trial)
    await trial.quiet()
    trial.landed("cost_above_quote")


async def unclear(ring: Ring, trial: Trial) -> None:
    """The answer breaks, and the probe does not know."""
    run = f"{trial.name}-1"
    await ring.arena.tell_world.script("reset", label=f"{run}.probeable-1")
    await ring.arena.tell_world.script("unclear", tool="probe")
    await trial.submit("probeable")
    await trial.quiet()
    rules = await ring.arena.tell_world.ask("GET", "/script")
    trial.landed("unclear", all(rule["landed"] for rule in rules.values()))


async def tool_changes(ring: Ring, trial: Trial) -> None:
    """Between the plan and its execution the tool's definition becomes another one."""
    trial.keep_parked = True
    await trial.submit("keyed", ask=True)
    await until(lambda: parked(trial), what="the plan waits")
    await ring.arena.tell_world.script("change_tool", tool="keyed", change={"description": "Something else."})
    trial.landed("tool_changes")
    trial.keep_parked = False
    await trial.quiet()
    await ring.arena.restart_world()
    await asyncio.sleep(ring.arena.settings.tools_fresh_seconds)  # by then nobody plans with the other definition


PLAYS: Mapping[str, Play] = {
    "calm": refused,
    "bell": killed("bell", Stage.PLAN, together=False),
    "claimed": killed("claimed", Stage.PLAN),
    "llm_started": killed("started", Stage.PLAN),
    "llm_sending": killed("sending", Stage.PLAN),
    "llm_replied": killed("replied", Stage.PLAN),
    "critic_replied": killed("replied", Stage.CRITIQUE),
    "plan_finishing": killed("finishing", Stage.PLAN),
    "plan_finished": killed("finished", Stage.PLAN, together=False),
    "execute_claimed": killed("claimed"),
    "started": killed("started"),
    "sending": killed("sending"),
    "arrived": killed_while_held("before"),
    "acted": killed_while_held("after"),
    "replied": killed("replied"),
    "finishing": killed("finishing", together=False),
    "finished": killed("finished", together=False),
    "mid_cancel": killed_mid_cancel,
    "cancelled": cancelled,
    "frozen_started": frozen("started", until_all_is_over=True),
    "frozen_started_briefly": frozen("started", until_all_is_over=False),
    "frozen_sending": frozen("sending", until_all_is_over=False),
    "stale_outcome": stale_outcome,
    "caller_dies_before": caller_dies("before"),
    "caller_dies_after": caller_dies("after"),
    "lost_replies": lost_replies,
    "above_budget": above_budget,
    "waits_long": waits_long,
    "other_plan": other_plan,
    "overcharged": overcharged,
    "unclear": unclear,
    "tool_changes": tool_changes,
    "deadly_picture": deadly("worker"),
    "deadly_for_the_studio": deadly("studio"),
    "clock_steps": clock_steps,
    "flushed": flushed,
    "acted_as_shipped": killed_while_held("after"),
    "store_away": store_away,
}
DECISIVE: Sequence[str] = ("acted", "started", "frozen_started", "frozen_sending")
PROXIED = frozenset({"lost_replies"})
ONCE = frozenset({"acted_as_shipped", "store_away"})
"""Per profile."""
AS_SHIPPED = ONCE | {"deadly_picture", "deadly_for_the_studio"}
"""In an arena of their own, with the times that ship."""
LONG = frozenset({"store_away"})
"""More than a minute: not in profile ci."""
CONVICTS: Mapping[str, str] = {
    "claim": "stale_outcome",
    "version": "cancelled",
    "dispatch": "frozen_started",
    "due": "waits_long",
    "op_id": "lost_replies",
    "class": "acted",
    "budget": "above_budget",
    "plan_hash": "other_plan",
}
"""The cheapest play that shows that this guard is gone."""
