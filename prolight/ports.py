"""What the core needs from the outside, as async Protocols. `adapters/` holds the implementations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from prolight.retry import UNCHANGED, RetryChange
from prolight.schemas import Artifact, RunContext, Stage, State, Usage

if TYPE_CHECKING:
    from prolight.decisions import Decision
    from prolight.events import Event


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model, as data: an adapter turns it into its own wire form.

    `facts` is what the role may know, JSON-able. Brief and tool texts in it are data, not orders.
    `schema` is the JSON Schema of the answer.
    """

    role: Literal["planner", "critic"]
    facts: Mapping[str, Any]
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatReply:
    """`text` is JSON that should fit the request's schema; the agent validates it."""

    text: str
    model_version: str
    usage: Usage = field(default_factory=Usage)
    request_id: str = ""


@runtime_checkable
class ChatModel(Protocol):
    """A model that plans or judges. Raises `CallError`s only.

    One with a `provider` (text) shares pauses and retry budget with all models of the same one.
    """

    @property
    def model_version(self) -> str: ...
    @property
    def prompt_hash(self) -> str:
        """sha256 of everything that shapes an answer besides the request (prompts, rules)."""
        ...

    def quote(self, request: ChatRequest) -> Decimal:
        """The most that this call can cost, in dollars."""
        ...

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply: ...


