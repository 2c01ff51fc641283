"""Writes histories as a faultless system would leave them. The store, its clock and both stubs, as far as they record.

A `Tape` is the trial; a `Life` is one run on it. What a run comes to is decided by `lifecycle`, so the documents and
events are the product's own; the order of things, the claims, the receipts and the books are kept here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from prolight import lifecycle
from prolight.decisions import Deadlines, Decision, Ended, Held, Parked, Queued
from prolight.events import Note, Payload, stamp
from prolight.ledger import Entry
from prolight.lifecycle import STAGES
from prolight.schemas import RunContext, RunRequest
from tests.chaos import histories as lines

NOW = 1_790_000_000_000
DEADLINES = Deadlines(
    run=timedelta(seconds=600), stage=timedelta(seconds=60), step=timedelta(seconds=60), approval=timedelta(hours=1)
)
PRICE = Decimal("0.04")
TOOLS = {
    "world.inspect_image": lines.ToolTerms(effect="pure"),
    "world.measure": lines.ToolTerms(effect="pure"),
    "world.relight": lines.ToolTerms(effect="billed", price_usd=PRICE),
    "world.mask": lines.ToolTerms(effect="keyed", price_usd=PRICE),
    "world.upscale": lines.ToolTerms(effect="probeable", price_usd=PRICE),
    "world.publish": lines.ToolTerms(effect="blind", price_usd=PRICE),
}
TERMS = lines.Terms(
    lease=2,
    sweep=0.5,
    review_deadline=DEADLINES.review.total_seconds(),
    max_tries=4,
    crashes_to_poison=3,
    policy=lines.PolicyTerms(banned_tools=frozenset({"world.delete"}), approve_above_usd=Decimal("0.5")),
    tools=TOOLS,
)
CANARIES = ("sk-canary-5f1d0c7b+/tool~key", 'redis://:pl-"canary"-9a31@store')


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def pin_of(tool: str) -> str:
    return sha(f"definition of {tool}")


class Tape:
    """One trial under way."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.at = NOW
        self.lives: dict[str, Life] = {}
        self.audit: list[lines.Audit] = []
        self.events: list[lines.Streamed] = []
        self.client: list[lines.Submit] = []
        self.world: list[lines.Receipt] = []
        self.llm: list[lines.Reply] = []
        self.reads: list[lines.Read] = []
        self.processes: list[lines.Process] = []
        self.faults: list[lines.Fault] = []
        self.calls = 0
        self.pictures: set[str] = set()

    @property
    def now(self) -> float:
        """The store's clock, in seconds."""
        return self.at / 1000

    def pass_time(self, least: int = 3, most: int = 40) -> int:
        self.at += self.random.randint(least, most)
        return self.at

    def process(self, name: str, what: Any) -> None:
        self.processes.append(lines.Process(at=self.now, pid=100 + len(name), process=name, what=what))
        if what == "killed":
            self.faults.append(lines.Fault(name=f"kill {name}", landed=True, at=self.now))

    def submit(self, body: str, answer: Any, *, run: str | None, key: str | None = None, code: str = "") -> None:
        """A caller hears something, or nothing. The picture of what was accepted stays."""
        picture = sha(f"picture {body}")
        sent = self.now
        self.pass_time()
        if answer != "refused":
            self.pictures.add(picture)
        self.client.append(
            lines.Submit(
                n=len(self.client) + 1,
                sent=sent,
                got=None if answer == "unknown" else self.now,
                key=key,
                body=sha(body),
                answer=answer,
                run=run,
                code=code,
                picture=picture,
            )
        )

    def accept(self, run: str, *, key: str | None = None, ask: bool = False, heard: bool = True) -> Life:
        body = f"{run} {ask}"
        request = RunRequest(picture_id=sha(f"picture {body}"), brief=f"soft light for {run}", ask=ask)
        self.pass_time()
        decision = lifecycle.submitted(request, run, budget_usd=Decimal("0.3"), now=self.now, deadlines=DEADLINES)
        life = self.lives[run] = Life(self, decision.run)
        self.audit.append(
            lines.Create(
                **life.stored(),
                document=decision.run,
                events=life.tell(decision.events),
                idem=sha(key) if key else "",
                fingerprint=sha(body),
            )
        )
        self.submit(body, "accepted" if heard else "unknown", run=run if heard else None, key=key)
        return life

    def history(self) -> lines.History:
        self.pass_time(400, 900)
        return lines.History(
            audit=tuple(self.audit),
            events=tuple(sorted(self.events, key=lambda line: line.run)),
            client=tuple(self.client),
            world=tuple(self.world),
            llm=tuple(self.llm),
            readers=tuple(self._heard()),
            reads=tuple(self.reads),
            processes=tuple(self.processes),
            faults=tuple(self.faults),
            end=self._end(),
        )

    def _heard(self) -> Iterable[lines.Heard]:
        """A follower per run that reconnects once, and one subscriber of the channel of all runs."""
        for line in self.events:
            yield lines.Heard(reader="channel", run=line.run, after=0, seq=line.seq, sha256=line.sha256)
        for run, life in self.lives.items():
            stream = [line for line in self.events if line.run == run]
            broke = self.random.randint(1, len(stream) - 1)
            for line in stream:
                after = 0 if line.seq <= broke else broke
                yield lines.Heard(reader=f"follower of {run}", run=run, after=after, seq=line.seq, sha256=line.sha256)
            if life.over:
                yield lines.Heard(reader=f"follower of {run}", run=run, after=broke, seq=None)

    def _end(self) -> lines.End:
        live = {run: life for run, life in self.lives.items() if not life.over}
        keys = [f"prolight:{kind}:{run}" for run in self.lives for kind in ("run", "journal", "events")]
        return lines.End(
            quiet=True,
            now=self.at,
            settings=TERMS,
            runs={run: life.end() for run, life in self.lives.items()},
            due={f"run:{run}": self.at + 60_000 for run in live},
            ready={stage.value: () for stage in STAGES.values()},
            keys=(*keys, "prolight:runs", "prolight:ended", "prolight:due", "prolight:clock", "_kombu.binding.plan"),
            sinks=(
                lines.Sink(name="worker.log", text="started\nworked on run happy\n"),
                lines.Sink(name="flower", text="<html>prolight.plan SUCCESS</html>"),
            ),
            canaries=CANARIES,
            artifacts=tuple(sorted(self.pictures)),
        )


