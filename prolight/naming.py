"""The names that a process gives: to itself where somebody is on the record, and to new runs."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import time
import uuid
from contextlib import suppress


def principal() -> str:
    """Who this process works for: `user@host`."""
    user = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    with suppress(KeyError, OSError):  # a container's user may have no name
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def new_run_id() -> str:
    """A UUIDv7 (RFC 9562): sorts by creation."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))
