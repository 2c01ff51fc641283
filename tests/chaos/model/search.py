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


def search(first: World, nexts: Nexts, *, deepest: int = 1_000, most: int = 10_000_000) -> Found:
    """All states, or those that so many moves lead to, or the first so many.

    Stops at the first violation. Where all were seen, each must also lead on to an end.
    """
    started, map, found = time.perf_counter(), Map(first), Found()
    while map.waiting and not found.broken:
        world = map.waiting.popleft()
        here = map.numbers[world]
        if len(map.numbers) > most or map.depths[here] >= deepest:
            found.whole = False
            break
        if world.row.over or world.row.run.state in PARKED:
            map.ends.append(here)
            state = world.row.run.state.value
            found.ends[state] = found.ends.get(state, 0) + 1
        for move in nexts(world):
            found.transitions += 1
            if move.broken:
                found.broken, found.way = move.broken, (*map.way(here), move.says)
                break
            map.add(here, move)
    if found.whole and not found.broken and (stuck := map.stuck()) is not None:
        found.broken, found.way = ("I5: from here no end is reached any more without luck",), map.way(stuck)
    found.states, found.depth, found.seconds = len(map.numbers), map.depths[-1], time.perf_counter() - started
    return found


class Map:
    """The states by number, in the order in which they were found, and how each was reached first."""

    def __init__(self, first: World) -> None:
        self.numbers = {first: 0}
        self.depths = [0]
        self.waiting = deque([first])
        self.ends: list[int] = []
        self._came: list[tuple[int, str]] = [(-1, "")]
        self._comes_from: list[list[int]] = [[]]

    def add(self, here: int, move: Move) -> None:
        there = self.numbers.get(move.world)
        if there is None:
            there = self.numbers[move.world] = len(self.depths)
            self._came.append((here, move.says))
            self.depths.append(self.depths[here] + 1)
            self._comes_from.append([])
            self.waiting.append(move.world)
        if move.counted_on and there != here:
            self._comes_from[there].append(here)

    def way(self, place: int) -> tuple[str, ...]:
        says: list[str] = []
        while place > 0:
            place, said = self._came[place]
            says.append(said)
        return tuple(reversed(says))

    def stuck(self) -> int | None:
        """The first state from which nothing that can be counted on leads to an end."""
        alive, waiting = set(self.ends), deque(self.ends)
        while waiting:
            for before in self._comes_from[waiting.popleft()]:
                if before not in alive:
                    alive.add(before)
                    waiting.append(before)
        return next((place for place in range(len(self.depths)) if place not in alive), None)
