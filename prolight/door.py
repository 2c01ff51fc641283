"""The door: a request is checked whole before anything of it is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from prolight import assets, lifecycle
from prolight.adapters.redis_store import RedisStore
from prolight.batches import BatchRequest
from prolight.determinism import fingerprint, sha256
from prolight.errors import InvalidInput
from prolight.naming import new_run_id
from prolight.pictures import ingest
from prolight.ports import ArtifactStore
from prolight.presets import preset as preset_named
from prolight.recipes import recipe_of
from prolight.schemas import Artifact, Recipe, RunRequest, Target
from prolight.settings import Settings


class Brought(NamedTuple):
    """What a request names, as it is now."""

    recipe: Recipe | None
    preset: Target | None


@dataclass(frozen=True, slots=True)
class Door:
    store: RedisStore
    artifacts: ArtifactStore
    settings: Settings

    async def submit(
        self,
        picture: bytes | Path | str,
        brief: str,
        *,
        recipe: str | None,
        preset: str | None,
        deadline: timedelta | float | None,
        metadata: dict[str, str] | None,
        **asked: Any,
    ) -> str:
        """As `Client.submit`."""
        asked |= {
            "brief": await self.brief(brief, recipe, preset),
            "recipe": recipe,
            "preset": preset,
            "deadline_seconds": deadline.total_seconds() if isinstance(deadline, timedelta) else deadline,
            "metadata": metadata or {},
        }
        if isinstance(picture, str):
            found = await assets.find(self.artifacts, picture)
            request = RunRequest.parse(picture_id=found.id, asset_id=picture, **asked)
            return await self._create(request, await self._checked(request))
        taken = await asyncio.to_thread(ingest, self._content(picture), self.settings.picture_limits)
        request = RunRequest.parse(picture_id=sha256(taken.content), **asked)
        made = await self._checked(request)
        await self.store.identify_artifacts(self.artifacts.identity)
        await self.artifacts.put(taken.content, media_type=taken.media_type)
        return await self._create(request, made)

    async def brief(self, said: str, recipe: str | None, preset: str | None) -> str:
        """As it is said, else the recipe's, else the preset's. Raises `InvalidInput`, `RunNotFound`."""
        if said or not (recipe or preset):
            return said
        return (await self.store.read(recipe)).run.brief if recipe else preset_named(preset or "").brief

    async def enqueue(self, request: RunRequest) -> str:
        """As `Client.enqueue`."""
        brought = await self._checked(request)
        await assets.find(self.artifacts, request.picture_id)
        return await self._create(request, brought)

    async def take_in(self, picture: bytes | Path | str) -> Artifact:
        """The picture, kept. Raises `InvalidInput`, `ArtifactMissing`."""
        if isinstance(picture, str):
            return await assets.find(self.artifacts, picture)
        return await assets.take_in(self.artifacts, self._content(picture), self.settings.picture_limits)

    def _content(self, picture: bytes | Path) -> bytes:
        return assets.read(picture, self.settings.picture_limits) if isinstance(picture, Path) else picture

    async def check_batch(self, request: BatchRequest) -> None:
        """Raises `InvalidInput`, `RunNotFound`."""
        one = request.run_budget_usd
        self._check_budget(one, "run_budget_usd")
        if request.budget_usd is not None and request.budget_usd < one:
            reason = f"is {request.budget_usd} USD, less than the {one} of one run: lower that, too"
            raise InvalidInput(reason, field="budget_usd")
        await self._brought(request.recipe, request.preset)

    async def _checked(self, request: RunRequest) -> Brought:
        """Raises `InvalidInput`, `RunNotFound`."""
        if request.budget_usd is not None:
            self._check_budget(request.budget_usd, "budget_usd")
        deadline, longest = request.deadline_seconds, self.settings.max_run_deadline_seconds
        if deadline is not None and deadline > longest:
            message = f"is {deadline:g} s, at most {longest:g} (PROLIGHT_MAX_RUN_DEADLINE_SECONDS)"
            raise InvalidInput(message, field="deadline_seconds")
        return await self._brought(request.recipe, request.preset)

    def _check_budget(self, budget: Decimal, field: str) -> None:
        most = self.settings.max_budget_usd
        if budget > most:
            raise InvalidInput(f"is {budget} USD, at most {most} (PROLIGHT_MAX_BUDGET_USD)", field=field)

    async def _brought(self, run_id: str | None, preset: str | None) -> Brought:
        cooked = (await self.store.read(run_id)).run if run_id else None
        own = cooked.preset if cooked else None
        return Brought(recipe_of(cooked) if cooked else None, preset_named(preset).target if preset else own)

    async def _create(self, request: RunRequest, brought: Brought) -> str:
        decision = lifecycle.submitted(
            request,
            request.run_id or new_run_id(),
            recipe=brought.recipe,
            preset=brought.preset,
            budget_usd=self.settings.budget_usd,
            now=self.store.now(),
            deadlines=self.settings.deadlines,
        )
        asked = request.model_dump(mode="json", exclude={"run_id", "idempotency_key"}, exclude_defaults=True)
        run_id, _ = await self.store.create(
            decision, fingerprint=fingerprint(asked), idempotency_key=request.idempotency_key
        )
        return run_id
