"""The checker against the product itself: as it is, it is acquitted; with a guard taken out, it is convicted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from prolight import journal
from prolight.adapters.memory_store import MemoryStore
from prolight.ledger import Send
from prolight.ports import Snapshot, Write
from prolight.schemas import RunContext
from tests.chaos.checker import Verdict, Violation, judge, judge_one
from tests.chaos.rehearsal import RecordedStore, Rehearsal

RUNS = 12
SEEDS = range(6)
UNHEARD = {"I2", "I18", "I20", "I21"}
"""A rehearsal has no second submits, no readers of snapshots and no sinks."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Lost claims are meant."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def found(verdicts: Mapping[str, Verdict]) -> list[Violation]:
    return [violation for verdict in verdicts.values() for violation in verdict.violations]


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_product_is_acquitted_though_workers_die_and_freeze(seed: int) -> None:
    history = await Rehearsal(seed, RUNS).play()
    assert any(fault.name.startswith("dies") for fault in history.faults)
    verdicts = judge(history)
    assert [str(violation) for violation in found(verdicts)] == []
    assert {name for name, verdict in verdicts.items() if not verdict.checked} == UNHEARD


def send_whatever_became_of_the_last_try(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal, "next_step", lambda *_, **__: Send())


def warn_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal, "_doubts", lambda call, before: ())


def forget_lost_money(patch: pytest.MonkeyPatch) -> None:
    def unspent(run: RunContext, before: object) -> RunContext:
        return run

    patch.setattr(journal, "_open_try_spent", unspent)


def send_before_it_is_on_record(patch: pytest.MonkeyPatch) -> None:
    async def write_later(self: Any, call: Any, entry: Any, before: Any) -> None:
        self._writer.write_later(self._start(call, entry, before))

    patch.setattr(journal.Journal, "_write_start", write_later)


def buy_again_what_is_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal.Journal, "_known", lambda self, call: None)


def let_zombies_write(patch: pytest.MonkeyPatch) -> None:
    """The store takes every holder's write for one of whoever holds the run now."""
    commit = MemoryStore.commit

    async def unfenced(self: MemoryStore, write: Write) -> Snapshot:
        now = self._runs[write.decision.run.run_id].view()
        return await commit(self, replace(write, base=now) if write.holder and now.claim_id else write)

    patch.setattr(MemoryStore, "commit", unfenced)


def never_call_it_poison(patch: pytest.MonkeyPatch) -> None:
    made = RecordedStore.__init__

    def patient(self: RecordedStore) -> None:
        made(self)
        self._crashes_to_poison = 99

    patch.setattr(RecordedStore, "__init__", patient)


GUARDS = [
    ("I7", send_whatever_became_of_the_last_try),
    ("I7", warn_nobody),
    ("I7", buy_again_what_is_done),
    ("I10", let_zombies_write),
    ("I8", send_before_it_is_on_record),
    ("I12", forget_lost_money),
    ("I16", never_call_it_poison),
]


@pytest.mark.parametrize(("name", "remove"), GUARDS, ids=lambda value: getattr(value, "__name__", value))
async def test_without_a_guard_the_product_is_convicted(
    name: str, remove: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(monkeypatch)
    for seed in range(20):
        with suppress(ValidationError):  # without its guard the product may also break off
            if judge_one(name, await Rehearsal(seed, RUNS).play()).violations:
                return
    pytest.fail(f"{name} was not found to be violated")
