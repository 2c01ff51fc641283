"""After the store was restored from a backup: nothing that was done since is done again silently.

While this is at it no stage is claimed; if it is interrupted, it stays so until it is done again. Claims of the lost
time end, and epochs go on far above those that it may have given out. The keys of calls are made of run and plan
alone, so a server that knows them still tells a repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

from prolight import lifecycle
from prolight.commands import Decided, carry_out
from prolight.decisions import Deadlines, Decision, Parked, Queued
from prolight.errors import RunNotFound
from prolight.events import Warned
from prolight.lifecycle import STAGES, TERMINAL, stage_budget
from prolight.ports import RunStore, Snapshot
from prolight.schemas import Review, RunContext, Stage, State

PAGE = 500
RESTORED = "the store was restored from a backup, and what happened since is not on record"
RESTORED_FIRST = f"{RESTORED}; "
PAUSED = "the store is being restored: `prolight restore` ends it"


async def live(store: RunStore) -> AsyncIterator[Snapshot]:
    """Every run that has not ended, once."""
    seen: set[str] = set()
    looked = 0
    while page := await store.recent(PAGE, looked):
        looked += len(page)
        for one in page:
            if one.run.state not in TERMINAL and one.run.run_id not in seen:
                seen.add(one.run.run_id)
                yield one


async def survey(store: RunStore) -> Mapping[State, int]:
    """How many runs `restore` would look after, by state. Changes nothing."""
    return Counter([one.run.state async for one in live(store)])


async def restore(store: RunStore, *, by: str, ask: bool = True, deadlines: Deadlines) -> Mapping[State, int]:
    """Look after every live run as `restored` says; answers how many there were, by the state they had."""
    paused = await store.paused()
    await store.pause([stage for stage in Stage if stage not in paused], by=by, reason=PAUSED)
    found: Counter[State] = Counter()
    async for one in live(store):
        with suppress(RunNotFound):
            await _look_after(store, one.run.run_id, ask=ask, deadlines=deadlines)
            found[one.run.state] += 1
    ours = [stage for stage, pause in (await store.paused()).items() if pause.reason == PAUSED]
    await store.resume(ours)
    return found


async def _look_after(store: RunStore, run_id: str, *, ask: bool, deadlines: Deadlines) -> None:
    async def decide(base: Snapshot) -> Decided:
        if base.run.state in TERMINAL:
            return None
        return restored(base.run, ask=ask, now=store.now(), deadlines=deadlines), {}

    await carry_out(store, run_id, decide, restores=True)


def restored(run: RunContext, *, ask: bool, now: float, deadlines: Deadlines) -> Decision:
    """The store went back to an older state: what this run has had done since then is not on its record.

    A person decides whether it goes on where that may have been a call with effects. `ask`: also before a plan that
    is yet to be made or judged is carried out, because another one may have been already.
    """
    if run.works_until is not None:  # the time that is lost was not the run's
        run = run.evolve(works_until=run.works_until + max(0.0, now - run.updated_at))
    warned = Warned(code="restored", message=RESTORED)
    match run.state:
        case State.EXECUTING:
            return lifecycle.unclear(run, _lost_calls(run), now=now, deadlines=deadlines)
        case State.CANCELLING:
            return lifecycle.let_go(run, now=now, deadlines=deadlines)
        case State.AWAITING_APPROVAL if run.approval:
            approval = run.approval.evolve(reasons=tuple(dict.fromkeys((*run.approval.reasons, RESTORED))))
            return _waits_on(run.evolve(approval=approval), warned, approval.until, now)
        case State.NEEDS_REVIEW if run.review:
            said = run.review.message.removeprefix(RESTORED_FIRST)
            review = run.review.evolve(message=f"{RESTORED_FIRST}{said}"[:600])
            return _waits_on(run.evolve(review=review), warned, review.until, now)
    stage = STAGES[run.state]
    queued = Queued(stage, budget=stage_budget(run, stage, deadlines))
    return Decision(run.evolve(ask=run.ask or ask, updated_at=now), (warned,), queued)


def _lost_calls(run: RunContext) -> Review:
    done = {step.id for step in run.exec_result.steps if step.status == "done"} if run.exec_result else set()
    steps = [step for step in run.plan.steps if step.id not in done] if run.plan else []
    first = steps[0] if steps else None
    return Review(
        call=first.tool if first else "",
        step=first and first.id,
        why="restored",
        message=f"{RESTORED}: {', '.join(step.id for step in steps)} may have been carried out"[:600],
        at_risk_usd=sum((step.estimated_cost_usd for step in steps), Decimal(0)),
    )


def _waits_on(run: RunContext, warned: Warned, until: float, now: float) -> Decision:
    return Decision(run.evolve(updated_at=now), (warned,), Parked(timedelta(seconds=max(0.0, until - now))))
