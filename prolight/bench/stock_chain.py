"""What ProLight is held against: three no-op tasks as a stock Celery chain. An app of its own.

`celery -A prolight.bench.stock_chain -b URL --result-backend URL worker -E …` works it off;
`python -m prolight.bench.stock_chain URL COUNT` submits chains and prints the ids of their last tasks, as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from celery import Celery, chain

QUEUES = ("stock.plan", "stock.critique", "stock.execute")
REQUEST = {"picture_id": "0" * 64, "brief": "soft warm key from the left", "metadata": {}}
"""As small as what ProLight's own runs begin with; here it is also all that a stage hands on."""

app = Celery("stock")
app.conf.task_routes = {name: {"queue": name} for name in QUEUES}


@app.task(name="stock.plan")
def plan(request: dict[str, Any]) -> dict[str, Any]:
    return request


@app.task(name="stock.critique")
def critique(request: dict[str, Any]) -> dict[str, Any]:
    return request


@app.task(name="stock.execute")
def execute(request: dict[str, Any]) -> dict[str, Any]:
    return request


def submit(url: str, count: int) -> list[str]:
    """Enqueue `count` chains; answers the ids under which their last results will lie."""
    app.conf.update(broker_url=url, result_backend=url)
    # A chain that is applied twice keeps its task ids, so each gets one of its own.
    return [chain(plan.s(REQUEST), critique.s(), execute.s()).apply_async().id for _ in range(count)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(submit(sys.argv[1], int(sys.argv[2]))))
