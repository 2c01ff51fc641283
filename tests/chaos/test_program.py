"""The chaos program itself, small: a calm trial is acquitted over all that it can show, a missing guard is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from prolight.adapters import redis_store
from tests.chaos.playing import Session, play_all
from tests.chaos.plays import CONVICTS, DECISIVE, PLAYS, PROXIED

pytestmark = [pytest.mark.integration, pytest.mark.heavy]  # the legs of the whole check play far more


@pytest.fixture(autouse=True)
def _as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_script", "parse"):
        monkeypatch.setattr(redis_store, name, getattr(redis_store, name))


def test_what_is_named_is_played() -> None:
    assert {*DECISIVE, *PROXIED, *CONVICTS.values()} <= PLAYS.keys()


async def test_a_calm_trial_is_acquitted_over_all_that_it_can_show(tmp_path: Path) -> None:
    session = Session(tmp_path, seed=1)
    await play_all(session, ["calm", "above_budget"])
    calm, _ = session.judged
    assert [str(each) for trial in session.judged for v in trial.verdicts.values() for each in v.violations] == []
    assert {name for name, verdict in calm.verdicts.items() if not verdict.checked} == set()


async def test_a_missing_guard_is_convicted(tmp_path: Path) -> None:
    session = Session(tmp_path, seed=1, without=("budget",))
    await play_all(session, [CONVICTS["budget"]])
    [trial] = session.judged
    assert trial.verdicts["I12"].violations
