"""The shipped workers, whose store records, that die where the driver says, and that lack a guard if they are told to.

`celery -A tests.chaos.worker worker`; the environment says where the control folder is, and this worker's name in it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.chaos import failpoints, guards, recording, suspect, zygote

recording.install()
for guard in filter(None, os.environ.get(guards.VARIABLE, "").split(",")):
    guards.remove(guard)
failpoints.install(
    failpoints.Failpoints(Path(os.environ[failpoints.CONTROL_VARIABLE]), os.environ[failpoints.NAME_VARIABLE])
)

from workers import app, dock  # noqa: E402 - it starts with what was patched

program = (sys.executable, "-I", "-S", str(Path(suspect.__file__)), os.environ[zygote.ADDRESS_VARIABLE])
setattr(dock, "PROGRAM", program)  # noqa: B010 - it is longer than what is shipped

__all__ = ["app"]
