"""Presets: what marketplaces ask of a picture, one TOML file each, with the pages that say so.

`required` is what a shop refuses pictures for, `recommended` what it advises, `deliver` what ProLight makes for it, and
`brief` asks for that in a photographer's words. A new preset is a new file. The pages were read as stored copies of the
web; `kind` says whether a page is the shop's own (primary) or somebody's account of it (secondary).
"""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field

from prolight.errors import InvalidInput
from prolight.schemas import MAX_BRIEF_CHARS, Target, Value

SUFFIX = ".toml"


class Source(Value):
    """A page that says what a shop wants. `read` is the day on which it was read."""

    url: str = Field(pattern=r"^https://")
    read: date
    kind: Literal["primary", "secondary"]
    says: str = Field(min_length=1, max_length=600)


class Preset(Target):
    """A shop's wishes, with the brief that asks for them and where they are written."""

    title: str = Field(min_length=1, max_length=80)
    brief: str = Field(min_length=1, max_length=MAX_BRIEF_CHARS)
    sources: tuple[Source, ...] = Field(min_length=1)

    @property
    def target(self) -> Target:
        """What a run keeps of it."""
        return Target(name=self.name, required=self.required, recommended=self.recommended, deliver=self.deliver)


def names() -> tuple[str, ...]:
    """All there are, sorted."""
    found = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)))


@cache
def preset(name: str) -> Preset:
    """Raises `InvalidInput` that lists the names there are."""
    if name not in names():
        raise InvalidInput(f"{name[:60]!r} is none of {', '.join(names())}", field="preset")
    content = (files(__name__) / f"{name}{SUFFIX}").read_text(encoding="utf-8")
    return Preset.model_validate({"name": name, **tomllib.loads(content)})
