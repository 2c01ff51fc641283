"""The run store on one Redis ≥ 6.2 or Valkey. Each write is one script; `lua/prelude.lua` lists the keys.

The client library's silent retries are off. What got no answer is asked again with the same op id
or claim id, and the script recognises it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
import uuid
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import timedelta
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Self

from redis.exceptions import NoScriptError, RedisError

from prolight.adapters.record import deadline_of, document_of, journal_of, milliseconds
from prolight.adapters.redis_batches import RedisBatches
from prolight.adapters.redis_dependencies import RedisDependencies
from prolight.adapters.redis_link import Listening, RedisLink
from prolight.adapters.redis_server import Durability, inspect_server, translated, will_pass
from prolight.adapters.redis_url import safe_url, tls_trouble
from prolight.adapters.redis_views import pairs, process_of, readable, snapshot_of
from prolight.decisions import Decision, Ended, Held, Parked, Placement, Queued
from prolight.errors import (
    STORE_FIX,
    ClaimLost,
    IdempotencyMismatch,
    IllegalMove,
    RunNotFound,
    StoreRefused,
    StoreUnavailable,
    VersionConflict,
)
from prolight.events import Event, Note, parse
from prolight.lifecycle import STAGES
from prolight.ports import Claim, Pause, Process, Snapshot, Swept, Write
from prolight.retry import DEFAULT_SPARING, Sparing
from prolight.schemas import Stage, compact_json

DUE_AT_A_TIME = 100
ASIDE_KEPT = 100
"""So many of the messages that are no bells are kept for people to look at."""
log = logging.getLogger(__name__)

EMPTIED = (
    "the store at %s lost everything that it held (FLUSHALL, or another data directory): the runs that it had accepted"
    " are gone, %d of them from here; a backup brings them back, new ones are worked on"
)
POLL_EVENTS = timedelta(seconds=2)
"""A follower looks at the stream this often even if the channel is silent."""


class RedisStore:
    """Implements `ports.RunStore`. `patience` is how long an answer is waited for through outages."""

    def __init__(
        self,
        url: str,
        *,
        lease: timedelta = timedelta(seconds=12),
        crashes_to_poison: int = 5,
        retention: timedelta = timedelta(days=7),
        patience: timedelta = timedelta(seconds=5),
        sparing: Sparing = DEFAULT_SPARING,
        link: RedisLink | None = None,
    ) -> None:
        self.url = url
        self._link = link or RedisLink(url)
        self._lease_ms = milliseconds(lease)
        self._crashes_to_poison = crashes_to_poison
        self._retention_ms = milliseconds(retention)
        self._patience = patience.total_seconds()
        self._told_at, self._told = time.monotonic(), 0.0
        self._born = ""
        self.dependencies = RedisDependencies(sparing, self._script, self.now)
        self.batches = RedisBatches(self._script, self._ask, retention)

    async def open(self) -> Self:
        """Connect and learn the time. Raises `StoreUnavailable`, or `StoreRefused` for a server that will not do."""
        try:
            await inspect_server(self._link.call)  # asked once: with no server there, patience is no help
        except StoreUnavailable as gone:
            if tls_trouble(gone.__cause__):  # a certificate is mended by somebody, not by asking again
                raise StoreRefused(str(gone)) from gone
            raise StoreUnavailable(f"{gone}: {STORE_FIX}") from gone.__cause__
        await self._script("read")
        return self

    async def close(self) -> None:
        await self._link.close()

    async def durability(self) -> Durability:
        return await inspect_server(self._link.call)

    def now(self) -> float:
        return self._told + time.monotonic() - self._told_at

    async def create(
        self,
        decision: Decision,
        *,
        fingerprint: str,
        idempotency_key: str | None,
        journal: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[str, bool]:
        run, queued = decision.run, decision.placement
        assert isinstance(queued, Queued) and queued.budget is not None
        how, run_id, _ = await self._script(
            "create",
            run.run_id,
            fingerprint,
            hashlib.sha256(idempotency_key.encode()).hexdigest() if idempotency_key else "",
            self._retention_ms,
            run.state.value,
            queued.stage.value,
            milliseconds(queued.budget),
            deadline_of(run),
            document_of(run),
            run.parent or "",
            len(journal),
            *journal_of(run, journal),
            *(event.body() for event in decision.events),
        )
        if how in ("idempotency_key", "run_id"):
            raise IdempotencyMismatch(f"is taken by run {run_id}, which was asked for with other content", field=how)
        return str(run_id), how == "new"

    async def read(self, run_id: str) -> Snapshot:
        (_, view) = await self._script("read", run_id)
        if not view:
            raise RunNotFound(run_id)
        return snapshot_of(view)

    async def recent(self, limit: int, skip: int = 0) -> list[Snapshot]:
        run_ids = await self._ask("ZREVRANGE", "prolight:runs", skip, skip + limit - 1) if limit > 0 else []
        views = (await self._script("read", *run_ids))[1:] if run_ids else []
        return [snapshot_of(view) for view in views if view]

    async def claim(self, stage: Stage, count: int, process: str) -> list[Claim]:
        claim_id = uuid.uuid4().hex
        answer = await self._script(
            "claim", stage.value, count, claim_id, process, self._lease_ms, "", asked_again={5: "1"}
        )
        return list(readable(answer[1:]))

    async def commit(self, write: Write) -> Snapshot:
        base, run = write.base, write.decision.run
        place, ms, budget = _placed(write.decision.placement)
        journal = [part for entry in write.journal.items() for part in entry]
        how, ver, seq, _, pauses = await self._script(
            "commit",
            run.run_id,
            base.ver,
            base.claim_id,
            base.crashes,
            write.op_id,
            "holder" if write.holder else "restore" if write.restores else "client",
            place,
            ms,
            run.state.value,
            STAGES.get(run.state, ""),
            budget,
            deadline_of(run),
            "1" if write.progress else "",
            round((write.decision.valid_until or 0) * 1000),
            document_of(run),
            len(write.journal),
            *journal,
            *self.dependencies.asked(write.asks),
            *(event.body() for event in write.decision.events),
        )
        match how:
            case "conflict":
                raise VersionConflict(f"run {run.run_id} has changed since it was read at version {base.ver}")
            case "late":
                late = ClaimLost if write.holder else VersionConflict
                raise late(f"run {run.run_id}: the time for this has passed")
            case "lost":
                raise ClaimLost(f"the claim of run {run.run_id} has ended")
            case "gone":
                raise RunNotFound(run.run_id)
        self.dependencies.heard(write.asks, pauses)
        if write.restores:
            return await self.read(run.run_id)
        return committed(base, write.decision, ver=ver, seq=seq)

    async def heartbeat(self, process: Process, claims: Mapping[str, str]) -> set[str]:
        described = {"pid": process.pid, "host": process.host, "slots": process.slots, "stages": process.stages}
        held = [part for claim in claims.items() for part in claim]
        known = (process.id, compact_json(described), self._lease_ms, self._born)
        _, born, *over = await self._script("heartbeat", *known, *held)
        if self._born not in ("", born):
            log.critical(EMPTIED, safe_url(self.url), len(claims))
        self._born = born
        return set(over)

    async def emptied(self) -> float | None:
        """When a worker last found that the store had lost everything, in seconds of its clock; None: never."""
        at = await self._ask("HGET", "prolight:store", "emptied")
        return float(at) / 1000 if at else None

    async def retire(self, process: str) -> None:
        await self._sweep(retiring=process)

    async def sweep(self) -> Swept:
        return await self._sweep(retiring="")

    async def _sweep(self, *, retiring: str) -> Swept:
        _, again, overdue, poisoned, batches = await self._script(
            "sweep", self._lease_ms, DUE_AT_A_TIME, self._crashes_to_poison, retiring
        )
        again_after = timedelta(milliseconds=again)
        return Swept(tuple(overdue), tuple(poisoned), again_after, self._crashes_to_poison, tuple(batches))

    async def processes(self) -> list[Process]:
        known = pairs(await self._ask("HGETALL", "prolight:processes"))
        absent = pairs(await self._ask("HGETALL", "prolight:absent"))
        return [
            process_of(id, json.loads(described), alive=id not in absent) for id, described in sorted(known.items())
        ]

    async def set_aside(self, counts: Mapping[str, int], newest: Sequence[Mapping[str, Any]]) -> None:
        """Keep what lay in a stage's queue and is no bell. Asked again after a lost answer it may count twice."""
        counted = [part for count in counts.items() for part in count]
        entries = [json.dumps(entry) for entry in newest[-ASIDE_KEPT:]]
        await self._script("aside", ASIDE_KEPT, self._retention_ms, len(counts), *counted, *entries)

    async def aside(self) -> Mapping[str, int]:
        """How many messages were set aside, by reason, until none came for the time of retention."""
        counts = pairs(await self._ask("HGETALL", "prolight:aside:counts"))
        return {reason: int(count) for reason, count in counts.items()}

    async def backlog(self) -> Mapping[Stage, int]:
        return {stage: int(await self._ask("ZCARD", f"prolight:ready:{stage}")) for stage in Stage}

    async def pause(self, stages: Collection[Stage], *, by: str, reason: str) -> None:
        await self._script("pause", "pause", compact_json({"by": by, "reason": reason})[:-1], *stages)

    async def resume(self, stages: Collection[Stage]) -> None:
        await self._script("pause", "resume", "", *stages)

    async def paused(self) -> Mapping[Stage, Pause]:
        kept = pairs(await self._ask("HGETALL", "prolight:paused"))
        return {Stage(stage): Pause(**json.loads(said)) for stage, said in kept.items()}

    async def journal(self, run_id: str) -> Mapping[str, str]:
        return pairs(await self._ask("HGETALL", f"prolight:journal:{run_id}"))

    async def keep_late(self, run_id: str, entries: Mapping[str, str]) -> None:
        await self._script("late", run_id, *(part for entry in entries.items() for part in entry))

    async def events(self, run_id: str, after: int = 0) -> list[str]:
        entries = await self._ask("XRANGE", f"prolight:events:{run_id}", f"{after + 1}-0", "+")
        return [fields[1] for _, fields in entries]

    async def note(self, run_id: str, note: Note) -> int:
        """Add a note to a live run; answers its seq. Raises `RunNotFound`, or `IllegalMove` for a finished run."""
        return await self._publish(run_id, 0, note.body())

    async def mirror(self, event: Event, text: str) -> int:
        """Keep and publish an event of a run that works elsewhere, once. Raises `IllegalMove` where that cannot be."""
        return await self._publish(event.run_id, event.seq, text)

    async def _publish(self, run_id: str, seq: int, text: str) -> int:
        how, last, _ = await self._script("publish", run_id, seq, text, self._retention_ms, uuid.uuid4().hex)
        match how:
            case "gone":
                raise RunNotFound(run_id)
            case "elsewhere":
                raise IllegalMove(f"run {run_id} works in another process, which numbers its events: a note needs one")
            case "ended":
                raise IllegalMove(f"run {run_id} has ended: nothing follows its last event")
            case "own":
                raise IllegalMove(f"run {run_id} is a run of this store, which numbers its events itself")
            case "behind":
                raise IllegalMove(f"event {seq} of run {run_id} comes after event {last}: a mirror takes them in order")
            case "other":
                raise IllegalMove(f"run {run_id} had another event {seq} before: a run id is for one run")
        return seq or int(last)

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """Reads the stream by seq; the channel only wakes it up, so a lost message loses nothing."""
        await self.read(run_id)
        async with self.listen(f"prolight:events:{run_id}") as woken:
            while True:
                texts = await self.events(run_id, after)
                for text in texts:
                    event = parse(text)
                    after = event.seq
                    yield event
                    if event.final:
                        return
                if not texts and await self._is_over(run_id, after):
                    return
                await woken(POLL_EVENTS)

    async def _is_over(self, run_id: str, after: int) -> bool:
        """Nothing follows the event `after`: whoever comes back after the last one need not wait."""
        snapshot = await self.read(run_id)
        return snapshot.run.finished_at is not None and snapshot.seq <= after

    def listen(self, channel: str) -> Listening:
        """Subscribe on a connection of its own: `async with store.listen(…) as woken: await woken(timeout)`."""
        return Listening(self._link.subscriber(), channel)

    async def identify_artifacts(self, identity: str) -> None:
        """Record which artifact store belongs to this run store. Raises `StoreRefused` for another one."""
        await self._ask("HSETNX", "prolight:store", "artifacts", identity)
        kept = await self._ask("HGET", "prolight:store", "artifacts")
        if kept != identity:
            raise StoreRefused(
                f"the pictures here are in artifact store {identity[:8]}, but the runs in {safe_url(self.url)} use"
                f" store {str(kept)[:8]}: point PROLIGHT_ARTIFACTS at the folder that all workers and clients share"
            )

    async def _script(self, name: str, *args: Any, asked_again: Mapping[int, str] | None = None) -> list[Any]:
        """Run a script; on a lost answer ask again, with the arguments in `asked_again` saying so."""
        sha, text = _script(name)
        answer = await self._ask("EVALSHA", sha, 0, *args, asked_again=asked_again, script=text)
        told = answer[_NOW.get(name, 0)] / 1000
        self._told, self._told_at = told, time.monotonic()
        return list(answer)

    async def _ask(self, *command: Any, asked_again: Mapping[int, str] | None = None, script: str = "") -> Any:
        give_up = time.monotonic() + self._patience
        wait = 0.05
        while True:
            try:
                return await self._link.call(*command)
            except StoreUnavailable:
                if time.monotonic() + wait > give_up:
                    raise
            except NoScriptError:
                command = ("EVAL", script, *command[2:])
                continue
            except RedisError as error:
                if not will_pass(error) or time.monotonic() + wait > give_up:
                    raise translated(error) from error
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(1.0, wait * 2)
            for place, value in (asked_again or {}).items():
                command = (*command[: place + 3], value, *command[place + 4 :])


