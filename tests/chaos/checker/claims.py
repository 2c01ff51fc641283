"""I10 fencing, I11 no call under an ended claim, I15 nothing after cancel or deadline, I16 poison, I17 tries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prolight.lifecycle import STAGES
from prolight.schemas import State
from tests.chaos.checker.facts import Facts, Start, Violation, Written, look
from tests.chaos.histories import Claim, ClaimEnded, Commit, Create, TakenBack


def epochs_grow_and_fence(facts: Facts) -> Iterator[Violation | None]:
    """I10: each claim has the next epoch and is alone; a holder's write names the claim that is live just then."""
    for run, thread in facts.threads.items():
        held: Claim | None = None
        epoch, ver, known = 0, 0, set[str]()
        for record in thread:
            if isinstance(record, Create | Commit):
                ver = record.ver
            match record:
                case Claim():
                    grows = record.epoch == epoch + 1
                    yield look(grows, run, f"epoch {record.epoch} is granted after {epoch}", record)
                    says = f"is claimed while {held.claim if held else ''} holds it"
                    yield look(held is None, run, says, record, held or "")
                    fresh = record.claim not in known
                    yield look(fresh, run, f"claim {record.claim} is granted twice", record)
                    yield look(record.ver == ver, run, f"ver {record.ver} is claimed, it is at {ver}", record)
                    held, epoch = record, record.epoch
                    known.add(record.claim)
                case Commit():
                    yield from _is_fenced(run, record, held, epoch)
                    held = held if record.place == "held" else None
                case ClaimEnded():
                    yield from _ends(run, record, held)
                    held = None
                case _:
                    pass
        if end := facts.end.runs.get(run):
            yield look(end.epoch == epoch, run, f"ends with epoch {end.epoch}, the last claim had {epoch}", "end.json")


def _is_fenced(run: str, record: Commit, held: Claim | None, epoch: int) -> Iterator[Violation | None]:
    live = held.claim if held else ""
    met = record.claim == live
    yield look(met, run, f"a commit met claim {record.claim!r}, live was {live!r}", record, held or "")
    yield look(record.epoch == epoch, run, f"a commit carries epoch {record.epoch}, now is {epoch}", record)
    if record.by == "holder":
        own = bool(live) and record.under == live
        says = f"a stale write was accepted: under {record.under!r}, live was {live!r}"
        yield look(own, run, says, record, held or "")


def _ends(run: str, record: ClaimEnded, held: Claim | None) -> Iterator[Violation | None]:
    live = held.claim if held else ""
    yield look(record.claim == live, run, f"claim {record.claim} ends, live was {live!r}", record, held or "")


def calls_leave_under_a_live_claim(facts: Facts) -> Iterator[Violation | None]:
    """I11: a `started` is written by the holder of the claim that is live just then."""
    for start in facts.starts:
        record, held = start.written.record, start.written.held
        assert isinstance(record, Commit)
        says = f"{start.entry.name} started under {record.under!r}, live was {held.claim if held else ''!r}"
        own = held is not None and record.by == "holder" and record.under == held.claim
        yield look(own, start.run, says, record, held or "")


def nothing_starts_too_late(facts: Facts) -> Iterator[Violation | None]:
    """I15: no call starts after cancel, a run's end, its deadline or its stage's; no approval counts after its own."""
    for start in facts.starts:
        yield from _starts_in_time(start)
    for written in facts.writes:
        approval = written.before.approval if written.before else None
        asked = written.before is not None and written.before.state is State.AWAITING_APPROVAL
        if asked and approval and written.after.state in (State.EXECUTING, State.CRITIQUING):
            at = written.record.at / 1000
            says = f"was approved at {at}, its deadline was {approval.until}"
            yield look(at < approval.until, written.run, says, written)


