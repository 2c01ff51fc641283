"""The finished pictures, held against the preset of their run by whoever offers to measure it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prolight.agents.base import Work, measure
from prolight.agents.planner import CHECKER, named
from prolight.determinism import call_key
from prolight.errors import BudgetExceeded, CallError
from prolight.guardrails import Policy
from prolight.ports import Tool, ToolGateway
from prolight.schemas import Artifact, Check, Miss, Target

MOST_SAID = 16
NO_CHECKER = f"no tool {CHECKER} is offered"


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore")

    met: bool
    misses: tuple[Miss, ...]
    advice: tuple[Miss, ...] = ()


async def checked(
    pictures: tuple[Artifact, ...], work: Work, gateway: ToolGateway, tools: Mapping[str, Tool], policy: Policy
) -> tuple[Check, ...]:
    """One check a picture, in their order; none without a preset. A picture that cannot be checked is told so.

    Asked again, the journal's answers stand.
    """
    target = work.run.preset
    if target is None:
        return ()
    tool = named(CHECKER, tools, policy)
    return tuple([await _checked(picture, target, work, gateway, tool) for picture in pictures])


async def _checked(picture: Artifact, target: Target, work: Work, gateway: ToolGateway, tool: Tool | None) -> Check:
    unchecked = Check(picture_id=picture.id, preset=target.name, met=None, why=NO_CHECKER)
    if tool is None:
        return unchecked
    try:
        answer = await _measured(picture, target, work, gateway, tool)
        said = _Said.model_validate(answer)
        return unchecked.evolve(
            met=said.met and not said.misses, misses=said.misses[:MOST_SAID], advice=said.advice[:MOST_SAID], why=""
        )
    except (CallError, BudgetExceeded) as error:
        return unchecked.evolve(why=str(error)[:300])
    except ValidationError:
        return unchecked.evolve(why=f"{tool.name} answered something else than a check")


async def _measured(
    picture: Artifact, target: Target, work: Work, gateway: ToolGateway, tool: Tool
) -> Mapping[str, Any]:
    asked = {"required": target.required.told(), "recommended": target.recommended.told()}
    key = call_key(work.run.journal_id, "check", picture.id)
    return await measure(tool, {"picture": picture.id, **asked}, gateway, work, key=key)
