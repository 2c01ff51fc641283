"""Real worker processes, studio, Flower and Valkey, to be started, killed and watched by a test."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx

from prolight.client import AsyncClient
from prolight.embedded import ValkeyServer, start_valkey
from prolight.embedded.guard import guarded
from prolight.embedded.stack import environment
from prolight.embedded.valkey import free_port
from prolight.ports import Snapshot
from prolight.settings import Settings

WITHIN = timedelta(seconds=60)
"""The bound of every wait: reached only when something is broken."""
FLOWER_LOGIN = ("watcher", "not-a-secret")
ROOT = Path(__file__).parents[2]


async def until(condition: Callable[[], Awaitable[Any]], *, what: str, within: timedelta = WITHIN) -> Any:
    """Wait until `condition` answers something true, and give that back."""
    if (found := await comes(condition, within=within)) is None:
        raise AssertionError(f"not within {within.total_seconds():.0f} s: {what}")
    return found


async def comes(condition: Callable[[], Awaitable[Any]], *, within: timedelta) -> Any:
    """The first true answer of `condition`; None when there is none in time."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            while not (found := await condition()):
                await asyncio.sleep(0.01)
            return found
    except TimeoutError:
        return None


class Fleet:
    def __init__(
        self,
        home: Path,
        *,
        appendfsync: str = "always",
        studio: bool = True,
        server: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """`server` are options of the Valkey by their names."""
        self.valkey: ValkeyServer = start_valkey(home / "valkey", appendfsync, **(server or {}))  # type: ignore[arg-type]
        self._studio_port = free_port()
        given: dict[str, Any] = {
            "home": home,
            "redis_url": self.valkey.url,
            "studio_url": f"http://127.0.0.1:{self._studio_port}/mcp",
            **settings,
        }
        if not studio:
            given = {"model": "instant", "tools": "instant", **given}
        self.settings = Settings.load(**given)
        self.home = home
        self._with_studio = studio
        self.studio: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self._flower: subprocess.Popen[bytes] | None = None
        self.flower_url = f"http://127.0.0.1:{free_port()}"
        self._watcher = httpx.AsyncClient(base_url=self.flower_url, auth=FLOWER_LOGIN, timeout=30)
        self.client = AsyncClient(settings=self.settings)

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        if self._with_studio:
            await self.start_studio()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.__aexit__(*exc)
        await self._watcher.aclose()
        for process in filter(None, [*self.workers, self.studio, self._flower]):
            process.kill()
            process.wait()
        self.valkey.stop()

    async def start_studio(self) -> None:
        self.studio = self._spawn(
            "studio",
            *("-m", "prolight.studio", "--port", str(self._studio_port)),
            *("--artifacts", str(self.settings.artifact_root)),
        )

        async def ready() -> bool:
            try:
                async with httpx.AsyncClient() as http:
                    return (await http.get(f"http://127.0.0.1:{self._studio_port}/healthz")).is_success
            except httpx.TransportError:
                return False

        await until(ready, what="the studio answers")

    async def start_worker(self, *options: str, app: str = "workers", **environment: str) -> subprocess.Popen[bytes]:
        name = f"worker{len(self.workers) + 1}"
        worker = self._spawn(
            name,
            *("-m", "celery", "-A", app, "worker", "--hostname", f"{name}@%h", "--loglevel", "INFO"),
            *options,
            **environment,
        )
        self.workers.append(worker)

        async def known() -> bool:
            assert worker.poll() is None, self.log(name)
            return any(process.pid == worker.pid for process in await self.client.store.processes())

        await until(known, what=f"{name} announces itself; its log:\n{self.log(name)}")
        return worker

    async def start_flower(self) -> None:
        """As `prolight up` starts it. Returns when it hears the workers that run."""
        self._flower = self._spawn(
            "flower",
            *("-m", "celery", "-A", "workers", "flower", "--address=127.0.0.1"),
            *(f"--port={self._watcher.base_url.port}", "--enable_events=False", "--read_only=True"),
            FLOWER_BASIC_AUTH=":".join(FLOWER_LOGIN),
        )

        async def hears() -> bool:
            try:
                seen = (await self.flower("/workers?json=1")).json()["data"]
            except httpx.TransportError:
                return False
            return sum(bool(worker["status"]) for worker in seen) == len(self.workers)

        await until(hears, what=f"Flower hears the workers; its log:\n{self.log('flower')}")

    async def flower(self, path: str) -> httpx.Response:
        """What Flower answers to who has the password."""
        return (await self._watcher.get(path)).raise_for_status()

    async def rows(self) -> dict[str, dict[str, Any]]:
        """Flower's tasks, by task id."""
        return dict((await self.flower("/api/tasks")).json())

    async def row(self, task_id: str, state: str) -> dict[str, Any]:
        """That task, when Flower shows it in this state."""

        async def shown() -> dict[str, Any] | None:
            row = (await self.rows()).get(task_id)
            return row if row and row["state"] == state else None

        return dict(await until(shown, what=f"Flower shows {task_id} as {state}"))

    def _spawn(self, name: str, *argv: str, **extra: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                guarded([sys.executable, *argv]),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
                env={**environment(self.settings), "PYTHONPATH": str(ROOT), **extra},
            )

    def log(self, name: str) -> str:
        path = self.home / f"{name}.log"
        return path.read_text()[-3000:] if path.exists() else ""

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()

    async def terminate(self, worker: subprocess.Popen[bytes]) -> int:
        worker.terminate()
        return await asyncio.to_thread(worker.wait, WITHIN.total_seconds())

    async def calls(self) -> list[dict[str, Any]]:
        """What the studio itself counted."""
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"http://127.0.0.1:{self._studio_port}/calls")
            return list(answer.json())

    async def snapshots(self) -> list[Snapshot]:
        return await self.client.list(limit=100_000)

    async def all_ended(self, *, within: timedelta = WITHIN) -> list[Snapshot]:
        async def ended() -> bool:
            return not await self.client.store._ask("ZCARD", "prolight:due")

        await until(ended, what="every run has ended", within=within)
        return await self.snapshots()