def _starts_in_time(start: Start) -> Iterator[Violation | None]:
    written, name = start.written, start.entry.name
    for document in (written.before, written.after):
        state = document.state if document else None
        yield look(state in STAGES, start.run, f"{name} started while the run was {state}", written)
    until = written.after.works_until
    yield look(
        until is None or start.at < until, start.run, f"{name} started after the run's deadline {until}", written
    )
    stop = written.held.hard_stop if written.held else 0
    late = bool(stop) and written.record.at >= stop
    yield look(not late, start.run, f"{name} started after the hard stop {stop} of its claim", written, written.held)


def poison_stops(facts: Facts) -> Iterator[Violation | None]:
    """I16: after so many crashes nobody claims the run again; and a run that did not crash so often is no poison.

    A crash that its owner took back counts no more, and none does once a call is done.
    """
    most = facts.terms.crashes_to_poison
    for run, thread in facts.threads.items():
        crashes: list[str] = []
        writes = iter(facts.written.get(run, ()))
        for record in thread:
            match record:
                case ClaimEnded() if record.why != "retire":
                    crashes.append(record.claim)
                case TakenBack():
                    counted = record.claim in crashes
                    yield look(counted, run, f"takes back a crash of {record.claim}, which does not count", record)
                    crashes = [claim for claim in crashes if claim != record.claim]
                case Claim():
                    yield look(len(crashes) < most, run, f"is claimed again after {len(crashes)} crashes", record)
                case Create() | Commit():
                    written = next(writes)
                    yield from _is_no_neighbour(written, len(crashes), most)
                    crashes = [] if _progress(written) or _new_stage(written) else crashes
                    if isinstance(record, Commit) and record.crashed:
                        crashes = [*crashes, ""]
                case _:
                    pass
    yield from _only_the_deadly_fails(facts)


def _only_the_deadly_fails(facts: Facts) -> Iterator[Violation | None]:
    """Where one run was made to kill whatever works on it, it is poison, and all the others complete."""
    for fault in facts.history.faults:
        deadly = fault.planned.get("deadly")
        for run, end in facts.end.runs.items() if deadly and fault.landed else ():
            document, code = end.document, end.document.error.code if end.document.error else ""
            if run == deadly:
                yield look(code == "poison", run, f"kills its workers, and is {document.state} {code}", "end.json")
            else:
                good = document.state is State.COMPLETED
                yield look(good, run, f"is {document.state} {code} beside {deadly}, which is deadly", "end.json")


def _is_no_neighbour(written: Written, crashes: int, most: int) -> Iterator[Violation | None]:
    error = written.after.error
    if error and error.code == "poison":
        says = f"is called poison after {crashes} crashes of {most}"
        yield look(crashes >= most, written.run, says, written)


def _progress(written: Written) -> bool:
    return any(entry.status == "done" for entry in written.entries.values())


def _new_stage(written: Written) -> bool:
    stage = STAGES.get(written.after.state)
    return stage is not None and (written.before is None or written.before.state is not written.after.state)


def tries_are_bounded(facts: Facts) -> Iterator[Violation | None]:
    """I17: tries are counted one by one, none above the limit, and no more requests arrive than were counted.

    A person's resend is one more, and so is a try that a claim left open. A try that was never sent is given back.
    """
    most = facts.terms.max_tries
    left_open: Counter[str] = Counter()
    for start in facts.starts:
        tries, before = start.entry.tries, start.before.tries if start.before else 0
        given_back = start.same_claim and start.before is not None and start.before.status == "started"
        counted = tries == before + 1 or (given_back and tries == before)
        yield look(counted, start.run, f"{start.entry.name}: try {tries} follows try {before}", start)
        left_open[start.key] += start.before is not None and start.before.status == "started" and not start.same_claim
        allowed = most + facts.resends(start.run, after=0, before=start.at) + left_open[start.key]
        yield look(tries <= allowed, start.run, f"{start.entry.name}: try {tries} of {allowed}", start)
    for key, sends in facts.sends.items():
        run = facts.run_of.get(key, "")
        allowed = most + facts.resends(run, after=0, before=sends[-1].at) + left_open[key]
        says = f"{sends[0].tool} was asked {len(sends)} times, at most {allowed}"
        yield look(len(sends) <= allowed, run, says, *sends)
