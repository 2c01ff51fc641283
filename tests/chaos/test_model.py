"""No order of deaths, freezes, lost bells, lost answers and late words breaks the code's own functions.

Each guard that is taken out is found out, by the shortest way that leads to the harm.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal

import pytest

from prolight.ports import Effect
from tests.chaos.model import guards
from tests.chaos.model.acts import spoken, swept, work
from tests.chaos.model.search import Found, search
from tests.chaos.model.state import Scope
from tests.chaos.model.steps import Steps, first_world

EFFECTS: tuple[Effect, ...] = ("pure", "keyed", "probeable", "billed", "blind")
ALL_FAULTS = frozenset({"interrupt", "not sent", "limited"})
CANCELLED = {effect: Scope((effect,), said=("cancel",), faults=ALL_FAULTS) for effect in EFFECTS}
REVIEWED = {effect: Scope((effect,), said=("resend", "adopt", "abandon"), faults=ALL_FAULTS) for effect in EFFECTS}
TWO_STEPS = Scope(("billed", "blind"), said=("cancel",), budget=Decimal(3))
THREE = Scope(("billed",), workers=3, said=("cancel",), bells=2)
PLANS = Scope(
    ("pure",), workers=1, words=3, said=("approve", "edit", "reject"), slots=2, crashes=1, from_the_critic=True
)
ONE_WORKER = Scope(("pure",), workers=1, words=0, faults=ALL_FAULTS)
ONE_DOUBT = Scope(("blind",), workers=1, words=0, tries=1)
POOR = Scope(("billed",), said=("resend",), tries=3, budget=Decimal(1))


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    """Nothing is remembered that was found with other guards; lost claims are meant."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    for remembers in (work, swept, spoken):
        remembers.cache_clear()


def searched(scope: Scope, *, deepest: int = 1_000, most: int = 10_000_000, **guarded: bool) -> Found:
    found = search(first_world(scope), Steps(scope, **guarded), deepest=deepest, most=most)
    print(f"{'+'.join(scope.effects)}: {found}")
    return found


SHALLOW = [
    *((scope, 7) for scope in CANCELLED.values()),
    *((scope, 8) for scope in REVIEWED.values()),
    (TWO_STEPS, 7),
    (THREE, 7),
    (PLANS, 13),
]


@pytest.mark.parametrize(("scope", "deepest"), SHALLOW, ids=lambda value: "+".join(getattr(value, "effects", ())))
def test_nothing_that_happens_soon_breaks_a_law(scope: Scope, deepest: int) -> None:
    found = searched(scope, deepest=deepest)
    assert found.broken == (), found
    assert found.states > 500


@pytest.mark.parametrize(
    ("scope", "time_helps"),
    [pytest.param(ONE_WORKER, False, marks=pytest.mark.heavy, id="pure"), pytest.param(ONE_DOUBT, True, id="blind")],
)
def test_from_every_state_of_a_small_world_an_end_is_reached_without_luck(scope: Scope, time_helps: bool) -> None:
    """Where nothing is in doubt, even before a deadline brings it."""
    found = searched(scope, time_helps=time_helps)
    assert (found.whole, found.broken) == (True, ()), found
    assert {"COMPLETED", "FAILED"} <= found.ends.keys()


GUARDS: list[tuple[str, guards.Remove, Scope]] = [
    ("I10", guards.claim_check, CANCELLED["billed"]),
    ("I3", guards.version_check, CANCELLED["billed"]),
    ("I7", guards.class_table, Scope(("blind",), words=0)),
    ("I7", guards.class_table, Scope(("probeable",), words=0)),
    ("I7", guards.class_table, Scope(("keyed",), words=0)),
    ("I7", guards.class_table, Scope(("billed",), words=0, tries=3, budget=Decimal(3))),
    ("I12", guards.quiet, Scope(("probeable",), words=0)),
    ("I7", guards.doubt_of_a_key, Scope(("keyed",), words=0)),
    ("I7", guards.warning, Scope(("billed",), words=0)),
    ("I13", guards.plan_hash_check, PLANS),
    ("I13", guards.verdict_check, PLANS),
    ("I15", guards.cancel_check, CANCELLED["billed"]),
    ("I15", guards.hard_stop, Scope(("billed",), words=0)),
    ("I12", guards.budget_check, POOR),
    ("I12", guards.lost_money, Scope(("billed",), words=0)),
    ("I22", guards.settling, CANCELLED["billed"]),
]


@pytest.mark.parametrize(
    ("law", "remove", "scope"), GUARDS, ids=lambda value: getattr(value, "__name__", "") or "+".join(
        getattr(value, "effects", (str(value),))
    )
)  # fmt: skip
def test_without_a_guard_the_search_finds_the_way_to_the_harm(
    law: str, remove: guards.Remove, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(monkeypatch)
    found = searched(scope, most=60_000)
    assert any(says.startswith(law) for says in found.broken), found
    assert found.way


def test_a_call_that_is_sent_late_is_found() -> None:
    found = searched(Scope(("billed",), words=0), dispatch_in_time=False, most=60_000)
    assert [says[:3] for says in found.broken] == ["I11"], found


def test_a_bell_that_nobody_rings_again_is_found() -> None:
    found = searched(ONE_WORKER, sweep_rings=False, time_helps=False)
    assert [says[:2] for says in found.broken] == ["I5"], found
    assert "a bell is lost" in found.way


DEEP = [(TWO_STEPS, 13), (THREE, 12), (CANCELLED["billed"], 14), (REVIEWED["keyed"], 14), (PLANS, 40)]


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("effect", EFFECTS)
def test_nothing_that_can_happen_to_one_call_breaks_a_law(effect: Effect) -> None:
    for scope in (Scope((effect,), said=("cancel",)), Scope((effect,), said=("resend", "adopt"))):
        found = searched(scope, most=250_000)
        assert found.broken == (), found


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("scope", "deepest"),
    [(TWO_STEPS, 13), (THREE, 12), (CANCELLED["billed"], 14), (REVIEWED["keyed"], 14), (PLANS, 40)],
)
def test_nothing_that_happens_before_long_breaks_a_law(scope: Scope, deepest: int) -> None:
    found = searched(scope, deepest=deepest, most=150_000)
    assert found.broken == (), found
