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
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from prolight import lifecycle, retry
from prolight.calls import Answer, BackOff, Call, NeedsReview, Probed, RunCancelled
from prolight.decisions import Decision, Ended
from prolight.errors import BudgetExceeded, CallError, ClaimLost, NoRetryLeft, NotSent, OutcomeUnknown
from prolight.events import Payload, Warned
from prolight.ledger import Entry, LedgerPolicy, NextStep, Probe, Send, Wait, doubt, late_key, next_step, settled
from prolight.lifecycle import STAGES
from prolight.pacing import Pacing
from prolight.ports import Effect, RunStore
from prolight.schemas import Review, RunContext, Stage, Usage
from prolight.writer import Change, Changed, Writer

DEFAULT_LEDGER = LedgerPolicy()
DISPATCH_WITHIN = timedelta(seconds=1)
"""Between asking for `started` and the send; later, the claim may have ended, and nothing is sent."""
WAIT_IN_PLACE = timedelta(seconds=2)
"""A longer wait before the next try gives up the claim."""


class Journal:
    """The calls of one attempt. `entries` is what earlier attempts left behind."""

    def __init__(
        self,
        writer: Writer,
        entries: Mapping[str, str],
        policies: retry.RetryPolicies,
        ledger: LedgerPolicy = DEFAULT_LEDGER,
    ) -> None:
        self._writer = writer
        self._entries = dict(entries)
        self._policies, self._stage = policies, STAGES[writer.run.state]
        self._ledger = ledger if self._stage is Stage.EXECUTE else ledger.before_execution
        self._pacing = Pacing(writer)
        self._under_way: list[Effect] = []
        self._unsaved: dict[str, str] = {}
        writer.closing = lambda: settled(self._entries, now=writer.now())

    @property
    def interruptible(self) -> bool:
        """Whatever is under way may be cut short without harm."""
        return all(effect == "pure" for effect in self._under_way)

    @property
    def stage_policy(self) -> retry.RetryPolicy:
        return self._policies.of(self._stage)

    @property
    def unsaved(self) -> Mapping[str, str]:
        """Results, by `late_key`, that no commit has confirmed: what is left of a claim that was lost."""
        return self._unsaved

    def unused(self, keys: Iterable[str], arguments_hash: str) -> str:
        """The first of these keys that no call with other arguments has taken."""
        entries = ((key, self._entry(key)) for key in keys)
        return next(key for key, entry in entries if entry is None or entry.arguments_hash == arguments_hash)

    async def call(self, call: Call, send: Callable[[timedelta], Awaitable[Answer]]) -> Answer:
        """The answer: from the journal when it is there, else by sending, again where that is safe.

        Raises the `CallError` of the last try, `BackOff`, `NeedsReview`, `BudgetExceeded`,
        `RunCancelled` or `ClaimLost`.
        """
        for waits in itertools.count(1):
            entry = self._known(call)
            if entry and entry.status == "done":
                answer = Answer(entry.result or {}, entry.usage, entry.request_id)
                self._writer.write_later(call.finishing(answer, True))
                return answer
            match self._next_step(call, entry):
                case Send():
                    self._check_tries(call, entry)
                    try:
                        return await self._try(call, entry, send)
                    except CallError as error:
                        await self._wait_before_next(call, error, waits)
                case Probe() if call.probe and entry:
                    await self._ask(call, entry, call.probe)
                case Wait(until):
                    still = OutcomeUnknown(f"{call.name} may still be under way from an earlier try")
                    raise BackOff(timedelta(seconds=until - self._writer.now()), still)
                case _:
                    raise _review(call, entry)
        raise AssertionError("unreachable")

    def _policy(self, call: Call) -> retry.RetryPolicy:
        return self._policies.of(self._stage, call.name, call.retry)

    def _known(self, call: Call) -> Entry | None:
        entry = self._late(call) or self._entry(call.key)
        if entry and entry.arguments_hash != call.arguments_hash and entry.status != "refused":
            if call.effect == "pure":
                return None
            raise _review(call, entry, f"{call.name} was called with other arguments before: the code has changed")
        return entry

    def _check_tries(self, call: Call, entry: Entry | None) -> None:
        """Whoever takes the run over has no more tries than who had it before. A person's word gives one more.

        A try of which nobody saw the end is not held against the call: a drain cut it short, or a crash, and
        crashes end the run as poison.
        """
        tried_out = entry and entry.tries - entry.inherited >= self._policy(call).max_tries
        if entry and tried_out and entry.status != "started" and entry.cleared != entry.tries:
            raise OutcomeUnknown(f"{call.name} was tried {entry.tries} times: {entry.reason or 'no answer'}"[:400])

    def _next_step(self, call: Call, entry: Entry | None) -> NextStep:
        now = self._writer.now()
        return next_step(entry, call.effect, now=now, policy=self._ledger, key_window=call.key_window)

    def _late(self, call: Call) -> Entry | None:
        """What a try brought after its claim had ended, when nothing else is known of the call: it is adopted."""
        entry = self._entry(call.key)
        if entry is None or not entry.unclear:
            return None
        for tries in range(1, entry.tries + 1):
            late = self._entry(late_key(call.key, tries))
            if late and late.arguments_hash == call.arguments_hash:
                self._adopt(call, entry, Answer(late.result or {}, late.usage, late.request_id))
                return self._entry(call.key)
        return None

    def _entry(self, key: str) -> Entry | None:
        text = self._entries.get(key)
        return Entry.model_validate_json(text) if text else None

    async def _ask(self, call: Call, entry: Entry, probe: Callable[[timedelta], Awaitable[Probed]]) -> None:
        """Learn from the other side what became of the call, and write that down."""
        policy = self._policy(call)
        try:
            await self._pacing.may_leave(call, entry, policy)
            found = await probe(min(call.timeout, self._writer.left() / 2))
        except CallError as error:
            longest = retry.backoff(policy, self._writer.snapshot.attempt)
            await self._pacing.heed(call, error, longest)
            if not error.retryable:
                found = "unclear"
            else:
                raise BackOff(error.retry_after or longest, error) from error
        match found:
            case Answer():
                self._adopt(call, entry, found)
            case "absent":
                absent = entry.evolve(status="refused", doubts=1, reason="the other side says that it never happened")
                self._keep(call, absent, give_back=entry if entry.tries > entry.inherited else None)
            case _:
                raise _review(call, entry, f"{doubt(entry)}; asked for it, the other side gives no clear answer")

    def _adopt(self, call: Call, entry: Entry, answer: Answer) -> None:
        """It did happen: what it made is taken as the answer. Its cost is what was put down for it."""
        done = entry.evolve(
            status="done",
            finished_at=self._writer.now(),
            result=answer.result,
            usage=answer.usage,
            request_id=answer.request_id,
            reason="adopted",
        )
        self._keep(call, done)

    def _keep(self, call: Call, entry: Entry, *, give_back: Entry | None = None) -> None:
        """Write down what became of an earlier try."""
        before = self._entry(call.key)
        text = self._entries[call.key] = entry.model_dump_json()

        def change(run: RunContext) -> Changed:
            run = _open_try_spent(run, before)
            if give_back:
                run = run.evolve(spent_usd=run.spent_usd - give_back.quote_usd)
            return Changed(run, journal={call.key: text}, settled=entry.status == "done")

        self._writer.write_later(change)

    async def _try(self, call: Call, before: Entry | None, send: Callable[[timedelta], Awaitable[Answer]]) -> Answer:
        await self._pacing.may_leave(call, before, self._policy(call))
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
        """`started` is on record, just now. Raises `NotSent` when that took too long, or the answer says to wait."""
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
            first_started_at=before.first_started_at if before else now,
            quote_usd=call.quote_usd,
            doubts=before.doubts + before.unclear if before else 0,
            inherited=before.inherited if before else 0,
        )
        asked = time.monotonic()
        await self._write_start(call, entry, before)
        self._entries[call.key] = entry.model_dump_json()
        unsent: NotSent | None = self._pacing.pause(call)
        if time.monotonic() - asked > DISPATCH_WITHIN.total_seconds():
            unsent = NotSent(f"the store took too long to record that {call.name} starts")
        if unsent:
            self._record(call, entry, unsent)
            raise unsent
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
                asks={call.dependency: int(before is None)} if call.dependency else {},
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
        late = late_key(call.key, done.tries)
        self._unsaved[late] = text
        finishing = call.finishing(answer, False)

        def change(run: RunContext) -> Changed:
            changed = finishing(lifecycle.spent(run, reserved=call.quote_usd, usage=answer.usage))
            return Changed(changed.run, changed.events, {**changed.journal, call.key: text}, settled=True)

        self._writer.write_later(change).add_done_callback(lambda written: self._saved(late, written))

    def _saved(self, late: str, written: asyncio.Future[None]) -> None:
        if not written.cancelled() and written.exception() is None:
            del self._unsaved[late]

    def _record(self, call: Call, entry: Entry, error: CallError) -> None:
        """The try failed. Unless it surely was not carried out, its quote counts as spent."""
        unclear = isinstance(error, OutcomeUnknown)
        ended = entry.evolve(
            status="unknown" if unclear else "refused",
            tries=entry.tries - isinstance(error, NotSent),
            unsent=isinstance(error, NotSent),
            finished_at=self._writer.now(),
            reason=str(error)[:400],
        )
        text = self._entries[call.key] = ended.model_dump_json()
        cost = Usage(cost_usd=call.quote_usd if unclear else Decimal(0))

        def change(run: RunContext) -> Changed:
            return Changed(lifecycle.spent(run, reserved=call.quote_usd, usage=cost), journal={call.key: text})

        self._writer.write_later(change)

    async def _wait_before_next(self, call: Call, error: CallError, waits: int) -> None:
        """Returns when it is time for the next look. Raises the error where no further try may follow."""
        entry, policy = self._entry(call.key), self._policy(call)
        tries, left = entry.tries - entry.inherited if entry else waits, self._writer.left()
        await self._pacing.heed(call, error, retry.backoff(policy, tries))
        if isinstance(error, OutcomeUnknown) and not isinstance(self._next_step(call, entry), Send):
            return
        if isinstance(error, NotSent):  # costs no try: the run waits for the server until its deadline
            policy, tries = replace(policy, max_tries=sys.maxsize), waits
        if isinstance(error, NoRetryLeft):  # there may be one sooner; if not, the deadline ends the run
            left = timedelta.max
        wait = retry.decide(policy, error, tries=tries, left=left, jitter=random.random())
        if wait is None:
            raise error
        if wait > WAIT_IN_PLACE:
            raise BackOff(wait, error)
        await asyncio.sleep(wait.total_seconds())


def _review(call: Call, entry: Entry | None, message: str = "") -> NeedsReview:
    changed = entry is not None and entry.arguments_hash != call.arguments_hash
    return NeedsReview(
        Review(
            key=call.key,
            call=call.name,
            why="code_changed" if changed else "outcome_unknown",
            message=(message or (doubt(entry) if entry else call.name))[:600],
            at_risk_usd=entry.at_risk_usd if entry else Decimal(0),
        )
    )


async def closing(store: RunStore, decision: Decision) -> Mapping[str, str]:
    """What a decision made without a claim has to write into the journal: open entries, if it ends the run."""
    if not isinstance(decision.placement, Ended):
        return {}
    return settled(await store.journal(decision.run.run_id), now=decision.run.updated_at)


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
