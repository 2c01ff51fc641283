"""A worker whose broker is away knocks again soon: until it is connected it hears no bells."""

from __future__ import annotations

import kombu.utils.functional
import pytest
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from prolight.embedded.valkey import free_port
from workers.consumer import RECONNECT_AFTER_MOST, soon_again


def test_however_long_the_broker_is_away_it_is_tried_again_within_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kombu.utils.functional, "sleep", lambda seconds: None)
    waits: list[float] = []
    with Connection(f"redis://127.0.0.1:{free_port()}/0") as connection, pytest.raises(OperationalError):
        soon_again(connection).ensure_connection(lambda error, wait: waits.append(wait), 8)
    assert len(waits) == 8
    assert waits[0] < 1
    assert max(waits) == RECONNECT_AFTER_MOST.total_seconds()
