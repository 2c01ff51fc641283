"""The three agents, and the runners that let them work in this process. `RunContext` is the run that they work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prolight.agents.critic import Critic
from prolight.agents.executor import Executor
from prolight.agents.planner import Planner
from prolight.schemas import RunContext

if TYPE_CHECKING:
    from prolight.agents.runner import AgentRunner, AgentRunnerAsync

__all__ = ["AgentRunner", "AgentRunnerAsync", "Critic", "Executor", "Planner", "RunContext"]


def __getattr__(name: str) -> Any:
    """The runners stand above the adapters, so they are imported when they are asked for."""
    if name in ("AgentRunner", "AgentRunnerAsync"):
        from prolight.agents import runner

        return getattr(runner, name)
    raise AttributeError(f"module 'prolight.agents' has no attribute {name!r}")
