"""What `prolight batch` is given: a folder, a CSV file with a header, or a file with one JSON object a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prolight.batches import Input
from prolight.errors import InvalidInput
from prolight.spoken import some

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
PICTURE, NAME, BRIEF = ("picture", "file", "path", "image"), ("name", "sku", "id"), ("brief",)
"""What a column, or a key, may be called."""


def read(source: Path) -> list[Input]:
    """The pictures in their order. Raises `InvalidInput` that names every line in question."""
    if source.is_dir():
        files = sorted(file for file in source.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise InvalidInput(f"holds no picture ({', '.join(sorted(SUFFIXES))})", field=str(source))
        return [Input(file.name, file) for file in files]
    if not source.is_file():
        raise InvalidInput("is not there: a folder, a .csv or a .jsonl file", field=str(source))
    rows = _json_rows(source) if source.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(source)
    return _inputs(source, rows)


def _csv_rows(source: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with source.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        known = {(name or "").strip().lower() for name in reader.fieldnames or ()}
        if not known & set(PICTURE):
            reason = f"has no column {' or '.join(PICTURE)} in its first line"
            raise InvalidInput(reason, field=str(source))
        for row in reader:
            yield reader.line_num, {(name or "").strip().lower(): value for name, value in row.items()}


def _json_rows(source: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with source.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError:
                    row = None
                yield number, row if isinstance(row, dict) else {}


def _inputs(source: Path, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Input]:
    found, wrong = [], []
    for line, row in rows:
        picture = _value(row, PICTURE)
        if not picture:
            wrong.append(f"line {line} names no picture")
        elif not (file := source.parent / picture).is_file():
            wrong.append(f"line {line}: {picture} is not there")
        else:
            found.append(Input(_value(row, NAME) or picture, file, _value(row, BRIEF)))
    if wrong:
        raise InvalidInput(some(wrong), field=str(source))
    if not found:
        raise InvalidInput("lists no picture", field=str(source))
    return found


def _value(row: Mapping[str, Any], names: Iterable[str]) -> str:
    values = (row.get(name) for name in names)
    return next((value.strip() for value in values if isinstance(value, str) and value.strip()), "")
