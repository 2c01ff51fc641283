"""The shipped worker, whose interpreter writes down each time that data becomes code or an object (`AUDIT_FILE`)."""

from __future__ import annotations

import os
import sys
from typing import Any

from workers import app

TOLD = frozenset({"pickle.find_class", "marshal.loads", "exec", "compile", "os.system"})


def _is_an_import() -> bool:
    frame = sys._getframe(1)
    while frame:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if event in TOLD and not _is_an_import():
        with open(os.environ["AUDIT_FILE"], "a") as file:  # noqa: PTH123 - whoever is called here must call little
            file.write(f"{event} {args!r:.200}\n")


sys.addaudithook(_hear)

__all__ = ["app"]
