"""What is set aside while the store is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from prolight.adapters.redis_store import ASIDE_KEPT, RedisStore
from prolight.errors import StoreUnavailable
from workers.aside import Aside
from workers.messages import Reason


class SlowStore:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.writes: list[Sequence[Mapping[str, Any]]] = []
        self.away = False

    def now(self) -> float:
        return 1_760_000_000.0

    async def set_aside(self, counts: Mapping[str, int], newest: Sequence[Mapping[str, Any]]) -> None:
        self.asked.set()
        await self.answers.wait()
        if self.away:
            raise StoreUnavailable("no answer")
        self.counts.update(counts)
        self.writes.append(newest)


async def test_while_the_store_is_silent_no_more_is_held_than_it_would_keep_and_every_message_counts() -> None:
    slow = SlowStore()
    store = cast(RedisStore, slow)
    aside = Aside()
    first = asyncio.create_task(aside.put(store, "prolight.plan", Reason.NOT_JSON, 10_000_000, "x"))
    await asyncio.wait_for(slow.asked.wait(), 5)
    for number in range(1_000):
        await asyncio.wait_for(aside.put(store, "prolight.plan", Reason.NO_ID, 3, str(number)), 1)
    slow.answers.set()
    await first
    assert slow.counts == {"not_json": 1, "no_id": 1_000}
    assert [len(write) for write in slow.writes] == [1, ASIDE_KEPT]
    assert slow.writes[0][0]["size"] == 10_000_000
    assert slow.writes[0][0]["beginning"] == "x"
    assert [entry["beginning"] for entry in slow.writes[1]] == [str(number) for number in range(900, 1_000)]


async def test_a_store_that_stays_away_is_told_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    slow = SlowStore()
    slow.away = True
    slow.answers.set()
    aside = Aside()
    await aside.put(cast(RedisStore, slow), "prolight.plan", Reason.NOT_JSON, 6, "s3cret")
    slow.away = False
    await aside.put(cast(RedisStore, slow), "prolight.plan", Reason.NO_ID, 6, "s3cret")
    assert slow.counts == {"no_id": 1}
    assert "1 not_json" in caplog.text and "no answer" in caplog.text
    assert "s3cret" not in caplog.text
