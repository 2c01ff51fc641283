"""Joins adapters to ports, by the settings. The only file that knows both sides."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.redis_store import RedisStore
from prolight.errors import ToolsMissing
from prolight.settings import Settings

if TYPE_CHECKING:
    from prolight.attempt import Attempts
    from prolight.ports import ChatModel, RunStore, ToolGateway


def connect_store(settings: Settings, *, patience: timedelta) -> RedisStore:
    return RedisStore(
        settings.store_url,
        lease=timedelta(seconds=settings.lease_seconds),
        crashes_to_poison=settings.crashes_to_poison,
        retention=timedelta(seconds=settings.retention_seconds),
        patience=patience,
    )


def connect_artifacts(settings: Settings) -> LocalArtifacts:
    return LocalArtifacts(settings.artifact_root)


def connect_model(settings: Settings) -> ChatModel:
    if settings.model == "instant":
        from prolight.adapters.instant import InstantModel

        return InstantModel()
    from prolight.adapters.offline_model import OfflineModel

    return OfflineModel()


def connect_tools(settings: Settings) -> ToolGateway:
    if settings.tools == "instant":
        from prolight.adapters.instant import InstantTools

        return InstantTools()
    from prolight.adapters.mcp_tools import McpTools
    from prolight.adapters.registry import STUDIO

    return McpTools(settings.tool_server_url, namespace="studio", registry=STUDIO)


def connect_studio_in_process(settings: Settings) -> ToolGateway:
    """The studio without a server. Raises `ToolsMissing` where its packages are not installed."""
    try:
        from prolight.studio.calls import CallLog
        from prolight.studio.server import build_server
        from prolight.studio.studio import Studio
    except ModuleNotFoundError as missing:
        raise ToolsMissing(f"the studio needs {missing.name}: pip install 'prolight[studio]'") from missing
    from prolight.adapters.mcp_tools import IN_PROCESS, McpTools
    from prolight.adapters.registry import STUDIO

    with _root_logger_unchanged():
        server = build_server(Studio(connect_artifacts(settings)), CallLog())
    return McpTools(IN_PROCESS, namespace="studio", registry=STUDIO, server=server)


def build_attempts(settings: Settings, store: RunStore, tools: ToolGateway, model: ChatModel | None = None) -> Attempts:
    """The three agents over these ports; the settings name the model where none is given."""
    from prolight.agents import Critic, Executor, Planner
    from prolight.attempt import Attempts

    model, policy, deadlines = model or connect_model(settings), settings.policy, settings.deadlines
    agents = (
        Planner(model, tools, policy, deadlines),
        Critic(model, tools, policy, deadlines),
        Executor(tools, policy, settings.parallel_steps),
    )
    return Attempts(store, {agent.stage: agent for agent in agents}, deadlines, settings.retry)


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
