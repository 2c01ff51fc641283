"""One run as `memory_store.py` keeps it, and what claims, decisions and sweeps make of it.

Times are whole milliseconds of the store's clock, as in the scripts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from prolight.adapters.record import deadline_of, milliseconds
from prolight.decisions import Ended, Held, Parked, Queued
from prolight.events import Payload, stamp
from prolight.lifecycle import STAGES
from prolight.ports import Snapshot, Write
from prolight.schemas import RunContext, Stage, State

CLAIMS_KEPT = 4
"""So many claims of a run can still ask for the answer to their last write."""
EPOCHS_LEFT_OUT = 1_000_000
LOOK_AGAIN_MS = 60_000
DECIDE_WITHIN_MS = 2_000


@dataclass(slots=True)
class Record:
    """Fields as in the run's hash on a server; 0 or None: not set."""

    run_id: str
    fingerprint: str
    document: str
    state: State
    stage_ms: int
    deadline: int
    created: int
    ver: int = 1
    epoch: int = 0
    claim_id: str = ""
    owner: str = ""
    attempt: int = 0
    crashes: int = 0
    crashed: list[str] = field(default_factory=list)
    """Ids of the claims that count as crashes."""
    hard_stop: int = 0
    child: str = ""
    stage_deadline: int = 0
    ready: bool = False
    due: int | None = None
    expires: int | None = None
    told: int = 0
    """So many events were told before this store had the run."""
    events: list[str] = field(default_factory=list)
    journal: dict[str, str] = field(default_factory=dict)
    answers: dict[int | str, tuple[str, Snapshot]] = field(default_factory=dict)

    @property
    def stage(self) -> Stage | None:
        return STAGES.get(self.state)

    @property
    def age(self) -> tuple[int, str]:
        return self.created, self.run_id

    def expired(self, now: int) -> bool:
        return self.expires is not None and self.expires <= now

    def stopped(self, now: int) -> bool:
        """A deadline has passed."""
        return any(0 < moment <= now for moment in (self.deadline, self.stage_deadline))

    def make_ready(self, now: int) -> None:
        """Claimable now, and looked at again before long."""
        self.ready = True
        self.due = _nearest(now + LOOK_AGAIN_MS, self.deadline, self.stage_deadline)

    def decide_later(self, now: int) -> None:
        """A decision that was asked for and not made is asked for again."""
        self.due = now + DECIDE_WITHIN_MS

    def take(self, claim_id: str, process: str, now: int, lease: int) -> bool:
        """Whether the claim was given; a stage whose time has run out is left to the sweep."""
        self.ready = False
        stage_deadline = self.stage_deadline or now + self.stage_ms
        hard_stop = _nearest(self.deadline, stage_deadline)
        if hard_stop <= now:
            self.due = now
            return False
        self.epoch += 1
        self.attempt += 1
        self.claim_id, self.owner = claim_id, process
        self.stage_deadline, self.hard_stop = stage_deadline, hard_stop
        self.prolong(now, lease)
        return True

    def prolong(self, now: int, lease: int) -> None:
        self.due = min(now + lease, self.hard_stop)

    def end_claim(self) -> None:
        self.claim_id = self.owner = ""
        self.hard_stop = 0

    def crash(self) -> None:
        """The claim ends without a word."""
        self.crashes += 1
        self.crashed.append(self.claim_id)

    def take_crash_back(self, claim_id: str) -> None:
        """A living process learns that its claim was taken: that was no crash. Once for each claim."""
        if claim_id in self.crashed:
            self.crashed.remove(claim_id)
            self.crashes -= 1

    def forget_crashes(self) -> None:
        self.crashes = 0
        self.crashed = []

    def write(self, write: Write, document: str, now: int) -> None:
        """Carry out a decision that was found to be up to date."""
        run = write.decision.run
        self.document, self.state, self.deadline = document, run.state, deadline_of(run)
        self.ver += 1
        self.epoch += EPOCHS_LEFT_OUT * write.restores
        self.journal |= write.journal
        if write.progress:
            self.forget_crashes()
        if not isinstance(write.decision.placement, Held):
            self.end_claim()
            self.ready = False
        self._place(write, now)

    def remember(self, write: Write, answer: Snapshot) -> Snapshot:
        """The answer, kept for whoever asks again: the last one of each claim, and each one of a client."""
        self.answers[self.epoch % CLAIMS_KEPT if write.holder else write.op_id] = write.op_id, answer
        return answer

    def answered(self, op_id: str) -> Snapshot | None:
        return dict(self.answers.values()).get(op_id)

    def _place(self, write: Write, now: int) -> None:
        match write.decision.placement:
            case Queued(after=after, budget=budget, crashed=crashed):
                if budget is not None:
                    self.stage_ms, self.stage_deadline, self.attempt = milliseconds(budget), 0, 0
                    self.forget_crashes()
                self.crashes += crashed
                self.make_ready(now)
                if after:
                    self.ready = False
                    self.due = _nearest(now + milliseconds(after), self.deadline, self.stage_deadline)
            case Parked(after=after):
                self.due = now + milliseconds(after)
            case Ended(retention=retention):
                self.due, self.expires = None, now + milliseconds(retention)

    @property
    def seq(self) -> int:
        return self.told + len(self.events)

    def events_after(self, seq: int) -> list[str]:
        return self.events[max(0, seq - self.told) :]

    def tell(self, payloads: tuple[Payload, ...], now: int) -> list[str]:
        """The next events; answers them as they are kept."""
        new = [
            stamp(payload.body(), run_id=self.run_id, seq=seq, epoch=self.epoch, at=now / 1000)
            for seq, payload in enumerate(payloads, self.seq + 1)
        ]
        self.events += new
        return new

    def view(self) -> Snapshot:
        return Snapshot(
            run=RunContext.from_json(self.document),
            ver=self.ver,
            epoch=self.epoch,
            claim_id=self.claim_id,
            owner=self.owner,
            attempt=self.attempt,
            crashes=self.crashes,
            seq=self.seq,
            ready=self.ready,
            due_at=None if self.due is None else self.due / 1000,
            hard_stop=self.hard_stop / 1000 or None,
            child=self.child,
        )


def _nearest(*moments: int) -> int:
    return min(moment for moment in moments if moment)
