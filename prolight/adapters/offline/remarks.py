"""The Critic's remarks, in the shape of the record: short, and with an id that stays the same from round to round."""

from __future__ import annotations

import re
from typing import Literal

from prolight.schemas import Finding

MAX_ID_CHARS, MAX_MESSAGE_CHARS, MAX_FIX_CHARS = 96, 600, 400


def blocking(about: str, message: str, step: str | None = None, fix: str = "") -> Finding:
    return _finding(about, "blocking", message, step, fix)


def advice(about: str, message: str, step: str | None = None) -> Finding:
    return _finding(about, "advice", message, step, "")


def _finding(about: str, severity: Literal["blocking", "advice"], message: str, step: str | None, fix: str) -> Finding:
    plain = re.sub(r"[^a-z0-9_.:-]", "-", about.lower())[:MAX_ID_CHARS]
    return Finding(id=plain, severity=severity, message=message[:MAX_MESSAGE_CHARS], step=step, fix=fix[:MAX_FIX_CHARS])
