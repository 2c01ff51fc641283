"""The durable record of every call to the outside: what is done is never bought again.

A call is `started` in a commit of its own right before it is sent, and ends as `done`, `refused`
(the other side did not act) or `unknown`. Its key does not know who makes it: whoever takes the
run over runs the stage's code again, and a `done` entry with the same arguments answers at once.
What a missing outcome leads to depends on the effect class of the tool (design §5).
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from prolight import lifecycle, retry
from prolight.errors import BudgetExceeded, CallError, ClaimLost, NotSent, OutcomeUnknown, ProLightError
from prolight.events import Payload, Warned
from prolight.lifecycle import STAGES
from prolight.ports import Effect
from prolight.schemas import RunContext, Usage, Value, usd
from prolight.writer import Change, Changed, Writer

DISPATCH_WITHIN = timedelta(seconds=1)
"""Between asking for `started` and the send; later, the claim may have ended, and nothing is sent."""
WAIT_IN_PLACE = timedelta(seconds=2)
"""A longer wait before the next try gives up the claim."""


class NeedsReview(ProLightError):
    """A call may or may not have happened, and repeating it could do harm."""

    code = "needs_review"


class RunCancelled(ProLightError):
    """Nothing may start any more."""

    code = "cancelled"


class BackOff(Exception):
    """Control flow: the stage gives up its claim and goes on after `wait`."""

    def __init__(self, wait: timedelta, error: CallError) -> None:
        super().__init__(str(error))
        self.wait, self.error = wait, error


class Entry(Value):
    """One call, as the journal holds it. Times are seconds of the store's clock."""

    status: Literal["started", "done", "refused", "unknown"]
    name: str
    arguments_hash: str
    tries: int
    started_at: float
    deadline_at: float
    quote_usd: Decimal = Decimal(0)
    finished_at: float | None = None
    result: dict[str, Any] | None = None
    usage: Usage = Usage()
    request_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """`result` is JSON-able; pictures in it are references."""

    result: dict[str, Any]
    usage: Usage = field(default_factory=Usage)
    request_id: str = ""


def _unchanged(run: RunContext) -> Changed:
    return Changed(run)