Effect = Literal["pure", "keyed", "probeable", "billed", "blind"]
"""What a missing outcome of a call leads to (design §5)."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as *our* registry sees it; `pin` is the sha256 of the server's own definition."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    pin: str
    effect: Effect = "blind"
    price_usd: Decimal = Decimal(0)
    timeout: timedelta = timedelta(seconds=300)
    picture_params: frozenset[str] = frozenset()
    """The params that take a picture reference."""
    key_window: timedelta | None = None
    """keyed: so long its server remembers a key, and carries it out once."""
    probe: str = ""
    """probeable: the `server.tool` that takes `{"key": …}` and says what became of that call."""
    retry: RetryChange = UNCHANGED


@dataclass(frozen=True, slots=True)
class ToolResult:
    """`artifact` is the picture made, if one was; `output` the rest of the structured answer."""

    output: Mapping[str, Any]
    artifact: Artifact | None = None
    cost_usd: Decimal | None = None


class ToolGateway(Protocol):
    """All tool servers, behind one face. Raises `CallError`s only."""

    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        """By `server.tool` name, of the servers that answer, as they listed them a short time ago.

        `anew`: those of the `needed` tools list them after this was asked. Raises when the server of a `needed`
        tool does not answer, or when none does.
        """
        ...

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, key: str, deadline: timedelta) -> ToolResult: ...


class ArtifactStore(Protocol):
    """Content-addressed pictures."""

    @property
    def identity(self) -> str:
        """Random, made once per store: two workers with different ones do not see the same pictures."""
        ...

    async def put(self, content: bytes, *, media_type: str) -> Artifact: ...
    async def get(self, artifact_id: str) -> bytes:
        """Raises `ArtifactMissing`."""
        ...

    async def find(self, artifact_id: str) -> Artifact | None: ...
    async def alias(self, name: str, artifact_id: str, *, replace: bool = False) -> str:
        """Give a picture a name; answers the id that the name now stands for: the first one's, unless `replace`."""
        ...

    async def aliases(self) -> Mapping[str, str]: ...
    async def named(self, name: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as the store holds it: the document, and who looks at it next and when.

    Times are seconds of the store's clock. `claim_id` and `owner` are empty while nobody holds it.
    """

    run: RunContext
    ver: int
    epoch: int = 0
    claim_id: str = ""
    owner: str = ""
    attempt: int = 0
    crashes: int = 0
    seq: int = 0
    ready: bool = False
    due_at: float | None = None
    hard_stop: float | None = None
    child: str = ""
    """The run that goes on where this one failed."""

    @property
    def activity(self) -> Literal["queued", "running", "backing off", "waiting for a person", "ended"]:
        """What happens to the run now; follows from state, claim and due time."""
        if self.run.finished_at is not None:
            return "ended"
        if self.claim_id:
            return "running"
        if self.run.state in (State.AWAITING_APPROVAL, State.NEEDS_REVIEW):
            return "waiting for a person"
        return "queued" if self.ready else "backing off"


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt of one stage, held by this process. `journal` is what earlier attempts recorded."""

    snapshot: Snapshot
    journal: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        return self.snapshot.run.run_id


@dataclass(frozen=True, slots=True)
class Write:
    """One atomic commit. Goes through only if `ver` and claim are still as in `base`.

    `op_id` names this write: asked again after a lost answer, it is carried out once.
    `journal` holds new or changed entries, as JSON by key.
    """

    base: Snapshot
    decision: Decision
    op_id: str
    journal: Mapping[str, str] = field(default_factory=dict)
    holder: bool = True
    """Written under the claim in `base`; else by a client or a sweeper."""
    progress: bool = False
    """A journalled call came to its end: the run does not crash its workers."""
    asks: Mapping[str, int] = field(default_factory=dict)
    """The dependencies that are called once this is written, and how many of those calls are first tries."""
    restores: bool = False
    """Without a claim, after the store went back to an older state: epochs that were given out since are left out."""


@dataclass(frozen=True, slots=True)
class Process:
    """A worker process, as it announces itself."""

    id: str
    slots: int
    stages: tuple[Stage, ...]
    host: str = ""
    pid: int = 0
    beat_at: float = 0.0
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: runs whose time-out needs a decision, batches that want a round, and when to look again."""

    overdue: tuple[str, ...] = ()
    poisoned: tuple[str, ...] = ()
    again: timedelta | None = None
    crashes_to_poison: int = 1
    """So many made these runs poisoned. A worker that only froze may take one back before somebody decides."""
    batches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nobody claims a stage. `at` is in seconds of the store's clock."""

    by: str
    reason: str
    at: float


class Dependencies(Protocol):
    """What all workers together know of those they call, each a tool server or the provider of a model.

    Raises `StoreError`s only.
    """

    def cooling(self, dependency: str) -> float | None:
        """Until when it has asked for a pause, as well as that is known without asking the store.

        A commit that says whom it `asks` learns it anew.
        """
        ...

    async def cool(self, dependency: str, pause: timedelta) -> None:
        """It asks for a pause from now on. A longer one that runs already stays."""
        ...

    async def take_retry(self, dependency: str) -> timedelta:
        """Takes a retry out of its budget: zero, or how long there will be none. While it cools, none is taken."""
        ...


class RunStore(Protocol):
    """The truth about runs. Every write is atomic; all time is the store's own clock.

    Raises `StoreError`s only: `VersionConflict` (read and decide again), `ClaimLost`,
    `StoreUnavailable`; and `RunNotFound`, `IdempotencyMismatch`.
    """

    @property
    def dependencies(self) -> Dependencies: ...

    def now(self) -> float:
        """The store's clock, in seconds, as well as it is known without asking."""
        ...

    async def create(
        self,
        decision: Decision,
        *,
        fingerprint: str,
        idempotency_key: str | None,
        journal: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[str, bool]:
        """Accept a run; answers its id and whether it is new. A child comes with a journal, and its parent names it."""
        ...

    async def read(self, run_id: str) -> Snapshot: ...
    async def recent(self, limit: int, skip: int = 0) -> list[Snapshot]:
        """Newest first, without the `skip` newest."""
        ...

    async def claim(self, stage: Stage, count: int, process: str) -> list[Claim]:
        """Take the heads of `ready:<stage>`. Fewer than asked for, or none, when there are no more."""
        ...

    async def commit(self, write: Write) -> Snapshot:
        """Carry a decision out, whole or not at all; answers how the run stands now."""
        ...

    async def heartbeat(self, process: Process, claims: Mapping[str, str]) -> set[str]:
        """Announce the process and prolong its claims (run id → claim id).

        Answers the runs that it should stop working on: lost, or being cancelled.
        """
        ...

    async def retire(self, process: str) -> None:
        """The process stops: it no longer counts. Its claims, if any are left, end at once."""
        ...

    async def sweep(self) -> Swept: ...
    async def processes(self) -> list[Process]: ...
    async def backlog(self) -> Mapping[Stage, int]:
        """How many runs wait to be claimed, by stage."""
        ...

    async def pause(self, stages: Collection[Stage], *, by: str, reason: str) -> None:
        """From now on nobody claims these stages; what is worked on goes on."""
        ...

    async def resume(self, stages: Collection[Stage]) -> None: ...
    async def paused(self) -> Mapping[Stage, Pause]: ...
    async def journal(self, run_id: str) -> Mapping[str, str]: ...
    async def keep_late(self, run_id: str, entries: Mapping[str, str]) -> None:
        """Add results to a run's journal without a claim, and to that of its child. What is there already stays."""
        ...

    async def events(self, run_id: str, after: int = 0) -> list[str]:
        """The run's events with `seq` > `after`, as JSON, in order."""
        ...

    def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """The same, live: ends after the run's last event."""
        ...


__all__ = [
    "ArtifactStore",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "Claim",
    "Dependencies",
    "Pause",
    "Process",
    "RunStore",
    "Snapshot",
    "Swept",
    "Tool",
    "ToolGateway",
    "ToolResult",
    "Write",
]
