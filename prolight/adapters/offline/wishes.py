"""What the brief says of one light, the background or the picture: one mark for each field, and what contradicts it.

Figures beat names ("3200 K" beats "golden hour"), names beat adjectives ("tungsten" beats "warm"), the first of equals
wins. Two marks contradict each other when they lie on different sides of neutral, or are different figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from prolight.adapters.offline.marks import SCALABLE, Mark
from prolight.adapters.offline.vocabulary import NEUTRAL_KELVIN, Kind, Meaning

FIELDS = {
    Kind.SIDE: "side",
    Kind.DEPTH: "depth",
    Kind.ANGLE: "angle",
    Kind.AZIMUTH: "azimuth",
    Kind.HEIGHT: "elevation",
    Kind.ABOVE: "elevation",
    Kind.KELVIN: "kelvin",
    Kind.TINT: "kelvin",
    Kind.SOFTNESS: "softness",
    Kind.TEXTURE: "softness",
    Kind.STRENGTH: "strength",
    Kind.BRIGHTNESS: "strength",
    Kind.EV: "level",
    Kind.STOPS: "level",
    Kind.AMOUNT: "amount",
    Kind.RATIO: "ratio",
    Kind.COLOUR: "color",
    Kind.STYLE: "style",
    Kind.FORMAT: "format",
    Kind.PIXELS: "pixels",
    Kind.QUALITY: "quality",
}
NEUTRAL = {"kelvin": float(NEUTRAL_KELVIN), "softness": 0.5, "depth": 90.0}
FREE = frozenset({"format", "pixels", "quality"})
"""Fields of the export: a second value is left out without making the brief contradict itself."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two values that were asked for one field of `owner`; `kept` is the one that stands."""

    owner: str
    field: str
    kept: Mark
    lost: Mark


@dataclass(slots=True)
class Wishes:
    """What is asked of `owner`; `said` are all marks that it rests on."""

    owner: str
    chosen: dict[str, Mark] = field(default_factory=dict)
    presets: dict[str, float] = field(default_factory=dict)
    said: list[Mark] = field(default_factory=list)
    lost: list[Mark] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)

    def number(self, name: str) -> float | None:
        """The figure for a field: what is said of it, else what comes with the name of the light."""
        return self.chosen[name].amount if name in self.chosen else self.presets.get(name)


def wishes(owner: str, named: Iterable[Mark], marks: Iterable[Mark]) -> Wishes:
    """Choose among `marks`, which belong to `owner`, named in the brief by `named`."""
    made = Wishes(owner)
    _name(made, named)
    by_field: dict[str, list[Mark]] = {}
    for mark in sorted(marks, key=lambda mark: mark.first):
        by_field.setdefault(_field(mark), []).append(mark)
    if "amount" in by_field and "strength" not in by_field:
        made.lost += by_field.pop("amount")
    for name, candidates in by_field.items():
        _choose(made, name, candidates)
    return made


def _field(mark: Mark) -> str:
    return mark.sets.partition(".")[2] if mark.kind is Kind.SETTING else FIELDS[mark.kind]


def _name(made: Wishes, named: Iterable[Mark]) -> None:
    """The first name with a place of its own gives the place; a second such light (hair light, kicker) is lost."""
    preset: tuple[Meaning, ...] = ()
    for mark in named:
        preset = preset or mark.preset
        (made.said if mark.preset in ((), preset) else made.lost).append(mark)
    made.presets = {FIELDS[meaning.kind]: float(meaning.value) for meaning in preset}


def _choose(made: Wishes, name: str, candidates: list[Mark]) -> None:
    best = max(candidates, key=_rank)
    made.chosen[name] = best
    for mark in candidates:
        if mark is best or not _contradict(name, best, mark):
            made.said.append(mark)
            continue
        made.lost.append(mark)
        if name not in FREE:
            made.conflicts.append(Conflict(made.owner, name, best, mark))


def _rank(mark: Mark) -> int:
    return 2 if mark.number else int(mark.kind not in SCALABLE)


def _contradict(name: str, one: Mark, other: Mark) -> bool:
    if isinstance(one.value, str) or isinstance(other.value, str) or (one.number and other.number):
        return one.value != other.value and one.number == other.number
    if name in FREE:
        return False
    neutral = NEUTRAL.get(name, 0.0)
    return (one.amount - neutral) * (other.amount - neutral) < 0