def _says_nothing(answer: Answer, reused: bool) -> Change:
    return _unchanged


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be called. `starting` and `finishing` are committed with `started` and `done`."""

    key: str
    name: str
    arguments_hash: str
    effect: Effect
    timeout: timedelta
    quote_usd: Decimal = Decimal(0)
    starting: Change = _unchanged
    finishing: Callable[[Answer, bool], Change] = _says_nothing

    def __post_init__(self) -> None:
        object.__setattr__(self, "quote_usd", usd(self.quote_usd))


class Journal:
    """The calls of one attempt. `entries` is what earlier attempts left behind."""

    def __init__(self, writer: Writer, entries: Mapping[str, str], policy: retry.RetryPolicy) -> None:
        self._writer = writer
        self._entries = dict(entries)
        self._policy = policy
        self._under_way: list[Effect] = []

    @property
    def interruptible(self) -> bool:
        """Whatever is under way may be cut short without harm."""
        return all(effect == "pure" for effect in self._under_way)

    def unused(self, keys: Iterable[str], arguments_hash: str) -> str:
        """The first of these keys that no call with other arguments has taken."""
        entries = ((key, self._entry(key)) for key in keys)
        return next(key for key, entry in entries if entry is None or entry.arguments_hash == arguments_hash)

    async def call(self, call: Call, send: Callable[[timedelta], Awaitable[Answer]]) -> Answer:
        """The answer: from the journal when it is there, else by sending, again where that is safe.

        Raises the `CallError` of the last try, `BackOff`, `NeedsReview`, `BudgetExceeded`,
        `RunCancelled` or `ClaimLost`.
        """
        entry = self._known(call)
        if entry and entry.status == "done":
            answer = Answer(entry.result or {}, entry.usage, entry.request_id)
            self._writer.write_later(call.finishing(answer, True))
            return answer
        check_repeat(call, entry)
        for waits in itertools.count(1):
            try:
                return await self._try(call, entry, send)
            except CallError as error:
                entry = self._entry(call.key)
                await self._wait_before_next(call, error, entry, waits)
        raise AssertionError("unreachable")

    def _known(self, call: Call) -> Entry | None:
        entry = self._entry(call.key)
        if entry and entry.arguments_hash != call.arguments_hash and entry.status != "refused":
            if call.effect == "pure":
                return None
            raise NeedsReview(f"{call.name} was called with other arguments before: the code has changed")
        return entry

    def _entry(self, key: str) -> Entry | None:
        text = self._entries.get(key)
        return Entry.model_validate_json(text) if text else None

    async def _try(self, call: Call, before: Entry | None, send: Callable[[timedelta], Awaitable[Answer]]) -> Answer:
        timeout = min(call.timeout, self._writer.left() / 2)
        entry = await self._begin(call, before, timeout)
        self._under_way.append(call.effect)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                answer = await send(timeout)
        except TimeoutError:
            raise self._unclear(call, entry, f"gave no answer within {timeout.total_seconds():.0f} s") from None
        except asyncio.CancelledError:
            if _are_we_cancelled():
                raise
            raise self._unclear(call, entry, "was cut off") from None
        except CallError as error:
            self._record(call, entry, error)
            raise
        finally:
            self._under_way.remove(call.effect)
        self._settle(call, entry, answer)
        return answer

    def _unclear(self, call: Call, entry: Entry, how: str) -> OutcomeUnknown:
        unclear = OutcomeUnknown(f"{call.name} {how}")
        self._record(call, entry, unclear)
        return unclear

    async def _begin(self, call: Call, before: Entry | None, timeout: timedelta) -> Entry:
        """`started` is on record, just now. Raises `NotSent` when that took too long."""
        if timeout <= timedelta(0):
            raise ClaimLost(f"the time of this stage is up: {call.name} does not start")
        now = self._writer.now()
        entry = Entry(
            status="started",
            name=call.name,
            arguments_hash=call.arguments_hash,
            tries=1 + (before.tries if before else 0),
            started_at=now,
            deadline_at=now + timeout.total_seconds(),
            quote_usd=call.quote_usd,
        )
        asked = time.monotonic()
        await self._write_start(call, entry, before)
        self._entries[call.key] = entry.model_dump_json()
        if time.monotonic() - asked > DISPATCH_WITHIN.total_seconds():
            late = NotSent(f"the store took too long to record that {call.name} starts")
            self._record(call, entry, late)
            raise late
        return entry

    async def _write_start(self, call: Call, entry: Entry, before: Entry | None) -> None:
        """Cancelled meanwhile, the call is known not to be sent: nobody has to doubt it later."""
        starting = asyncio.ensure_future(self._writer.write(self._start(call, entry, before)))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:
                self._record(call, entry, NotSent(f"{call.name} was cancelled before it was sent"))
            raise

    def _start(self, call: Call, entry: Entry, before: Entry | None) -> Change:
        def change(run: RunContext) -> Changed:
            if run.state not in STAGES:
                raise RunCancelled(f"run {run.run_id} is {run.state}")
            if run.spent_usd + run.reserved_usd + call.quote_usd > run.budget_usd:
                spent = run.spent_usd + run.reserved_usd
                raise BudgetExceeded(f"{call.name} costs {call.quote_usd} USD; {spent} of {run.budget_usd} are spent")
            run = _open_try_spent(run, before)
            changed = call.starting(run.evolve(reserved_usd=run.reserved_usd + call.quote_usd))
            return Changed(
                changed.run,
                (*_doubts(call, before), *changed.events),
                {**changed.journal, call.key: entry.model_dump_json()},
            )

        return change

    def _settle(self, call: Call, entry: Entry, answer: Answer) -> None:
        done = entry.evolve(
            status="done",
            finished_at=self._writer.now(),
            result=answer.result,
            usage=answer.usage,
            request_id=answer.request_id,
        )
        text = self._entries[call.key] = done.model_dump_json()
        finishing = call.finishing(answer, False)

        def change(run: RunContext) -> Changed:
            changed = finishing(lifecycle.spent(run, reserved=call.quote_usd, usage=answer.usage))
            return Changed(changed.run, changed.events, {**changed.journal, call.key: text}, settled=True)

        self._writer.write_later(change)

    def _record(self, call: Call, entry: Entry, error: CallError) -> None:
        """The try failed. Unless it surely was not carried out, its quote counts as spent."""
        unclear = isinstance(error, OutcomeUnknown)
        ended = entry.evolve(
            status="unknown" if unclear else "refused",
            tries=entry.tries - isinstance(error, NotSent),
            finished_at=self._writer.now(),
            reason=str(error)[:400],
        )
        text = self._entries[call.key] = ended.model_dump_json()
        cost = Usage(cost_usd=call.quote_usd if unclear else Decimal(0))

        def change(run: RunContext) -> Changed:
            return Changed(lifecycle.spent(run, reserved=call.quote_usd, usage=cost), journal={call.key: text})

        self._writer.write_later(change)

    async def _wait_before_next(self, call: Call, error: CallError, entry: Entry | None, waits: int) -> None:
        if isinstance(error, OutcomeUnknown):
            check_repeat(call, entry)
        policy, tries = self._policy, entry.tries if entry else waits
        if isinstance(error, NotSent):  # costs no try: the run waits for the server until its deadline
            policy, tries = replace(policy, max_tries=sys.maxsize), waits
        wait = retry.decide(policy, error, tries=tries, left=self._writer.left(), jitter=random.random())
        if wait is None:
            raise error
        if wait > WAIT_IN_PLACE:
            raise BackOff(wait, error)
        await asyncio.sleep(wait.total_seconds())


def check_repeat(call: Call, entry: Entry | None) -> None:
    """May this call be sent (again), given what is known of the last try? Raises `NeedsReview`.

    pure: always. billed: once more, since a repeat costs money and harms nothing. All others: a
    person decides, until their probes exist.
    """
    if entry is None or entry.status in ("done", "refused") or call.effect == "pure":
        return
    if call.effect == "billed" and entry.tries < 2:
        return
    raise NeedsReview(
        f"{call.name} may have been carried out: try {entry.tries} began and nobody knows how it ended"
        f" (at risk: {entry.quote_usd} USD)"
    )


def _are_we_cancelled() -> bool:
    """Else the cancellation came from inside the call, and must not look like ours."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _open_try_spent(run: RunContext, before: Entry | None) -> RunContext:
    """A try that began and never ended may have cost its quote."""
    if before is None or before.status != "started":
        return run
    return lifecycle.spent(run, reserved=before.quote_usd, usage=Usage(cost_usd=before.quote_usd))


def _doubts(call: Call, before: Entry | None) -> tuple[Payload, ...]:
    if before and before.status in ("started", "unknown") and call.quote_usd:
        return (
            Warned(code="possibly_billed_twice", message=f"{call.name} is sent again; {call.quote_usd} USD at risk"),
        )
    return ()
