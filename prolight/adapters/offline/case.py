"""What the Critic has in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prolight.adapters.offline import fixes
from prolight.adapters.offline.planner import ToolSchemas
from prolight.adapters.offline.ranges import beyond_range
from prolight.adapters.offline.reading import Reading
from prolight.schemas import Plan, Step


@dataclass(frozen=True)
class Case:
    """A plan, the brief that it is for, the picture's measurements, and the tools' input schemas."""

    proposed: Plan
    reading: Reading
    inspection: Mapping[str, Any] | None
    tools: ToolSchemas

    @cached_property
    def plan(self) -> Plan:
        """The plan as it will be once its numbers are within range, so that no fix asks for what cannot be had."""
        return fixes.applied(self.proposed, list(beyond_range(self.proposed, self.tools)))

    def steps(self, tool: str) -> tuple[Step, ...]:
        return tuple(step for step in self.plan.steps if step.tool == tool)

    def measured(self, name: str) -> float | None:
        """A number of the inspection, if there is one."""
        value = (self.inspection or {}).get(name)
        return float(value) if isinstance(value, int | float) else None


def light(step: Step, role: str) -> Mapping[str, Any]:
    """The params of one light of a relight step; empty when it makes none."""
    params = step.params.get(role)
    return params if isinstance(params, Mapping) else {}
