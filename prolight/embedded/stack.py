"""ProLight's own parts as one stack: Valkey, studio, workers, Flower. What `up` and `demo` run."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from prolight.embedded.child import Child, Part, Say, silent
from prolight.embedded.errors import StackFailed
from prolight.embedded.probes import announced, answers, serves_store
from prolight.embedded.supervisor import Supervisor
from prolight.embedded.valkey import LOOPBACK, free_port, lock_file, port_is_free, valkey_argv
from prolight.settings import Settings

FLOWER_PORT = 5555
FLOWER_USER = "prolight"
FLOWER_MAX_TASKS = 20_000
FLOWER_GRACE = timedelta(seconds=3)
"""It holds nothing, and ends late only because it asks workers that are busy."""
BESIDES_DRAIN = timedelta(seconds=10)
"""What a worker needs besides its drain grace, to settle first and to release and sign off after."""
STORE_TIER, STUDIO_TIER, WORKER_TIER, FLOWER_TIER = range(4)
"""They stop from the last to the first: a worker that drains still needs tools and store."""


class Stack:
    """`async with Stack(settings) as stack:` is ready inside the block and gone after it.

    Everything lies under `settings.home`; addresses are on the loopback. `redis_port` 0 takes a free
    one. `say` takes the name of a part and a line of its log. `on_restart` may be set to what is to be
    called when a part runs again under another pid. Raises `StackFailed` with the fix, or the last lines
    of the part that failed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int = 1,
        flower: bool = False,
        redis_port: int = 0,
        flower_port: int = FLOWER_PORT,
        say: Say = silent,
    ) -> None:
        self._redis_port = redis_port or free_port()
        self._studio_port = free_port()
        self._flower_port = flower_port if flower else 0
        self._worker_count = workers
        self._home = settings.home.absolute()
        self._supervisor = Supervisor(say=say, restarted=lambda _: self.on_restart())
        self.settings = settings.model_copy(
            update={
                "home": self._home,
                "artifacts": settings.artifact_root.absolute(),
                "redis_url": f"redis://{LOOPBACK}:{self._redis_port}/0",
                "studio_url": f"http://{LOOPBACK}:{self._studio_port}/mcp",
            }
        )
        self.flower_password = secrets.token_urlsafe(24)
        self._cookie_secret = secrets.token_urlsafe(48)
        self.workers: list[Child] = []
        self.on_restart: Callable[[], None] = lambda: None

    @property
    def redis_url(self) -> str:
        return self.settings.redis_url

    @property
    def studio_url(self) -> str:
        return self.settings.studio_url

    @property
    def flower_url(self) -> str | None:
        return f"http://{LOOPBACK}:{self._flower_port}" if self._flower_port else None

    def addresses(self) -> dict[str, Any]:
        """What the runtime file says about it."""
        return {
            "pid": os.getpid(),
            "redis_url": self.redis_url,
            "studio_url": self.studio_url,
            "flower_url": self.flower_url,
            "flower_user": FLOWER_USER if self.flower_url else None,
            "flower_password": self.flower_password if self.flower_url else None,
            "worker_pids": [worker.pid for worker in self.workers],
            "valkey_pid": self.valkey.pid,
            "studio_pid": self.studio.pid,
        }

    async def keep(self) -> None:
        """Returns never; raises `StackFailed` when a part ended too often to be started again."""
        await self._supervisor.keep()

    @property
    def stopping(self) -> bool:
        return self._supervisor.stopping

    def hurry(self) -> None:
        """From now on nothing is waited for: what still runs at the end is killed."""
        self._supervisor.hurry()

    async def __aenter__(self) -> Self:
        self._check_ports()
        async with AsyncExitStack() as undo:
            await undo.enter_async_context(self._supervisor)
            await self._start()
            self._undo = undo.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._undo.aclose()

    def _check_ports(self) -> None:
        if not port_is_free(self._redis_port):
            raise StackFailed(f"port {self._redis_port} is taken: give the store another one with --port, or 0")
        if self._flower_port and not port_is_free(self._flower_port):
            raise StackFailed(
                f"port {self._flower_port} is taken: give Flower another one with --flower-port, or --no-flower"
            )
        if self._flower_port and not importlib.util.find_spec("flower"):
            raise StackFailed("Flower is not installed: pip install 'prolight[monitor]', or --no-flower")

    async def _start(self) -> None:
        data_dir = self._home / "valkey"
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings.artifact_root.mkdir(parents=True, exist_ok=True)
        [self.valkey] = await self._supervisor.start(self._valkey_part(data_dir))
        # Workers connect to the studio when they first need it, so all these start side by side.
        workers = [self._worker_part(number) for number in range(1, self._worker_count + 1)]
        flower = [self._flower_part()] if self._flower_port else []
        self.studio, *rest = await self._supervisor.start(self._studio_part(), *workers, *flower)
        self.workers = rest[: self._worker_count]

    def _valkey_part(self, data_dir: Path) -> Part:
        return Part(
            name="valkey",
            argv=valkey_argv(data_dir, self._redis_port),
            ready=serves_store(self._redis_port),
            tier=STORE_TIER,
            log=data_dir / "valkey.log",
            lock=lock_file(data_dir),
        )

    def _studio_part(self) -> Part:
        where = ("--host", LOOPBACK, "--port", str(self._studio_port), "--artifacts", str(self.settings.artifact_root))
        return Part(
            name="studio",
            argv=(sys.executable, "-m", "prolight.studio", *where),
            ready=answers(f"http://{LOOPBACK}:{self._studio_port}/healthz"),
            env=environment(self.settings),
            tier=STUDIO_TIER,
            cwd=self._home,
        )

    def _worker_part(self, number: int) -> Part:
        name = f"worker{number}"
        return Part(
            name=name,
            argv=(*_CELERY, "worker", "--loglevel", "INFO", "--hostname", f"{name}@%h"),
            ready=announced(self.redis_url),
            env=environment(self.settings),
            tier=WORKER_TIER,
            cwd=self._home,
            grace=timedelta(seconds=self.settings.drain_seconds) + BESIDES_DRAIN,
        )

    def _flower_part(self) -> Part:
        options = {
            "address": LOOPBACK,
            "port": self._flower_port,
            "read_only": True,
            "enable_events": False,
            "max_tasks": FLOWER_MAX_TASKS,
            "logging": "error",
        }
        # By environment, because a command line can be read by every user of the machine.
        secret = {
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{self.flower_password}",
            "FLOWER_COOKIE_SECRET": self._cookie_secret,
        }
        return Part(
            name="flower",
            argv=(*_CELERY, "flower", *(f"--{name}={value}" for name, value in options.items())),
            ready=answers(f"{self.flower_url}/healthcheck"),
            env=environment(self.settings) | secret,
            tier=FLOWER_TIER,
            cwd=self._home,
            grace=FLOWER_GRACE,
        )


_CELERY = (sys.executable, "-m", "celery", "--quiet", "-A", "workers")


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment, with what `settings` was given besides, for a child of it.

    Options for Flower that happen to be set are left out: what `up` says of it must hold.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")}
    given = settings.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    ours = {
        f"PROLIGHT_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
    }
    return {**inherited, **ours, "PYTHONUNBUFFERED": "1"}
