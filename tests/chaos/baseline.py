"""What a stock Celery chain makes of the same work under the same faults: lost runs, doubled effects, money paid twice.

`uv run python -m tests.chaos --baseline --seed N [--trials N] [--runs N]`. World, LLM stub, tools, prices, plans and
labels are those of ProLight's own trials; how the chain is configured, and why so, stands in `baseline_app`. Faults are
those of `plays` and `storms`, where a chain has such a place:

    popped           an idle worker freezes, a message is handed to it, it dies (ours: `bell`)
    llm_replied      killed when the Planner's answer was paid for and nobody has it yet
    asking           killed before the tool is asked (ours: `sending`)
    acted            killed after the tool acted, before it answers
    replied          killed after the tool answered, before the task returns
    child_…          the same, but only the pool's process dies, and its worker lives to see it
    frozen_…         frozen past the visibility timeout; it goes on when others have finished its runs
    storm            two workers, one of them killed every three seconds, under many runs

Each trial but `popped` has two runs of every effect class. A run is lost when it has no result and no message is left
of it. An effect is doubled when the World applied it again for the same step of the same run, and silent, because
nothing in the chain's results says so; `usd` is what the World and the LLM charged for that. `autoretries` counts what
was called again because the machine was too slow for a time-out: many of them would make the figures those of the load.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prolight.ports import Effect
from tests.chaos import baseline_app as app
from tests.chaos.baseline_app import Point
from tests.chaos.ledger import read
from tests.chaos.report import upper_bound
from tests.chaos.stock import Chained, Stock
from tests.chaos.storms import AT_ONCE, EVERY, SLOW_MS, WORKERS

TRIALS, RUNS = 3, 200
TAKES = 3
"""So often a trial is tried whose fault did not land."""
OF_EACH_CLASS = 2
BRIEFS = app.TOOLS * OF_EACH_CLASS
HOPELESS_AFTER_SECONDS = 60
"""In a storm a run without an end no longer keeps its place from the next one after so long."""

Place = Callable[[Stock], Awaitable[list[Chained] | None]]
"""The runs of one trial, not yet over; None when the fault did not land."""


@dataclass
class Counted:
    """What became of the runs of one place."""

    landed: int = 0
    void: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    doubled: Counter[str] = field(default_factory=Counter)
    tool_usd: Decimal = Decimal(0)
    llm_doubled: int = 0
    llm_usd: Decimal = Decimal(0)

    def add(self, stock: Stock, runs: list[Chained]) -> None:
        names = {each.run for each in runs}
        self.runs.update(each.brief for each in runs if each.brief in app.TOOLS)
        self.endings.update(str(each.ending) for each in runs)
        for effect, usd in repeated(read(stock.world_ledger), names):
            self.doubled[effect] += 1
            self.tool_usd += usd
        self.steps.update(effects(read(stock.world_ledger), names))
        paid = [line for line in read(stock.llm_ledger) if line["label"] in names and Decimal(line["charged_usd"])]
        first = {(line["label"], line["role"]): line["n"] for line in reversed(paid)}
        again = [line for line in paid if first[line["label"], line["role"]] != line["n"]]
        self.llm_doubled += len(again)
        self.llm_usd += sum((Decimal(line["charged_usd"]) for line in again), Decimal(0))

    def told(self) -> dict[str, Any]:
        runs = sum(self.endings.values())
        return {
            "landed": self.landed,
            "void": self.void,
            "runs": runs,
            "endings": dict(self.endings),
            "lost": self.endings["lost"],
            "lost_at_most": round(upper_bound(self.endings["lost"], runs), 4),
            "effects": dict(self.steps),
            "doubled_silently": {name: self.doubled[name] for name in app.TOOLS},
            "doubled_usd": {"tools": str(self.tool_usd), "llm": str(self.llm_usd)},
            "llm_calls_doubled": self.llm_doubled,
        }


def repeated(receipts: Iterable[Mapping[str, Any]], runs: set[str]) -> Iterable[tuple[Effect, Decimal]]:
    """Class and price of each effect that was applied although it had been for the same step of one of these runs."""
    seen: set[str] = set()
    for line in _applied(receipts, runs):
        if line["label"] in seen:
            yield line["effect"], Decimal(line["charged_usd"])
        seen.add(line["label"])


def effects(receipts: Iterable[Mapping[str, Any]], runs: set[str]) -> Iterable[Effect]:
    """The class of each step that was applied at all."""
    return {line["label"]: line["effect"] for line in _applied(receipts, runs)}.values()


def _applied(receipts: Iterable[Mapping[str, Any]], runs: set[str]) -> Iterable[Mapping[str, Any]]:
    return (line for line in receipts if line["what"] == "applied" and line["label"].partition(".")[0] in runs)


async def popped(stock: Stock) -> list[Chained] | None:
    [victim] = stock.alive
    stock.stop(victim)
    run = await stock.submit(stock.random.choice(app.TOOLS))
    landed = not await stock.store.llen(app.QUEUES[0])
    stock.kill(victim)
    await stock.worker()
    return [run] if landed else None


async def llm_replied(stock: Stock) -> list[Chained] | None:
    await stock.tell_llm.script("hold_after", role="planner", times=len(BRIEFS))
    runs = [await stock.submit(brief) for brief in BRIEFS]
    for each in runs:
        await stock.tell_llm.held(label=each.run)
    stock.kill(stock.alive[0])
    await stock.tell_llm.release()
    await stock.worker()
    return runs


def killed(point: Point, *, child: bool = False) -> Place:
    async def trial(stock: Stock) -> list[Chained] | None:
        stock.hold(point)
        runs = [await stock.submit(brief) for brief in BRIEFS]
        landed = await stock.at(point, runs)
        await _ended(stock, child)
        return runs if landed else None

    return trial


def killed_acted(*, child: bool = False) -> Place:
    async def trial(stock: Stock) -> list[Chained] | None:
        await stock.tell_world.script("hold_after_apply", times=len(BRIEFS))
        runs = [await stock.submit(brief) for brief in BRIEFS]
        for each in runs:
            await stock.tell_world.held(label=f"{each.run}.{each.brief}-1")
        await _ended(stock, child)
        await stock.tell_world.release()
        return runs

    return trial


async def _ended(stock: Stock, child: bool) -> None:
    [victim] = stock.alive
    if child:
        stock.kill_children(victim)
        stock.let_go()
    else:
        stock.kill(victim)
        stock.let_go()
        await stock.worker()


def frozen(point: Point) -> Place:
    async def trial(stock: Stock) -> list[Chained] | None:
        [zombie] = stock.alive
        stock.hold(point)
        runs = [await stock.submit(brief) for brief in BRIEFS]
        landed = await stock.at(point, runs)
        stock.stop(zombie)
        stock.let_go()
        await stock.worker()
        await stock.over(runs)
        await stock.go_on_to_its_end(zombie)
        return runs if landed else None

    return trial


PLACES: Mapping[str, Place] = {
    "popped": popped,
    "llm_replied": llm_replied,
    "asking": killed("asking"),
    "acted": killed_acted(),
    "replied": killed("replied"),
    "child_asking": killed("asking", child=True),
    "child_acted": killed_acted(child=True),
    "child_replied": killed("replied", child=True),
    "frozen_asking": frozen("asking"),
    "frozen_replied": frozen("replied"),
}


async def storm(stock: Stock, count: int, counted: Counted) -> None:
    """So many runs while workers are killed; `landed` counts the kills."""
    await stock.tell_world.script("slow", times=None, ms=SLOW_MS)
    while len(stock.alive) < WORKERS:
        await stock.worker()
    blowing = asyncio.create_task(_blow(stock, counted))
    runs: list[Chained] = []
    try:
        while len(runs) < count:
            await stock.look(runs)
            since = time.monotonic() - HOPELESS_AFTER_SECONDS
            under_way = sum(each.ending is None and each.submitted > since for each in runs)
            for _ in range(min(count - len(runs), AT_ONCE - under_way)):
                runs.append(await stock.submit(_brief(stock)))
            await asyncio.sleep(0.1)
    finally:
        blowing.cancel()
        await asyncio.gather(blowing, return_exceptions=True)
    while len(stock.alive) < WORKERS:
        await stock.worker()
    await stock.over(runs)
    await stock.tell_world.clear()
    counted.add(stock, runs)


async def _blow(stock: Stock, counted: Counted) -> None:
    coming: set[asyncio.Task[Any]] = set()
    while True:
        await asyncio.sleep(EVERY["kills"] * stock.random.uniform(0.5, 1.5))
        if stock.alive:
            stock.kill(stock.random.choice(stock.alive))
            counted.landed += 1
            coming.add(asyncio.create_task(stock.worker()))


def _brief(stock: Stock) -> str:
    """One or two groups of one or two tools, as in ProLight's storms."""
    groups = range(stock.random.randint(1, 2))
    return ",".join("|".join(stock.random.sample(app.TOOLS, stock.random.randint(1, 2))) for _ in groups)


