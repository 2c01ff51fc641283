"""The real system in one folder: Valkey, World, LLM stub, workers that record, and the driver's own client.

Several trials are played in it one after the other. Everything dies with this process.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from prolight.adapters import redis_store
from prolight.embedded.stack import environment
from prolight.embedded.valkey import free_port
from prolight.events import Event, parse
from tests.chaos import failpoints, guards, recording
from tests.chaos import histories as lines
from tests.chaos.driving import ROOT, Control, Program
from tests.chaos.failpoints import Arm
from tests.chaos.llm import URL_VARIABLE
from tests.chaos.paid import PRICES
from tests.chaos.serving import LOOPBACK
from tests.chaos.world import declared
from tests.chaos.zygote import Forked, Zygote
from tests.integration.fleet import Fleet, comes, until

LANDS_WITHIN = timedelta(seconds=15)
TOOL_SECONDS = 3.0
QUICK: dict[str, Any] = {
    "lease_seconds": 1.2,
    "heartbeat_seconds": 0.4,
    "sweep_seconds": 0.1,
    "slots": 16,
    "drain_seconds": 5,
    "run_deadline_seconds": 120,
    "stage_deadline_seconds": 12,
    "step_timeout_seconds": 30,
    "max_tries": 4,
    "retry_base_seconds": 0.05,
    "retry_cap_seconds": 0.5,
    "effect_grace_seconds": 0.3,
    "retry_budget_window_seconds": 3,
}
CANARY = "sk-canary-7c1e90d4+/model~key"
"""Stands in the workers' environment as the key of a model that they do not use."""


HASHES: dict[tuple[str, int], str] = {}
"""Of each event (run, seq) as the driver's followers got it last."""


def _parsed(text: str | bytes) -> Event:
    """The followers see events, not bytes: each one's hash is kept as it passes."""
    event = parse(text)
    raw = text.encode() if isinstance(text, str) else text
    HASHES[event.run_id, event.seq] = hashlib.sha256(raw).hexdigest()
    return event


@dataclass
class Worker:
    name: str
    process: Forked
    id: str
    """As it names itself in the store."""
    stopped: bool = False


