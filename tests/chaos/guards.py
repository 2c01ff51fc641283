"""Takes one guard out of the product, in this process: whatever the suite then plays, it has to be convicted.

A guard in a script is taken out of its text; the place where it stands has to be there, or this is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from prolight import journal
from prolight.adapters import redis_store
from prolight.agents import executor
from prolight.ledger import Send
from prolight.schemas import RunContext

VARIABLE = "CHAOS_WITHOUT"


def _in_script(name: str, guard: str, instead: str) -> None:
    before = redis_store._script

    @cache
    def unguarded(asked: str) -> tuple[str, str]:
        sha, text = before(asked)
        if asked != name:
            return sha, text
        assert text.count(guard) == 1, f"{text.count(guard)} times in {name}: {guard}"
        text = text.replace(guard, instead)
        return hashlib.sha1(text.encode()).hexdigest(), text

    redis_store._script = unguarded


def _no_claim() -> None:
    """Whoever read this version may write, holder or not."""
    _in_script("commit", "local lost = by == 'holder' and (claim == '' or r[2] ~= claim)", "local lost = false")
    _in_script("commit", "if lost or r[1] ~= ver or r[2] ~= claim then", "if lost or r[1] ~= ver then")


def _no_version() -> None:
    _in_script("commit", "if lost or r[1] ~= ver or r[2] ~= claim then", "if lost or r[2] ~= claim then")


def _no_dispatch() -> None:
    """However late it is after `started`, the call is sent."""
    journal.DISPATCH_WITHIN = timedelta(days=1)


def _no_due() -> None:
    """A run that backs off is not looked at again."""
    waits = "redis.call('ZADD', 'prolight:due', nearest(now + ms, deadline, stage_deadline), due_entry(id))"
    _in_script("commit", waits, "redis.call('ZREM', 'prolight:due', due_entry(id))")


def _no_op_id() -> None:
    """A write that is asked for again is not known."""
    _in_script(
        "commit", "local function made_before()\n", "local function made_before()\n  if true then return nil end\n"
    )


def _no_class() -> None:
    """What became of the last try is nothing to wait or to ask for."""
    _set(journal, "next_step", lambda *_, **__: Send())


def _no_budget() -> None:
    start = journal.Journal._start

    def unlimited(self: Any, *args: Any) -> Any:
        change = start(self, *args)

        def changed(run: RunContext) -> Any:
            made = change(run.evolve(budget_usd=Decimal(10**6)))
            return replace(made, run=made.run.evolve(budget_usd=run.budget_usd))

        return changed

    _set(journal.Journal, "_start", unlimited)


def _no_plan_hash() -> None:
    """The Executor carries out whatever plan stands in the record."""
    _set(executor, "check_lock", lambda *_: None)


def _set(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


GUARDS: Mapping[str, Callable[[], None]] = {
    "claim": _no_claim,
    "version": _no_version,
    "dispatch": _no_dispatch,
    "due": _no_due,
    "op_id": _no_op_id,
    "class": _no_class,
    "budget": _no_budget,
    "plan_hash": _no_plan_hash,
}


def remove(guard: str) -> None:
    GUARDS[guard]()