async def measure(home: Path, seed: int, trials: int, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The record: by place, what became of the runs."""
    places: dict[str, Counted] = {name: Counted() for name in (*PLACES, "storm")}
    async with Stock(home, seed) as stock:
        await stock.worker()
        for number in range(trials):
            for name, place in PLACES.items():
                await _play(stock, place, places[name])
                say(f"{number + 1}/{trials} {name:<16} {places[name].told()}")
        await storm(stock, runs, places["storm"])
        say(f"storm {places['storm'].told()}")
        retries = stock.autoretries()
    return {
        "baseline": f"celery {version('celery')}, kombu {version('kombu')}, prefork",
        "seed": seed,
        "visibility_timeout_seconds": app.VISIBILITY_SECONDS,
        "autoretries": retries,
        "places": {name: counted.told() for name, counted in places.items()},
    }


async def _play(stock: Stock, place: Place, counted: Counted) -> None:
    for _ in range(TAKES):
        runs = await place(stock)
        if runs is not None:
            await stock.over(runs)
            counted.landed += 1
            counted.add(stock, runs)
            break
        counted.void += 1
    await stock.tell_world.clear()
    await stock.tell_llm.clear()
    await _afresh(stock)


async def _afresh(stock: Stock) -> None:
    """Nothing of this trial disturbs the next: what is left of it is thrown away with its worker."""
    for worker in list(stock.alive):
        stock.kill(worker)
    await stock.store.flushall()
    await stock.worker()