class Life:
    """One run: the record as it stands, and what can happen to it."""

    def __init__(self, tape: Tape, run: RunContext) -> None:
        self.tape = tape
        self.run = run
        self.id = run.run_id
        self.ver, self.epoch, self.seq, self.ops = 1, 0, 0, 0
        self.claimed = ""
        self.hard_stop = 0
        self.journal: dict[str, Entry] = {}

    @property
    def over(self) -> bool:
        return self.run.state in lifecycle.TERMINAL

    def stored(self) -> dict[str, Any]:
        return {"lsn": len(self.tape.audit) + 1, "at": self.tape.at, "run": self.id}

    def tell(self, payloads: Iterable[Payload]) -> tuple[int, ...]:
        told = []
        for payload in payloads:
            self.seq += 1
            text = stamp(payload.body(), run_id=self.id, seq=self.seq, epoch=self.epoch, at=self.tape.now)
            self.tape.events.append(lines.Streamed(run=self.id, seq=self.seq, event=text, sha256=sha(text)))
            told.append(self.seq)
        return tuple(told)

    def note(self, message: str) -> None:
        self.tape.pass_time()
        (seq,) = self.tell([Note(message=message)])
        self.tape.audit.append(lines.Told(**self.stored(), seq=seq))

    def claim(self, process: str = "worker-1") -> None:
        self.tape.pass_time()
        self.epoch += 1
        self.claimed = sha(f"{self.id} {self.epoch} {self.tape.random.random()}")[:32]
        self.hard_stop = self.tape.at + 60_000
        self.tape.audit.append(
            lines.Claim(
                **self.stored(),
                ver=self.ver,
                epoch=self.epoch,
                claim=self.claimed,
                process=process,
                stage=STAGES[self.run.state],
                hard_stop=self.hard_stop,
            )
        )

    def ends(self, why: Any) -> None:
        """The sweep takes the claim away."""
        self.tape.pass_time()
        ended = lines.ClaimEnded(**self.stored(), epoch=self.epoch, claim=self.claimed, why=why)
        self.tape.audit.append(ended)
        self.claimed = ""

    def takes_back(self, claim: str) -> None:
        """Its owner lives, and hears that it was taken."""
        self.tape.pass_time()
        self.tape.audit.append(lines.TakenBack(**self.stored(), claim=claim))

    def refused(self, how: Any, under: str) -> None:
        self.tape.pass_time()
        self.ops += 1
        by = "holder" if under else "client"
        line = lines.Refused(**self.stored(), how=how, by=by, under=under, op=f"{under}.{self.ops}")
        self.tape.audit.append(line)

    def write(self, decision: Decision, journal: Mapping[str, Entry] | None = None, *, by: Any = "holder") -> None:
        """A commit that is accepted."""
        place = decision.placement
        self.ver += 1
        self.ops += 1
        self.run = decision.run
        self.journal |= journal or {}
        self.tape.audit.append(
            lines.Commit(
                **self.stored(),
                ver=self.ver,
                epoch=self.epoch,
                claim=self.claimed,
                under=self.claimed if by == "holder" else "",
                by=by,
                op=f"{self.id}.{self.ops}",
                place=_PLACES[type(place)],
                back_off=int(place.after.total_seconds() * 1000) if isinstance(place, Queued) else 0,
                crashed=isinstance(place, Queued) and place.crashed,
                document=self.run,
                journal=dict(journal or {}),
                events=self.tell(decision.events),
            )
        )
        if not isinstance(place, Held):
            self.claimed = ""
        if self.tape.random.random() < 0.4:
            self.seen()

    def change(self, run: RunContext, *events: Payload, journal: Mapping[str, Entry] | None = None) -> None:
        """A commit of the holder that keeps the claim."""
        self.write(Decision(run.evolve(updated_at=self.tape.now), events, Held()), journal)

    def seen(self) -> None:
        reader = f"client {self.tape.random.randint(1, 3)}"
        at = self.tape.now + 0.001
        self.tape.reads.append(lines.Read(reader=reader, at=at, run=self.id, ver=self.ver, state=self.run.state))

    def in_doubt(self) -> dict[str, Entry]:
        """What a commit that ends the run settles as unknown; `lifecycle` spends it."""
        opened = {key: entry for key, entry in self.journal.items() if entry.status == "started"}
        return {key: entry.evolve(status="unknown", finished_at=self.tape.now) for key, entry in opened.items()}

    def end(self) -> lines.RunEnd:
        return lines.RunEnd(document=self.run, ver=self.ver, epoch=self.epoch, seq=self.seq, journal=dict(self.journal))


_PLACES: dict[type, Any] = {Held: "held", Queued: "queued", Parked: "parked", Ended: "ended"}
