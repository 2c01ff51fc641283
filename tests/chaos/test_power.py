"""A power cut takes what was not synced, and the program convicts a store that had promised it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from redis import Redis

from prolight.adapters import redis_store
from prolight.embedded.valkey import free_port
from tests.chaos import power
from tests.chaos.checker import INVARIANTS, judge_one
from tests.chaos.edits import Edited
from tests.chaos.good import good
from tests.chaos.histories import Refused
from tests.chaos.playing import Session
from tests.chaos.power import Powered

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("cc"), reason="a power cut is emulated with a shim that has to be compiled"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return power.compiled(tmp_path_factory.mktemp("shim"))


def answered(server: Powered) -> None:
    with Redis.from_url(server.url) as client:
        client.set("answered", "yes")


def kept(server: Powered) -> object:
    """What a server that is started again has of it."""
    server.start()
    with Redis.from_url(server.url) as client:
        return client.get("answered")


def test_what_was_synced_survives_a_power_cut(tmp_path: Path, library: Path) -> None:
    with Powered(tmp_path, library, appendfsync="always", port=free_port()) as server:
        server.start()
        answered(server)
        server.cut()
        assert kept(server) == b"yes"


def test_what_was_never_synced_does_not_survive_a_power_cut_as_it_would_a_kill(tmp_path: Path, library: Path) -> None:
    with Powered(tmp_path, library, appendfsync="no", port=free_port()) as server:
        server.start()
        answered(server)
        server.kill()
        assert kept(server) == b"yes"
        assert server.cut() > 0
        assert kept(server) is None


@pytest.mark.parametrize("name", INVARIANTS)
def test_a_run_of_which_only_refusals_are_left_can_be_judged(name: str) -> None:
    edited = Edited(good(0))
    history = edited.history()
    run = history.audit[0].run
    left = tuple(record for record in history.audit if record.run != run)
    refused = Refused(lsn=len(history.audit) + 1, at=left[-1].at, run=run, how="gone", by="holder", under="", op="")
    judge_one(name, history.__class__(**{**vars(history), "audit": (*left, refused)}))


@pytest.mark.heavy
async def test_a_store_that_does_not_sync_is_convicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_script", "parse"):
        monkeypatch.setattr(redis_store, name, getattr(redis_store, name))
    session = Session(tmp_path, seed=1)
    told = await power.cut_all(session, 1, "no")
    [trial] = session.judged
    assert told.lost > 0
    assert trial.verdicts["I1"].violations
