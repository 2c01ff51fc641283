"""Joins adapters to ports, by the settings. The only file that knows both sides."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING

from pydantic import ValidationError

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.redis_store import RedisStore
from prolight.errors import InvalidInput, ToolsMissing
from prolight.ports import ChatModel
from prolight.schemas import refusal
from prolight.settings import Settings

if TYPE_CHECKING:
    from prolight.adapters.instant import InstantTools
    from prolight.adapters.mcp_tools import McpTools
    from prolight.adapters.registry import Server
    from prolight.adapters.tool_servers import ToolServers
    from prolight.attempt import Attempts
    from prolight.ports import RunStore, ToolGateway


OUTAGE = timedelta(minutes=30)
"""A worker waits so long for a store that went away before a write is given up."""


def connect_store(settings: Settings, *, patience: timedelta) -> RedisStore:
    return RedisStore(
        settings.store_url,
        lease=timedelta(seconds=settings.lease_seconds),
        crashes_to_poison=settings.crashes_to_suspect + settings.crashes_to_poison,
        retention=timedelta(seconds=settings.retention_seconds),
        sparing=settings.sparing,
        patience=patience,
    )


def connect_artifacts(settings: Settings) -> LocalArtifacts:
    return LocalArtifacts(settings.artifact_root)


def connect_model(settings: Settings) -> ChatModel:
    if settings.model == "instant":
        from prolight.adapters.instant import InstantModel

        return InstantModel()
    if settings.model == "offline":
        from prolight.adapters.offline_model import OfflineModel

        return OfflineModel()
    return _referred_model(settings)


def _referred_model(settings: Settings) -> ChatModel:
    """What the factory at `package.module:factory` makes. Raises `InvalidInput` that names the setting."""
    module, _, factory = settings.model.partition(":")
    try:
        model = getattr(import_module(module), factory)(settings)
    except Exception as error:  # foreign code fails in many ways; the start must say in which
        reason = f"{settings.model} gives no model: {type(error).__name__}: {error}"
        raise InvalidInput(reason, field="setting PROLIGHT_MODEL") from error
    if not isinstance(model, ChatModel):
        reason = f"{settings.model} makes a {type(model).__name__}, and no ChatModel as in prolight/ports.py"
        raise InvalidInput(reason, field="setting PROLIGHT_MODEL")
    return model


def connect_tools(settings: Settings, *, studio_here: bool = False) -> ToolServers | InstantTools:
    """`studio_here`: the studio works inside this process, where its packages are installed. Whoever asks closes it."""
    if settings.tools == "instant":
        from prolight.adapters.instant import InstantTools

        return InstantTools()
    from prolight.adapters.registry import STUDIO
    from prolight.adapters.tool_servers import ToolServers

    here = {}
    if studio_here:
        with suppress(ToolsMissing):
            here[STUDIO] = connect_studio_in_process(settings)
    fresh, longest_pause = timedelta(seconds=settings.tools_fresh_seconds), settings.sparing.longest_pause
    return ToolServers(tool_servers(settings), here=here, fresh=fresh, longest_pause=longest_pause)


def tool_servers(settings: Settings) -> dict[str, Server]:
    """The studio and what the user's file declares. Raises `InvalidInput` for a file that cannot be used."""
    from prolight.adapters.registry import STUDIO, Server, read_tools_file, studio_tools

    declared = read_tools_file(settings.tools_file) if settings.tools_file else {}
    try:
        studio = Server(url=settings.tool_server_url, tools=dict(studio_tools()))
    except ValidationError as error:
        raise InvalidInput(str(refusal(error)), field="setting PROLIGHT_STUDIO_URL") from None
    servers = {STUDIO: studio, **declared}
    for name in settings.retry_policies:
        server, is_tool, _ = name.partition(".")
        if is_tool and server not in servers:
            reason = f"{name}: there is no server {server}; there are {', '.join(servers)}"
            raise InvalidInput(reason, field="setting PROLIGHT_RETRY_POLICIES")
    return servers


def connect_studio_in_process(settings: Settings) -> McpTools:
    """The studio without a server. Raises `ToolsMissing` where its packages are not installed."""
    try:
        from prolight.studio.calls import CallLog
        from prolight.studio.server import build_server
        from prolight.studio.studio import Studio
    except ModuleNotFoundError as missing:
        raise ToolsMissing(f"the studio needs {missing.name}: pip install 'prolight[studio]'") from missing
    from prolight.adapters.mcp_tools import McpTools
    from prolight.adapters.registry import STUDIO, studio_tools

    with _root_logger_unchanged():
        server = build_server(Studio(connect_artifacts(settings)), CallLog())
    return McpTools(server, namespace=STUDIO, registry=studio_tools())


def build_attempts(settings: Settings, store: RunStore, tools: ToolGateway, model: ChatModel | None = None) -> Attempts:
    """The three agents over these ports; the settings name the model where none is given."""
    from prolight.adapters.offline_model import OfflineModel
    from prolight.agents import Critic, Executor, Planner
    from prolight.attempt import Attempts

    model, policy, deadlines = model or connect_model(settings), settings.policy, settings.deadlines
    agents = (
        Planner(model, tools, policy, deadlines),
        Critic(model, tools, policy, deadlines, OfflineModel()),
        Executor(tools, policy, settings.parallel_steps),
    )
    return Attempts(store, {agent.stage: agent for agent in agents}, deadlines, settings.retry, settings.ledger)


@contextmanager
def _root_logger_unchanged() -> Iterator[None]:
    """The MCP SDK's server sets up the root logger, which here is the caller's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
