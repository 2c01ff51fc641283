"""`prolight worker`: a short way to say `celery -A workers worker -Q …`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from prolight.errors import InvalidInput
from prolight.schemas import Stage


def worker(
    stages: Annotated[str, typer.Option("-Q", "--queues", help="Stages to work for, with commas between.")] = ",".join(
        Stage
    ),
    slots: Annotated[int | None, typer.Option("-c", "--concurrency", min=1, help="Runs worked on at once.")] = None,
) -> None:
    """Run a Celery worker for some stages or all. Ctrl-C hands over what it works on, and stops."""
    os.execvp(sys.executable, celery_command(stages, slots))  # noqa: S606 - it takes this process over, signals and all


def celery_command(stages: str, slots: int | None) -> list[str]:
    """The program that takes this process over. Raises `InvalidInput` for a stage that is none."""
    queues = ",".join(queue_of(stage.strip()) for stage in stages.split(","))
    limit = ["-c", str(slots)] if slots else []
    return [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queues, *limit]


def queue_of(stage: str) -> str:
    """The queue of `plan` or of `prolight.plan`: people copy either."""
    try:
        return Stage(stage.removeprefix("prolight.")).queue
    except ValueError:
        raise InvalidInput(f"{stage!r} is no stage: take {', '.join(Stage)}", field="-Q") from None
