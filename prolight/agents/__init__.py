"""The three agents. `RunContext` is the whole run that they work on."""

from prolight.agents.critic import Critic
from prolight.agents.executor import Executor
from prolight.agents.planner import Planner
from prolight.schemas import RunContext

__all__ = ["Critic", "Executor", "Planner", "RunContext"]
