"""Named points of a worker at which it dies or freezes, exactly there. Patched in by the worker app of the tests.

The driver arms one point by writing the file `arm` into the control folder. Whoever gets there takes the file by
renaming it to `hit.PID`, and then kills or stops its own process: what landed is on record before it has an effect.
With `runs` > 1 the calls of so many runs wait for each other at the point, so that all of them are hit there at once.

    bell        a bell was heard                  claimed     the claim's answer is here
    started     `started` is committed            sending     all checks are passed, nothing is sent yet
    replied     the answer is here, not written   cancelled   the stage was just told to stop
    finishing   the outcome is not committed yet  finished    it is

`gate.NAME` keeps worker NAME from claiming. `bells` says what becomes of bells: `lost` or `doubled`. `deadly.worker`
names a run whose effect kills its worker; `deadly` one whose effect kills the studio, as which the World then counts;
a suspect has its studio inside, and dies with it. `clock` has the seconds by which a worker's wall clock is wrong from
its next call on; who heeds that says so in `stepped.PID`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from prolight.adapters.redis_store import RedisStore
from prolight.adapters.tool_servers import ToolServers
from prolight.attempt import Attempt
from prolight.journal import Journal
from prolight.lifecycle import STAGES
from prolight.schemas import Stage
from tests.chaos.llm import ScriptedModel

Point = Literal["bell", "claimed", "started", "sending", "replied", "finishing", "finished", "cancelled"]
POLL_SECONDS = 0.02
CONTROL_VARIABLE, NAME_VARIABLE = "CHAOS_CONTROL", "CHAOS_NAME"
"""Where a worker finds its control folder, and its own name."""
ALONE_VARIABLE = "CHAOS_ALONE"
"""Is there in the processes of suspects."""
_true_time = time.time


class Arm(BaseModel):
    """`hold` waits for the file `go` instead of dying."""

    point: Point
    act: Literal["kill", "stop", "hold"] = "kill"
    stage: Stage = Stage.EXECUTE
    runs: int = 1


class Failpoints:
    """Of this process."""

    def __init__(self, control: Path, name: str) -> None:
        self._control, self._name = control, name
        self._here: set[str] = set()
        self._over = asyncio.Event()
        self._bells = itertools.count(1)
        self._step = 0.0

    def named(self, file: str) -> str:
        path = self._control / file
        return path.read_text() if path.exists() else ""

    def meet(self, run: str) -> None:
        """Who is about to send the effect of a deadly run dies, unless it kills a studio that is elsewhere."""
        if run == self.named("deadly.worker") or (run == self.named("deadly") and ALONE_VARIABLE in os.environ):
            os.kill(os.getpid(), signal.SIGKILL)

    def step_clock(self) -> None:
        step = float(self.named("clock") or 0)
        if step != self._step:
            self._step = step
            time.time = lambda: _true_time() + step
            (self._control / f"stepped.{os.getpid()}").touch()

    @property
    def gated(self) -> bool:
        return (self._control / f"gate.{self._name}").exists()

    @property
    def bells(self) -> str:
        return self.named("bells")

    def armed(self, point: Point, stage: Stage) -> Arm | None:
        try:
            arm = Arm.model_validate_json((self._control / "arm").read_text())
        except (OSError, ValidationError):
            return None
        return arm if (arm.point, arm.stage) == (point, stage) else None

    async def reached(self, point: Point, run: str, stage: Stage) -> None:
        arm = self.armed(point, stage)
        if arm is None:
            return
        self._here.add(run)
        if len(self._here) < arm.runs:
            await self._over.wait()
        elif self._taken() and arm.act == "hold":
            while not (self._control / "go").exists():
                await asyncio.sleep(POLL_SECONDS)
        else:
            self.struck(arm)
        self._pass()

    def struck(self, arm: Arm) -> None:
        """It happens here. A stopped process goes on from here when it is continued."""
        if (self._control / f"hit.{os.getpid()}").exists():
            # At this very thread: sent to the process, the signal may reach another one first, and this one goes on.
            signal.pthread_kill(threading.get_ident(), signal.SIGKILL if arm.act == "kill" else signal.SIGSTOP)

    def _pass(self) -> None:
        self._here.clear()
        self._over.set()
        self._over = asyncio.Event()

    def _taken(self) -> bool:
        try:
            (self._control / "arm").rename(self._control / f"hit.{os.getpid()}")
        except FileNotFoundError:
            return False
        return True

    def at_once(self, point: Point, stage: Stage) -> None:
        """For code that does not wait."""
        if (arm := self.armed(point, stage)) and self._taken():
            self.struck(arm)

    def heard(self) -> int:
        """How often this bell is heard."""
        match self.bells:
            case "lost":
                return int(next(self._bells) % 3 > 0)
            case "doubled":
                return 2
            case _:
                return 1


def install(points: Failpoints) -> None:
    """Patches the classes; call once."""
    _install_claiming(points)
    _install_calls(points)
    _install_ends(points)


def _install_claiming(points: Failpoints) -> None:
    from workers.runtime import Runtime
    from workers.transport import Channel

    claim, hear, deliver = RedisStore.claim, Runtime._claim, Channel._deliver_or_drop

    async def claimed(self: RedisStore, stage: Stage, count: int, process: str) -> Any:
        claims = [] if points.gated else await claim(self, stage, count, process)
        await asyncio.gather(*(points.reached("claimed", each.run_id, stage) for each in claims))
        return claims

    async def heard(self: Runtime, stage: Stage, count: int) -> None:
        if not points.gated:
            await points.reached("bell", "", stage)
        await hear(self, stage, count)

    def delivered(self: Any, raw: Any, queue: str) -> None:
        for _ in range(points.heard()):
            deliver(self, raw, queue)

    _put(RedisStore, "claim", claimed)
    _put(Runtime, "_claim", heard)
    _put(Channel, "_deliver_or_drop", delivered)


def _install_calls(points: Failpoints) -> None:
    start, call, complete = Journal._write_start, ToolServers.call, ScriptedModel.complete

    async def started(self: Journal, *args: Any) -> None:
        run = self._writer.run
        await start(self, *args)
        await points.reached("started", run.run_id, STAGES[run.state])

    async def called(self: ToolServers, tool: Any, arguments: Any, **more: Any) -> Any:
        run = str(arguments.get("label", arguments.get("key"))).partition(".")[0]
        await points.reached("sending", run, Stage.EXECUTE)
        points.step_clock()
        points.meet(run)
        self._servers["world"]._ours = bool(points.named("deadly"))
        answer = await call(self, tool, arguments, **more)
        await points.reached("replied", run, Stage.EXECUTE)
        return answer

    async def completed(self: ScriptedModel, request: Any, **more: Any) -> Any:
        stage = Stage.PLAN if request.role == "planner" else Stage.CRITIQUE
        run = str(request.facts["brief"]).partition("#")[2]
        await points.reached("sending", run, stage)
        answer = await complete(self, request, **more)
        await points.reached("replied", run, stage)
        return answer

    _put(Journal, "_write_start", started)
    _put(ToolServers, "call", called)
    _put(ScriptedModel, "complete", completed)


def _install_ends(points: Failpoints) -> None:
    finish, interrupt = Attempt._finish, Attempt.interrupt

    async def finished(self: Attempt, outcome: Any) -> Any:
        stage = STAGES.get(self.run.state, Stage.EXECUTE)
        await points.reached("finishing", self._run_id, stage)
        ended = await finish(self, outcome)
        await points.reached("finished", self._run_id, stage)
        return ended

    def interrupted(self: Attempt) -> None:
        points.at_once("cancelled", STAGES.get(self.run.state, Stage.EXECUTE))
        interrupt(self)

    _put(Attempt, "_finish", finished)
    _put(Attempt, "interrupt", interrupted)


def _put(owner: type, name: str, patched: Any) -> None:
    setattr(owner, name, patched)
