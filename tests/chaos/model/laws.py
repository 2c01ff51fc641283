"""What must hold, of each write, each effect and each state (design §14). Each law yields what breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from prolight.determinism import plan_hash
from prolight.events import Status, Warned
from prolight.journal import DEFAULT_LEDGER
from prolight.ledger import Entry
from prolight.lifecycle import STAGES, TERMINAL, TRANSITIONS
from prolight.schemas import State
from tests.chaos.model.desk import Accepted, key_of, quote_of
from tests.chaos.model.state import MANY, Cell, Known, Row, Scope, Worker, World, plan_name

TWICE = "possibly_billed_twice"


def resting(row: Row) -> Iterator[str]:
    """Of any record."""
    run = row.run
    if run.reserved_usd < 0 or run.spent_usd + run.reserved_usd > run.budget_usd:
        yield f"I12: {run.spent_usd} spent + {run.reserved_usd} reserved of {run.budget_usd} USD"
    if row.over and (row.claim or row.ready or row.looked_after or run.reserved_usd):
        yield "I22: the run is over, and something of it is left: claim, place, due time or reservation"
    if row.over and any(Entry.model_validate_json(text).status == "started" for _, text in row.journal):
        yield "I22: the run is over, and a call is still open"
    if not row.over and not row.looked_after:
        yield "I5: nobody will look at the run again"
    if row.claim and row.ready:
        yield "I10: a run that is held can be claimed"


def granted(before: Row, after: Row) -> tuple[str, ...]:
    if before.claim:
        return (f"I10: claimed by {after.claim} while {before.claim} holds it",)
    return ()


def of_write(one: Accepted, worker: Worker | None, known: Known, scope: Scope) -> Iterator[str]:
    """Of each write that the store took, from `worker` or from somebody without a claim."""
    before, after, write = one.before, one.after, one.write
    yield from _is_a_move(one)
    if write.holder:
        assert worker
        if before.claim != worker.claim:
            yield f"I10: a write of claim {worker.claim} was accepted while {before.claim or 'nobody'} held the run"
    elif write.base.claim_id != before.claim:
        yield f"I10: a decision made under claim {write.base.claim_id!r} was accepted under {before.claim!r}"
    for step in range(len(scope.effects)):
        if started(one, step):
            yield from _may_start(one, worker, known)
    charged = sum((quote_of(effect) * times for effect, times in zip(scope.effects, known.applied, strict=True)))
    run = after.run
    if charged > run.spent_usd + run.reserved_usd:
        yield f"I12: {charged} USD were charged, {run.spent_usd} are spent and {run.reserved_usd} reserved"


def _is_a_move(one: Accepted) -> Iterator[str]:
    was, becomes = one.before.run.state, one.after.run.state
    said = [event for event in one.write.decision.events if isinstance(event, Status)]
    if one.versions != 1:
        yield f"I3: a write made {one.versions} versions"
    if was in TERMINAL:
        yield f"I4: a write after the end ({was} → {becomes})"
    states = [was, *(event.state for event in said)]
    for first, second in pairwise(states):
        if second not in TRANSITIONS[first].values():
            yield f"I3: {first} → {second} is in no table"
    if states[-1] is not becomes:
        yield f"I3: {was} became {becomes}, the events say {', '.join(states[1:]) or 'nothing'}"
    ends = [event for event in said if event.state in TERMINAL]
    if len(ends) != (becomes in TERMINAL) or (ends and one.write.decision.events[-1] is not ends[-1]):
        yield f"I4: {len(ends)} terminal events in a write that makes the run {becomes}"


def started(one: Accepted, step: int) -> Entry | None:
    """The try of this step that the write put on record."""
    text = one.write.journal.get(key_of(step))
    entry = Entry.model_validate_json(text) if text else None
    return entry if entry and entry.status == "started" and one.write.holder else None


def _may_start(one: Accepted, worker: Worker | None, known: Known) -> Iterator[str]:
    run = one.before.run
    if not worker or one.before.claim != worker.claim:
        yield f"I11: a call started under claim {worker.claim if worker else ''}, which had ended"
    if run.state not in STAGES:
        yield f"I15: a call started while the run was {run.state}"
    if run.works_until is not None and one.at >= run.works_until:
        yield "I15: a call started after the run's deadline"
    if run.state is State.EXECUTING and run.plan:
        name = plan_name(run.plan)
        if name not in known.judged:
            yield f"I13: plan {name} is carried out, and was not judged"
        if run.ask and name not in known.approved:
            yield f"I13: plan {name} is carried out, a person approved {', '.join(known.approved) or 'none'}"


def sent(world: World, worker: Worker, step: int, cell: Cell) -> tuple[str, ...]:
    """Of each call that leaves."""
    broken = []
    if cell.late:
        broken.append("I11: a call left more than a second after it was recorded")
    entry, on_record = Entry.model_validate_json(cell.entry), world.row.entry(key_of(step))
    if on_record is None or on_record.tries < entry.tries:
        broken.append(f"I8: try {entry.tries} of {key_of(step)} left, and is not on record")
    return tuple(broken)


def applied(known: Known, step: int, scope: Scope) -> Known:
    """The other side carries a request out; one that knows its key only answers."""
    times, remembered = list(known.applied), list(known.remembered)
    if not (scope.effects[step] == "keyed" and remembered[step]):
        times[step] = min(times[step] + 1, MANY)
    remembered[step] = True
    return known._replace(applied=tuple(times), remembered=tuple(remembered))


def after_a_tick(known: Known, scope: Scope) -> tuple[bool, ...]:
    """A keyed tool's server forgets; who can be asked remembers."""
    pairs = zip(scope.effects, known.remembered, strict=True)
    return tuple(remembered and effect != "keyed" for effect, remembered in pairs)


def of_effect(known: Known, step: int, scope: Scope) -> tuple[str, ...]:
    effect, times, allowed = scope.effects[step], known.applied[step], known.allowed[step]
    if effect != "pure" and times > 1 + allowed:
        return (f"I7: {key_of(step)} ({effect}) was carried out {times} times, {allowed} repeats were surfaced",)
    return ()


def learned(known: Known, one: Accepted, worker: Worker | None, hashed: str, scope: Scope) -> Known:
    """What an observer concludes from a write: repeats that were surfaced, plans that were judged and approved."""
    allowed = list(known.allowed)
    events = one.write.decision.events
    for step, effect in enumerate(scope.effects):
        entry = started(one, step)
        if effect == "billed" and entry and entry.doubts <= DEFAULT_LEDGER.repeats:
            allowed[step] += any(isinstance(event, Warned) and event.code == TWICE for event in events)
    review = one.before.run.review
    resolved = one.before.run.state is State.NEEDS_REVIEW and one.after.run.state is State.EXECUTING
    if resolved and review and (text := one.write.journal.get(review.key)):
        entry = Entry.model_validate_json(text)
        allowed[int(review.key[1:])] += entry.cleared == entry.tries
    judged, approved = known.judged, known.approved
    if one.before.run.state is State.CRITIQUING and worker and one.write.holder:
        seen = worker.base.run
        if seen.plan and seen.lock and plan_hash(seen.plan) == seen.lock.plan_hash:
            judged |= {plan_name(seen.plan)}
    if hashed and one.after.run.state is State.EXECUTING:
        approved |= {hashed}
    return known._replace(allowed=tuple(allowed), judged=judged, approved=approved)
