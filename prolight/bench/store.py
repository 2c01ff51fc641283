"""How fast the store commits: one process, sixteen runs at a time, a document of 8 KB, one event, one journal entry."""

from __future__ import annotations

import asyncio
import statistics
import time
from decimal import Decimal
from pathlib import Path

from prolight import lifecycle
from prolight.adapters.redis_store import RedisStore
from prolight.bench.terms import BenchFailed, Effort, Figures, Goal, Say, rounded
from prolight.decisions import Deadlines, Decision, Held
from prolight.embedded import start_valkey
from prolight.embedded.valkey import AppendFsync
from prolight.events import Progress
from prolight.ledger import Entry
from prolight.naming import new_run_id
from prolight.ports import Claim, Write
from prolight.schemas import RunContext, RunRequest, Stage

FULL, QUICK = Effort(repeat=3, runs=20_000), Effort(repeat=1, runs=4_000)
GOALS = (Goal("commits_per_second", at_least=3000),)
FSYNCS: tuple[AppendFsync, ...] = ("everysec", "always")
IN_FLIGHT = 16
DOCUMENT_BYTES = 8 * 1024
CALLS = 8
"""Journal entries that a run has; each commit writes one of them."""
REQUEST = RunRequest(
    picture_id="0" * 64,
    brief="soft warm key from the left, cool rim from behind, white background. " * 40,
    metadata={f"note-{number}": "as the customer said before: " * 16 for number in range(10)},
)
EVENT = Progress(stage=Stage.PLAN, message="a line such as a stage says while it works", step="key", fraction=0.5)


async def measure(home: Path, effort: Effort, say: Say) -> Figures:
    """`commits_per_second` at appendfsync everysec; the figure for always beside it."""
    rates: dict[AppendFsync, list[float]] = {fsync: [] for fsync in FSYNCS}
    for turn in range(effort.repeat):
        for fsync in FSYNCS:
            with start_valkey(home / f"{turn}-{fsync}", appendfsync=fsync) as server:
                rate = await _rate(server.url, effort.runs)
            rates[fsync].append(rate)
            say(f"{turn + 1}/{effort.repeat} {fsync:<8} {rate:6.0f} commits/s")
    return {
        "commits_per_second": rounded(statistics.median(rates["everysec"])),
        "commits_per_second_always": rounded(statistics.median(rates["always"])),
        "in_flight": IN_FLIGHT,
        "document_bytes": DOCUMENT_BYTES,
    }


async def _rate(url: str, commits: int) -> float:
    store = await RedisStore(url).open()
    try:
        claims = await _claims(store)
        each = -(-commits // IN_FLIGHT)
        began = time.monotonic()
        await asyncio.gather(*(_commit(store, claim, each) for claim in claims))
        seconds = time.monotonic() - began
        await _check(store, claims, each)
        return IN_FLIGHT * each / seconds
    finally:
        await store.close()


async def _claims(store: RedisStore) -> list[Claim]:
    """Runs that are held, as a worker process would hold them."""
    for _ in range(IN_FLIGHT):
        decision = lifecycle.submitted(
            REQUEST, new_run_id(), budget_usd=Decimal(1), now=store.now(), deadlines=Deadlines()
        )
        await store.create(decision, fingerprint="bench", idempotency_key=None)
    return await store.claim(Stage.PLAN, IN_FLIGHT, "bench")


async def _commit(store: RedisStore, claim: Claim, count: int) -> None:
    base = claim.snapshot
    run = _padded(base.run)
    for number in range(count):
        entry = _entry(store.now(), tries=number)
        decision = Decision(run.evolve(updated_at=store.now()), (EVENT,), Held())
        journal = {f"{number % CALLS:064x}": entry.model_dump_json()}
        base = await store.commit(Write(base, decision, f"{base.claim_id}.{number}", journal=journal, progress=True))


def _padded(run: RunContext) -> RunContext:
    missing = DOCUMENT_BYTES - len(run.to_json())
    last, text = max(run.metadata.items())
    return run.evolve(metadata={**run.metadata, last: text + "." * missing})


def _entry(now: float, *, tries: int) -> Entry:
    return Entry(
        status="done",
        name="studio.relight",
        arguments_hash="0" * 64,
        tries=tries,
        started_at=now,
        deadline_at=now + 120,
        finished_at=now,
        result={"artifact": {"id": "0" * 64, "media_type": "image/png", "size_bytes": 1, "width": 1, "height": 1}},
    )


async def _check(store: RedisStore, claims: list[Claim], each: int) -> None:
    for claim in claims:
        held = await store.read(claim.run_id)
        if held.ver != claim.snapshot.ver + each:
            raise BenchFailed(f"run {claim.run_id} is at version {held.ver}, not {claim.snapshot.ver + each}")
