"""A history, read: who held a run when a write was made, what its journal said before, which call was sent when.

Nothing here judges. Everything is tolerant of histories that make no sense, since those are to be convicted.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from prolight.events import Event, Payload, Status, Warned, parse
from prolight.ledger import Entry
from prolight.lifecycle import TERMINAL
from prolight.schemas import Plan, RunContext, State
from tests.chaos.histories import (
    Audit,
    Claim,
    ClaimEnded,
    Commit,
    Create,
    History,
    Receipt,
    Reply,
)


@dataclass(frozen=True)
class Violation:
    """`says` is what contradicts what; `where` are the lines that a person should look at."""

    run: str
    says: str
    where: tuple[str, ...] = ()
    invariant: str = ""

    def __str__(self) -> str:
        return f"{self.invariant} {self.run or '-'}: {self.says} [{', '.join(self.where)}]"


def look(holds: bool, run: str, says: str, *where: object) -> Violation | None:
    """One fact that was looked at: None when it is as it should be."""
    return None if holds else Violation(run, says, tuple(ref(item) for item in where if item))


def ref(item: object) -> str:
    """Where it stands: file and line, as a person finds it."""
    match item:
        case Written():
            return ref(item.record)
        case Start():
            return ref(item.written)
        case Receipt():
            return f"world n={item.n}"
        case Reply():
            return f"llm n={item.n}"
        case _ if hasattr(item, "lsn"):
            return f"audit lsn={item.lsn}"
        case _:
            return str(item)


@dataclass(frozen=True)
class Written:
    """A create or a commit, with what it met: the document and the journal before it, and the claim that was live."""

    record: Create | Commit
    before: RunContext | None
    journal: Mapping[str, Entry]
    writers: Mapping[str, str]
    """Under which claim each of these entries was written."""
    held: Claim | None

    @property
    def run(self) -> str:
        return self.record.run

    @property
    def after(self) -> RunContext:
        return self.record.document

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self.record.journal if isinstance(self.record, Commit) else {}


@dataclass(frozen=True)
class Start:
    """A try that went on record. `before` is what the journal said of this call until then."""

    written: Written
    key: str
    entry: Entry
    before: Entry | None

    @property
    def run(self) -> str:
        return self.written.run

    @property
    def at(self) -> float:
        return self.written.record.at / 1000

    @property
    def role(self) -> str:
        """Whose question it is; empty for a tool call."""
        roles = {State.PLANNING: "planner", State.CRITIQUING: "critic"}
        return "" if self.key == inspect_key(self.run) else roles.get(self.written.after.state, "")

    @property
    def same_claim(self) -> bool:
        """The try before it was this claim's own, which may have settled it in this very commit."""
        claim = self.written.held.claim if self.written.held else ""
        return bool(claim) and self.written.writers.get(self.key) == claim


