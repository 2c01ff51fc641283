"""Tools for in-process use: a gateway that needs no set-up. Both runners take either face.

For now the tools are always the embedded studio's, in this process, and the run says so with a `warning` event.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from prolight import portal
from prolight.bootstrap import connect_studio_in_process
from prolight.errors import InvalidInput
from prolight.ports import Tool, ToolGateway, ToolResult
from prolight.settings import Settings

STUDIO_NOTICE = "the embedded studio does the work, in this process: no other tool server is configured"


class MCPClientAsync:
    """Implements `ports.ToolGateway`. `notice` is what a run should say of where its tools come from."""

    notice = STUDIO_NOTICE

    def __init__(self, *, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        self._made = os.getpid(), connect_studio_in_process(self.settings)

    def _gateway(self) -> ToolGateway:
        """The studio works in threads, which do not live on in a fork."""
        if self._made[0] != os.getpid():
            self._made = os.getpid(), connect_studio_in_process(self.settings)
        return self._made[1]

    async def tools(self, needed: Collection[str] = (), *, anew: bool = False) -> Mapping[str, Tool]:
        """By `server.tool` name."""
        return await self._gateway().tools(needed, anew=anew)

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, key: str, deadline: timedelta) -> ToolResult:
        """Raises `CallError`s. `key` names the call to its server."""
        return await self._gateway().call(tool, arguments, key=key, deadline=deadline)


class MCPClient:
    """The sync face: `MCPClient().call("studio.inspect_image", picture=ARTIFACT_ID)`."""

    def __init__(self, *, settings: Settings | None = None) -> None:
        self.asynchronous = MCPClientAsync(settings=settings)

    def tools(self) -> Mapping[str, Tool]:
        """By `server.tool` name."""
        return portal.call(self.asynchronous.tools())

    def call(self, name: str, /, **arguments: Any) -> ToolResult:
        """Call one tool. Raises `InvalidInput` for one that is not there, and `CallError`s."""
        tool = self.tools().get(name)
        if tool is None:
            raise InvalidInput(f"there is no {name!r}; there are {', '.join(sorted(self.tools()))}", field="tool")
        return portal.call(self.asynchronous.call(tool, arguments, key="", deadline=tool.timeout))
