"""What one trial leaves behind: a folder of JSON-lines files, one writer each, and their types.

    audit.jsonl      what the store did, written by its own scripts, atomically with it: times are its clock's, in ms
    events.jsonl     every run's whole event stream, as it stands at the end
    client.jsonl     every submit, and what its caller heard
    world.jsonl      receipts of the paid tool server, synced before it applies or answers
    llm.jsonl        receipts of the model's stub
    readers.jsonl    events as they arrived, per reader
    reads.jsonl      snapshots that clients saw
    processes.jsonl  who was started, killed, stopped …
    faults.jsonl     what was planned, and whether it landed
    end.json         the store, the settings and the sinks when everything was over

Times without `ms` are wall-clock seconds of the one machine; hashes are sha256 in hex, of canonical JSON where the
content is JSON. A document and an entry may stand in a line as JSON or as the JSON's text. A last line without its
line feed was torn by a crash, before anything was done about it, and does not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from prolight.ledger import Entry
from prolight.schemas import RunContext, Stage, State, Value


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


Document = Annotated[RunContext, BeforeValidator(_parsed)]
Entries = dict[str, Annotated[Entry, BeforeValidator(_parsed)]]


class Stored(Value):
    """One line of the store's audit. `lsn` grows by one from line to line."""

    lsn: int
    at: int
    run: str


class Create(Stored):
    """`fingerprint` is of the request's content, `idem` of its idempotency key ('' when it has none)."""

    kind: Literal["create"] = "create"
    ver: int = 1
    epoch: int = 0
    document: Document
    events: tuple[int, ...]
    idem: str = ""
    fingerprint: str


class Claim(Stored):
    """Somebody works on the run from here on. `hard_stop` is in ms of the store's clock."""

    kind: Literal["claim"] = "claim"
    ver: int
    epoch: int
    claim: str
    process: str
    stage: Stage
    hard_stop: int


class Commit(Stored):
    """A write that was accepted: `ver` and `document` are those after it, `claim` is the record's before it.

    `under` is the claim that the writer named; `back_off` the ms before a queued run may be claimed; `journal` holds
    the entries that this commit wrote. `crashed`: the end of the claim counts as a crash of the run.
    """

    kind: Literal["commit"] = "commit"
    ver: int
    epoch: int
    claim: str
    under: str
    by: Literal["holder", "client"]
    op: str
    place: Literal["held", "queued", "parked", "ended"]
    document: Document
    journal: Entries = Field(default_factory=dict)
    events: tuple[int, ...] = ()
    back_off: int = 0
    crashed: bool = False


class Refused(Stored):
    kind: Literal["refused"] = "refused"
    how: Literal["conflict", "lost", "late", "gone"]
    by: Literal["holder", "client"]
    under: str
    op: str


class ClaimEnded(Stored):
    """By the sweep: its process died, its lease ran out, or its process retired."""

    kind: Literal["claim_ended"] = "claim_ended"
    epoch: int
    claim: str
    why: Literal["death", "lease", "retire"]


class TakenBack(Stored):
    """The owner of a claim that was ended lives: that counts as a crash no more."""

    kind: Literal["taken_back"] = "taken_back"
    claim: str


class Told(Stored):
    """A note or progress: an event that comes with no commit."""

    kind: Literal["told"] = "told"
    seq: int


Audit = Create | Claim | Commit | Refused | ClaimEnded | TakenBack | Told


class Streamed(Value):
    """`event` is the stored text, byte for byte; `sha256` is that of its bytes, taken when it was read."""

    run: str
    seq: int
    event: str
    sha256: str


class Submit(Value):
    """`body` is comparable to `Create.fingerprint`; `run` is the run answered, or the id that the caller chose."""

    n: int
    sent: float
    got: float | None
    key: str | None = None
    body: str
    answer: Literal["accepted", "refused", "unknown"]
    run: str | None = None
    code: str = ""
    picture: str | None = None
    """The artifact id of the picture that was handed in."""


class Receipt(Value):
    """One line of the tool server. All lines of one request carry the same `call`.

    `applied` is written when the effect takes place: a server that knows the key answers without.
    `arguments` is the hash of those received; `pin` that of the tool's definition at this moment; `result` that of
    the structured content answered or, for `probed`, found; `charged_usd` what this very line charges.
    """

    n: int
    at: float
    what: Literal["received", "applied", "answered", "probed"]
    call: int
    key: str
    tool: str
    effect: Literal["pure", "keyed", "probeable", "billed", "blind"]
    pin: str
    arguments: str
    result: str | None = None
    charged_usd: Decimal = Decimal(0)


class Reply(Value):
    """One line of the model's stub. `run` where it can tell; `result` is the hash of the answer's text."""

    n: int
    at: float
    what: Literal["received", "answered"]
    call: int
    role: Literal["planner", "critic"]
    run: str | None = None
    key: str | None = None
    result: str | None = None
    charged_usd: Decimal = Decimal(0)


class Heard(Value):
    """An event as it arrived. `after` is the seq that this connection resumed from.

    A reader that reconnects elsewhere than where it stopped is another reader. No `seq`: the stream ended by itself.
    """

    reader: str
    run: str
    after: int
    seq: int | None
    sha256: str | None = None


