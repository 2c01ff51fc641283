"""One Celery task per agent. A message to it is a bell; `workers.strategy` hears it, so the bodies never run."""

from __future__ import annotations

from celery import Task

from workers.app import app


class StageTask(Task):
    Strategy = "workers.strategy:strategy"
    ignore_result = True


@app.task(name="prolight.plan", base=StageTask)
def plan() -> None:
    """The Planner takes the next run that waits for a plan."""


@app.task(name="prolight.critique", base=StageTask)
def critique() -> None:
    """The Critic takes the next run whose plan waits for a verdict."""


@app.task(name="prolight.execute", base=StageTask)
def execute() -> None:
    """The Executor takes the next run whose plan was accepted."""
