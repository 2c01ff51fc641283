"""Runs in every stage of life, brought there by the lifecycle's own decisions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from prolight import lifecycle
from prolight.decisions import Deadlines, Decision, Held
from prolight.ports import Claim, Process, RunStore, Snapshot, Write
from prolight.schemas import Critique, Lock, Plan, RunContext, RunError, RunRequest, Stage, Step, Verdict

from .backends import Backend

DEADLINES = Deadlines()
PLAN = Plan(steps=(Step(id="key", tool="studio.relight", params={"image": "$input"}),))
LOCK = Lock(
    plan_hash="a" * 64,
    input_sha256="b" * 64,
    model_version="rules",
    prompt_hash="c" * 64,
    seed=1,
    policy_version="1",
    prolight_version="0",
)
ACCEPTED = Critique(verdict=Verdict.ACCEPT, plan_hash=LOCK.plan_hash)
BROKEN = RunError(code="tool_failed", message="no light")


def submission(run_id: str, now: float, *, brief: str = "soft key", **metadata: str) -> Decision:
    request = RunRequest(picture_id="d" * 64, brief=brief, metadata=metadata, run_id=run_id)
    return lifecycle.submitted(request, run_id, budget_usd=Decimal(1), now=now, deadlines=DEADLINES)


async def submit(
    backend: Backend, run_id: str = "run-1", *, fingerprint: str = "f", key: str | None = None, brief: str = "soft key"
) -> tuple[str, bool]:
    decision = submission(run_id, await backend.now(), brief=brief)
    return await backend.store.create(decision, fingerprint=fingerprint, idempotency_key=key)


async def claimed(backend: Backend, run_id: str = "run-1", *, process: str = "w1") -> Snapshot:
    """A run that `process` plans."""
    await submit(backend, run_id)
    return (await claim(backend.store, Stage.PLAN, process=process)).snapshot


async def claim(store: RunStore, stage: Stage, *, process: str = "w1") -> Claim:
    (taken,) = await store.claim(stage, 1, process)
    return taken


async def commit(
    store: RunStore,
    base: Snapshot,
    decision: Decision,
    *,
    holder: bool = True,
    op_id: str | None = None,
    journal: Mapping[str, str] | None = None,
    progress: bool = False,
    asks: Mapping[str, int] | None = None,
) -> Snapshot:
    op_id = op_id or uuid.uuid4().hex
    write = Write(base, decision, op_id, journal=journal or {}, holder=holder, progress=progress, asks=asks or {})
    return await store.commit(write)


def held(run: RunContext) -> Decision:
    """The holder writes something down and goes on."""
    return Decision(run, (), Held())


def planned(base: Snapshot, now: float) -> Decision:
    return lifecycle.planned(base.run, PLAN, LOCK, now=now, deadlines=DEADLINES)


def accepted(base: Snapshot, now: float) -> Decision:
    return lifecycle.judged(base.run, ACCEPTED, model="rules", now=now, deadlines=DEADLINES)


def parked(base: Snapshot, now: float) -> Decision:
    return lifecycle.judged(base.run, ACCEPTED, model="rules", asks=("costly",), now=now, deadlines=DEADLINES)


def failed(base: Snapshot, now: float) -> Decision:
    return lifecycle.failed(base.run, BROKEN, now=now, deadlines=DEADLINES)


def backing_off(base: Snapshot, now: float, wait: timedelta) -> Decision:
    return lifecycle.backing_off(base.run, wait, BROKEN, now=now)


def cancelled(base: Snapshot, now: float) -> Decision:
    return lifecycle.cancelled(base.run, held=bool(base.claim_id), reason="asked", now=now, deadlines=DEADLINES)


def released(base: Snapshot, now: float) -> Decision:
    return lifecycle.released(base.run, now=now)


def crashed(base: Snapshot, now: float) -> Decision:
    return lifecycle.crashed(base.run, "its child died", now=now)


async def awaiting_approval(backend: Backend, run_id: str = "run-1") -> Snapshot:
    """A run that waits for a person."""
    store, now = backend.store, await backend.now()
    planning = await claimed(backend, run_id)
    await commit(store, planning, planned(planning, now))
    critiquing = (await claim(store, Stage.CRITIQUE)).snapshot
    return await commit(store, critiquing, parked(critiquing, now))


async def executing(backend: Backend, run_id: str = "run-1", *, process: str = "w1") -> Snapshot:
    """A run that `process` executes."""
    store, now = backend.store, await backend.now()
    planning = await claimed(backend, run_id)
    await commit(store, planning, planned(planning, now))
    critiquing = (await claim(store, Stage.CRITIQUE)).snapshot
    await commit(store, critiquing, accepted(critiquing, now))
    return (await claim(store, Stage.EXECUTE, process=process)).snapshot


async def announce(backend: Backend, process: str = "w1", *, slots: int = 4) -> Process:
    """A living worker process, known to the store."""
    await backend.connect(process)
    worker = Process(process, slots=slots, stages=tuple(Stage), host="here", pid=7)
    await backend.store.heartbeat(worker, {})
    return worker
