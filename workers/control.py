"""Celery's remote control where it has to know of runs: same commands, same arguments, our meaning.

A task is a stage of a run, a queue is a stage's queue. Task ids that are not ours go Celery's own way.
"""

from __future__ import annotations

from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control
from celery.worker import state as worker_state
from celery.worker.control import control_command

from prolight.schemas import Stage
from workers.row import stage_of
from workers.runtime import runtime

Reply = dict[str, str]
QUEUES = tuple(stage.queue for stage in Stage)


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **options: Any) -> Reply:
    """Cancel the runs that are at these stages.

    With or without `terminate`: a stage that is worked on is told to let go. No answer is waited for,
    since the store may be away and this thread must not be.
    """
    named = {id: stage_of(id) for id in maybe_list(task_id) or []}
    ours = [id for id, stage in named.items() if stage]
    others = [id for id, stage in named.items() if not stage]
    worker_state.revoked.update(ours)  # for `inspect revoked`; nothing here looks there before it claims
    for stage in filter(None, named.values()):
        runtime.revoke(stage)
    if not ours:
        return dict(control.revoke(state, others, terminate, signal, **options))
    if others:
        control.revoke(state, others, terminate, signal, **options)
    return {"ok": f"cancelling what is at {', '.join(ours)}"}


@control_command(
    variadic="task_id",
    args=[("signal", str)],
    signature="<signal> [id1 [id2 [... [idN]]]]",
)
def terminate(state: Any, signal: Any, task_id: Any, **options: Any) -> Reply:
    """The same as revoke: nothing here is ended by a signal."""
    return dict(revoke(state, task_id, terminate=True, signal=signal, **options))


@control_command(
    args=[("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)],
    signature="<queue> [exchange [type [routing_key]]]",
)
def add_consumer(state: Any, queue: str, **_: Any) -> Reply:
    """Take this stage's runs again. How its queue is declared is ours to say."""
    return dict(control.add_consumer(state, queue)) if queue in QUEUES else _no_stage(queue)


@control_command(args=[("queue", str)], signature="<queue>")
def cancel_consumer(state: Any, queue: str, **_: Any) -> Reply:
    """Take none of this stage's runs any more; what is worked on goes on."""
    return dict(control.cancel_consumer(state, queue)) if queue in QUEUES else _no_stage(queue)


def _no_stage(queue: str) -> Reply:
    return {"error": f"{queue!r} is no stage's queue: one of {', '.join(QUEUES)}"}
