"""I3 versions and transitions, I4 one end, I21 what readers see."""

from __future__ import annotations

from collections.abc import Iterator

from prolight.events import Event, Failure, Payload, Result, Status
from prolight.lifecycle import PARKED, STAGES, TERMINAL, TRANSITIONS
from prolight.schemas import State
from tests.chaos.checker.facts import Facts, Violation, Written, ended, look
from tests.chaos.histories import Commit, Create

PLACES = {
    "held": frozenset({*STAGES, State.CANCELLING}),
    "queued": frozenset(STAGES),
    "parked": PARKED,
    "ended": TERMINAL,
}


def versions_and_transitions(facts: Facts) -> Iterator[Violation | None]:
    """I3: `ver` counts 1, 2, 3 …, states follow each other by the table, and the end is the last write."""
    lsn = 0
    for record in facts.history.audit:
        yield look(record.lsn > lsn, record.run, f"lsn {record.lsn} comes after {lsn}", record)
        lsn = record.lsn
    for run, writes in facts.written.items():
        ver = 0
        for written in writes:
            record = written.record
            yield look(record.ver == ver + 1, run, f"ver {record.ver} follows ver {ver}", record)
            ver = record.ver
            yield look(record.document.run_id == run, run, f"holds the document of {record.document.run_id}", record)
            yield from _moves(facts, written)
        yield from _is_as_last_written(facts, run, writes[-1])


def _moves(facts: Facts, written: Written) -> Iterator[Violation | None]:
    record, state = written.record, written.after.state
    if isinstance(record, Create):
        begins = written.before is None and state is State.PLANNING
        yield look(begins, written.run, f"is created in {state}, or twice", record)
        return
    assert isinstance(record, Commit)
    fits = state in PLACES[record.place]
    yield look(fits, written.run, f"is {state} and placed as {record.place!r}", record)
    stands = written.before.state if written.before else None
    if stands is None:
        yield look(False, written.run, "is committed to before it was created", record)
        return
    yield look(stands not in TERMINAL, written.run, f"is written to after it was {stands}", record)
    for status in facts.statuses(written):
        yield look(
            status.previous == stands, written.run, f"tells of a move from {status.previous} in {stands}", record
        )
        legal = status.state in TRANSITIONS[stands].values()
        yield look(legal, written.run, f"goes from {stands} to {status.state}, which the table does not know", record)
        stands = status.state
    yield look(stands is state, written.run, f"is {state} where its events left it in {stands}", record)


def _is_as_last_written(facts: Facts, run: str, last: Written) -> Iterator[Violation | None]:
    if end := facts.end.runs.get(run):
        yield look(end.ver == last.record.ver, run, f"ends with ver {end.ver}, not {last.record.ver}", last)
        yield look(end.document == last.after, run, "ends with another document than was committed last", last)


def one_end(facts: Facts) -> Iterator[Violation | None]:
    """I4: a finished run has exactly one terminal event, its last, and said why before; a live one has none."""
    streams: dict[str, list[Event]] = {}
    for (run, _), event in sorted(facts.events.items()):
        streams.setdefault(run, []).append(event)
    for run, end in facts.end.runs.items():
        events = streams.get(run, [])
        finals = [event.seq for event in events if event.final]
        if not ended(end.document):
            yield look(not finals, run, f"is {end.document.state}, but event {finals} says that it ended", "end.json")
            continue
        yield look(len(finals) == 1, run, f"has {len(finals)} terminal events: {finals}", f"events seq={finals}")
        last = events[-1] if events else None
        tells = bool(last and isinstance(last.payload, Status) and last.payload.state is end.document.state)
        yield look(tells, run, f"is {end.document.state}, but its last event says otherwise", f"events {run}")
        yield from _said_how_it_ended(run, end.document.state, events)


def _said_how_it_ended(run: str, state: State, events: list[Event]) -> Iterator[Violation | None]:
    reasons: dict[State, type[Payload]] = {State.COMPLETED: Result, State.FAILED: Failure}
    wanted = reasons.get(state)
    if wanted:
        told = any(isinstance(event.payload, wanted) for event in events[:-1])
        yield look(told, run, f"is {state} without a {wanted.type} event before", f"events {run}")


def reads_are_committed(facts: Facts) -> Iterator[Violation | None]:
    """I21: what a client sees was committed, before it saw it, and never goes back."""
    writes = {(written.run, written.record.ver): written for written in facts.writes}
    seen: dict[tuple[str, str], int] = {}
    for number, read in enumerate(facts.history.reads, 1):
        line = f"reads line {number}"
        last = seen.get((read.reader, read.run), 0)
        yield look(read.ver >= last, read.run, f"{read.reader} saw ver {read.ver} after ver {last}", line)
        seen[read.reader, read.run] = max(last, read.ver)
        written = writes.get((read.run, read.ver))
        if written is None:
            yield look(False, read.run, f"{read.reader} saw ver {read.ver}, which nobody committed", line)
            continue
        same = written.after.state is read.state
        yield look(same, read.run, f"ver {read.ver}, {written.after.state}, was seen as {read.state}", line, written)
        before = written.record.at / 1000 <= read.at + facts.terms.clock_slack
        yield look(before, read.run, f"ver {read.ver} was seen before it was committed", line, written)
