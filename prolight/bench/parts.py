"""The processes that are measured, as parts for the supervisor."""

from __future__ import annotations

import asyncio
import io
import math
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

from prolight.bench.terms import BenchFailed
from prolight.embedded.child import Child, Part
from prolight.embedded.probes import announced, answers
from prolight.embedded.stack import environment
from prolight.embedded.supervisor import Supervisor
from prolight.embedded.valkey import LOOPBACK, free_port
from prolight.retry import RetryPolicy
from prolight.settings import Settings

CELERY = (sys.executable, "-m", "celery", "--quiet", "-A")
STOP_WITHIN = timedelta(seconds=20)
LOOK_EVERY_SECONDS = 0.02
JPEG_QUALITY = 92
AT_ONCE_AGAIN = RetryPolicy(max_tries=sys.maxsize, cap=timedelta(seconds=0.5))


def bundled_picture() -> bytes:
    """The demo's photograph (JPEG, 1.4 megapixels, CC0)."""
    return (files("prolight.cli") / "demo_picture" / "helmet.jpg").read_bytes()


def picture_size(pixels: int) -> tuple[int, int]:
    """Width and height of that photograph at so many pixels, or a few more."""
    from PIL import Image

    with Image.open(io.BytesIO(bundled_picture())) as image:
        scale = math.sqrt(pixels / math.prod(image.size))
        return math.ceil(image.width * scale), math.ceil(image.height * scale)


def pictures(pixels: int, count: int) -> Iterator[bytes]:
    """It at this size, in files of their own: the same pixels, another comment."""
    from PIL import Image

    with Image.open(io.BytesIO(bundled_picture())) as image:
        scaled = image.resize(picture_size(pixels), Image.Resampling.LANCZOS)
    for number in range(count):
        file = io.BytesIO()
        scaled.save(file, "JPEG", quality=JPEG_QUALITY, comment=str(number).encode())
        yield file.getvalue()


def settings_for(home: Path, redis_url: str, **given: object) -> Settings:
    """This installation's settings, but over this store, and with everything of its own under `home`."""
    where = {"home": home, "artifacts": home / "artifacts", "redis_url": redis_url}
    studio = f"http://{LOOPBACK}:{free_port()}/mcp"
    return Settings.load(**{**where, "studio_url": studio, "model": "offline", "tools": "studio", **given})


def worker(settings: Settings, number: int) -> Part:
    """`celery -A workers worker`, as it ships."""
    return Part(
        name=f"worker{number}",
        argv=(*CELERY, "workers", "worker", "--hostname", f"worker{number}@%h"),
        ready=announced(settings.redis_url),
        env=environment(settings),
        cwd=settings.home,
        grace=STOP_WITHIN,
        tier=1,
    )


def studio(settings: Settings) -> Part:
    """`python -m prolight.studio`, where the settings look for it."""
    base = settings.tool_server_url.removesuffix("/mcp")
    port = base.rpartition(":")[2]
    return Part(
        name="studio",
        argv=(sys.executable, "-m", "prolight.studio", "--port", port, "--artifacts", str(settings.artifact_root)),
        ready=answers(f"{base}/healthz"),
        env=environment(settings),
        cwd=settings.home,
    )


@asynccontextmanager
async def running(*parts: Part) -> AsyncIterator[list[Child]]:
    """The parts, ready; one that ends is started again at once. Raises `StackFailed` with its last lines."""
    async with Supervisor(restarts=AT_ONCE_AGAIN) as supervisor:
        yield await supervisor.start(*parts)


async def until(condition: Callable[[], Awaitable[bool]], what: str, *, within: timedelta) -> None:
    """Look until it is so. Raises `BenchFailed` that says what never came."""
    give_up_at = time.monotonic() + within.total_seconds()
    while not await condition():
        if time.monotonic() > give_up_at:
            raise BenchFailed(f"{what} did not come within {within.total_seconds():g} s")
        await asyncio.sleep(LOOK_EVERY_SECONDS)
