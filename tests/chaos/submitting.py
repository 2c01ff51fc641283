"""A caller that dies: `python -m tests.chaos.submitting before|after REQUEST` submits, and kills itself at that point.

`before` the store was asked, or `after` it answered and before the caller heard of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from prolight.adapters.redis_store import RedisStore
from prolight.client import AsyncClient
from prolight.schemas import RunRequest
from tests.chaos import recording


async def main(point: str, request: str) -> None:
    recording.install()
    create = RedisStore.create

    async def deadly(self: RedisStore, *args: Any, **more: Any) -> Any:
        if point == "after":
            await create(self, *args, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    RedisStore.create = deadly  # type: ignore[method-assign]
    async with AsyncClient() as client:
        await client.enqueue(RunRequest.model_validate_json(request))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
