"""Enqueue runs and follow them, from any process. Loads no Celery, no MCP, no OpenCV."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Self

from prolight import lifecycle
from prolight.adapters.redis_server import Durability
from prolight.adapters.redis_store import RedisStore
from prolight.bootstrap import connect_artifacts, connect_store
from prolight.cancel import cancel
from prolight.determinism import fingerprint, sha256
from prolight.errors import ArtifactMissing
from prolight.events import Event
from prolight.lifecycle import PARKED, TERMINAL
from prolight.pictures import PictureLimits, ingest
from prolight.ports import Snapshot
from prolight.schemas import RunRequest, State
from prolight.settings import Settings

PATIENCE = timedelta(seconds=5)
"""How long a client waits for a store that does not answer."""
SEARCHED = 1000
"""How many of the newest runs a filtered list looks through."""


class AsyncClient:
    """`async with AsyncClient() as client: run_id = await client.submit(picture, brief)`

    Raises `StoreUnavailable` when no store answers, `InvalidInput` for what is refused at the door.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        self.artifacts = connect_artifacts(self.settings)
        self.store: RedisStore = connect_store(self.settings, patience=PATIENCE)

    async def __aenter__(self) -> Self:
        await self.store.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.store.close()

    async def submit(
        self,
        picture: bytes,
        brief: str,
        *,
        run_id: str | None = None,
        idempotency_key: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> str:
        """Accept a run and answer its id. With an idempotency key: the same run for the same content.

        Nothing is kept of what is refused.
        """
        limits = PictureLimits(max_bytes=self.settings.max_upload_bytes, max_pixels=self.settings.max_pixels)
        taken = await asyncio.to_thread(ingest, picture, limits)
        request = RunRequest.parse(
            asset_id=sha256(taken.content),
            brief=brief,
            metadata=metadata or {},
            run_id=run_id,
            idempotency_key=idempotency_key,
        )
        await self.store.identify_artifacts(self.artifacts.identity)
        await self.artifacts.put(taken.content, media_type=taken.media_type)
        return await self.enqueue(request)

    async def enqueue(self, request: RunRequest) -> str:
        """Accept a run on a picture that the artifact store already holds."""
        if await self.artifacts.find(request.asset_id) is None:
            raise ArtifactMissing(f"the artifact store holds no picture {request.asset_id}")
        decision = lifecycle.submitted(
            request,
            request.run_id or new_run_id(),
            budget_usd=self.settings.budget_usd,
            now=self.store.now(),
            deadlines=self.settings.deadlines,
        )
        asked = request.model_dump(mode="json", exclude={"run_id", "idempotency_key"})
        run_id, _ = await self.store.create(
            decision, fingerprint=fingerprint(asked), idempotency_key=request.idempotency_key
        )
        return run_id

    async def get(self, run_id: str) -> Snapshot:
        """Raises `RunNotFound`."""
        return await self.store.read(run_id)

    async def list(self, limit: int = 20, state: State | None = None) -> list[Snapshot]:
        """Newest first."""
        recent = await self.store.recent(SEARCHED if state else limit)
        return [snapshot for snapshot in recent if state in (None, snapshot.run.state)][:limit]

    def events(self, run_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """Live, from `seq` > `after`; ends after the run's last event."""
        return self.store.follow(run_id, after)

    async def wait(self, run_id: str, *, timeout: timedelta | None = None) -> Snapshot:
        """The run once it has ended or waits for a person. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout.total_seconds() if timeout else None):
            snapshot = await self.get(run_id)
            if snapshot.run.state not in TERMINAL | PARKED:
                async for event in self.events(run_id, snapshot.seq):
                    if event.type == "status" and event.payload.model_dump()["state"] in TERMINAL | PARKED:
                        break
            return await self.get(run_id)

    async def cancel(self, run_id: str, *, reason: str = "") -> Snapshot:
        """CANCELLED, or CANCELLING while a worker still holds it. Raises `IllegalMove` for a finished run."""
        return await cancel(
            self.store, run_id, reason=reason or "cancelled by the caller", deadlines=self.settings.deadlines
        )

    async def durability(self) -> Durability:
        return await self.store.durability()


def new_run_id() -> str:
    """A UUIDv7 (RFC 9562): sorts by creation."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))
