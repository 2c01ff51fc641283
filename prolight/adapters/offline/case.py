"""What the Critic has in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prolight.adapters.offline import fixes
from prolight.adapters.offline.ranges import beyond_range
from prolight.adapters.offline.reading import Reading
from prolight.adapters.offline.tools import ToolSchemas
from prolight.schemas import Plan, Step, Target


@dataclass(frozen=True)
class Case:
    """A plan, the brief and the preset that it is for, the picture's measurements, and the tools' input schemas."""

    proposed: Plan
    reading: Reading
    inspection: Mapping[str, Any] | None
    tools: ToolSchemas
    target: Target | None = None
    """What the finished picture will be held to."""

    @cached_property
    def plan(self) -> Plan:
        """The plan as it will be once its numbers are within range, so that no fix asks for what cannot be had."""
        return fixes.applied(self.proposed, list(beyond_range(self.proposed, self.tools)))

    def steps(self, tool: str) -> tuple[Step, ...]:
        return tuple(step for step in self.plan.steps if step.tool == tool)

    def behind(self, step: Step) -> tuple[Step, ...]:
        """The steps that its picture has been through, the nearest first."""
        made = {one.id: one for one in self.plan.steps}
        passed: list[Step] = []
        source = str(step.params.get("picture", "")).removeprefix("$")
        while (one := made.get(source)) is not None:
            passed.append(one)
            source = str(one.params.get("picture", "")).removeprefix("$")
        return tuple(passed)

    def measured(self, name: str) -> float | None:
        """A number of the inspection, if there is one."""
        value = (self.inspection or {}).get(name)
        return float(value) if isinstance(value, int | float) else None


def light(step: Step, role: str) -> Mapping[str, Any]:
    """The params of one light of a relight step; empty when it makes none."""
    params = step.params.get(role)
    return params if isinstance(params, Mapping) else {}
