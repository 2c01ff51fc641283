"""Why a run does not move, in one sentence, and when somebody looks at it next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from prolight.lifecycle import STAGES
from prolight.ports import Pause, Process, Snapshot
from prolight.schemas import Stage, State
from prolight.spoken import duration

OVERDUE_SECONDS = 10.0
"""What should have been looked at so long ago is looked at by nobody."""
START_ONE = "start one (`prolight worker`)"


class Reason(StrEnum):
    ENDED = "ended"
    UNATTENDED = "unattended"
    PAUSED = "paused"
    NO_WORKER = "no_worker"
    QUEUED = "queued"
    RUNNING = "running"
    WORKER_GONE = "worker_gone"
    BACKING_OFF = "backing_off"
    AWAITS_APPROVAL = "awaits_approval"
    NEEDS_REVIEW = "needs_review"
    CANCELLING = "cancelling"


@dataclass(frozen=True, slots=True)
class Around:
    """What the store knows besides the run: living worker processes, waiting runs, the run's last warning or block."""

    now: float
    processes: Sequence[Process] = ()
    backlog: Mapping[Stage, int] = field(default_factory=dict)
    said: str = ""
    paused: Mapping[Stage, Pause] = field(default_factory=dict)

    @property
    def living(self) -> list[Process]:
        return [process for process in self.processes if process.alive]

    def serving(self, stage: Stage) -> list[Process]:
        return [process for process in self.living if stage in process.stages]


@dataclass(frozen=True, slots=True)
class Why:
    """`next_look_at` is in seconds of the store's clock; None: nobody will look."""

    reason: Reason
    sentence: str
    next_look_at: float | None = None


def why(snapshot: Snapshot, around: Around) -> Why:
    """The one reason that a person would want to hear first."""
    reason = _reason(snapshot, around)
    attended = reason not in (Reason.ENDED, Reason.UNATTENDED, Reason.PAUSED, Reason.NO_WORKER)
    return Why(reason, _SENTENCES[reason](snapshot, around), snapshot.due_at if attended else None)


def _reason(snapshot: Snapshot, around: Around) -> Reason:
    run = snapshot.run
    if run.finished_at is not None:
        return Reason.ENDED
    overdue = snapshot.due_at is not None and around.now - snapshot.due_at > OVERDUE_SECONDS
    if overdue and not around.living:
        return Reason.UNATTENDED
    if run.state is State.AWAITING_APPROVAL:
        return Reason.AWAITS_APPROVAL
    if run.state is State.NEEDS_REVIEW:
        return Reason.NEEDS_REVIEW
    if run.state is State.CANCELLING:
        return Reason.CANCELLING
    if snapshot.claim_id:
        held_by_the_living = any(process.id == snapshot.owner for process in around.living)
        return Reason.RUNNING if held_by_the_living else Reason.WORKER_GONE
    if STAGES[run.state] in around.paused:
        return Reason.PAUSED
    if not around.serving(STAGES[run.state]):
        return Reason.NO_WORKER
    return Reason.QUEUED if snapshot.ready else Reason.BACKING_OFF


def _ended(snapshot: Snapshot, around: Around) -> str:
    run = snapshot.run
    ago = duration(around.now - (run.finished_at or around.now))
    because = f" ({run.error.code}: {run.error.message})" if run.error else ""
    return f"It ended {ago} ago, {run.state}{because}; nothing follows."


def _unattended(snapshot: Snapshot, around: Around) -> str:
    late = duration(around.now - (snapshot.due_at or around.now))
    return f"Somebody should have looked at it {late} ago, but no worker process is alive: {START_ONE}."


def _paused(snapshot: Snapshot, around: Around) -> str:
    stage = STAGES[snapshot.run.state]
    pause = around.paused[stage]
    because = f" ({pause.reason})" if pause.reason else ""
    ago = duration(max(0.0, around.now - pause.at))
    return f"{pause.by} paused the stage {stage} {ago} ago{because}: `prolight workers resume {stage}` lets it go on."


def _no_worker(snapshot: Snapshot, around: Around) -> str:
    stage = STAGES[snapshot.run.state]
    return f"No living worker serves the stage {stage}: start one (`prolight worker -Q {stage}`)."


def _queued(snapshot: Snapshot, around: Around) -> str:
    stage = STAGES[snapshot.run.state]
    serving = around.serving(stage)
    waiting = around.backlog.get(stage, 0)
    slots = sum(process.slots for process in serving)
    return (
        f"It waits for a free slot: {_count(waiting, 'run')} ready for {stage},"
        f" {_count(len(serving), 'worker')} with {_count(slots, 'slot')} in all;"
        f" it is looked at again {_in(snapshot.due_at, around.now)} at the latest."
    )


def _running(snapshot: Snapshot, around: Around) -> str:
    stop = f", and has to be done {_in(snapshot.hard_stop, around.now)}" if snapshot.hard_stop else ""
    return (
        f"Worker {snapshot.owner} works on it ({STAGES[snapshot.run.state]}, attempt {snapshot.attempt}){stop};"
        f" should it fall silent, another one takes over {_in(snapshot.due_at, around.now)}."
    )


def _worker_gone(snapshot: Snapshot, around: Around) -> str:
    gone = f"Its worker {snapshot.owner} is gone"
    if not around.living:
        return f"{gone}, and no other one is alive to take over: {START_ONE}."
    return f"{gone}; another one takes over {_in(snapshot.due_at, around.now)} at the latest."


def _backing_off(snapshot: Snapshot, around: Around) -> str:
    after = f" after {around.said}" if around.said else ""
    return f"It pauses{after}; the next attempt of {STAGES[snapshot.run.state]} is {_in(snapshot.due_at, around.now)}."


def _awaits_approval(snapshot: Snapshot, around: Around) -> str:
    run = snapshot.run
    assert run.approval
    return (
        f"It waits for a person to approve its {run.approval.subject} ({'; '.join(run.approval.reasons)}):"
        f" `prolight approve {run.run_id}`; without an answer it is REJECTED {_in(run.approval.until, around.now)}."
    )


def _needs_review(snapshot: Snapshot, around: Around) -> str:
    because = f" ({around.said})" if around.said else ""
    until = _in(snapshot.due_at, around.now)
    return f"It waits for a person to review a call{because}; without an answer it is FAILED {until}."


def _cancelling(snapshot: Snapshot, around: Around) -> str:
    holder = f"worker {snapshot.owner} lets go of it" if snapshot.claim_id else "nobody holds it, so it ends"
    return f"It is being cancelled: {holder}, {_in(snapshot.due_at, around.now)} at the latest."


_SENTENCES = {
    Reason.ENDED: _ended,
    Reason.UNATTENDED: _unattended,
    Reason.PAUSED: _paused,
    Reason.NO_WORKER: _no_worker,
    Reason.QUEUED: _queued,
    Reason.RUNNING: _running,
    Reason.WORKER_GONE: _worker_gone,
    Reason.BACKING_OFF: _backing_off,
    Reason.AWAITS_APPROVAL: _awaits_approval,
    Reason.NEEDS_REVIEW: _needs_review,
    Reason.CANCELLING: _cancelling,
}


def _in(moment: float | None, now: float) -> str:
    return "now" if moment is None or moment <= now else f"in {duration(moment - now)}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
