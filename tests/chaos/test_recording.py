"""A recording with holes would acquit: each insertion finds its place in the shipped scripts, and there only."""

from __future__ import annotations

import pytest

from prolight.adapters import redis_store
from tests.chaos import guards, recording

KINDS = {
    "create": ("create",),
    "claim": ("claim",),
    "commit": ("commit", "refused", "taken_back"),
    "heartbeat": ("taken_back",),
    "sweep": ("claim_ended",),
    "publish": ("told",),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_script_that_changes_a_run_tells_of_it(name: str) -> None:
    _, text = recording.recorded(name)
    assert recording.APPEND in text
    for kind in KINDS[name]:
        assert f"audit('{kind}'" in text


@pytest.mark.parametrize("name", ["read", "late", "pause", "aside"])
def test_the_others_are_as_they_are_shipped(name: str) -> None:
    assert recording.recorded(name) == recording._plain(name)


def test_a_script_that_lost_its_anchor_is_an_error() -> None:
    with pytest.raises(AssertionError, match="0 times in the script: return now"):
        recording.inserted("return then", ("before", "return now", "audit()"))


def test_an_anchor_that_stands_there_twice_is_an_error() -> None:
    with pytest.raises(AssertionError, match="2 times"):
        recording.inserted("return now; return now", ("before", "return now", "audit()"))


@pytest.mark.parametrize("guard", ["claim", "version", "due", "op_id"])
def test_a_guard_of_a_script_is_there_and_goes_when_it_is_taken_out(
    guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "_script", recording.recorded)
    guards.remove(guard)
    sha, text = redis_store._script("commit")
    assert text != recording.recorded("commit")[1]
    assert sha != recording.recorded("commit")[0]
    assert redis_store._script("claim") == recording.recorded("claim")
