"""The store over TLS and over a Unix socket, from every part; and what is refused at a worker's start."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from redis import Redis

from prolight.client import AsyncClient
from prolight.embedded.stack import environment
from prolight.embedded.valkey import LOOPBACK, free_port
from prolight.errors import StoreRefused
from prolight.schemas import State
from prolight.settings import Settings
from tests.integration.fleet import ROOT, Fleet, until
from tests.integration.test_faults import fill
from tests.integration.tls import Authority, TlsFront, server_context

pytestmark = pytest.mark.integration

PASSWORD = "s3cr/t#1@?"
RIGHT = "`celery -A workers worker -c N` or `prolight worker -c N`"
AS_IN_URL = quote(PASSWORD, safe="")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """The path of a socket has room for some hundred characters; pytest's own are longer."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@asynccontextmanager
async def over_tls(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Both sides show a certificate."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client")
    async with TlsFront(authority) as front:
        url = f"rediss://:{AS_IN_URL}@localhost:{front.port}/0"
        files: dict[str, Any] = {"redis_ca_file": authority.file, "redis_cert_file": certificate, "redis_key_file": key}
        fleet = Fleet(tmp_path, studio=False, redis_url=url, **files)
        front.target = fleet.valkey.port
        ask_for_password(fleet)
        async with fleet:
            yield fleet


@asynccontextmanager
async def over_socket(tmp_path: Path, path: Path, url: str) -> AsyncIterator[Fleet]:
    fleet = Fleet(tmp_path, studio=False, server={"unixsocket": str(path)}, redis_url=url)
    ask_for_password(fleet)
    async with fleet:
        yield fleet


def ask_for_password(fleet: Fleet) -> None:
    with Redis.from_url(fleet.valkey.url) as server:
        server.config_set("requirepass", PASSWORD)


async def carries_runs_and_shows_them(fleet: Fleet) -> None:
    """Bells wait, Flower counts them, a worker hears them; nothing reconnects or tells the password."""
    url = await start_flower(fleet)
    await fill(fleet, 5)
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        lengths = (await http.get("/api/queues/length")).raise_for_status().json()["active_queues"]
        page = (await http.get("/broker")).raise_for_status().text
    assert {queue["name"]: queue["messages"] for queue in lengths}["prolight.plan"] == 2
    assert "prolight.plan" in page

    worker = await fleet.start_worker("-c", "4")
    assert {snapshot.run.state for snapshot in await fleet.all_ended()} == {State.COMPLETED}
    assert await fleet.terminate(worker) == 0
    log = (fleet.home / f"worker{len(fleet.workers)}.log").read_text()
    assert "Connected to redis" in log
    assert "connection" not in log.lower().replace("broker_connection", ""), log
    for told in (log, page, (fleet.home / "flower.log").read_text()):
        assert not any(secret in told for secret in (PASSWORD, AS_IN_URL, "s3cr"))


async def start_flower(fleet: Fleet) -> str:
    port = free_port()
    options = (f"--address={LOOPBACK}", f"--port={port}", "--enable_events=False")
    flower = fleet._spawn("flower", *("-m", "celery", "-A", "workers", "flower"), *options,
                          FLOWER_UNAUTHENTICATED_API="true")  # fmt: skip
    fleet.workers.append(flower)
    url = f"http://{LOOPBACK}:{port}"

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{url}/healthcheck")).is_success
        except httpx.TransportError:
            return False

    await until(ready, what="Flower answers")
    return url


async def test_over_tls_runs_are_carried_through_and_flower_counts_the_bells(tmp_path: Path) -> None:
    async with over_tls(tmp_path) as fleet:
        await carries_runs_and_shows_them(fleet)


@pytest.mark.parametrize(
    "form",
    ["unix://:{password}@{path}?db=0", pytest.param("redis+socket://:{password}@{path}", marks=pytest.mark.heavy)],
)
async def test_over_a_socket_runs_are_carried_through_and_flower_counts_the_bells(
    tmp_path: Path, short_path: Path, form: str
) -> None:
    path = short_path / "redis.sock"
    async with over_socket(tmp_path, path, form.format(password=AS_IN_URL, path=path)) as fleet:
        await carries_runs_and_shows_them(fleet)


