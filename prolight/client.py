"""Enqueue runs and follow them, from any process. Loads no Celery, no MCP, no OpenCV.

`sync_client.Client` has the same methods without an event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from prolight import assets, batches, commands, lifecycle, rounds
from prolight.adapters.redis_audit import Progress, audit
from prolight.adapters.redis_server import Durability
from prolight.adapters.redis_store import RedisStore
from prolight.audit import Audit
from prolight.batches import DEFAULT_IN_FLIGHT, Batch, BatchRequest, Input, Line, Look
from prolight.bootstrap import connect_artifacts, connect_store
from prolight.door import Door
from prolight.events import Blocked, Event, Status, Warned, parse
from prolight.ledger import Said
from prolight.lifecycle import PARKED, TERMINAL
from prolight.naming import new_run_id, principal
from prolight.ports import Process, Snapshot
from prolight.redrive import EVERY_FAILURE, Failures, redrive
from prolight.schemas import Artifact, Plan, RunRequest, Stage, State
from prolight.settings import Settings
from prolight.why import Around, Why, why

PATIENCE = timedelta(seconds=5)
"""How long a client waits for a store that does not answer."""
SEARCHED = 1000
"""How many of the newest runs a filtered list looks through."""
PAGE = 200
"""So many runs are read at once by who looks through all of them: a script keeps everybody else waiting."""
LAST_WORDS = 20
"""So many of the newest events may hold the reason for a pause."""


class AsyncClient:
    """`async with AsyncClient() as client: run_id = await client.submit(picture, brief)`

    `url` is that of the store (`redis://…`); by default `PROLIGHT_REDIS_URL`, a running `prolight up`, or localhost.
    Raises `StoreUnavailable` when no store answers, `InvalidInput` for what is refused at the door.
    """

    def __init__(self, url: str = "", *, settings: Settings | None = None) -> None:
        self.settings = settings or settings_for(url)
        self.artifact_store = connect_artifacts(self.settings)
        self.store: RedisStore = connect_store(self.settings, patience=PATIENCE)
        self._open = False

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._open = False
        await self.store.close()

    async def _opened(self) -> RedisStore:
        if not self._open:
            await self.store.open()
            self._open = True
        return self.store

    async def submit(
        self,
        picture: bytes | Path | str,
        brief: str = "",
        *,
        ask: bool = False,
        approve_result: bool = False,
        recipe: str | None = None,
        preset: str | None = None,
        budget_usd: Decimal | str | None = None,
        deadline: timedelta | float | None = None,
        metadata: dict[str, str] | None = None,
        idempotency_key: str | None = None,
        run_id: str | None = None,
    ) -> str:
        """Accept a run and answer its id. With an idempotency key: the same run for the same content.

        `picture` is its bytes, a file, or the id or alias of an asset. With `ask`, a person has to approve the plan,
        with `approve_result` the finished pictures. `recipe` is a COMPLETED run whose plan is applied to this picture;
        the brief is its, too, where none is given. `preset` names what the finished pictures are held to, and brings a
        brief of its own where there is no other; a picture that missed it is told so in `RunContext.checks`.
        `budget_usd` and `deadline` (of working time; a bare number is seconds) stand for the settings' own.
        Nothing is kept of what is refused. Raises `InvalidInput`, `ArtifactMissing`.
        """
        return await (await self._door()).submit(
            picture,
            brief,
            ask=ask,
            approve_result=approve_result,
            recipe=recipe,
            preset=preset,
            budget_usd=budget_usd,
            deadline=deadline,
            metadata=metadata,
            idempotency_key=idempotency_key,
            run_id=run_id,
        )

    async def _door(self) -> Door:
        return Door(await self._opened(), self.artifact_store, self.settings)

    async def enqueue(self, request: RunRequest) -> str:
        """Accept a run on a picture that the artifact store already holds."""
        return await (await self._door()).enqueue(request)

    async def get(self, run_id: str) -> Snapshot:
        """Raises `RunNotFound`."""
        return await (await self._opened()).read(run_id)

    async def events(self, run_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """Live, from `seq` > `after`; ends after the run's last event."""
        store = await self._opened()
        async with aclosing(store.follow(run_id, after)) as events:
            async for event in events:
                yield event

    async def wait(self, run_id: str, *, timeout: timedelta | float | None = None) -> Snapshot:
        """The run once it has ended or waits for a person. A bare number is seconds. Raises `TimeoutError`."""
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        async with asyncio.timeout(seconds):
            snapshot = await self.get(run_id)
            if snapshot.run.state not in TERMINAL | PARKED:
                async with aclosing(self.events(run_id, snapshot.seq)) as events:
                    async for event in events:
                        if isinstance(event.payload, Status) and event.payload.state in TERMINAL | PARKED:
                            break
            return await self.get(run_id)

    async def cancel(self, run_id: str, *, reason: str = "") -> Snapshot:
        """CANCELLED, or CANCELLING while a worker still holds it. Raises `IllegalMove` for a finished run."""
        store, reason = await self._opened(), reason or "cancelled by the caller"
        return await commands.cancel(store, run_id, reason=reason, deadlines=self.settings.deadlines)

    async def approve(
        self, run_id: str, plan_hash: str, *, by: str | None = None, edited: Plan | None = None
    ) -> Snapshot:
        """Let exactly the plan with this hash be carried out; an edited plan goes to the Critic instead.

        `by` names who approves; by default this process's user. Raises `PlanChanged`, `IllegalMove`.
        """
        return await commands.approve(
            await self._opened(),
            run_id,
            plan_hash,
            by=by or principal(),
            deadlines=self.settings.deadlines,
            edited=edited,
        )

    async def publish(self, run_id: str, pictures: Collection[str], *, by: str | None = None) -> Snapshot:
        """COMPLETED with exactly these finished pictures, by artifact id. Raises `PicturesChanged`, `IllegalMove`."""
        store, by = await self._opened(), by or principal()
        return await commands.publish(store, run_id, pictures, by=by, deadlines=self.settings.deadlines)

    async def reject(self, run_id: str, *, reason: str = "", by: str | None = None) -> Snapshot:
        """REJECTED, for good. Raises `IllegalMove` when the run waits for no approval."""
        store, by = await self._opened(), by or principal()
        return await commands.reject(store, run_id, by=by, comment=reason, deadlines=self.settings.deadlines)

    async def review(
        self,
        run_id: str,
        said: Said,
        *,
        reason: str = "",
        by: str | None = None,
        picture: bytes | Path | str | None = None,
        output: dict[str, Any] | None = None,
    ) -> Snapshot:
        """Decide about the call that a run in NEEDS_REVIEW waits with.

        `adopt`: it happened, and made this `picture` (as in `submit`) and `output`. `resend` it, once nothing of it
        can be under way any more. `allow` what has changed. `abandon` the run. Raises `IllegalMove`, `InvalidInput`.
        """
        store = await self._opened()
        result = None
        if said == "adopt":
            made = await (await self._door()).take_in(picture) if picture is not None else None
            result = {"output": output or {}, "artifact": made and made.model_dump(mode="json")}
        return await commands.review(
            store,
            run_id,
            said,
            by=by or principal(),
            comment=reason,
            deadlines=self.settings.deadlines,
            result=result,
        )

    async def failed(self, wanted: Failures = EVERY_FAILURE, *, limit: int = 20) -> tuple[Snapshot, ...]:
        """The failed runs that are meant, newest first. Looks through all runs of the store."""
        store, found, looked = await self._opened(), dict[str, Snapshot](), 0
        while len(found) < limit and (page := await store.recent(PAGE, looked)):
            looked += PAGE
            found |= {one.run.run_id: one for one in page if wanted.hold(one.run, now=store.now())}
        return tuple(found.values())[:limit]

    async def redrive(self, run_id: str, *, budget_usd: Decimal | None = None) -> str:
        """Go on with a failed run as a new one, in the stage that failed; answers the child's id.

        Asked again: the same child, or the child's own when that has failed too. Nothing that is done is bought again.
        The budget is as large as the parent's, by default. Raises `IllegalMove`, `ArtifactMissing`.
        """
        store, deadlines = await self._opened(), self.settings.deadlines
        await assets.find(self.artifact_store, (await store.read(run_id)).run.picture)
        child = await redrive(store, run_id, new_id=new_run_id, budget_usd=budget_usd, deadlines=deadlines)
        return child.run.run_id

    async def audit(self, progress: Progress = lambda runs, keys: None) -> Audit:
        """Look at everything in the store, and write nothing: what is left over, missing or does not fit together.

        It may be asked while workers are busy. What looks wrong is looked at again after five seconds.
        """
        return await audit(await self._opened(), self.artifact_store, progress=progress)

    async def why(self, run_id: str) -> Why:
        """Why the run does not move, in one sentence, and when somebody looks at it next."""
        store = await self._opened()
        snapshot = await store.read(run_id)
        around = Around(
            now=store.now(),
            processes=await store.processes(),
            backlog=await store.backlog(),
            said=await self._last_words(snapshot),
            paused=await store.paused(),
        )
        return why(snapshot, around)

    async def workers(self) -> tuple[Process, ...]:
        """The worker processes that the store knows."""
        return tuple(await (await self._opened()).processes())

    async def pause(self, *stages: Stage, reason: str = "", by: str | None = None) -> None:
        """Stop new claims of these stages (none: of all), in the whole fleet; what is worked on goes on."""
        await (await self._opened()).pause(stages or tuple(Stage), by=by or principal(), reason=reason)

    async def resume(self, *stages: Stage) -> None:
        """Let these stages (none: all) go on."""
        await (await self._opened()).resume(stages or tuple(Stage))

    async def artifacts(self, run_id: str, *, unapproved: bool = False) -> tuple[Artifact, ...]:
        """The finished pictures, for `download`; those that still wait for a person only as `unapproved`.

        Raises `NothingFinished` for a run that has none.
        """
        return lifecycle.given_out((await self.get(run_id)).run, unapproved=unapproved)

    async def begin_batch(
        self,
        inputs: Sequence[Input],
        brief: str = "",
        *,
        recipe: str | None = None,
        preset: str | None = None,
        ask: bool = False,
        approve_result: bool = False,
        proof: int = 0,
        max_in_flight: int = DEFAULT_IN_FLIGHT,
        budget_usd: Decimal | str | None = None,
        run_budget_usd: Decimal | str | None = None,
        batch_id: str | None = None,
        progress: rounds.Progress = lambda done: None,
    ) -> str:
        """Many pictures, each a run of its own, worked off by the workers; answers the batch's id.

        Brief, `recipe`, `preset`, `ask` and `approve_result` as in `submit`, for each run. The first `proof` pictures
        are made, and the rest waits until a person approves the batch. All runs together spend `budget_usd` at most,
        each `run_budget_usd`. Nothing begins when one picture is refused. Raises `InvalidInput`, `RunNotFound`.
        """
        door = await self._door()
        request = BatchRequest.parse(
            brief=await door.brief(brief, recipe, preset),
            recipe=recipe,
            preset=preset,
            ask=ask,
            approve_result=approve_result,
            proof=proof,
            max_in_flight=max_in_flight,
            budget_usd=budget_usd,
            run_budget_usd=self.settings.budget_usd if run_budget_usd is None else run_budget_usd,
        )
        batch_id = batch_id or new_run_id()
        await rounds.begin(door, batch_id, request, inputs, progress)
        return batch_id

    async def batch(self, batch_id: str) -> Look:
        """How it and its open pictures stand. Raises `BatchNotFound`."""
        return await (await self._opened()).batches.look(batch_id)

    async def batches(self, limit: int = 20) -> list[Batch]:
        """Newest first."""
        return await (await self._opened()).batches.recent(limit)

    async def approve_batch(self, batch_id: str, *, by: str | None = None) -> Batch:
        """The proofs are good: the rest may follow. Raises `IllegalMove`, `BatchNotFound`."""
        door, who = await self._door(), by or principal()
        return await rounds.answer(door, batch_id, lambda one, now: batches.approved(one, by=who, now=now))

    async def decline_batch(self, batch_id: str, *, reason: str = "", by: str | None = None) -> Batch:
        """The proofs are not good: nothing follows. Raises `IllegalMove`, `BatchNotFound`."""
        who = by or principal()
        return await rounds.answer(
            await self._door(), batch_id, lambda one, now: batches.declined(one, by=who, reason=reason, now=now)
        )

    async def cancel_batch(self, batch_id: str, *, by: str | None = None) -> Batch:
        """Nothing more begins, and open runs are cancelled. Raises `IllegalMove`, `BatchNotFound`."""
        return await rounds.cancel(await self._door(), batch_id, by=by or principal())

    async def batch_page(self, batch_id: str, first: int = 0, count: int = PAGE) -> list[Line]:
        """These pictures of a batch, in the order of its list, and how each ended. Fewer, or none, at its end."""
        return await rounds.lines(await self._door(), batch_id, range(first, first + count))

    async def download(self, artifact: Artifact | str) -> bytes:
        """The bytes of a picture, by itself or its id, verified. Raises `ArtifactMissing`."""
        return await self.artifact_store.get(artifact if isinstance(artifact, str) else artifact.id)

    async def durability(self) -> Durability:
        """What the store's real settings promise."""
        return await (await self._opened()).durability()

    async def list(self, limit: int = 20, state: State | None = None) -> list[Snapshot]:
        """Newest first."""
        recent = await (await self._opened()).recent(SEARCHED if state else limit)
        return [snapshot for snapshot in recent if state in (None, snapshot.run.state)][:limit]

    async def _last_words(self, snapshot: Snapshot) -> str:
        """The newest warning, or what the run is blocked by."""
        for text in reversed(await self.store.events(snapshot.run.run_id, max(0, snapshot.seq - LAST_WORDS))):
            match parse(text).payload:
                case Warned(message=message):
                    return message
                case Blocked(reasons=reasons):
                    return "; ".join(reasons)
        return ""


def settings_for(url: str) -> Settings:
    return Settings.load(redis_url=url) if url else Settings.load()
