"""Hashes that bind: a plan to its verdict, its approval and its execution; a call to its result.

Canonical JSON here is: UTF-8, sorted keys, no white space, no NaN. Equal values give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from prolight.errors import PlanInvalid, ToolChanged
from prolight.schemas import Lock, Plan, Step

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    return _CANONICAL.encode(value).encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fingerprint(value: Any) -> str:
    """sha256 of the canonical JSON of `value`."""
    return sha256(canonical_json(value))


def plan_hash(plan: Plan) -> str:
    return fingerprint(plan.model_dump(mode="json"))


def tool_pin(definition: Mapping[str, Any]) -> str:
    """What a tool server says of a tool, whole (description included), as one hash."""
    return fingerprint(definition)


def call_key(journal_id: str, *parts: str | int) -> str:
    """The journal key of a call: `RunContext.journal_id`, plan hash or stage, step or round, call number.

    Never the attempt, the epoch or the time: whoever takes a run over must find the same key.
    """
    return fingerprint([journal_id, *parts])[:40]


def check_lock(lock: Lock | None, plan: Plan, pins: Mapping[str, str]) -> None:
    """Refuse (`PlanInvalid`) to execute what was not judged, or with tools that changed since (`ToolChanged`)."""
    if lock is None or lock.plan_hash != plan_hash(plan):
        raise PlanInvalid("is not the plan that was judged", field="plan")
    for step in plan.steps:
        check_pin(lock, step, pins)


def check_pin(lock: Lock, step: Step, pins: Mapping[str, str]) -> None:
    """Raises as `check_lock` does, for one step."""
    if step.tool not in pins:
        raise PlanInvalid(f"there is no tool {step.tool!r}", field=f"step {step.id}")
    if step.tool not in lock.tool_pins:
        raise PlanInvalid(f"tool {step.tool!r} was not there when the plan was made", field=f"step {step.id}")
    if pins[step.tool] != lock.tool_pins[step.tool]:
        raise ToolChanged(step.tool, pins[step.tool], step=step.id)
