"""All workers of one run store share one artifact store."""

from __future__ import annotations

import pytest

from prolight.errors import StoreRefused

from .backends import Backend, RedisBackend

pytestmark = pytest.mark.needs("server")


async def test_the_first_identity_is_kept_and_the_same_one_is_welcome(backend: Backend) -> None:
    assert isinstance(backend, RedisBackend)
    await backend.store.identify_artifacts("0123456789abcdef")
    await backend.store.identify_artifacts("0123456789abcdef")


async def test_another_one_is_refused_with_the_fix(backend: Backend) -> None:
    assert isinstance(backend, RedisBackend)
    await backend.store.identify_artifacts("0123456789abcdef")
    with pytest.raises(StoreRefused, match="01234567: point PROLIGHT_ARTIFACTS at the folder"):
        await backend.store.identify_artifacts("fedcba9876543210")
