"""A brief as tokens: lower-cased words, numbers and signs that remember where in the text they stand.

The pattern is one alternation without nested repetition, so the time grows with the length of the text only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<hex>\#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})(?![0-9a-zA-Z]))
    | (?P<odd>\d{1,6}\s?[x×]\s?\d{1,6}(?!\d)|(?<![\w.])\d{1,5}(?:\.\d{1,3})?[–-]\d{1,5}(?!\d))
    | (?P<ratio>\d{1,3}(?:\.\d{1,2})?:\d{1,3}(?!\d))
    | (?P<fraction>\d{1,2}/\d{1,2}(?!\d)|[½¼¾⅓⅔])
    | (?P<number>(?:(?<![\w)])[+−-])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,9}(?:\.\d{1,6})?))
    | (?P<word>[^\W\d_]+(?:['’][^\W\d_]+)?)
    | (?P<stop>[.!?;\n]+)
    | (?P<comma>[,()—–]|\s-\s)
    | (?P<glue>[\s:/"“”‘’'_]+|-)
    | (?P<sign>[°%])
    | (?P<other>.)
    """,
    re.VERBOSE,
)
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3}


@dataclass(frozen=True, slots=True)
class Token:
    """One word or number; `start` and `end` are its place in the brief."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def number(self) -> float | None:
        """Its value, if it is a number or a fraction."""
        if self.kind == "number":
            return float(self.text.replace(",", "").replace("−", "-"))
        if self.kind != "fraction":
            return None
        above, _, below = self.text.partition("/")
        return _FRACTIONS.get(self.text) if not below else float(above) / max(float(below), 1.0)

    @property
    def long_hex(self) -> str:
        """`#abc` as `#aabbcc`."""
        short = len(self.text) == len("#abc")
        return "#" + "".join(digit * 2 for digit in self.text[1:]) if short else self.text

    @property
    def signed(self) -> bool:
        return self.kind == "number" and self.text[0] in "+-−"


def tokenise(text: str) -> tuple[Token, ...]:
    """The tokens of `text` in order; spaces and hyphens only part them."""
    return tuple(
        Token(str(match.lastgroup), match.group().lower().replace("’", "'"), match.start(), match.end())
        for match in _TOKEN.finditer(text)
        if match.lastgroup != "glue"
    )


def quote(text: str, tokens: tuple[Token, ...], first: int, last: int) -> str:
    """The brief's own words from token `first` to token `last`, both included, on one line."""
    return " ".join(text[tokens[first].start : tokens[last].end].split())
