"""A stock Celery installation in one folder: Valkey, World, LLM stub, and prefork workers of `baseline_app`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Literal, Self

from redis.asyncio import Redis

from prolight.embedded import start_valkey
from prolight.embedded.guard import guarded
from tests.chaos import baseline_app as app
from tests.chaos.baseline_app import Point
from tests.chaos.driving import ROOT, Control, Program
from tests.integration.fleet import comes, until

Ending = Literal["completed", "failed", "lost", "stuck"]
SLOTS = 10
"""Pool processes of a worker: all runs of a trial are at the same point at once."""
LANDS_WITHIN = timedelta(seconds=20)
LOST_AFTER_SECONDS = app.VISIBILITY_SECONDS + 2.0
"""A run that has no end, and no message anywhere for so long, is lost: nothing is left that could go on with it."""
PATIENCE = timedelta(seconds=90)
LOOK_SECONDS = 0.05
PICTURE = "a" * 64


@dataclass
class Chained:
    """A run: `ids` are those of its tasks, `brief` is its plan."""

    run: str
    brief: str
    ids: list[str]
    ending: Ending | None = None
    submitted: float = field(default_factory=time.monotonic)


Worker = subprocess.Popen[bytes]


class Stock:
    def __init__(self, home: Path, seed: int) -> None:
        home.mkdir(parents=True)
        self.home, self.random = home, Random(seed)
        self.control_folder = home / "control"
        self.control_folder.mkdir()
        self.world_ledger, self.llm_ledger = home / "world.ledger", home / "llm.ledger"
        self.valkey = start_valkey(home / "valkey", "always")
        self.world = Program("tests.chaos.world", "--ledger", self.world_ledger, log=home / "world.log")
        self.llm = Program("tests.chaos.llm", "--ledger", self.llm_ledger, log=home / "llm.log")
        self.alive: list[Worker] = []
        self.stopped: list[Worker] = []
        self.workers = 0
        self.runs = 0

    async def __aenter__(self) -> Self:
        self.world.start()
        self.llm.start()
        self.tell_world, self.tell_llm = Control(self.world.url), Control(self.llm.url)
        self.store = Redis.from_url(self.valkey.url, decode_responses=True)
        app.app.conf.update(broker_url=self.valkey.url, result_backend=self.valkey.url)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for worker in [*self.alive, *self.stopped]:
            self.kill(worker)
        for control in (self.tell_world, self.tell_llm):
            await control.__aexit__()
        await self.store.aclose()
        for program in (self.world, self.llm):
            program.kill()
        self.valkey.stop()

    # --- workers ---

    async def worker(self) -> Worker:
        """One more, when it waits on its queues."""
        self.workers += 1
        before = await self._listening()
        name = f"stock{self.workers}"
        options = ("-P", "prefork", "-c", str(SLOTS), "--without-gossip", "--without-mingle", "-l", "INFO")
        command = ("-m", "celery", "-A", "tests.chaos.baseline_app", "worker", *options)
        with (self.home / f"{name}.log").open("ab") as log:
            worker = subprocess.Popen(
                guarded([sys.executable, *command, "-Q", ",".join(app.QUEUES), "--hostname", f"{name}@%h"]),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
                env={
                    **os.environ,
                    app.STORE_VARIABLE: self.valkey.url,
                    app.WORLD_VARIABLE: self.world.said,
                    app.LLM_VARIABLE: self.llm.url,
                    app.CONTROL_VARIABLE: str(self.control_folder),
                },
            )

        async def ready() -> bool:
            assert worker.poll() is None, (self.home / f"{name}.log").read_text()[-2000:]
            return not before >= await self._listening()

        await until(ready, what="the worker waits on its queues")
        self.alive.append(worker)
        return worker

    async def _listening(self) -> set[str]:
        """Connections that have waited on queues: each worker has one."""
        return {client["id"] for client in await self.store.client_list() if client["cmd"] == "brpop"}

    def kill(self, worker: Worker) -> None:
        """kill -9, of the process and its pool, as when the machine is gone."""
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        for known in (self.alive, self.stopped):
            with suppress(ValueError):
                known.remove(worker)

    def kill_children(self, worker: Worker) -> None:
        """kill -9 of its pool's processes: the worker itself lives, and sees it."""
        for child in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def stop(self, worker: Worker) -> None:
        os.killpg(worker.pid, signal.SIGSTOP)
        self.alive.remove(worker)
        self.stopped.append(worker)

    async def go_on_to_its_end(self, worker: Worker) -> None:
        """SIGCONT, and SIGTERM once it had the time to do what it was about to do."""
        os.killpg(worker.pid, signal.SIGCONT)
        worker.terminate()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(worker.wait, 20)
        self.kill(worker)

    # --- runs ---

    async def submit(self, brief: str) -> Chained:
        self.runs += 1
        run = f"s{self.runs}"
        return Chained(run, brief, await asyncio.to_thread(app.submit, run, brief, PICTURE))

    async def look(self, runs: list[Chained]) -> bool:
        """Whether all of these have ended; their endings are noted."""
        for each in runs:
            if each.ending is None:
                told = await self.store.mget(f"celery-task-meta-{id}" for id in each.ids)
                states = [json.loads(text)["status"] if text else "" for text in told]
                if "FAILURE" in states:
                    each.ending = "failed"
                elif states[-1] == "SUCCESS":
                    each.ending = "completed"
        return all(each.ending for each in runs)

    async def over(self, runs: list[Chained]) -> None:
        """Until each has ended, or is lost; what is neither when our patience ends is stuck."""
        give_up = time.monotonic() + PATIENCE.total_seconds()
        last_message = time.monotonic()
        while not await self.look(runs):
            now = time.monotonic()
            if await self.messages():
                last_message = now
            if now > give_up or now - last_message > LOST_AFTER_SECONDS:
                for each in runs:
                    each.ending = each.ending or ("stuck" if now > give_up else "lost")
            await asyncio.sleep(LOOK_SECONDS)

    async def messages(self) -> int:
        """So many the broker has, waiting or delivered and not acknowledged."""
        waiting = [await self.store.llen(queue) for queue in app.QUEUES]
        return int(sum(waiting) + await self.store.hlen("unacked"))

    def autoretries(self) -> int:
        """How often a task was tried again by `autoretry_for`."""
        return sum(log.read_text().count("retry: Retry in") for log in self.home.glob("stock*.log"))

    # --- points ---

    def hold(self, point: Point) -> None:
        (self.control_folder / f"hold.{point}").touch()

    def let_go(self) -> None:
        for pattern in ("hold.*", "at.*"):
            for file in self.control_folder.glob(pattern):
                file.unlink()

    async def at(self, point: Point, runs: list[Chained]) -> bool:
        """Whether all of these came to the point that is held."""

        async def there() -> bool:
            return all((self.control_folder / f"at.{point}.{each.run}").exists() for each in runs)

        return await comes(there, within=LANDS_WITHIN) is not None
