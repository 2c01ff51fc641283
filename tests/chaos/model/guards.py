"""Guards of the code, each to be taken out once: the search must then find what they are for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from prolight import answers, journal, ledger, lifecycle, writer
from prolight.adapters.memory_store import MemoryStore
from prolight.journal import Journal
from prolight.ledger import Entry, Send
from prolight.ports import Effect, Snapshot, Write
from prolight.schemas import Approval, RunContext, State
from prolight.writer import Changed
from tests.chaos.model.state import RUN

Remove = Callable[[pytest.MonkeyPatch], None]


def claim_check(patch: pytest.MonkeyPatch) -> None:
    """The store takes a holder's write whoever holds the run."""
    commit = MemoryStore.commit

    async def unfenced(self: MemoryStore, write: Write) -> Snapshot:
        held = self._runs[RUN].claim_id
        return await commit(self, replace(write, base=replace(write.base, claim_id=held)) if write.holder else write)

    patch.setattr(MemoryStore, "commit", unfenced)


def version_check(patch: pytest.MonkeyPatch) -> None:
    """The store takes a decision about a document that is no longer there."""
    commit = MemoryStore.commit

    async def blindly(self: MemoryStore, write: Write) -> Snapshot:
        return await commit(self, replace(write, base=replace(write.base, ver=self._runs[RUN].ver)))

    patch.setattr(MemoryStore, "commit", blindly)


def class_table(patch: pytest.MonkeyPatch) -> None:
    """Whatever became of the last try, the next one is sent."""
    patch.setattr(journal, "next_step", lambda *_, **__: Send())


def quiet(patch: pytest.MonkeyPatch) -> None:
    """Nobody waits until nothing can be under way any more."""

    def at_once(entry: Entry | None, effect: Effect, **terms: Any) -> ledger.NextStep:
        later = entry.deadline_at + 60 if entry and effect == "probeable" else terms["now"]
        return ledger.next_step(entry, effect, **{**terms, "now": later})

    patch.setattr(journal, "next_step", at_once)


def doubt_of_a_key(patch: pytest.MonkeyPatch) -> None:
    """A later try that did nothing makes the one before it forgotten."""

    def forgetful(entry: Entry | None, effect: Effect, **terms: Any) -> ledger.NextStep:
        return Send() if entry and not entry.unclear else ledger.next_step(entry, effect, **terms)

    patch.setattr(journal, "next_step", forgetful)


def warning(patch: pytest.MonkeyPatch) -> None:
    """A call that may be billed twice is sent again, and nobody is told."""
    patch.setattr(journal, "_doubts", lambda call, before: ())


def plan_hash_check(patch: pytest.MonkeyPatch) -> None:
    """A person approves whatever plan waits."""

    def whichever(run: RunContext, plan_hash: str, *, by: str, now: float) -> Approval:
        return answers._open_approval(run, now).evolve(decided_by=by, decided_at=now)

    patch.setattr(answers, "_answered", whichever)


def verdict_check(patch: pytest.MonkeyPatch) -> None:
    """An edited plan goes straight to the Executor."""

    def unjudged(run: RunContext, plan_hash: str, plan: Any, lock: Any, **said: Any) -> Any:
        answer = answers._answered(run, plan_hash, by=said["by"], now=said["now"])
        answer = answer.evolve(decision="approved", plan_hash=lock.plan_hash)
        critique = run.critique.evolve(plan_hash=lock.plan_hash) if run.critique else None
        changes: dict[str, Any] = dict(approval=answer, plan=plan, lock=lock, critique=critique)
        return lifecycle.move(run, lifecycle.Move.APPROVED, said["now"], said["deadlines"], **changes)

    patch.setattr(answers, "edited", unjudged)


def cancel_check(patch: pytest.MonkeyPatch) -> None:
    """`started` is written in any state."""
    patch.setattr(journal, "STAGES", dict.fromkeys(State))


def budget_check(patch: pytest.MonkeyPatch) -> None:
    """A call starts whatever it costs."""
    start = Journal._start

    def generous(self: Journal, *call: Any) -> Callable[[RunContext], Changed]:
        def change(run: RunContext) -> Changed:
            changed = start(self, *call)(run.evolve(budget_usd=Decimal(1000)))
            return replace(changed, run=changed.run.evolve(budget_usd=run.budget_usd))

        return change

    patch.setattr(Journal, "_start", generous)


def hard_stop(patch: pytest.MonkeyPatch) -> None:
    """A claim has no last moment, neither for the worker nor for the store."""
    goes_on = writer.Writer._goes_on
    patch.setattr(writer.Writer, "left", lambda _: timedelta(hours=1))
    patch.setattr(writer.Writer, "_goes_on", lambda self, run: replace(goes_on(self, run), valid_until=None))


def lost_money(patch: pytest.MonkeyPatch) -> None:
    """What a try of which nobody knows the end had reserved is given back instead of spent."""

    def returned(run: RunContext, before: Entry | None) -> RunContext:
        if before is None or before.status != "started":
            return run
        return run.evolve(reserved_usd=run.reserved_usd - before.quote_usd)

    patch.setattr(journal, "_open_try_spent", returned)


def settling(patch: pytest.MonkeyPatch) -> None:
    """A run ends, and its open calls stay open."""
    patch.setattr(journal, "settled", lambda *_, **__: {})
