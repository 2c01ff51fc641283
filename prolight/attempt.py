"""One attempt of one stage: claim → agent → commit."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prolight import answers
from prolight.agents.base import Agent, Work
from prolight.calls import BackOff, NeedsReview, RunCancelled
from prolight.decisions import Deadlines
from prolight.errors import (
    ClaimLost,
    IllegalMove,
    ProLightError,
    RunNotFound,
    ServerCrashed,
    StoreUnavailable,
    ToolChanged,
    VersionConflict,
)
from prolight.journal import DEFAULT_LEDGER, Journal
from prolight.ledger import LedgerPolicy
from prolight.lifecycle import STAGES
from prolight.outcomes import BackingOff, Crashed, Failed, Lost, Outcome, Released, Unclear, conclude, run_error
from prolight.ports import Claim, RunStore, Write
from prolight.retry import RetryPolicies
from prolight.schemas import Review, RunContext, Stage
from prolight.writer import Writer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempts:
    """What every attempt needs."""

    store: RunStore
    agents: Mapping[Stage, Agent]
    deadlines: Deadlines
    retry: RetryPolicies
    ledger: LedgerPolicy = DEFAULT_LEDGER


class Attempt:
    """A claimed run at work in this process."""

    def __init__(self, parts: Attempts, claim: Claim) -> None:
        self._parts = parts
        self._number = claim.snapshot.attempt
        self._writer = Writer(parts.store, claim)
        self._journal = Journal(self._writer, claim.journal, parts.retry, parts.ledger)
        self._run_id = claim.run_id
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False
        self._ending = False

    @property
    def run(self) -> RunContext:
        """The run as this attempt last wrote it."""
        return self._writer.run

    @property
    def interruptible(self) -> bool:
        """No call is under way that could have an effect."""
        return self._journal.interruptible

    def interrupt(self, *, harmless_only: bool = False) -> None:
        """Stop, from within the loop: the run is released, or let go when it is being cancelled.

        An outcome that is being committed stands. `harmless_only`: not while a call that could have an effect is
        under way.
        """
        if harmless_only and not self.interruptible:
            return
        self._interrupted = True
        if self._task and not self._ending:
            self._task.cancel()

    async def make(self) -> Outcome | Lost:
        """Work until the stage has an outcome, and commit it."""
        self._task = asyncio.current_task()
        try:
            outcome = Released() if self._interrupted else await self._work()
            return await _uncancelled(self._finish(outcome))
        except (ClaimLost, RunNotFound, IllegalMove) as lost:
            log.warning("run %s: %s", self._run_id, lost)
            await self._keep_late_results()
            return Lost()

    async def _work(self) -> Outcome:
        run = self._writer.run
        stage = STAGES[run.state]
        try:
            return await self._parts.agents[stage].work(Work(run, self._writer, self._journal))
        except (ClaimLost, StoreUnavailable):
            raise
        except RunCancelled:
            return Released()
        except asyncio.CancelledError as cancelled:
            if self._interrupted or (self._task and self._task.cancelling()):
                return Released()
            return self._failed(cancelled, stage)  # it came from inside: tried again, it would come again
        except NeedsReview as doubt:
            return Unclear(doubt.review)
        except ToolChanged as changed:
            return Unclear(
                Review(call=changed.tool, step=changed.step, why="tool_changed", message=str(changed), pin=changed.pin)
            )
        except ServerCrashed as crash:
            return Crashed(str(crash))
        except BackOff as pause:
            return BackingOff(pause.wait, run_error(pause.error, stage, attempt=self._number))
        except Exception as error:  # noqa: BLE001 - a defect must fail its run, not lose it
            return self._failed(error, stage)

    async def _keep_late_results(self) -> None:
        """What the other side has answered is kept, although the claim is gone: whoever has the run now may need it."""
        if not self._journal.unsaved:
            return
        store, deadlines = self._parts.store, self._parts.deadlines
        await store.keep_late(self._run_id, self._journal.unsaved)
        with suppress(VersionConflict, RunNotFound, IllegalMove):
            base = await store.read(self._run_id)
            review = base.run.review
            if review and any(key.startswith(f"{review.key}#") for key in self._journal.unsaved):
                answer = review.evolve(decision="adopted", decided_by="its late result", decided_at=store.now())
                decision = answers.resolved(base.run, answer, now=store.now(), deadlines=deadlines)
                await store.commit(Write(base, decision, op_id=uuid.uuid4().hex, holder=False))

    async def _finish(self, outcome: Outcome) -> Outcome:
        writer, deadlines = self._writer, self._parts.deadlines
        self._ending = True
        try:
            await writer.finish(lambda run: conclude(outcome, run, now=writer.now(), deadlines=deadlines))
        except (ClaimLost, RunNotFound, IllegalMove, StoreUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - what cannot be written must not be tried for ever
            failed = self._failed(error, STAGES.get(writer.run.state))
            await writer.abandon(lambda run: conclude(failed, run, now=writer.now(), deadlines=deadlines))
            return failed
        return outcome

    def _failed(self, error: BaseException, stage: Stage | None) -> Failed:
        if not isinstance(error, ProLightError):
            log.error("run %s: %s failed unexpectedly", self._run_id, stage, exc_info=error)
            error = ProLightError(f"unexpected {type(error).__name__} in {stage}; the worker's log has the trace")
        return Failed(run_error(error, stage, attempt=self._number))


async def _uncancelled(ending: Coroutine[Any, Any, Outcome]) -> Outcome:
    """A commit that began is carried out: cancelled halfway, the run would wait for its lease to end."""
    task = asyncio.ensure_future(ending)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    return task.result()
