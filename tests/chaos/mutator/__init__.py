"""Violations made by chance: a good history is broken in one of several ways, somewhere, by a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from tests.chaos.edits import Edited
from tests.chaos.histories import History
from tests.chaos.mutator import calls, claims, plans, runs, streams

Mutation = Callable[[Edited], None]

MUTATIONS: Mapping[str, tuple[Mutation, ...]] = {
    **runs.MUTATIONS,
    **streams.MUTATIONS,
    **calls.MUTATIONS,
    **claims.MUTATIONS,
    **plans.MUTATIONS,
}
"""By the invariant that each of them breaks, whatever place it hits."""


def mutate(name: str, history: History, seed: int) -> tuple[str, History]:
    """The history, broken so that this invariant does not hold; and the name of what was done."""
    mutations = MUTATIONS[name]
    mutation = mutations[seed % len(mutations)]
    edited = Edited(history, Random(f"{name} {seed}"))
    mutation(edited)
    return mutation.__name__, edited.history()
