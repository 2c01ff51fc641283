"""The same work as a stock Celery chain, as a careful user writes it: plan → critique → execute, results in Redis.

`celery -A tests.chaos.baseline_app worker`. What was chosen in its favour, and why:

- `acks_late`, `task_reject_on_worker_lost`, prefetch 1: a task that dies comes back, and nobody hoards others.
- `worker_deduplicate_successful_tasks`: a task that comes again after its result was stored does nothing.
- `visibility_timeout` 8 s: a plan here has at most two groups of calls, of at most `TOOL_SECONDS` = 3 s each; shorter,
  a slow task would run twice with no fault at all. ProLight's lease is 12 s and here 1.2 s, a tenth; so is this, of
  80 s, where Celery's own default is an hour. `unacked_restore_*` look every second, the least that kombu offers.
- `autoretry_for` a connection that fails, with back-off and jitter, at most 4 times. No fault that is played makes a
  tool fail, so it does no harm.
- Each call carries a key made of run and step, the same in every try: a keyed tool does it once. A task that was
  delivered again probes a tool that can be probed, before it asks for the same a second time.
- Prefork, which is Celery's default, without gossip and mingle; the store syncs every write (`appendfsync always`).

`CHAOS_CONTROL` is a folder. A task that gets to a point while the file `hold.POINT` lies there says so with
`at.POINT.RUN`, and waits until the file is gone: so the driver kills at a point, never after a while.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import httpx
from celery import Celery, chain
from celery.app.task import Task

WORLD_VARIABLE, LLM_VARIABLE, STORE_VARIABLE, CONTROL_VARIABLE = (
    "CHAOS_WORLD_URL",
    "CHAOS_LLM_URL",
    "CHAOS_STORE_URL",
    "CHAOS_CONTROL",
)
VISIBILITY_SECONDS = 8
TOOL_SECONDS = 3.0
LLM_SECONDS = 3.0
MAX_RETRIES = 4
BACKOFF_CAP_SECONDS = 4
POLL_SECONDS = 0.02
TOOLS = ("pure", "keyed", "probeable", "billed", "blind")
QUEUES = ("baseline.plan", "baseline.critique", "baseline.execute")
Point = Literal["asking", "replied"]

app = Celery("baseline", broker=os.environ.get(STORE_VARIABLE), backend=os.environ.get(STORE_VARIABLE))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_deduplicate_successful_tasks=True,
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_SECONDS,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
    task_routes={name: {"queue": name} for name in QUEUES},
)
RETRIED: dict[str, Any] = {
    "bind": True,
    "autoretry_for": (httpx.TransportError,),
    "retry_backoff": True,
    "retry_backoff_max": BACKOFF_CAP_SECONDS,
    "max_retries": MAX_RETRIES,
}


@app.task(name=QUEUES[0], **RETRIED)
def plan(self: Task, request: dict[str, Any]) -> dict[str, Any]:
    text = _model("planner", request["run"], {"brief": request["brief"], "tools": [f"world.{name}" for name in TOOLS]})
    return {**request, "plan": json.loads(text)}


@app.task(name=QUEUES[1], **RETRIED)
def critique(self: Task, request: dict[str, Any]) -> dict[str, Any]:
    verdict = json.loads(_model("critic", request["run"], {"brief": request["brief"], "plan": request["plan"]}))
    if verdict["verdict"] != "accept":
        raise ValueError(f"the critic says {verdict['verdict']}")
    return request


@app.task(name=QUEUES[2], **RETRIED)
def execute(self: Task, request: dict[str, Any]) -> dict[str, Any]:
    """The pictures, by step."""
    again = bool(self.request.retries or (self.request.delivery_info or {}).get("redelivered"))
    made: dict[str, Any] = {"$input": request["picture"]}
    for step in request["plan"]["steps"]:
        run, tool = request["run"], step["tool"].partition(".")[2]
        params = {**step["params"], "picture": made[step["params"]["picture"]]}
        made[f"${step['id']}"] = _carried_out(tool, params, key=f"{run}.{step['id']}", run=run, again=again)
    return made


def _carried_out(tool: str, params: Mapping[str, Any], *, key: str, run: str, again: bool) -> str:
    if again and tool == "probeable":
        probed = _tool("probe", {"key": key}, key)
        if probed["status"] == "unclear":
            raise httpx.ReadTimeout("the call may still be under way")
        if probed["status"] == "done":
            return str(probed["artifact"]["id"])
    _reached("asking", run)
    answer = _tool(tool, params, key)
    _reached("replied", run)
    return str(answer["artifact"]["id"])


def _tool(name: str, arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Raises `httpx.TransportError` when there is no answer, `ValueError` when it is an error."""
    params = {"name": name, "arguments": arguments, "_meta": {"prolight/key": key}}
    answer = httpx.post(
        os.environ[WORLD_VARIABLE],
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={"accept": "application/json, text/event-stream"},
        timeout=TOOL_SECONDS,
        trust_env=False,
        verify=False,
    )
    told = answer.json()
    if "result" not in told or told["result"].get("isError"):
        raise ValueError(f"{name}: {told}")
    return dict(told["result"]["structuredContent"])


def _model(role: str, run: str, facts: Mapping[str, Any]) -> str:
    question = {"role": role, "facts": facts, "key": f"{run}.{role}"}
    answer = httpx.post(
        f"{os.environ[LLM_VARIABLE]}/complete", json=question, timeout=LLM_SECONDS, trust_env=False, verify=False
    )
    return str(answer.raise_for_status().json()["text"])


def _reached(point: Point, run: str) -> None:
    control = Path(os.environ[CONTROL_VARIABLE])
    hold = control / f"hold.{point}"
    if hold.exists():
        (control / f"at.{point}.{run}").write_text(str(os.getpid()))
        while hold.exists():
            time.sleep(POLL_SECONDS)


def submit(run: str, brief: str, picture: str) -> list[str]:
    """Enqueue a chain; the ids of its tasks, first to last. Its last result, or the first failure, is how it ends."""
    request = {"run": run, "brief": f"{brief} #{run}", "picture": picture}
    chained = chain(plan.s(request), critique.s(), execute.s()).apply_async()
    ids = [chained.id]
    while (chained := chained.parent) is not None:
        ids.append(chained.id)
    return ids[::-1]
