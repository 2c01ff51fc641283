"""Several tool servers as one `ToolGateway`: a tool is `server.tool`, and a server that is away hides no other's tools.

Each server is looked at by one task at a time, whose answer everybody shares: a hundred stages that wait for a
server knock once, not a hundred times.
"""

from __future__ import annotations

import asyncio
import logging
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
GLANCE = timedelta(seconds=1)
"""So long those who do not need a server wait while it is looked at for the first time, or all are wanted."""


class ToolServers:
    """Lives on one event loop. `here` are servers inside this process, each in place of the one of its name.

    A pause that a server asks for is kept for `longest_pause` at most.
    """

    def __init__(
        self,
        servers: Mapping[str, Server],
        *,
        here: Mapping[str, McpTools] | None = None,
        look_again_after: timedelta = LOOK_AGAIN_AFTER,
        longest_pause: timedelta = DEFAULT_SPARING.longest_pause,
    ) -> None:
        self._http = pooled_http()
        self._servers = {
            name: McpTools(server.url, namespace=name, registry=server.tools, http=self._http, ours=name == STUDIO)
            for name, server in servers.items()
        } | dict(here or {})
        self._look_again_after = look_again_after.total_seconds()
        self._longest_pause = longest_pause.total_seconds()
        self._known: dict[str, Mapping[str, Tool]] = {}
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

    async def tools(self, needed: Collection[str] = ()) -> Mapping[str, Tool]:
        needing = self._servers.keys() & {name.partition(".")[0] for name in needed}
        if len(self._known) < len(self._servers):
            await self._look(needing)
            self._check(needing)
            self._tell()
        return {name: tool for server in self._servers for name, tool in self._known.get(server, {}).items()}

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, key: str, deadline: timedelta) -> ToolResult:
        return await self._servers[tool.name.partition(".")[0]].call(tool, arguments, key=key, deadline=deadline)

    async def survey(self) -> dict[str, Mapping[str, Tool] | CallError]:
        """Each server's tools, or why they cannot be had."""
        await self._look(self._servers.keys())
        return {name: self._known[name] if name in self._known else self._error(name) for name in self._servers}

    async def _look(self, needing: Set[str]) -> None:
        """Whoever needs a server waits for its answer, and so does everybody while none is known."""
        urgent = needing or (frozenset() if self._known else self._servers.keys())
        now = asyncio.get_running_loop().time()
        for name in self._servers.keys() - self._known.keys() - self._looks.keys():
            hurry = name in urgent and not isinstance(self._away.get(name), RateLimited)
            if hurry or now >= self._look_again_at.get(name, now):
                self._looks[name] = asyncio.create_task(self._discover(name))
        if waited_for := [look for name, look in self._looks.items() if name in urgent]:
            await asyncio.wait(waited_for)
        # The Critic shows a model all tools: what is up should be there in every process, or it is asked twice.
        if glances := [look for name, look in self._looks.items() if not needing or name not in self._away]:
            await asyncio.wait(glances, timeout=GLANCE.total_seconds())

    async def _discover(self, name: str) -> None:
        try:
            self._known[name] = await self._servers[name].tools()
        except CallError as error:
            self._away[name] = error
            pause = error.retry_after.total_seconds() if error.retry_after else 0.0
            wait = max(self._look_again_after, min(pause, self._longest_pause))
            self._look_again_at[name] = asyncio.get_running_loop().time() + wait
        else:
            self._away.pop(name, None)
        finally:
            del self._looks[name]

    def _check(self, needing: Set[str]) -> None:
        """Raises for a needed server that is away, or when all are: what waiting mends comes first."""
        wanted = needing if self._known else self._servers.keys()
        errors = [self._error(name) for name in wanted - self._known.keys()]
        if errors:
            raise min(errors, key=lambda error: not error.retryable)

    def _tell(self) -> None:
        """Once per absence."""
        for name in self._away.keys() - self._told:
            log.warning("plans go without the tools of %s: %s", name, self._away[name])
        self._told = set(self._away)

    def _error(self, name: str) -> CallError:
        return self._away.get(name) or NotSent(f"tool server {name} has not listed its tools yet")