class Read(Value):
    """A snapshot as a client saw it, in the order in which it saw them."""

    reader: str
    at: float
    run: str
    ver: int
    state: State


class Process(Value):
    at: float
    pid: int
    process: str
    what: Literal["started", "killed", "stopped", "continued", "terminated", "exited"]
    code: int | None = None


class Fault(Value):
    name: str
    planned: dict[str, Any] = Field(default_factory=dict)
    landed: bool
    at: float | None = None


class ToolTerms(Value):
    """A tool, as our registry has it."""

    effect: Literal["pure", "keyed", "probeable", "billed", "blind"]
    price_usd: Decimal = Decimal(0)


class PolicyTerms(Value):
    banned_tools: frozenset[str] = frozenset()
    allowed_tools: frozenset[str] = frozenset()
    approve_above_usd: Decimal | None = None


class Terms(Value):
    """The settings that the invariants speak of; times in seconds."""

    lease: float
    sweep: float
    review_deadline: float
    max_tries: int
    crashes_to_poison: int
    policy: PolicyTerms = PolicyTerms()
    tools: dict[str, ToolTerms] = Field(default_factory=dict)
    slack: float = 5.0
    """What a busy machine may add to any of these times."""
    clock_slack: float = 0.002
    """How far the clocks of two processes, or their rounding, may be apart."""


class RunEnd(Value):
    """A run as the store holds it at the end."""

    document: Document
    ver: int
    epoch: int
    seq: int
    claim: str = ""
    journal: Entries = Field(default_factory=dict)


class Sink(Value):
    """Where a secret must not be: a text, or a file of this folder. Canaries are ASCII, and at least 16 characters."""

    name: str
    text: str = ""
    file: str | None = None


class End(Value):
    """`now` is the store's clock. `quiet`: the driver saw nothing move, and nothing due, for a whole bound."""

    quiet: bool
    now: int
    settings: Terms
    runs: dict[str, RunEnd] = Field(default_factory=dict)
    due: dict[str, int] = Field(default_factory=dict)
    ready: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    claims: dict[str, dict[str, str]] = Field(default_factory=dict)
    keys: tuple[str, ...] = ()
    sinks: tuple[Sink, ...] = ()
    canaries: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """One trial, read."""

    audit: tuple[Audit, ...]
    events: tuple[Streamed, ...]
    client: tuple[Submit, ...]
    world: tuple[Receipt, ...]
    llm: tuple[Reply, ...]
    readers: tuple[Heard, ...]
    reads: tuple[Read, ...]
    processes: tuple[Process, ...]
    faults: tuple[Fault, ...]
    end: End

    @property
    def void(self) -> bool:
        """A planned fault did not land: the trial shows nothing, and is made again."""
        return not all(fault.landed for fault in self.faults)


class Unreadable(Exception):
    """A line that is not of this format; names file and line."""


Line = TypeVar("Line")
_LINES: Mapping[str, TypeAdapter[Any]] = {
    "audit": TypeAdapter(Annotated[Audit, Field(discriminator="kind")]),
    "events": TypeAdapter(Streamed),
    "client": TypeAdapter(Submit),
    "world": TypeAdapter(Receipt),
    "llm": TypeAdapter(Reply),
    "readers": TypeAdapter(Heard),
    "reads": TypeAdapter(Read),
    "processes": TypeAdapter(Process),
    "faults": TypeAdapter(Fault),
}


def load(folder: Path) -> History:
    """Read a trial's folder. Raises `Unreadable`; a file that is missing is an error, an empty one is not."""
    lines = {name: tuple(_read(folder / f"{name}.jsonl", adapter)) for name, adapter in _LINES.items()}
    try:
        end = End.model_validate_json((folder / "end.json").read_text())
    except (OSError, ValidationError) as error:
        raise Unreadable(f"{folder / 'end.json'}: {error}") from None
    sinks = tuple(_filled(sink, folder) for sink in end.sinks)
    return History(**lines, end=end.evolve(sinks=sinks))


def save(history: History, folder: Path) -> None:
    for name in _LINES:
        _write(folder / f"{name}.jsonl", getattr(history, name))
    (folder / "end.json").write_text(history.end.model_dump_json())


def _read(file: Path, adapter: TypeAdapter[Any]) -> Iterable[Any]:
    try:
        lines = file.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise Unreadable(str(error)) from None
    for number, line in enumerate(lines, 1):
        try:
            yield adapter.validate_json(line)
        except ValidationError as error:
            raise Unreadable(f"{file}:{number}: {error}") from None


def _write(file: Path, lines: Iterable[BaseModel]) -> None:
    file.write_text("".join(f"{line.model_dump_json()}\n" for line in lines))


def _filled(sink: Sink, folder: Path) -> Sink:
    if sink.file is None:
        return sink
    try:
        return sink.evolve(text=(folder / sink.file).read_bytes().decode("latin-1"))
    except OSError as error:
        raise Unreadable(f"sink {sink.name}: {error}") from None
