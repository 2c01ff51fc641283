"""I5 everything comes to an end in time, I22 and leaves nothing behind."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prolight.ledger import Entry
from prolight.lifecycle import PARKED, STAGES
from prolight.schemas import RunContext, Stage, State
from tests.chaos.checker.facts import Facts, Violation, ended, look
from tests.chaos.histories import Audit, Claim, ClaimEnded, Commit, Create, Refused, RunEnd, TakenBack, Told

KEYS = re.compile(
    r"prolight:(?:run|journal|events|idem|op|claims):(?P<id>.+)"
    r"|prolight:(?:runs|ended|due|processes|absent|slots|clock|store|ready:(?:plan|critique|execute))"
    r"|prolight:(?:paused|aside|aside:counts)|prolight:(?:cool|firsts|retries):.+"
    r"|prolight\.(?:plan|critique|execute)|_kombu\.binding(?:\.|_permanent\.|_deadlines).*"
    r"|unacked_mutex"  # kombu's, for five minutes at most: a store that dies while it is held keeps it so long
)
CRASHES_TO_SUSPECT = 2
ALONE_WITHIN_SECONDS = 20.0
"""A suspect's process began its work after up to 13 s where six storms shared two cores, at a load of 27."""
GONE = ("killed", "terminated", "exited")
OF_A_RUN = ("prolight:run:", "prolight:journal:", "prolight:events:")


@dataclass(frozen=True)
class Stand:
    """How a run stands after one of its records, until the next."""

    record: Audit
    following: Audit | None
    document: RunContext
    journal: Mapping[str, Entry]
    process: str
    """Whoever claimed it last."""
    crashes: int
    """So often whatever worked on it died or froze, until now."""


def everything_ends_in_time(facts: Facts) -> Iterator[Violation | None]:
    """I5: after the last fault no live run stands still for longer than what it waits for, and a bound.

    It may wait for: its back-off, an open call's deadline, the runs before it in the queue, a person until theirs; a
    suspect for a process of its own.
    """
    bound = 2 * facts.terms.lease + 2 * facts.terms.sweep + facts.terms.slack
    fault = max((fault.at or 0.0 for fault in facts.history.faults if fault.landed), default=0.0)
    waits = Waits(facts)
    now = facts.end.now / 1000
    for run, thread in facts.threads.items():
        for stand in _stands(thread):
            since, at = stand.record.at / 1000, stand.following.at / 1000 if stand.following else now
            until = max(since, fault, waits.until(stand, at))
            says = f"is {stand.document.state} and stands still from {since:.3f} to {at:.3f}"
            yield look(at <= until + bound, run, says, stand.record, stand.following or "end.json")
    for run, end in facts.end.runs.items():
        yield from _has_ended(facts, run, end, now, fault, bound)


def _stands(thread: list[Audit]) -> Iterator[Stand]:
    """While it is live."""
    moves = [record for record in thread if not isinstance(record, Refused | TakenBack | Told)]
    document: RunContext | None = None
    journal: dict[str, Entry] = {}
    process, crashes = "", 0
    for record, following in zip(moves, [*moves[1:], None], strict=False):
        document = record.document if isinstance(record, Create | Commit) else document
        journal = {**journal, **record.journal} if isinstance(record, Commit) else journal
        process = record.process if isinstance(record, Claim) else process
        crashes += isinstance(record, ClaimEnded) and record.why != "retire"
        if document and not ended(document):
            yield Stand(record, following, document, journal, process, crashes)