async def test_who_does_not_trust_the_store_is_told_which_setting_names_the_ca(tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    async with over_tls(tmp_path) as fleet:
        wrong = fleet.settings.model_copy(update={"redis_ca_file": other.file})
        with pytest.raises(StoreRefused, match=r"not trusted.*PROLIGHT_REDIS_CA_FILE") as refused:
            async with AsyncClient(settings=wrong):
                pass
        assert "s3cr" not in str(refused.value)

        worker = fleet._spawn(
            "worker1", *("-m", "celery", "-A", "workers", "worker"), PROLIGHT_REDIS_CA_FILE=str(other.file)
        )
        fleet.workers.append(worker)
        assert await asyncio.to_thread(worker.wait, 30) != 0
        assert "PROLIGHT_REDIS_CA_FILE" in fleet.log("worker1")


async def test_a_store_by_another_name_than_its_certificate_says_is_refused(tmp_path: Path) -> None:
    async with over_tls(tmp_path) as fleet:
        url = fleet.settings.redis_url.replace("localhost", LOOPBACK)
        with pytest.raises(StoreRefused, match=r"not trusted: .*127\.0\.0\.1"):
            async with AsyncClient(settings=fleet.settings.model_copy(update={"redis_url": url})):
                pass
        unverified = fleet.settings.model_copy(update={"redis_url": f"{url}?ssl_cert_reqs=none"})
        async with AsyncClient(settings=unverified) as client:
            assert await client.list() == []


async def test_who_has_no_certificate_where_one_is_asked_for_is_told_which_settings_name_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = server_context(authority)

    def answer_one() -> None:  # blocking, because asyncio's TLS ends without the alert that OpenSSL sends
        line = listener.accept()[0]
        with line.dup() as held:  # closed with something unread, a socket resets the line, and the alert may be lost
            with suppress(OSError), context.wrap_socket(line, server_side=True) as secured:
                secured.recv(1)
            held.shutdown(socket.SHUT_WR)
            while held.recv(4096):
                pass

    with socket.create_server((LOOPBACK, 0)) as listener:
        server = asyncio.ensure_future(asyncio.to_thread(answer_one))
        url = f"rediss://localhost:{listener.getsockname()[1]}/0"
        settings = Settings.load(home=tmp_path, redis_url=url, redis_ca_file=authority.file)
        with pytest.raises(StoreRefused, match="PROLIGHT_REDIS_CERT_FILE and PROLIGHT_REDIS_KEY_FILE"):
            async with AsyncClient(settings=settings):
                pass
        await server


async def start_wrongly(home: Path, *options: str, **extra: str) -> subprocess.CompletedProcess[str]:
    settings = Settings.load(home=home, redis_url=f"redis://{LOOPBACK}:1/0")
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "celery", "-A", "workers", "worker", *options],
        capture_output=True, text=True, timeout=60, cwd=ROOT, env={**environment(settings), **extra},
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        ("-P", "solo"),
        ("--pool=prefork", "--detach"),
        pytest.param(("-Pthreads",), marks=pytest.mark.heavy),
        pytest.param(("--pool=prefork",), marks=pytest.mark.heavy),
    ],
)
async def test_another_pool_is_refused_with_the_right_command(tmp_path: Path, options: tuple[str, ...]) -> None:
    ended = await start_wrongly(tmp_path, *options)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1 and RIGHT in ended.stderr


async def test_another_pool_by_environment_is_refused_too(tmp_path: Path) -> None:
    custom = await start_wrongly(tmp_path, "-P", "custom", CELERY_CUSTOM_WORKER_POOL="celery.concurrency.solo:TaskPool")
    by_celery = await start_wrongly(tmp_path, CELERY_WORKER_POOL="threads")
    for ended in (custom, by_celery):
        assert ended.returncode == 1 and RIGHT in ended.stderr


async def test_autoscale_is_refused_rather_than_ignored(tmp_path: Path) -> None:
    ended = await start_wrongly(tmp_path, "--autoscale=10,3")
    assert ended.returncode == 1 and RIGHT in ended.stderr


async def test_our_pool_may_be_named(tmp_path: Path) -> None:
    async with Fleet(tmp_path, studio=False) as fleet:
        await fleet.start_worker("-P", "custom", "-c", "3", CELERY_CUSTOM_WORKER_POOL="workers.pool:ShellPool")
        assert [process.slots for process in await fleet.client.store.processes()] == [3]


async def test_another_broker_than_the_store_is_refused(tmp_path: Path) -> None:
    ended = await start_wrongly(tmp_path, BROKER_URL=f"redis://:s3cret@{LOOPBACK}:2/0")
    assert ended.returncode == 1
    assert "CELERY_BROKER_URL: store and broker are one server" in ended.stderr and "s3cret" not in ended.stderr


async def test_a_url_that_will_not_do_ends_a_worker_in_one_line(tmp_path: Path) -> None:
    ended = await start_wrongly(tmp_path, PROLIGHT_REDIS_URL="sentinel://:s3cret@one:26379")
    assert ended.returncode == 1
    assert ended.stderr == (
        "prolight worker: PROLIGHT_REDIS_URL: Sentinel is not supported yet: name the one server, redis://HOST:6379/0\n"
    )
