"""One trial in an arena: runs are submitted, watched, answered for by a person, and what is left is written down."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from prolight.errors import IllegalMove, ProLightError, RunNotFound, StoreError, StoreUnavailable
from prolight.lifecycle import PARKED, TERMINAL
from prolight.ports import Snapshot
from prolight.schemas import RunRequest, State
from tests.chaos import dump
from tests.chaos import histories as lines
from tests.chaos.arena import CANARY, HASHES, Arena
from tests.chaos.checker.facts import canonical_hash
from tests.chaos.paid import png

CLASSES = ("pure", "keyed", "probeable", "billed", "blind")
ENDS_WITHIN = timedelta(seconds=60)
LOOK_SECONDS = 0.05
RESUME_AFTER = 4
"""A follower breaks off after so many events, and comes back."""


class Trial:
    def __init__(self, arena: Arena, name: str, seed: int) -> None:
        self.arena, self.name, self.random = arena, name, Random(seed)
        self.runs: list[str] = []
        self.faults: list[lines.Fault] = []
        self._submits: list[lines.Submit] = []
        self._heard: list[lines.Heard] = []
        self._reads: list[lines.Read] = []
        self._followers: list[asyncio.Task[None]] = []
        self._parked_for_good: set[str] = set()
        self._ended: dict[str, Snapshot] = {}
        self.keep_parked = False
        """Nobody answers now."""
        self._process_lines = len(arena.processes)
        self._forgotten = 0

    def forget(self) -> None:
        """The runs until now are no longer of the trial: the store lost them, and its account of them."""
        for follower in self._followers:
            follower.cancel()
        self._forgotten += len(self.runs)
        for taken_down in (self.runs, self._submits, self._heard, self._reads):
            taken_down.clear()

    # --- callers ---

    async def submit(self, brief: str, *, key: str | None = None, follow: bool = True, **more: Any) -> str:
        """A run of this plan; its id is in its brief, so that the stubs can tell whose call is whose."""
        run = f"{self.name}-{len(self.runs) + self._forgotten + 1}"
        self.runs.append(run)
        picture = await self._picture()
        request = RunRequest(picture_id=picture, brief=f"{brief} #{run}", run_id=run, idempotency_key=key, **more)
        await self.ask(request)
        if follow:
            self.follow(run)
        return run

    async def ask(self, request: RunRequest) -> None:
        """Submit, and note what was heard."""
        sent, answer, code, got = time.time(), "accepted", "", None
        run = request.run_id
        try:
            run = await self.arena.client.enqueue(request)
            got = time.time()
        except StoreError:
            answer = "unknown"
        except ProLightError as refused:
            answer, code, got = "refused", refused.code, time.time()
        self.note_submit(request, answer, sent=sent, got=got, code=code, run=run)

    def note_submit(self, request: RunRequest, answer: Any, **more: Any) -> None:
        asked = request.model_dump(mode="json", exclude={"run_id", "idempotency_key"}, exclude_defaults=True)
        line = {"n": len(self._submits) + 1, "key": request.idempotency_key, "body": canonical_hash(asked), **more}
        self._submits.append(lines.Submit(answer=answer, picture=request.picture_id, **line))

    async def _picture(self) -> str:
        client = self.arena.client
        while True:
            try:
                await client.store.identify_artifacts(client.artifact_store.identity)
                break
            except StoreUnavailable:  # only the submit that follows is to meet that
                await asyncio.sleep(LOOK_SECONDS)
        kept = await client.artifact_store.put(png("picture", "of all trials"), media_type="image/png")
        return kept.id

    async def request(self, brief: str, **more: Any) -> RunRequest:
        return RunRequest(picture_id=await self._picture(), brief=brief, **more)

    def landed(self, name: str, landed: bool = True, **planned: Any) -> None:
        self.faults.append(lines.Fault(name=name, planned=planned, landed=landed, at=time.time() if landed else None))

    # --- readers ---

    def follow(self, run: str) -> None:
        """Two readers: one stays, one breaks off and resumes."""
        for reader, breaks in ((f"stays-{run}", False), (f"resumes-{run}", True)):
            self._followers.append(asyncio.create_task(self._follow(reader, run, breaks)))

    async def _follow(self, reader: str, run: str, breaks: bool) -> None:
        after = 0
        while True:
            count, begun = 0, after
            try:
                async with aclosing(self.arena.client.events(run, after)) as events:
                    async for event in events:
                        after, count = event.seq, count + 1
                        digest = HASHES[run, event.seq]
                        heard = lines.Heard(reader=reader, run=run, after=begun, seq=event.seq, sha256=digest)
                        self._heard.append(heard)
                        if breaks and count == RESUME_AFTER and not event.final:
                            break
                    else:
                        self._heard.append(lines.Heard(reader=reader, run=run, after=begun, seq=None))
                        return
            except (StoreError, RunNotFound):
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self, *, also_ended: bool = False) -> list[Snapshot]:
        """All runs as they stand, as one client sees them; those that have ended as they were seen then."""
        if also_ended:
            self._ended.clear()
        found = []
        for run in self.runs:
            with suppress(StoreError, RunNotFound):
                found.append(self._ended.get(run) or await self._see(run))
        return found

    async def _see(self, run: str) -> Snapshot:
        seen = await self.arena.client.get(run)
        self._reads.append(lines.Read(reader="driver", at=time.time(), run=run, ver=seen.ver, state=seen.run.state))
        if seen.run.state in TERMINAL:
            self._ended[run] = seen
        return seen

    # --- people ---

    async def answer(self, seen: Snapshot) -> None:
        """A person lets plans pass; a doubtful call is sent again, or given up."""
        client, run = self.arena.client, seen.run
        if self.keep_parked:
            return
        with suppress(IllegalMove, StoreError):
            if run.state is State.AWAITING_APPROVAL and run.lock:
                await client.approve(run.run_id, run.lock.plan_hash, by="ada")
            elif run.state is State.NEEDS_REVIEW and run.run_id not in self._parked_for_good:
                fate = self.random.choice(("resend", "abandon", "leave"))
                if fate == "leave":
                    self._parked_for_good.add(run.run_id)
                elif run.review and run.review.why == "outcome_unknown":
                    await client.review(run.run_id, fate, by="ada")  # type: ignore[arg-type]
                else:
                    await client.review(run.run_id, "abandon", by="ada")

    def over(self, seen: Snapshot) -> bool:
        return seen.run.state in TERMINAL or seen.run.run_id in self._parked_for_good

    def all_over(self, seen: list[Snapshot]) -> bool:
        """`seen` as `look` answers: a run that could not be read is missing."""
        return len(seen) == len(self.runs) and all(map(self.over, seen))

    async def quiet(self, within: timedelta = ENDS_WITHIN) -> bool:
        """Until every run has ended, or waits for good. False when they do not."""
        give_up = time.monotonic() + within.total_seconds()
        while time.monotonic() < give_up:
            seen = await self.look()
            if self.all_over(seen):
                return True
            for each in seen:
                if each.run.state in PARKED:
                    await self.answer(each)
            await asyncio.sleep(LOOK_SECONDS)
        return False

    # --- what is left ---

    async def leave(self, folder: Path) -> None:
        """Write the trial down, and clear it away."""
        await self._let_readers_end()
        arena, store = self.arena, self.arena.client.store
        audit = await dump.audit(store)
        keys = {key for record in audit if isinstance(record, lines.Commit) for key in record.journal}
        settled = [record for record in audit if not isinstance(record, lines.Refused | lines.TakenBack | lines.Told)]
        now = store.now()
        terms = arena.terms()
        still = now - settled[-1].at / 1000 if settled else 0.0
        ended = all(map(self.over, await self.look(also_ended=True)))
        end = await dump.end(
            store,
            self.known(audit),
            quiet=ended or still > 2 * terms.lease + 2 * terms.sweep + terms.slack,
            now=round(now * 1000),
            settings=terms,
            sinks=self._sinks(),
            canaries=(CANARY,),
            artifacts=tuple(file.parent.name + file.name for file in arena.settings.artifact_root.glob("??/*")),
        )
        history = lines.History(
            audit=audit,
            events=await dump.streams(store, self.known(audit)),
            client=tuple(self._submits),
            world=dump.world(arena.world_ledger, keys, self.runs),
            llm=dump.llm(arena.llm_ledger, self.runs),
            readers=(*self._heard, *(heard for heard in arena.heard if heard.run in self.runs)),
            reads=tuple(self._reads),
            processes=tuple(arena.processes[self._process_lines :]),
            faults=tuple(self.faults),
            end=end,
        )
        folder.mkdir(parents=True)
        lines.save(history, folder)

    def known(self, audit: tuple[lines.Audit, ...]) -> list[str]:
        """Also runs that nobody asked for."""
        return sorted({*self.runs, *(record.run for record in audit if isinstance(record, lines.Create))})

    async def _let_readers_end(self) -> None:
        """Those of ended runs end by themselves."""
        if self._followers:
            await asyncio.wait(self._followers, timeout=1)
        for follower in self._followers:
            follower.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)

    def _sinks(self) -> tuple[lines.Sink, ...]:
        logs = sorted(self.arena.home.glob("*.log"))
        return tuple(lines.Sink(name=log.name, text=log.read_text("latin-1")) for log in logs)
