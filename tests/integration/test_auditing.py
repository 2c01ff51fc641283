"""`prolight audit` on a real Valkey: damage that is planted is found, and busy workers cause no alarm."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.redis_audit import audit
from prolight.adapters.redis_link import RedisLink
from prolight.audit import Audit
from prolight.batches import BatchRequest, BatchState, Look, Picture, Result, Round, begun
from prolight.cli import run as prolight
from prolight.client import AsyncClient
from prolight.embedded import ValkeyServer
from prolight.ledger import Entry
from prolight.schemas import State
from tests.contract.backends import RedisBackend
from tests.contract.runs import (
    announce,
    awaiting_approval,
    backing_off,
    cancelled,
    claimed,
    commit,
    executing,
    held,
    submit,
)
from tests.integration.fleet import Fleet
from tests.integration.test_faults import fill, picture
from tests.unit.scripted import PICTURE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

STARTED = Entry(
    status="started", name="t.light", arguments_hash="h", tries=1, started_at=1, deadline_at=2, quote_usd=Decimal("0.3")
).model_dump_json()


class Stocked:
    """A store with runs in all stages of life: `parked`, `held` (a call is under way), `pauses`, `over`, `waits`."""

    def __init__(self, backend: RedisBackend, artifacts: LocalArtifacts) -> None:
        self.backend, self.artifacts = backend, artifacts
        self.server: Redis = backend.client

    async def fill(self) -> None:
        backend, store = self.backend, self.backend.store
        await announce(backend)
        await awaiting_approval(backend, "parked")
        base = await executing(backend, "held")
        run = base.run.evolve(reserved_usd=Decimal("0.3"))
        await commit(store, base, held(run), journal={"key": STARTED})
        base = await claimed(backend, "pauses")
        await commit(store, base, backing_off(base, await backend.now(), timedelta(minutes=9)))
        await submit(backend, "over", key="order 7")
        base = await store.read("over")
        await commit(store, base, cancelled(base, await backend.now()), journal={"key": "{}"}, holder=False)
        await submit(backend, "waits", key="order 8")
        await self._begin("goes-on")
        over = await self._begin("made")
        closed = {number: Result(state=State.COMPLETED) for number in range(over.batch.total)}
        done = over.batch.evolve(
            state=BatchState.DONE, opened=2, counts={State.COMPLETED: 2}, finished_at=await backend.now()
        )
        await store.batches.commit(over, Round(done, closed, ()))

    async def _begin(self, batch_id: str) -> Look:
        """A batch of two pictures, both still to be opened."""
        kept = self.backend.store.batches
        request = BatchRequest(brief="warm key", run_budget_usd=Decimal(1))
        pictures = [Picture(name=name, picture_id=PICTURE) for name in ("cup.jpg", "jug.jpg")]
        await kept.create(begun(batch_id, request, 2, now=await self.backend.now()), pictures)
        return await kept.look(batch_id)

    async def do(self, *commands: str) -> None:
        for command in commands:
            await self.server.execute_command(*command.split(" "))

    async def audited(self, *then: str) -> Audit:
        """`then` happens between the first look and the second."""
        return await audit(self.backend.store, self.artifacts, sleep=lambda _: self.do(*then))


@pytest.fixture
async def stocked(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Stocked]:
    stocked = Stocked(RedisBackend(RedisLink(valkey.url)), LocalArtifacts(tmp_path / "artifacts"))
    try:
        await stocked.fill()
        yield stocked
    finally:
        await stocked.backend.close()


async def test_a_store_in_order_is_passed_and_nothing_is_written(stocked: Stocked) -> None:
    before = (await stocked.server.info("persistence"))["rdb_changes_since_last_save"]
    found = await stocked.audited()
    assert found.findings == ()
    assert found.runs == 5
    assert found.keys >= found.runs
    assert (await stocked.server.info("persistence"))["rdb_changes_since_last_save"] == before


PLANTED = {
    "no_due": ["ZREM prolight:due run:waits"],
    "no_due of a held run": ["ZREM prolight:due run:held"],
    "not_ready": ["ZREM prolight:ready:plan waits"],
    "ready of a held run": ["ZADD prolight:ready:execute 1 held"],
    "ready of a parked run": ["ZADD prolight:ready:plan 1 parked"],
    "ready of an ended run": ["ZADD prolight:ready:plan 1 over"],
    "ready of no run": ["ZADD prolight:ready:plan 1 ghost"],
    "due of an ended run": ["ZADD prolight:due 1 run:over"],
    "due of no run": ["ZADD prolight:due 1 run:ghost"],
    "claim of an ended run": ["HSET prolight:run:over claim c owner w1"],
    "claim_unlisted": ["HDEL prolight:claims:w1 held"],
    "claim_of_other:waits": ["HSET prolight:claims:w1 waits c"],
    "claims_of_nobody": ["HDEL prolight:processes w1"],
    "claim_of_nobody": ["HDEL prolight:processes w1"],
    "claims_of_nobody whatever it claims": ["HSET prolight:claims:ghost held c"],
    "reservation that is not called for": ["HDEL prolight:journal:held key"],
    "reservation that is missing": ["HSET prolight:journal:parked key " + STARTED],
    "state": ["HSET prolight:run:parked state NEEDS_REVIEW"],
    "unreadable": ["HSET prolight:run:parked document {}"],
    "events that are missing": ["XDEL prolight:events:parked 2-0"],
    "events that were never told": ["HSET prolight:run:parked seq 99"],
    "events of no run": ["XADD prolight:events:ghost 1-0 e x"],
    "journal of no run": ["HSET prolight:journal:ghost key {}"],
    "expires": ["PEXPIRE prolight:run:parked 90000"],
    "expires by its events": ["PEXPIRE prolight:events:parked 90000"],
    "no_expiry of an ended run": ["PERSIST prolight:run:over"],
    "no_expiry of its journal": ["PERSIST prolight:journal:over"],
    "no_expiry of a key": ["SET prolight:op:1 1"],
    "no_expiry of an idempotency key": ["SET prolight:idem:1 ghost"],
    "unknown_key": ["SET prolight:what 1"],
    "unlisted": ["ZREM prolight:runs waits"],
    "ended": ["ZADD prolight:ended 1 waits"],
    "not_ended": ["ZREM prolight:ended over"],
    "record": ["DEL prolight:run:over"],
    "no_due of a batch": ["ZREM prolight:due batch:goes-on"],
    "pictures that a batch misses": ["HDEL prolight:pictures:goes-on 1"],
    "account of a batch": ["HSET prolight:open:goes-on 0 1"],
    "account of a batch that is over": ["HDEL prolight:results:made 1"],
    "expires before its batch is over": ["PEXPIRE prolight:pictures:goes-on 90000"],
    "unreadable batch": ["HSET prolight:batch:goes-on document {}"],
    "due of a batch that is over": ["ZADD prolight:due 1 batch:made"],
    "due of no batch": ["ZADD prolight:due 1 batch:ghost"],
    "open of a batch that is over": ["HSET prolight:open:made 1 1"],
    "no_expiry of a batch that is over": ["PERSIST prolight:results:made"],
    "batch that is gone": ["DEL prolight:batch:goes-on"],
}


@pytest.mark.parametrize("name", PLANTED)
async def test_damage_that_is_planted_is_found(name: str, stocked: Stocked) -> None:
    await stocked.do(*PLANTED[name])
    found = (await stocked.audited()).findings
    assert name.partition(" ")[0] in {finding.kind for finding in found}
    assert all(finding.fix for finding in found)


@pytest.mark.parametrize(
    "name",
    [
        "no_due",
        "not_ready",
        "ready of a held run",
        "due of no run",
        "claim_unlisted",
        "expires",
        "unknown_key",
        "unlisted",
        "no_due of a batch",
        "expires before its batch is over",
        "due of no batch",
        "no_expiry of a batch that is over",
        "batch that is gone",
    ],
)
async def test_the_fix_that_a_finding_names_mends_it(name: str, stocked: Stocked) -> None:
    await stocked.do(*PLANTED[name])
    for finding in (await stocked.audited()).findings:
        await stocked.do(*finding.fix.split("` and `"))
    await stocked.backend.store.sweep()
    assert (await stocked.audited()).findings == ()


async def test_a_deleted_record_leaves_traces_that_are_all_found(stocked: Stocked) -> None:
    await stocked.do("DEL prolight:run:waits")
    found = {finding.kind for finding in (await stocked.audited()).findings}
    assert found == {"due", "ready", "record", "events", "no_expiry"}


async def test_what_has_mended_itself_by_the_second_look_is_no_finding(stocked: Stocked) -> None:
    await stocked.do("ZREM prolight:due run:waits")
    assert (await stocked.audited("ZADD prolight:due 1 run:waits")).findings == ()


async def test_what_is_still_wrong_but_has_moved_is_no_finding(stocked: Stocked) -> None:
    await stocked.do("ZREM prolight:due run:waits")
    assert (await stocked.audited("HINCRBY prolight:run:waits ver 1")).findings == ()


async def test_a_live_runs_missing_picture_is_found_where_the_folder_is_the_one_in_use(stocked: Stocked) -> None:
    await stocked.backend.store.identify_artifacts(stocked.artifacts.identity)
    found = await stocked.audited()
    assert {finding.kind for finding in found.findings} == {"picture"}
    assert {finding.about for finding in found.findings} == {"parked", "held", "pauses", "waits"}
    await stocked.do("HSET prolight:store artifacts other")
    elsewhere = await stocked.audited()
    assert elsewhere.findings == ()
    assert "not the folder" in elsewhere.notes[0]


async def test_a_writers_old_temporary_file_is_found_and_a_new_one_is_not(stocked: Stocked, tmp_path: Path) -> None:
    await stocked.backend.store.identify_artifacts(stocked.artifacts.identity)
    folder = tmp_path / "artifacts" / "ab"
    folder.mkdir(parents=True)
    for name in (".old.tmp", ".new.tmp", "picture"):
        (folder / name).write_bytes(b"x")
    os.utime(folder / ".old.tmp", (time.time() - 7_200,) * 2)
    [found] = [finding for finding in (await stocked.audited()).findings if finding.of == "file"]
    assert found.about == str(folder / ".old.tmp")
    assert found.fix == f"rm {found.about}"


async def test_more_findings_than_it_keeps_are_cut_and_it_says_so(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prolight.adapters.redis_audit.MOST_FINDINGS", 3)
    await stocked.do(*(f"SET prolight:what:{number} 1" for number in range(9)))
    found = await stocked.audited()
    assert (len(found.findings), found.cut) == (3, True)


def test_the_command_says_that_all_is_in_order_or_what_is_not(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PROLIGHT_REDIS_URL", valkey.url)
    monkeypatch.setenv("PROLIGHT_HOME", str(tmp_path))
    monkeypatch.setattr("prolight.adapters.redis_audit.LOOK_AGAIN_AFTER", timedelta(0))

    async def submitted(*damage: str) -> str:
        async with AsyncClient() as client:
            run_id = await client.submit(picture(), "warm key")
            for command in damage:
                await client.store._ask(*command.format(run_id).split(" "))
            return run_id

    asyncio.run(submitted())
    assert prolight(["audit"]) == 0
    assert "in order: 1 runs and" in capsys.readouterr().out
    run_id = asyncio.run(submitted("ZREM prolight:due run:{}"))
    assert prolight(["audit"]) == 1
    out = capsys.readouterr().out
    assert f"✗ {run_id}  no_due: " in out
    assert "fix: ZADD prolight:due NX" in out
    assert prolight(["audit", "--json"]) == 1
    finding, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert (finding["kind"], finding["about"]) == ("no_due", run_id)
    assert (summary["findings"], summary["runs"]) == (1, 2)


async def test_busy_workers_one_of_which_is_killed_cause_no_alarm(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False, appendfsync="no") as fleet:
        _, victim = await asyncio.gather(fleet.start_worker(), fleet.start_worker())
        await fill(fleet, 500)
        looks: list[Audit] = []
        while await fleet.client.store._ask("ZCARD", "prolight:due"):
            looks.append(await fleet.client.audit())
            if len(looks) == 1:
                fleet.kill(victim)
        await fleet.all_ended()
        looks.append(await fleet.client.audit())
    assert [look.findings for look in looks if look.findings] == []
    assert len(looks) > 2, "it looked while they worked"
    assert looks[-1].runs == 500
