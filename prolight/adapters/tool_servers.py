"""Several tool servers as one `ToolGateway`: a tool is `server.tool`, and a server that is away hides no other's tools.

Each server is looked at by one task at a time, whose answer everybody shares: a hundred stages that wait for a
server knock once, not a hundred times. What it listed is believed for a short time only, because a server may be
replaced by one whose tools are others.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Mapping, Set
from datetime import timedelta
from typing import Any

from prolight.adapters.mcp_tools import McpTools, pooled_http
from prolight.adapters.registry import STUDIO, Server
from prolight.errors import CallError, NotSent, RateLimited
from prolight.ports import Tool, ToolResult
from prolight.retry import DEFAULT_SPARING

log = logging.getLogger(__name__)

LOOK_AGAIN_AFTER = timedelta(seconds=2)
"""A server that was away is looked at again so much later, or as soon as somebody needs it and it wants no pause."""
FRESH = timedelta(seconds=5)
"""So long a list counts as what the server offers."""
GLANCE = timedelta(seconds=1)
"""So long those who do not need a server wait while it is looked at for the first time, or all are wanted."""


class ToolServers:
    """Lives on one event loop. `here` are servers inside this process, each in place of the one of its name.

    A list is `fresh` for so long: then whoever needs the server has it listed again, and waits for it if it is away.
    A pause that a server asks for is kept for `longest_pause` at most.
    """

    def __init__(
        self,
        servers: Mapping[str, Server],
        *,
        here: Mapping[str, McpTools] | None = None,
        fresh: timedelta = FRESH,
        look_again_after: timedelta = LOOK_AGAIN_AFTER,
        longest_pause: timedelta = DEFAULT_SPARING.longest_pause,
    ) -> None:
        self._http = pooled_http()
        self._servers = {
            name: McpTools(server.url, namespace=name, registry=server.tools, http=self._http, ours=name == STUDIO)
            for name, server in servers.items()
        } | dict(here or {})
        self._fresh = fresh.total_seconds()
        self._look_again_after = look_again_after.total_seconds()
        self._longest_pause = longest_pause.total_seconds()
        self._known: dict[str, Mapping[str, Tool]] = {}
        self._asked_at: dict[str, float] = {}
        self._away: dict[str, CallError] = {}
        self._told: set[str] = set()
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._look_again_at: dict[str, float] = {}

    async def close(self) -> None:
        looks = list(self._looks.values())
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        await self._http.aclose()

    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        needing = self._servers.keys() & {name.partition(".")[0] for name in needed}
        now = asyncio.get_running_loop().time()
        since = now if anew else now - self._fresh
        if any(self._is_older(name, since) for name in self._servers):
            await self._look(needing, since)
            self._check(needing, since)
            self._tell()
        return {name: tool for server in self._servers for name, tool in self._known.get(server, {}).items()}

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, key: str, deadline: timedelta) -> ToolResult:
        return await self._servers[tool.name.partition(".")[0]].call(tool, arguments, key=key, deadline=deadline)

    async def survey(self) -> dict[str, Mapping[str, Tool] | CallError]:
        """Each server's tools, or why they cannot be had."""
        await self._look(self._servers.keys(), asyncio.get_running_loop().time())
        return {name: self._error(name) if name in self._away else self._known[name] for name in self._servers}

    def _is_older(self, name: str, since: float) -> bool:
        """Whether what is known was asked for before that time, on the loop's clock."""
        return self._asked_at.get(name, -math.inf) < since

    async def _look(self, needing: Set[str], since: float) -> None:
        """Whoever needs a server waits for its answer, and so does everybody while none is known."""
        urgent = needing or (frozenset() if self._known else self._servers.keys())
        for name in self._servers.keys() - urgent:
            if name not in self._known or (not needing and self._is_older(name, since)):
                self._look_unless_away(name)
        await asyncio.gather(*(self._list_since(name, since) for name in urgent))
        # The Critic shows a model all tools: what is up should be there in every process, or it is asked twice.
        ignored = self._known.keys() | self._away.keys() if needing else frozenset()
        if glances := [look for name, look in self._looks.items() if name not in ignored]:
            await asyncio.wait(glances, timeout=GLANCE.total_seconds())

    async def _list_since(self, name: str, since: float) -> None:
        """Until its tools are known as of that time. The look under way may have begun too early, the next has not."""
        for _ in range(2):
            if not self._is_older(name, since):
                return
            paused = isinstance(self._away.get(name), RateLimited)
            if look := self._look_unless_away(name) if paused else self._begin(name):
                await asyncio.wait([look])
            if name in self._away:
                return

    def _look_unless_away(self, name: str) -> asyncio.Task[None] | None:
        now = asyncio.get_running_loop().time()
        return self._begin(name) if now >= self._look_again_at.get(name, now) else self._looks.get(name)

    def _begin(self, name: str) -> asyncio.Task[None]:
        if name not in self._looks:
            self._looks[name] = asyncio.create_task(self._discover(name))
        return self._looks[name]

    async def _discover(self, name: str) -> None:
        asked_at = asyncio.get_running_loop().time()
        try:
            self._known[name] = await self._servers[name].tools(anew=True)
        except CallError as error:
            self._away[name] = error
            pause = error.retry_after.total_seconds() if error.retry_after else 0.0
            wait = max(self._look_again_after, min(pause, self._longest_pause))
            self._look_again_at[name] = asyncio.get_running_loop().time() + wait
        else:
            self._asked_at[name] = asked_at
            self._away.pop(name, None)
            self._look_again_at.pop(name, None)
        finally:
            del self._looks[name]

    def _check(self, needing: Set[str], since: float) -> None:
        """Raises for a needed server that is away, or when all are: what waiting mends comes first."""
        wanted = needing if self._known else self._servers.keys()
        errors = [self._error(name) for name in wanted if self._is_older(name, since)]
        if errors:
            raise min(errors, key=lambda error: not error.retryable)

    def _tell(self) -> None:
        """Once per absence."""
        for name in self._away.keys() - self._told:
            how = "know only the old tools" if name in self._known else "go without the tools"
            log.warning("plans %s of %s: %s", how, name, self._away[name])
        self._told = set(self._away)

    def _error(self, name: str) -> CallError:
        return self._away.get(name) or NotSent(f"tool server {name} has not listed its tools yet")
