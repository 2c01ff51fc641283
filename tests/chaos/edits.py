"""A good history in the hands of somebody who breaks it: lines are found, changed, dropped, put in and moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from random import Random
from typing import Any

from prolight.events import Payload, stamp
from prolight.ledger import Entry
from prolight.schemas import RunContext
from tests.chaos.histories import Claim, ClaimEnded, Commit, Create, End, History, RunEnd, Streamed
from tests.chaos.tape import sha

Test = Callable[[Any], bool]
FILES = ("audit", "events", "client", "world", "llm", "readers", "reads", "processes", "faults")


def _any(_: Any) -> bool:
    return True


class Edited:
    """Each file is a list that may be changed at will; `history()` is what has become of it."""

    def __init__(self, history: History, random: Random | None = None) -> None:
        self.lines: dict[str, list[Any]] = {name: list(getattr(history, name)) for name in FILES}
        self.end: End = history.end
        self.random = random or Random(0)

    def history(self) -> History:
        return History(**{name: tuple(found) for name, found in self.lines.items()}, end=self.end)

    def where(self, file: str, test: Test = _any, /, **fields: Any) -> list[int]:
        """The places of the lines that have these fields and pass the test."""
        return [
            place
            for place, line in enumerate(self.lines[file])
            if all(getattr(line, name, None) == value for name, value in fields.items()) and test(line)
        ]

    def some(self, file: str, test: Test = _any, /, **fields: Any) -> int:
        """The place of one such line, by chance."""
        return self.random.choice(self.where(file, test, **fields))

    def at(self, file: str, place: int) -> Any:
        return self.lines[file][place]

    def change(self, file: str, place: int, /, **fields: Any) -> None:
        line = self.lines[file][place]
        self.lines[file][place] = line.evolve(**fields)

    def change_all(self, file: str, test: Test, /, **fields: Any) -> None:
        for place in self.where(file, test):
            self.change(file, place, **fields)

    def drop(self, file: str, test: Test = _any, /, **fields: Any) -> None:
        gone = set(self.where(file, test, **fields))
        assert gone, "nothing was dropped"
        self.lines[file] = [line for place, line in enumerate(self.lines[file]) if place not in gone]

    def put(self, file: str, place: int, line: Any) -> None:
        self.lines[file].insert(place, line)

    def copy(self, file: str, place: int, /, **fields: Any) -> None:
        """The line again, changed, right after itself."""
        self.put(file, place + 1, self.lines[file][place].evolve(**fields))

    def move(self, file: str, place: int, to: int) -> None:
        self.put(file, to, self.lines[file].pop(place))

    def document(self, place: int, /, **fields: Any) -> None:
        """Change what a create or commit wrote."""
        self.change("audit", place, document=self.lines["audit"][place].document.evolve(**fields))

    def documents(self, run: str, change: Callable[[RunContext], RunContext]) -> None:
        """Change what all writes of a run wrote, and what the store holds of it."""
        for place in self.where("audit", writes, run=run):
            self.change("audit", place, document=change(self.lines["audit"][place].document))
        self.run(run, document=change(self.end.runs[run].document))

    def entry(self, place: int, key: str, /, **fields: Any) -> None:
        """Change one journal entry that a commit wrote."""
        journal = self.lines["audit"][place].journal
        self.change("audit", place, journal={**journal, key: journal[key].evolve(**fields)})

    def run(self, run: str, /, **fields: Any) -> None:
        """Change how the store holds a run at the end."""
        self.end = self.end.evolve(runs={**self.end.runs, run: self.end.runs[run].evolve(**fields)})

    def ends(self, **fields: Any) -> None:
        self.end = self.end.evolve(**fields)

    def event(self, run: str, seq: int, payload: Payload) -> None:
        """Another event in this place of the stream, or a further one."""
        places = self.where("events", run=run, seq=seq)
        epoch = self.end.runs[run].epoch
        text = stamp(payload.body(), run_id=run, seq=seq, epoch=epoch, at=self.end.now / 1000)
        line = Streamed(run=run, seq=seq, event=text, sha256=sha(text))
        if places:
            self.lines["events"][places[0]] = line
        else:
            self.put("events", self.where("events", run=run)[-1] + 1, line)

    def stream(self, run: str) -> list[Streamed]:
        return [line for line in self.lines["events"] if line.run == run]

    def starts(self, test: Test = _any, **fields: Any) -> list[tuple[int, str]]:
        """Where which call starts."""
        return [
            (place, key)
            for place in self.where("audit", kind="commit", **fields)
            for key, entry in self.lines["audit"][place].journal.items()
            if entry.status == "started" and test(entry)
        ]

    def dones(self, test: Test = _any, **fields: Any) -> list[tuple[int, str]]:
        """Where which call is done."""
        return [
            (place, key)
            for place in self.where("audit", kind="commit", **fields)
            for key, entry in self.lines["audit"][place].journal.items()
            if entry.status == "done" and test(entry)
        ]

    def claim_of(self, place: int) -> int:
        """The claim under which this commit was written."""
        return self.where("audit", kind="claim", claim=self.lines["audit"][place].claim)[-1]

    def end_claim(self, claim: Claim, place: int, why: Any = "lease") -> None:
        """The sweep took this claim away, just before the line in this place."""
        line = self.lines["audit"][place]
        ended = ClaimEnded(lsn=line.lsn, at=line.at, run=claim.run, epoch=claim.epoch, claim=claim.claim, why=why)
        self.put("audit", place, ended)

    def seen_events(self, run: str) -> RunEnd:
        """As many events are counted as there are."""
        self.run(run, seq=len(self.stream(run)))
        return self.end.runs[run]


def writes(line: Any) -> bool:
    return isinstance(line, Create | Commit)


def in_state(*states: Any) -> Test:
    return lambda line: writes(line) and line.document.state in states


def is_tool(entry: Entry) -> bool:
    return entry.name.startswith("world.")


def is_step(entry: Entry) -> bool:
    return is_tool(entry) and not entry.name.endswith("inspect_image")


def replaced(history: History, **fields: Any) -> History:
    return dataclasses.replace(history, **fields)
