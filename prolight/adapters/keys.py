"""The keys that the store may hold, as the header of `lua/prelude.lua` lists them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Literal

Expires = Literal["", "always", "with its run", "with its batch"]


@cache
def documented() -> tuple[tuple[re.Pattern[str], Expires], ...]:
    """The patterns, and when such a key expires: '' (never), 'always', or with its run or batch."""
    header = (files("prolight.adapters") / "lua" / "prelude.lua").read_text().split("\n\n")[0]
    entries = re.sub(r"\n--\s{6,}", "  ", header).splitlines()
    found: list[tuple[re.Pattern[str], Expires]] = []
    for entry in entries:
        if match := re.match(r"-- (prolight(?:<[^>]+>|[^\s<])+)\s.*?(expires.*)?$", entry):
            pattern = re.sub(r"<[^>]+>", ".+", match[1].replace(".", r"\."))
            known: dict[str | None, Expires] = {
                None: "",
                "expires": "always",
                "expires with its batch": "with its batch",
            }
            found.append((re.compile(pattern), known.get(match[2], "with its run")))
    return tuple(found)


def expires(key: str) -> Expires | None:
    """None for a key that the header does not know."""
    return next((when for pattern, when in documented() if pattern.fullmatch(key)), None)
