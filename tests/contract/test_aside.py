"""Messages that are no bells: counted by reason, and the newest kept for a while."""

from __future__ import annotations

import json

import pytest
from redis.asyncio import Redis

from prolight.adapters.redis_store import ASIDE_KEPT

from .backends import Backend, RedisBackend

pytestmark = pytest.mark.needs("server")


async def test_counts_add_up_and_only_the_newest_are_kept_and_both_expire(backend: Backend, server: Redis) -> None:
    assert isinstance(backend, RedisBackend)
    assert await backend.store.aside() == {}
    await backend.store.set_aside({"not_json": 90}, [{"beginning": str(number)} for number in range(90)])
    await backend.store.set_aside(
        {"not_json": 10, "no_id": 50}, [{"beginning": str(number)} for number in range(90, 150)]
    )

    assert await backend.store.aside() == {"not_json": 100, "no_id": 50}
    kept = [json.loads(entry)["beginning"] for entry in await server.lrange("prolight:aside", 0, -1)]
    assert kept == [str(number) for number in range(149, 149 - ASIDE_KEPT, -1)]
    for key in ("prolight:aside", "prolight:aside:counts"):
        assert 0 < await server.pttl(key) <= 7 * 24 * 3600 * 1000
