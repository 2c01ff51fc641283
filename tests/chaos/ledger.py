"""A file of JSON lines that says what happened: a line is on the disk before anything goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prolight.schemas import compact_json


class Ledger:
    """One writer. Lines are numbered `n` = 1, 2, 3 …, through all restarts."""

    def __init__(self, path: Path) -> None:
        _mend(path)
        self._n = sum(1 for _ in read(path))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, **record: Any) -> dict[str, Any]:
        self._n += 1
        line = {"n": self._n, "at": time.time(), **record}
        os.write(self._file, (compact_json(line) + "\n").encode())
        os.fsync(self._file)
        return line


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ledger that may still be written to."""
    if path.exists():
        with path.open("rb") as file:
            yield from (json.loads(line) for line in file if line.endswith(b"\n"))


def _mend(path: Path) -> None:
    """Take away what a writer that was killed left of a last line: nothing went on after it."""
    if path.exists():
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)