class Waits:
    """Until when a run may stand as it does."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        claims = [record for record in facts.history.audit if isinstance(record, Claim)]
        self._claims = {stage: [claim.at / 1000 for claim in claims if claim.stage is stage] for stage in Stage}
        self._died = {line.process: line.at for line in facts.history.processes if line.what in GONE}

    def until(self, stand: Stand, at: float) -> float:
        record, document = stand.record, stand.document
        if document.state in PARKED:
            return _until(self._facts, document)
        if isinstance(record, Claim) or (isinstance(record, Commit) and record.place == "held"):
            opened = [entry.deadline_at for entry in stand.journal.values() if entry.status == "started"]
            if isinstance(record, Claim) and stand.crashes >= CRASHES_TO_SUSPECT:
                opened.append(record.at / 1000 + ALONE_WITHIN_SECONDS)
            return min(max(opened, default=0.0), self._died.get(stand.process, float("inf")))
        back_off = record.back_off if isinstance(record, Commit) else 0
        stage = STAGES.get(document.state)
        queue = self._claims[stage] if stage else []
        turn = bisect_left(queue, at)
        return max((record.at + back_off) / 1000, queue[turn - 1] if turn else 0.0)


def _until(facts: Facts, document: RunContext) -> float:
    if document.state is State.AWAITING_APPROVAL and document.approval:
        return document.approval.until
    return document.updated_at + facts.terms.review_deadline


def _has_ended(
    facts: Facts, run: str, end: RunEnd, now: float, fault: float, bound: float
) -> Iterator[Violation | None]:
    document = end.document
    if ended(document):
        yield None
        return
    parked = document.state in PARKED
    yield look(parked or not facts.end.quiet, run, f"is {document.state} when all is quiet", "end.json")
    until = _until(facts, document) if parked else document.works_until
    late = until is not None and now > max(until, fault) + bound
    yield look(not late, run, f"is still {document.state} at {now}, its deadline was {until}", "end.json")


def nothing_is_left_behind(facts: Facts) -> Iterator[Violation | None]:
    """I22: a finished run has no claim, no turn, no due time and no money; a live one is due."""
    claims = {(run, claim): process for process, held in facts.end.claims.items() for run, claim in held.items()}
    for run, end in facts.end.runs.items():
        document, over = end.document, ended(end.document)
        due = f"run:{run}" in facts.end.due
        yield look(due == (not over), run, f"is {document.state}, and {'' if due else 'not '}due", "end.json")
        listed = (run, end.claim) in claims
        yield look(listed or not end.claim, run, f"is held under {end.claim!r}, which no process lists", "end.json")
        free = not over or not (end.claim or document.reserved_usd)
        yield look(free, run, "is finished, and keeps a claim or money", "end.json")
        opened = [key for key, entry in end.journal.items() if entry.status == "started"]
        yield look(not (over and opened), run, f"is finished, and calls {opened} are open", "end.json")
    for (run, claim), process in claims.items():
        holder = facts.end.runs.get(run)
        own = holder is not None and holder.claim == claim
        yield look(own, run, f"{process} lists a claim {claim} that the run does not know", "end.json")
        yield look(process not in _gone(facts), run, f"is held by {process}, which is gone", "end.json")
    yield from _queues(facts)
    yield from _keys(facts)


def _gone(facts: Facts) -> set[str]:
    last = {line.process: line.what for line in facts.history.processes}
    return {process for process, what in last.items() if what in GONE}


def _queues(facts: Facts) -> Iterator[Violation | None]:
    for stage, waiting in facts.end.ready.items():
        for run in waiting:
            end = facts.end.runs.get(run)
            waits = end is not None and not end.claim and STAGES.get(end.document.state) == stage
            yield look(waits, run, f"waits for {stage}, and has no turn there", "end.json")
    for entry in facts.end.due:
        run = entry.removeprefix("run:")
        yield look(run in facts.end.runs, run, f"{entry} is due, and there is no such run", "end.json")


def _keys(facts: Facts) -> Iterator[Violation | None]:
    idems = {create.idem for create in facts.creates.values()}
    for key in facts.end.keys:
        known = KEYS.fullmatch(key)
        id = known["id"] or "" if known else ""
        orphan = (
            not known
            or (key.startswith(OF_A_RUN) and id not in facts.end.runs)
            or (key.startswith("prolight:idem:") and id not in idems)
            or (key.startswith("prolight:claims:") and id in _gone(facts))
        )
        yield look(not orphan, "", f"key {key} belongs to nothing", "end.json")