class Facts:
    """All that the checks ask of a history, each thing computed once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.end = history.end
        self.terms = history.end.settings

    @cached_property
    def creates(self) -> dict[str, Create]:
        found: dict[str, Create] = {}
        for record in self.history.audit:
            if isinstance(record, Create):
                found.setdefault(record.run, record)
        return found

    @cached_property
    def threads(self) -> dict[str, list[Audit]]:
        """Per run, its records in the store's order."""
        threads: dict[str, list[Audit]] = defaultdict(list)
        for record in self.history.audit:
            threads[record.run].append(record)
        return dict(threads)

    @cached_property
    def writes(self) -> list[Written]:
        return [written for thread in self.threads.values() for written in _writes(thread)]

    @cached_property
    def written(self) -> dict[str, list[Written]]:
        """Per run."""
        found: dict[str, list[Written]] = defaultdict(list)
        for written in self.writes:
            found[written.run].append(written)
        return dict(found)

    @cached_property
    def starts(self) -> list[Start]:
        return [
            Start(written, key, entry, written.journal.get(key))
            for written in self.writes
            for key, entry in written.entries.items()
            if entry.status == "started" and not same_try(entry, written.journal.get(key))
        ]

    @cached_property
    def starts_of(self) -> dict[str, list[Start]]:
        """Per journal key."""
        found: dict[str, list[Start]] = defaultdict(list)
        for start in self.starts:
            found[start.key].append(start)
        return dict(found)

    @cached_property
    def given_back(self) -> set[tuple[str, int]]:
        """Key and lsn of each `started` that turned out to be no try: nothing was sent, says what came next."""
        last: dict[str, tuple[int, Entry | None]] = {}
        found = set[tuple[str, int]]()
        for written in self.writes:
            for key, entry in written.entries.items():
                lsn, before = last.get(key, (0, None))
                if same_try(entry, before):
                    continue
                if before and before.status == "started":
                    less = before.tries - (entry.status == "refused")
                    if entry.status in ("refused", "started") and entry.tries == less:
                        found.add((key, lsn))
                last[key] = written.record.lsn, entry
        return found

    @cached_property
    def sends(self) -> dict[str, list[Receipt]]:
        """Per journal key: the first line of each request that reached the tool server, probes aside."""
        first: dict[int, Receipt] = {}
        for receipt in self.history.world:
            if receipt.what != "probed":
                first.setdefault(receipt.call, receipt)
        found: dict[str, list[Receipt]] = defaultdict(list)
        for receipt in first.values():
            found[receipt.key].append(receipt)
        return dict(found)

    @cached_property
    def receipts(self) -> dict[str, list[Receipt]]:
        """Per journal key."""
        found: dict[str, list[Receipt]] = defaultdict(list)
        for receipt in self.history.world:
            found[receipt.key].append(receipt)
        return dict(found)

    @cached_property
    def run_of(self) -> dict[str, str]:
        """Whose call a journal key is."""
        return {key: written.run for written in self.writes for key in written.entries}

    @cached_property
    def events(self) -> dict[tuple[str, int], Event]:
        """Those that can be read."""
        read = ((line.run, line.seq, event_of(line.event)) for line in self.history.events)
        return {(run, seq): event for run, seq, event in read if event}

    @cached_property
    def last_seq(self) -> dict[str, int]:
        last: dict[str, int] = {}
        for line in self.history.events:
            last[line.run] = max(line.seq, last.get(line.run, 0))
        return last

    def payloads(self, written: Written) -> Iterator[Payload]:
        """What this write told the world."""
        for seq in written.record.events:
            if event := self.events.get((written.run, seq)):
                yield event.payload

    def statuses(self, written: Written) -> list[Status]:
        return [payload for payload in self.payloads(written) if isinstance(payload, Status)]

    def warned(self, written: Written, code: str) -> bool:
        return any(isinstance(payload, Warned) and payload.code == code for payload in self.payloads(written))

    def resends(self, run: str, *, after: float, before: float) -> int:
        """How often a person let a run go on that had been given to them for review."""
        return sum(
            after <= written.record.at / 1000 <= before + self.terms.clock_slack
            for written in self.written.get(run, ())
            if by_person(written) and written.before and written.before.state is State.NEEDS_REVIEW
            if written.after.state is State.EXECUTING
        )


def same_try(entry: Entry, before: Entry | None) -> bool:
    """Nothing happened to it; at most a person let it be sent again."""
    return before is not None and entry.model_copy(update={"cleared": before.cleared}) == before


def by_person(written: Written) -> bool:
    return isinstance(written.record, Commit) and written.record.by == "client"


def ended(run: RunContext) -> bool:
    return run.state in TERMINAL


def _writes(thread: list[Audit]) -> Iterator[Written]:
    document: RunContext | None = None
    journal: Mapping[str, Entry] = {}
    writers: Mapping[str, str] = {}
    held: Claim | None = None
    for record in thread:
        match record:
            case Create() | Commit():
                yield Written(record, document, journal, writers, held)
                document = record.document
                if isinstance(record, Commit) and record.journal:
                    journal = {**journal, **record.journal}
                    writers = {**writers, **dict.fromkeys(record.journal, record.under)}
                if isinstance(record, Commit):
                    held = held if record.place == "held" else None
            case Claim():
                held = record
            case ClaimEnded() if held and held.claim == record.claim:
                held = None
            case _:
                pass


@lru_cache(maxsize=50_000)
def event_of(text: str) -> Event | None:
    try:
        return parse(text)
    except ValueError:
        return None


def canonical_hash(value: Any) -> str:
    """sha256 of JSON with sorted keys and no spaces: written anew here, so that a defect in the product's shows."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def plan_hash(plan: Plan) -> str:
    return _plan_hash(plan.model_dump_json())


@lru_cache(maxsize=10_000)
def _plan_hash(text: str) -> str:
    return canonical_hash(json.loads(text))


@lru_cache(maxsize=50_000)
def call_key(*parts: str | int) -> str:
    return canonical_hash(list(parts))[:40]


def inspect_key(run: str) -> str:
    return call_key(run, "inspect", "$input")


def step_key(run: str, plan: str, step: str) -> str:
    return call_key(run, plan, step, 0)
