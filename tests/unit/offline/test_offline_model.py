"""The model as the agents see it: the port, its facts, and what importing it costs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from prolight.adapters.offline_model import OfflineModel
from prolight.errors import CallRejected
from prolight.ports import ChatModel, ChatReply, ChatRequest
from prolight.schemas import Critique, Plan, Usage, Verdict

from .studio_tools import SCHEMAS, TOOLS

MODEL: ChatModel = OfflineModel()


def ask(role: Literal["planner", "critic"], **facts: Any) -> ChatReply:
    request = ChatRequest(role=role, facts=facts, schema={})
    return asyncio.run(MODEL.complete(request, deadline=timedelta(seconds=5)))


def ask_planner(brief: str, **facts: Any) -> Plan:
    whole: dict[str, Any] = {
        "brief": brief,
        "inspection": None,
        "tools": TOOLS,
        "findings": [],
        "previous_plan": None,
        "round": 0,
    }
    return Plan.model_validate_json(ask("planner", **{**whole, **facts}).text)


def ask_critic(brief: str, plan: Plan, **facts: Any) -> Critique:
    whole: dict[str, Any] = {
        "brief": brief,
        "inspection": None,
        "tools": TOOLS,
        "policy": {},
        "earlier_findings": [],
        "round": 0,
    }
    return Critique.model_validate_json(ask("critic", **{**whole, "plan": plan.model_dump(mode="json"), **facts}).text)


def test_planner_and_critic_settle_a_plan_over_the_port() -> None:
    brief = "key from the left at +6 EV, rim 45° left"
    first = ask_planner(brief)
    objection = ask_critic(brief, first)
    assert objection.verdict is Verdict.REVISE
    findings = [finding.model_dump(mode="json") for finding in objection.findings]
    second = ask_planner(brief, findings=findings, previous_plan=first.model_dump(mode="json"), round=1)
    assert ask_critic(brief, second, earlier_findings=findings, round=1).verdict is Verdict.ACCEPT
    assert second.steps[0].params["key"]["ev"] == 4
    assert second.steps[0].params["rim"]["azimuth_deg"] == -135


def test_only_tools_that_are_there_are_planned_with() -> None:
    tools = {name: tool for name, tool in TOOLS.items() if name != "studio.relight"}
    made = ask_planner("warm key from the left, white background", tools=tools)
    assert [step.tool for step in made.steps] == ["studio.replace_background", "studio.export"]
    assert made.not_understood == ("warm key from the left",)


def test_without_any_tool_nothing_is_planned_and_all_is_reported() -> None:
    made = ask_planner("warm key from the left", tools={})
    assert (made.steps, made.not_understood) == ((), ("warm key from the left",))


def test_the_critic_answers_with_verdict_and_findings_only() -> None:
    plan = ask_planner("key from the left")
    reply = ask("critic", brief="key from the left", plan=plan.model_dump(mode="json"), tools=TOOLS)
    assert json.loads(reply.text) == {"verdict": "accept", "findings": []}


def test_an_answer_costs_nothing_and_names_its_model() -> None:
    request = ChatRequest(role="planner", facts={"brief": "key", "tools": TOOLS}, schema={})
    reply = ask("planner", brief="key", tools=TOOLS)
    assert MODEL.quote(request) == Decimal(0)
    assert (reply.usage, reply.model_version) == (Usage(), MODEL.model_version)
    assert MODEL.model_version == "offline-rules-2"


def test_the_prompt_hash_is_a_sha256_and_stays_the_same() -> None:
    assert len(bytes.fromhex(MODEL.prompt_hash)) == 32
    assert OfflineModel().prompt_hash == MODEL.prompt_hash


@pytest.mark.parametrize(
    ("role", "facts", "field"),
    [
        ("planner", {"tools": TOOLS}, "brief"),
        ("critic", {"brief": "key", "tools": TOOLS}, "plan"),
        ("planner", {"brief": "key", "tools": TOOLS, "findings": [{"id": "x"}]}, "findings.0.severity"),
    ],
)
def test_facts_that_do_not_fit_are_refused_by_name(role: Any, facts: dict[str, Any], field: str) -> None:
    with pytest.raises(CallRejected, match=field):
        ask(role, **facts)


ANSWERS = """
import asyncio, hashlib, sys
sys.path.insert(0, sys.argv[1])
from offline.briefs import ALL
from offline.test_offline_model import ask_critic, ask_planner
answers = [(plan := ask_planner(b.text)).model_dump_json() + ask_critic(b.text, plan).model_dump_json() for b in ALL]
print(hashlib.sha256("".join(answers).encode()).hexdigest())
"""


def test_answers_do_not_depend_on_the_process() -> None:
    tests = str(Path(__file__).parents[1])
    hashes = {
        subprocess.run(
            [sys.executable, "-c", ANSWERS, tests],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(hashes) == 1 and all(len(found.strip()) == 64 for found in hashes)


def test_importing_the_model_loads_no_heavy_library() -> None:
    heavy = ("numpy", "cv2", "PIL", "mcp", "celery", "redis", "anthropic")
    code = f"import sys, prolight.adapters.offline_model; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_real_studio_describes_its_tools_as_these_tests_do(tmp_path: Any) -> None:
    pytest.importorskip("cv2")
    from prolight.adapters.local_artifacts import LocalArtifacts
    from prolight.agents.planner import CHECKER
    from prolight.studio.calls import CallLog
    from prolight.studio.server import build_server
    from prolight.studio.studio import Studio

    studio = Studio(LocalArtifacts(tmp_path))
    tools = asyncio.run(build_server(studio, CallLog()).list_tools())
    studio.close()
    described = {f"studio.{tool.name}": numbers(tool.input_schema) for tool in tools if tool.name != CHECKER}
    assert described == {name: numbers(schema) for name, schema in SCHEMAS.items()}


def numbers(schema: Any) -> Any:
    """The schema without titles, descriptions and patterns: names, limits and what is required."""
    if isinstance(schema, list):
        return [numbers(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: numbers(value) for name, value in schema.items() if name not in ("title", "description", "pattern")}
    return {**kept, "type": "string"} if "enum" in kept else kept
