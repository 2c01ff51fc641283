"""The numbers in a step's params, held against the ranges of the tool's JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prolight.adapters.offline.fixes import set_to
from prolight.adapters.offline.remarks import blocking
from prolight.schemas import Finding, Plan

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A number beyond its limits; `nearest` is the limit that it passed."""

    path: str
    value: float
    low: float | None
    high: float | None
    nearest: float

    @property
    def limits(self) -> str:
        if self.low is None or self.high is None:
            return f"at least {self.low:g}" if self.high is None else f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


def beyond_range(plan: Plan, tools: Mapping[str, Schema]) -> Iterator[Finding]:
    """A remark with its fix for every number of the plan that its tool does not take."""
    for step in plan.steps:
        for found in out_of_range(step.params, tools.get(step.tool, {})):
            message = f"{found.path} is {found.value:g}; {step.tool} takes {found.limits}"
            yield blocking(f"range.{step.id}.{found.path}", message, step.id, set_to(found.path, found.nearest))


def out_of_range(params: Mapping[str, Any], schema: Schema) -> Iterator[OutOfRange]:
    """Every number in `params` beyond the minimum or maximum that `schema` sets for it."""
    yield from _walk(params, schema, schema, "")


def _walk(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[OutOfRange]:
    fitting = _resolved(schema, root)
    if isinstance(value, Mapping):
        for name, item in value.items():
            for branch in fitting:
                inner = branch.get("properties", {}).get(name)
                if inner is not None:
                    yield from _walk(item, inner, root, f"{path}.{name}" if path else name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        numeric = [branch for branch in fitting if branch.get("type") in ("number", "integer")]
        if numeric:
            yield from _beyond(path, value, numeric[0])


def _resolved(schema: Schema, root: Schema) -> list[Schema]:
    """The schema, with a local `$ref` followed and `anyOf` opened."""
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        return [root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})]
    branches = schema.get("anyOf")
    return [found for branch in branches for found in _resolved(branch, root)] if branches else [schema]


def _beyond(path: str, value: float, schema: Schema) -> Iterator[OutOfRange]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and value < low:
        yield OutOfRange(path, value, low, high, low)
    elif high is not None and value > high:
        yield OutOfRange(path, value, low, high, high)