def committed(base: Snapshot, decision: Decision, *, ver: int, seq: int) -> Snapshot:
    """How the run stands after a commit, as far as its writer can know."""
    kept = isinstance(decision.placement, Held)
    return Snapshot(
        run=decision.run,
        ver=ver,
        epoch=base.epoch,
        claim_id=base.claim_id if kept else "",
        owner=base.owner if kept else "",
        attempt=base.attempt,
        crashes=base.crashes,
        seq=seq,
        ready=isinstance(decision.placement, Queued) and not decision.placement.after,
        hard_stop=base.hard_stop if kept else None,
    )


def _placed(placement: Placement) -> tuple[str, int, int | str]:
    match placement:
        case Held():
            return "held", 0, ""
        case Queued(after=after, budget=budget, crashed=crashed):
            place = "crashed" if crashed else "queued"
            return place, milliseconds(after), "" if budget is None else milliseconds(budget)
        case Parked(after=after):
            return "parked", milliseconds(after), ""
        case Ended(retention=retention):
            return "ended", milliseconds(retention), ""


@cache
def _script(name: str) -> tuple[str, str]:
    folder = files("prolight.adapters") / "lua"
    text = (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()
    return hashlib.sha1(text.encode()).hexdigest(), text  # noqa: S324 - the name that Redis gives a script


_NOW = {"create": 2, "commit": 3, "publish": 2}
"""Where in a script's answer the store's time stands, if not in front."""
