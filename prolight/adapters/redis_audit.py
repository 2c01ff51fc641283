"""Looks at every key of the run store, and at the files of the artifact store, without writing anything.

It goes by cursor and holds a page at a time, so it may run beside busy workers and on large stores. What looks wrong is
looked at again after a moment: only what is still wrong, and has not moved meanwhile, is a finding.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prolight import batch_audit
from prolight.adapters.keys import expires
from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.redis_store import RedisStore
from prolight.audit import Audit, Facts, Finding, judge, judge_key, missing_picture, old_file, pictures
from prolight.errors import ArtifactMissing
from prolight.schemas import Stage

LOOK_AGAIN_AFTER = timedelta(seconds=5)
"""By then a heartbeat and some sweeps have mended what mends itself."""
OLD_FILE = timedelta(hours=1)
AT_A_TIME = 500
RUNS_AT_A_TIME = 50
"""Documents are large, and a script keeps everybody else waiting."""
MOST_FINDINGS = 1_000
PICTURES_KEPT = 10_000
RUN, OF_RUNS = "prolight:run:", ("prolight:journal:", "prolight:events:")
OF_BATCHES = tuple(f"prolight:{kind}:" for kind in ("batch", "pictures", "open", "results"))
LISTS = ("prolight:due", *(f"prolight:ready:{stage}" for stage in Stage), "prolight:runs", "prolight:ended")
Progress = Callable[[int, int], None]
"""Gets the numbers of runs and of keys that were looked at so far."""


async def audit(
    store: RedisStore,
    artifacts: LocalArtifacts,
    *,
    progress: Progress = lambda runs, keys: None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Audit:
    """Everything that is wrong now and was wrong a moment ago."""
    look = Look(store, artifacts, progress)
    if at := await store.emptied():
        moment = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        look.notes.append(f"the store lost everything that it held by {moment}: what it had accepted is gone")
    await look.compare_folders()
    suspects: dict[Finding, None] = {}
    async with aclosing(look.everywhere()) as findings:
        async for finding in findings:
            suspects[finding] = None
            if len(suspects) >= MOST_FINDINGS:
                break
    runs, keys = look.runs, look.keys
    still: set[Finding] = set()
    if suspects:
        await sleep(LOOK_AGAIN_AFTER.total_seconds())
        still = {finding async for finding in look.again(suspects)}
    found = tuple(finding for finding in suspects if finding in still)
    return Audit(found, runs, keys, cut=len(suspects) >= MOST_FINDINGS, notes=tuple(look.notes))


class Look:
    """One pass. A friend of `RedisStore`: it asks by its link, and learns the time with it."""

    def __init__(self, store: RedisStore, artifacts: LocalArtifacts, progress: Progress) -> None:
        self._store, self._artifacts, self._progress = store, artifacts, progress
        self._pictures: dict[str, str] = {}
        """By id, what is wrong with it; empty for those that are there."""
        self._with_pictures = True
        self.notes: list[str] = []
        self.runs = self.keys = 0

    async def compare_folders(self) -> None:
        """Pictures are judged only where the folder here is the one that the runs use."""
        used = await self._store._ask("HGET", "prolight:store", "artifacts")
        here = await asyncio.to_thread(self._artifacts.kept_identity)
        self._with_pictures = used is not None and used == here
        if used is not None and used != here:
            self.notes.append("pictures are not looked at: PROLIGHT_ARTIFACTS is not the folder that the runs use")

    async def everywhere(self) -> AsyncGenerator[Finding]:
        async for keys in self._pages("SCAN", match="prolight[:.]*"):
            self.keys += len(keys)
            for finding in await self._of_keys(keys):
                yield finding
            self._progress(self.runs, self.keys)
        for name in LISTS:
            async for found in self._pages("ZSCAN", name):
                of_batches = [member[6:] for member in found[::2] if member.startswith("batch:")]
                of_runs = [member.removeprefix("run:") for member in found[::2] if not member.startswith("batch:")]
                for finding in (*await self._of_gone(of_runs), *await self._of_batches(of_batches)):
                    yield finding
        if self._with_pictures:
            for path in await asyncio.to_thread(self._artifacts.leftovers, OLD_FILE):
                yield old_file(str(path))

    async def again(self, suspects: Iterable[Finding]) -> AsyncIterator[Finding]:
        self._pictures.clear()
        about: dict[str, list[str]] = defaultdict(list)
        for finding in suspects:
            about[finding.of].append(finding.about)
        for finding in (*await self._of_runs(about["run"]), *await self._of_batches(about["batch"])):
            yield finding
        for finding in await self._of_keys(about["key"]):
            yield finding
        for path in about["file"]:
            if await asyncio.to_thread(Path(path).exists):
                yield old_file(path)

    async def _of_keys(self, keys: list[str]) -> list[Finding]:
        runs = [key.removeprefix(RUN) for key in keys if key.startswith(RUN)]
        gone = [key.split(":", 2)[2] for key in keys if key.startswith(OF_RUNS)]
        batches = [key.split(":", 2)[2] for key in keys if key.startswith(OF_BATCHES)]
        others = [key for key in keys if not key.startswith((RUN, *OF_RUNS, *OF_BATCHES))]
        answers = (await self._store._script("audit_keys", *others))[1:] if others else []
        judged = [judge_key(key, left, whose, expires(key)) for key, left, whose in answers]
        of_keys = [finding for findings in judged for finding in findings]
        return [*await self._of_runs(runs), *await self._of_gone(gone), *await self._of_batches(batches), *of_keys]

    async def _of_runs(self, run_ids: Iterable[str]) -> list[Finding]:
        found = []
        for some in _some(dict.fromkeys(run_ids), RUNS_AT_A_TIME):
            for facts in await self._facts("all", some):
                self.runs += bool(facts.document)
                found += [*judge(facts), *await self._missing_pictures(facts)]
        return found

    async def _of_batches(self, batch_ids: Iterable[str]) -> list[Finding]:
        found = []
        for some in _some(dict.fromkeys(batch_ids), RUNS_AT_A_TIME):
            now, *answers = await self._store._script("audit_batches", *some)
            found += [finding for answer in answers for finding in batch_audit.judge(_facts_of_batch(answer, now))]
        return found

    async def _of_gone(self, run_ids: Iterable[str]) -> list[Finding]:
        """Of ids in keys and lists: those that are runs are met there."""
        pages = [await self._facts("gone", some) for some in _some(dict.fromkeys(run_ids), AT_A_TIME)]
        return [finding for page in pages for facts in page for finding in judge(facts)]

    async def _facts(self, which: str, run_ids: list[str]) -> list[Facts]:
        now, *answers = await self._store._script("audit_runs", which, *run_ids)
        return [_facts(answer, now, self._store._crashes_to_poison) for answer in answers]

    async def _missing_pictures(self, facts: Facts) -> list[Finding]:
        if not self._with_pictures:
            return []
        wrong = [(picture_id, await self._wrong_with(picture_id)) for picture_id in pictures(facts)]
        return [missing_picture(facts, picture_id, why) for picture_id, why in wrong if why]

    async def _wrong_with(self, picture_id: str) -> str:
        if picture_id not in self._pictures:
            if len(self._pictures) >= PICTURES_KEPT:
                self._pictures.clear()
            try:
                there = await self._artifacts.find(picture_id)
                self._pictures[picture_id] = "" if there else "it is not there"
            except ArtifactMissing as damaged:
                self._pictures[picture_id] = str(damaged)
        return self._pictures[picture_id]

    async def _pages(self, command: str, *key: str, match: str = "*") -> AsyncIterator[list[Any]]:
        cursor: Any = 0
        while True:
            cursor, page = await self._store._ask(command, *key, cursor, "MATCH", match, "COUNT", AT_A_TIME)
            yield page
            if not int(cursor):
                return


def _some(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    all_ids = list(ids)
    return (all_ids[start : start + size] for start in range(0, len(all_ids), size))


def _facts(answer: list[Any], now: float, crashes_to_poison: int) -> Facts:
    run_id, document, ver, state, stage, seq, claim, owner, crashes, deadline, stage_deadline, backs_off, *rest = answer
    due, ready, listed, ended, left, journal_left, events_left, events, last_event, held, owner_known, started = rest
    return Facts(
        run_id,
        now,
        document=document,
        ver=int(ver or 0),
        state=state,
        stage=stage,
        seq=int(seq or 0),
        claim=claim,
        owner=owner,
        poisoned=int(crashes or 0) >= crashes_to_poison,
        deadline=float(deadline or 0),
        stage_deadline=float(stage_deadline or 0),
        backs_off=_moment(backs_off),
        due=_moment(due),
        ready=tuple(ready),
        listed=_moment(listed),
        ended=_moment(ended),
        left=left,
        journal_left=journal_left,
        events_left=events_left,
        events=events,
        last_event=last_event,
        held=held,
        owner_known=bool(owner_known),
        started=tuple(started),
    )


def _facts_of_batch(answer: list[Any], now: float) -> batch_audit.Facts:
    batch_id, document, ver, due, *counts = answer
    left = dict(zip((f"{kind}{batch_id}" for kind in OF_BATCHES), counts, strict=False))
    pictures, still_open, results = counts[len(OF_BATCHES) :]
    return batch_audit.Facts(
        batch_id,
        now,
        document=document,
        ver=int(ver or 0),
        due=_moment(due),
        left=left,
        pictures=pictures,
        open=still_open,
        results=results,
    )


def _moment(given: str) -> float | None:
    return float(given) if given != "" else None
