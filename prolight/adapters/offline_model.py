"""A `ChatModel` without an account: documented rules that plan and judge lighting briefs.

It is deterministic and pure: the same facts give the same answer. The words it knows are in `offline/vocabulary.py`,
a photographer's usual set-up is in `offline/lights.py`, and what the Critic looks for is in `offline/critic.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prolight.adapters.offline.critic import critique
from prolight.adapters.offline.planner import plan
from prolight.adapters.offline.tools import ToolSchemas
from prolight.errors import CallRejected
from prolight.ports import ChatReply, ChatRequest
from prolight.schemas import Finding, Plan, Target, refusal

MODEL_VERSION = "offline-rules-2"


class _Facts(BaseModel):
    model_config = ConfigDict(extra="ignore")

    brief: str
    tools: dict[str, dict[str, Any]] = Field(default_factory=dict)
    inspection: dict[str, Any] | None = None
    preset: Target | None = None

    @property
    def schemas(self) -> ToolSchemas:
        return {name: tool.get("input_schema") or {} for name, tool in self.tools.items()}


class _PlannerFacts(_Facts):
    findings: tuple[Finding, ...] = ()
    previous_plan: Plan | None = None


class _CriticFacts(_Facts):
    plan: Plan
    earlier_findings: tuple[Finding, ...] = ()


class OfflineModel:
    """Answers planner and critic requests by rule. Costs nothing, asks nobody."""

    @property
    def model_version(self) -> str:
        return MODEL_VERSION

    @property
    def prompt_hash(self) -> str:
        """sha256 over the source of the rules."""
        return _rules_hash()

    def quote(self, request: ChatRequest) -> Decimal:
        return Decimal(0)

    async def complete(self, request: ChatRequest, *, deadline: timedelta) -> ChatReply:
        """Plan or judge. Raises `CallRejected` when the facts are not what the role needs."""
        try:
            text = _ROLES[request.role](request.facts)
        except ValidationError as error:
            raise CallRejected(f"facts of the {request.role}: {refusal(error)}") from None
        return ChatReply(text=text, model_version=MODEL_VERSION)


def _planned(facts: Mapping[str, Any]) -> str:
    asked = _PlannerFacts.model_validate(facts)
    shop = asked.preset.name if asked.preset else ""
    made = plan(asked.brief, asked.schemas, findings=asked.findings, previous=asked.previous_plan, shop=shop)
    return made.model_dump_json()


def _judged(facts: Mapping[str, Any]) -> str:
    asked = _CriticFacts.model_validate(facts)
    judged = critique(
        asked.plan,
        asked.brief,
        asked.schemas,
        inspection=asked.inspection,
        earlier=asked.earlier_findings,
        target=asked.preset,
    )
    return judged.model_dump_json(exclude={"plan_hash"})


_ROLES: dict[str, Callable[[Mapping[str, Any]], str]] = {"planner": _planned, "critic": _judged}


@cache
def _rules_hash() -> str:
    package = files("prolight.adapters.offline")
    digest = hashlib.sha256()
    for source in sorted((entry for entry in package.iterdir() if entry.name.endswith(".py")), key=lambda e: e.name):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()
