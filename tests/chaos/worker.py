"""The shipped workers, whose store records, that die where the driver says, and that lack a guard if they are told to.

`celery -A tests.chaos.worker worker`; the environment says where the control folder is, and this worker's name in it.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.chaos import failpoints, guards, recording

recording.install()
for guard in filter(None, os.environ.get(guards.VARIABLE, "").split(",")):
    guards.remove(guard)
failpoints.install(
    failpoints.Failpoints(Path(os.environ[failpoints.CONTROL_VARIABLE]), os.environ[failpoints.NAME_VARIABLE])
)

from workers import app  # noqa: E402 - it starts with what was patched

__all__ = ["app"]
