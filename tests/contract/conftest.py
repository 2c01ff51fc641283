"""Every contract test runs against every store."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from prolight.adapters.redis_link import RedisLink
from prolight.embedded.valkey import LOOPBACK, free_port, serves, valkey_argv
from prolight.ports import RunStore

from .backends import LACKS, Backend, FakeLink, Losses, MemoryBackend, RedisBackend, leaks


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*features): what a store must be able to do, see LACKS in backends.py")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Redis."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not on PATH: apt install redis-server"
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_redis_argv(program, folder, port), stdout=log, stderr=log)
    try:
        while not serves(port, process.pid):
            assert process.poll() is None, (folder / "log").read_text()
        yield f"redis://{LOOPBACK}:{port}/0"
    finally:
        process.kill()
        process.wait()


def _redis_argv(program: str, folder: Path, port: int) -> tuple[str, ...]:
    return (program, *valkey_argv(folder, port, "no")[1:])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a backend cannot do (`LACKS` says why) is no test of it."""
    items[:] = [item for item in items if not _needs(item) & LACKS.get(_backend_of(item), {}).keys()]


def _needs(item: pytest.Item) -> set[str]:
    return {feature for marker in item.iter_markers("needs") for feature in marker.args}


def _backend_of(item: pytest.Item) -> str:
    return str(item.callspec.params.get("backend")) if hasattr(item, "callspec") else ""


@pytest.fixture(params=["memory", "fakeredis", "valkey", pytest.param("redis", marks=pytest.mark.needs_debian)])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    backend = _backend(request)
    try:
        await backend.now()
        yield backend
        if isinstance(backend, RedisBackend):
            assert not await leaks(backend.client), "no key may outlive its use"
    finally:
        await backend.close()


def _backend(request: pytest.FixtureRequest) -> Backend:
    match request.param:
        case "memory":
            return MemoryBackend()
        case "fakeredis":
            return RedisBackend(FakeLink())
        case "valkey":
            return RedisBackend(RedisLink(request.getfixturevalue("valkey").url))
        case _:
            url = request.getfixturevalue("redis_url")
            with Redis.from_url(url) as client:
                client.flushall()
            return RedisBackend(RedisLink(url))


@pytest.fixture
def store(backend: Backend) -> RunStore:
    return backend.store


@pytest.fixture
def server(backend: Backend) -> AsyncRedis:
    """The server past the store, for tests that need one."""
    assert isinstance(backend, RedisBackend), "mark the test with needs('server')"
    return backend.client


@pytest.fixture
def lossy(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Losses:
    """A bad connection between the store and its server."""
    assert isinstance(backend, RedisBackend), "mark the test with needs('server')"
    losses = Losses(backend.link)
    monkeypatch.setattr(backend.link, "call", losses.call)
    return losses
