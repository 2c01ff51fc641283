"""Breadth first through all that can happen; the first violation found has the shortest way that leads to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prolight.lifecycle import PARKED
from tests.chaos.model.state import World
from tests.chaos.model.steps import Move

Nexts = Callable[[World], Iterable[Move]]


@dataclass
class Found:
    """What a search came to. `way` leads to the first violation, move by move."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    whole: bool = True
    """Nothing was left unexplored."""
    broken: tuple[str, ...] = ()
    way: tuple[str, ...] = ()
    ends: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        head = f"{self.states:,} states, {self.transitions:,} transitions, depth {self.depth}, {self.seconds:.1f} s"
        if not self.broken:
            return head
        steps = (f"{number:3}. {says}" for number, says in enumerate(self.way, 1))
        return "\n".join([head, *self.broken, *steps])


def search(first: World, nexts: Nexts, *, most: int = 10_000_000) -> Found:
    """All states, or `most` of them. Stops at the first violation; at the end, every state must lead on to an end."""
    started, found = time.perf_counter(), Found()
    number = {first: 0}
    came: list[tuple[int, str]] = [(-1, "")]
    depths, leads_to = [0], [list[int]()]
    waiting = deque([first])
    ends: list[int] = []

    def way(place: int, last: str = "") -> tuple[str, ...]:
        says = [last] if last else []
        while place > 0:
            place, said = came[place]
            says.append(said)
        return tuple(reversed(says))

    while waiting and not found.broken:
        world = waiting.popleft()
        here = number[world]
        if len(number) > most:
            found.whole = False
            break
        if world.row.over or world.row.run.state in PARKED:
            ends.append(here)
            state = world.row.run.state.value
            found.ends[state] = found.ends.get(state, 0) + 1
        for move in nexts(world):
            found.transitions += 1
            if move.broken:
                found.broken, found.way = move.broken, way(here, move.says)
                break
            there = number.get(move.world)
            if there is None:
                there = number[move.world] = len(came)
                came.append((here, move.says))
                depths.append(depths[here] + 1)
                leads_to.append([])
                waiting.append(move.world)
            if move.counted_on and there != here:
                leads_to[there].append(here)
    if found.whole and not found.broken and (stuck := _stuck(ends, leads_to)) is not None:
        found.broken, found.way = ("I5: from here no end is reached any more without luck",), way(stuck)
    found.states, found.depth, found.seconds = len(number), depths[-1], time.perf_counter() - started
    return found


def _stuck(ends: list[int], comes_from: list[list[int]]) -> int | None:
    """The first state from which nothing that can be counted on leads to an end."""
    alive, waiting = set(ends), deque(ends)
    while waiting:
        for before in comes_from[waiting.popleft()]:
            if before not in alive:
                alive.add(before)
                waiting.append(before)
    return next((place for place in range(len(comes_from)) if place not in alive), None)