class Stub:
    """The World or the LLM, forked: on one port, however often it is started."""

    def __init__(self, module: str, *argv: str | Path, log: Path) -> None:
        self._module, self._log, port = module, log, free_port()
        self._argv = (*map(str, argv), "--port", str(port))
        self._process: Forked
        self.url = f"http://{LOOPBACK}:{port}"

    async def start(self, zygote: Zygote) -> None:
        """It may be dead again when this returns: a deadly call waits for it."""
        before = self._announced()
        self._process = await asyncio.to_thread(zygote.start, self._module, *self._argv, log=self._log)

        async def serves() -> bool:
            ended = not self.runs
            announced = self._announced() > before
            assert announced or not ended, self._log.read_text()
            return announced

        await until(serves, what=f"{self._module} serves: {self._log}")

    def _announced(self) -> int:
        """So often it told its log that it serves."""
        return self._log.read_text().count(self.url) if self._log.exists() else 0

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Arena(Fleet):
    def __init__(self, home: Path, *, proxied: bool = False, quick: bool = True, without: Collection[str] = ()) -> None:
        """Not `quick`: with the times that ship."""
        recording.install()
        home.mkdir(parents=True)
        self.control_folder = home / "control"
        self.control_folder.mkdir()
        self.world_ledger, self.llm_ledger = home / "world.ledger", home / "llm.ledger"
        artifacts = home / "artifacts"
        self.world = Stub(
            "tests.chaos.world",
            *("--ledger", self.world_ledger, "--artifacts", artifacts),
            *("--deadly", self.control_folder / "deadly"),
            log=home / "world.log",
        )
        self.llm = Stub("tests.chaos.llm", "--ledger", self.llm_ledger, log=home / "llm.log")
        given = {
            **(QUICK if quick else {}),
            "model": "tests.chaos.llm:model",
            "tools": "studio",
            "tools_file": home / "tools.toml",
        }
        super().__init__(home, studio=False, **given)
        self.proxy = Program("tests.chaos.proxy", "--to", str(self.valkey.port), log=home / "proxy.log")
        self.proxied, self.without = proxied, without
        self._count = 0
        self.alive: list[Worker] = []
        self.processes: list[lines.Process] = []
        self.heard: list[lines.Heard] = []
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        (self.home / "tools.toml").write_text(declared(f"{self.world.url}/mcp", TOOL_SECONDS))
        if self.proxied:
            self.proxy.start()
        self.zygote = Zygote(self.home, self._environment())
        await asyncio.gather(self.world.start(self.zygote), self.llm.start(self.zygote))
        self.tell_world, self.tell_llm = Control(self.world.url), Control(self.llm.url)
        setattr(redis_store, "parse", _parsed)  # noqa: B010 - it is a name that the module imports
        if self.proxied:
            self.tell_proxy = Control(self.proxy.url)
        ready = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(ready))
        await ready.wait()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._listening:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        for control in (self.tell_world, self.tell_llm, *([self.tell_proxy] if self.proxied else [])):
            await control.__aexit__()
        self.zygote.kill()
        await super().__aexit__(*exc)
        if self.proxied:
            self.proxy.kill()

    # --- workers ---

    async def worker(self, *, gated: bool = False) -> Worker:
        self._count += 1
        name = f"worker{self._count}"
        if gated:
            self.gate(name)
        argv = ("-A", "tests.chaos.worker", "worker", "--hostname", f"{name}@%h", "--loglevel", "INFO")
        log = self.home / f"{name}.log"
        process = await asyncio.to_thread(
            self.zygote.start, "celery", *argv, log=log, **{failpoints.NAME_VARIABLE: name}
        )

        async def known() -> str | None:
            assert process.poll() is None, self.log(name)
            return next((each.id for each in await self.client.store.processes() if each.pid == process.pid), None)

        identity = await until(known, what=f"{name} announces itself: {log}")
        assert identity not in {line.process for line in self.processes}, f"{name} takes itself for another process"
        worker = Worker(name, process, identity)
        self.alive.append(worker)
        self._note(worker, "started")
        return worker

    def _environment(self) -> dict[str, str]:
        given = {
            **environment(self.settings),
            "PYTHONPATH": str(ROOT),
            failpoints.CONTROL_VARIABLE: str(self.control_folder),
            guards.VARIABLE: ",".join(self.without),
            URL_VARIABLE: self.llm.url,
            "ANTHROPIC_API_KEY": CANARY,
        }
        if self.proxied:
            given["PROLIGHT_REDIS_URL"] = f"redis://127.0.0.1:{self.proxy.said.split()[-1]}/0"
        return given

    def gate(self, name: str) -> None:
        (self.control_folder / f"gate.{name}").touch()

    def ungate(self, worker: Worker) -> None:
        (self.control_folder / f"gate.{worker.name}").unlink(missing_ok=True)

    def end(self, worker: Worker, how: int = signal.SIGKILL) -> None:
        """SIGKILL; or a signal that it ends of."""
        with suppress(ProcessLookupError):
            os.kill(worker.process.pid, how)
        self.gone(worker, "terminated" if how == signal.SIGTERM else "killed")

    async def terminated(self, worker: Worker) -> None:
        """SIGTERM, and wait for its drain."""
        worker.process.terminate()
        await asyncio.to_thread(self.gone, worker, "terminated")

    def gone(self, worker: Worker, what: Any = "killed") -> None:
        code = worker.process.wait(30)
        self.alive.remove(worker)
        self._note(worker, what, code)

    def stop(self, worker: Worker) -> None:
        os.kill(worker.process.pid, signal.SIGSTOP)
        self.note_stopped(worker)

    def note_stopped(self, worker: Worker) -> None:
        worker.stopped = True
        self._note(worker, "stopped")

    def go_on(self, worker: Worker) -> None:
        os.kill(worker.process.pid, signal.SIGCONT)
        worker.stopped = False
        self._note(worker, "continued")

    def _note(self, worker: Worker, what: Any, code: int | None = None) -> None:
        self.processes.append(
            lines.Process(at=time.time(), pid=worker.process.pid, process=worker.id, what=what, code=code)
        )

    @property
    def world_runs(self) -> bool:
        return self.world.runs

    async def heal_world(self) -> None:
        """It misbehaves no more, and answers what it holds; a World that crashed is started again."""
        try:
            await self.tell_world.clear()
            await self.tell_world.release()
        except httpx.TransportError:
            await self.restart_world()

    async def restart_world(self) -> None:
        """On the same port; it forgets its rules and holds."""
        self.world.kill()
        await self.world.start(self.zygote)
        self.tell_world.restarted()

    # --- failpoints ---

    def arm(self, arm: Arm) -> None:
        file = self.control_folder / "arm.new"
        file.write_text(arm.model_dump_json())
        file.rename(self.control_folder / "arm")

    async def hit(self) -> Worker | None:
        """The worker that got to the armed point; None when nobody did."""

        async def found() -> Worker | None:
            hits = {int(file.suffix[1:]) for file in self.control_folder.glob("hit.*")}
            return next((worker for worker in self.alive if worker.process.pid in hits), None)

        return await comes(found, within=LANDS_WITHIN)  # type: ignore[no-any-return]

    def disarm(self) -> None:
        for pattern in ("arm", "hit.*", "go", "bells", "deadly*", "clock", "stepped.*"):
            for file in self.control_folder.glob(pattern):
                file.unlink()

    # --- what is heard ---

    async def _listen(self, ready: asyncio.Event) -> None:
        """The raw channel: whatever is published, in one go for as long as the connection lasts."""
        for connection in range(1, 10_000):
            redis = Redis.from_url(self.valkey.url, decode_responses=True)
            try:
                async with redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe("prolight:events")
                    ready.set()
                    await self._take_down(channel, f"channel-{connection}")
            except (RedisError, OSError):
                await asyncio.sleep(0.02)
            finally:
                await redis.aclose()

    async def _take_down(self, channel: Any, reader: str) -> None:
        began: dict[str, int] = {}
        while True:
            message = await channel.get_message(timeout=5)
            if message is None:
                continue
            told = json.loads(message["data"])
            after = began.setdefault(told["run_id"], told["seq"] - 1)
            digest = hashlib.sha256(message["data"].encode()).hexdigest()
            heard = lines.Heard(reader=reader, run=told["run_id"], after=after, seq=told["seq"], sha256=digest)
            self.heard.append(heard)

    def terms(self) -> lines.Terms:
        settings = self.settings
        tools = {
            f"world.{name}": lines.ToolTerms(effect=effect, price_usd=price) for name, (effect, price) in PRICES.items()
        }
        return lines.Terms(
            lease=settings.lease_seconds,
            sweep=settings.sweep_seconds,
            review_deadline=settings.review_deadline_seconds,
            max_tries=settings.max_tries,
            crashes_to_poison=settings.crashes_to_suspect + settings.crashes_to_poison,
            tools=tools,
        )
