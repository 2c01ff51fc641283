"""To which light, background or picture a modifier belongs.

- To the nearest one named in its clause; adjectives look ahead first, directions look back first.
- In a clause that names none: to the last one of the sentence that can take it, else the next of the sentence, else the
  last of the brief, else to a key light (or to the picture, for its brightness) that nobody named.
- A colour belongs to the background only when it stands next to it, or after `on`.
- An adjective in front of a word that is not known belongs to that word, and is not understood either. In a clause that
  names no light, so do directions: "the logo on the right" asks for no light.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from prolight.adapters.offline.clauses import Clause
from prolight.adapters.offline.marks import FILLERS, Mark
from prolight.adapters.offline.vocabulary import Kind

DIRECTIONS = frozenset({Kind.SIDE, Kind.DEPTH, Kind.ANGLE, Kind.AZIMUTH, Kind.HEIGHT, Kind.ABOVE})
NUMERIC_LEVELS = frozenset({Kind.EV, Kind.STOPS, Kind.AMOUNT})
LEVELS = NUMERIC_LEVELS | {Kind.BRIGHTNESS}
ADJECTIVES = frozenset({Kind.TINT, Kind.TEXTURE, Kind.STRENGTH, Kind.BRIGHTNESS, Kind.KELVIN, Kind.SOFTNESS})
OF_LIGHTS = DIRECTIONS | ADJECTIVES | LEVELS
WITHOUT_OWNER = frozenset({Kind.SETTING, Kind.STYLE, Kind.RATIO, Kind.FORMAT, Kind.PIXELS, Kind.QUALITY})
OF_THE_PICTURE = LEVELS | {Kind.TINT, Kind.KELVIN}
OWNERS = frozenset({Kind.LIGHT, Kind.BACKGROUND, Kind.PICTURE})
QUIET = FILLERS | {Kind.ON, Kind.KEEP, Kind.TOUCH}


@dataclass(slots=True)
class Owner:
    """A light, the background or the picture, where the brief names it, and the modifiers that it got."""

    kind: Kind
    name: str
    mark: Mark | None
    clause: int
    sentence: int
    definite: bool = False
    own: list[Mark] = field(default_factory=list)

    def takes(self, kind: Kind) -> bool:
        return kind in OF_LIGHTS if self.kind is Kind.LIGHT else self.kind is Kind.PICTURE and kind in OF_THE_PICTURE

    def competes(self, kind: Kind) -> bool:
        """Whether such a modifier could be meant for it, even where it cannot be had."""
        return self.takes(kind) or (self.kind is Kind.BACKGROUND and kind in ADJECTIVES | {Kind.COLOUR})

    @property
    def last(self) -> int:
        return self.mark.last if self.mark else -1


@dataclass(slots=True)
class Sorted:
    owners: list[Owner]
    alone: list[Mark] = field(default_factory=list)
    lost: list[Mark] = field(default_factory=list)


def assign(clauses: Sequence[Clause]) -> Sorted:
    """Give each mark to its owner, to `alone` when it needs none, or to `lost` when it leads to nothing."""
    sorter = _Sorter([owner for clause in clauses for owner in _owners(clause)])
    for clause in clauses:
        sorter.sort(clause)
    return sorter.result()


def _owners(clause: Clause) -> Iterator[Owner]:
    before: Mark | None = None
    for mark in clause.marks:
        if mark.kind in OWNERS:
            definite = before is not None and before.kind is Kind.THE
            yield Owner(mark.kind, str(mark.value) or mark.kind.value, mark, clause.number, clause.sentence, definite)
        before = mark


class _Sorter:
    def __init__(self, owners: list[Owner]) -> None:
        self.owners = owners
        self.by_clause: defaultdict[int, list[Owner]] = defaultdict(list)
        for owner in owners:
            self.by_clause[owner.clause].append(owner)
        self.alone: list[Mark] = []
        self.lost: list[Mark] = []
        self.implicit_light = Owner(Kind.LIGHT, "any", None, -1, -1)
        self.implicit_picture = Owner(Kind.PICTURE, "picture", None, -1, -1)

    def result(self) -> Sorted:
        implicit = [owner for owner in (self.implicit_light, self.implicit_picture) if owner.own]
        return Sorted(self.owners + implicit, self.alone, self.lost)

    def sort(self, clause: Clause) -> None:
        rows: dict[Kind, _Row] = {}
        kinds = frozenset(mark.kind for mark in clause.marks) - FILLERS
        foreign = _before_unknown_words(clause.marks)
        for at, mark in enumerate(clause.marks):
            if mark.kind in FILLERS | OWNERS | {Kind.ON} or (mark.kind in QUIET and not foreign[at]):
                continue
            if mark.kind in WITHOUT_OWNER:
                self.alone.append(mark)
                continue
            if mark.kind not in rows:
                rows[mark.kind] = _Row([one for one in self.by_clause[clause.number] if one.competes(mark.kind)], kinds)
            owner = None if foreign[at] else self._owner(mark, at, clause, rows[mark.kind])
            (owner.own if owner else self.lost).append(mark)

    def _owner(self, mark: Mark, at: int, clause: Clause, row: _Row) -> Owner | None:
        if mark.kind is Kind.COLOUR:
            return self._background(at, clause, row)
        if mark.kind not in OF_LIGHTS:
            return None
        if row.owners:
            near = row.nearest(mark)
            return near if near.takes(mark.kind) else None
        return None if _of_a_region(mark.kind, row.kinds) else self._owner_outside(mark, clause, row.kinds)

    def _owner_outside(self, mark: Mark, clause: Clause, kinds: frozenset[Kind]) -> Owner | None:
        before = [owner for owner in self.owners if owner.clause < clause.number and owner.takes(mark.kind)]
        here = [owner for owner in before if owner.sentence == clause.sentence]
        if mark.kind in LEVELS:
            of_level = [one for one in here if mark.kind in NUMERIC_LEVELS or one.name in ("fill", "rim")]
            return _last(of_level) or self.implicit_picture
        if mark.kind is Kind.STRENGTH and kinds != {Kind.STRENGTH}:
            here = before = []
        after = (o for o in self.owners if o.clause > clause.number and o.sentence == clause.sentence)
        found = _last(here) or next((owner for owner in after if owner.takes(mark.kind)), None) or _last(before)
        nameless = mark.kind is not Kind.STRENGTH and Kind.UNKNOWN not in kinds
        return found or (self.implicit_light if nameless else None)

    def _background(self, at: int, clause: Clause, row: _Row) -> Owner | None:
        for step in (1, -1):
            near = at + step
            while 0 <= near < len(clause.marks) and clause.marks[near].kind in FILLERS:
                near += step
            beside = clause.marks[near] if 0 <= near < len(clause.marks) else None
            if beside and beside.kind is Kind.BACKGROUND:
                return row.named_by(beside)
            if beside and beside.kind is Kind.ON and step == -1:
                return self._unnamed_background(clause)
        just_before = self.by_clause[clause.number - 1][-1:] if row.kinds == {Kind.COLOUR} else []
        return next((owner for owner in just_before if owner.kind is Kind.BACKGROUND), None)

    def _unnamed_background(self, clause: Clause) -> Owner:
        self.owners.append(Owner(Kind.BACKGROUND, "background", None, clause.number, clause.sentence))
        return self.owners[-1]


class _Row:
    """The owners of one clause that a modifier could be meant for, in order, and the kinds of all that is in it."""

    def __init__(self, owners: Sequence[Owner], kinds: frozenset[Kind]) -> None:
        self.owners = owners
        self.kinds = kinds
        self.firsts = [owner.mark.first for owner in owners if owner.mark]

    def named_by(self, mark: Mark) -> Owner:
        return self.owners[bisect_left(self.firsts, mark.first)]

    def nearest(self, mark: Mark) -> Owner:
        """By distance in words; when two are equally near, adjectives look ahead and directions look back."""
        behind = bisect_left(self.firsts, mark.first)
        if behind == len(self.owners):
            return self.owners[_head(self.firsts, behind - 1)]
        if behind == 0:
            return self.owners[0]
        ahead = self.firsts[behind] - mark.last
        back = mark.first - self.owners[behind - 1].last
        looks_ahead = ahead <= back if mark.kind in ADJECTIVES else ahead < back
        return self.owners[behind if looks_ahead else _head(self.firsts, behind - 1)]


def _head(firsts: Sequence[int], at: int) -> int:
    """Of several owners that one phrase names (`clamshell`), the first."""
    while at > 0 and firsts[at - 1] == firsts[at]:
        at -= 1
    return at


def _last(owners: Sequence[Owner]) -> Owner | None:
    if not owners:
        return None
    return owners[_head([owner.mark.first if owner.mark else -1 for owner in owners], len(owners) - 1)]


def _of_a_region(kind: Kind, kinds: frozenset[Kind]) -> bool:
    """A direction of something unknown, or with `darker`: it tells of a part of the picture, not of a light."""
    if kind in DIRECTIONS:
        return bool(kinds & {Kind.UNKNOWN, Kind.BRIGHTNESS})
    return kind is Kind.BRIGHTNESS and bool(kinds & DIRECTIONS)


def _before_unknown_words(marks: Sequence[Mark]) -> list[bool]:
    """For each mark, whether the words that it stands before end in one that is not known."""
    foreign = [False] * len(marks)
    unknown_ahead = owner_ahead = False
    for at in range(len(marks) - 1, -1, -1):
        mark = marks[at]
        foreign[at] = unknown_ahead and _leans_forward(marks, at)
        if mark.kind in OWNERS:
            unknown_ahead, owner_ahead = False, True
        elif mark.kind in FILLERS | {Kind.ON}:
            unknown_ahead = unknown_ahead and at > 0 and marks[at - 1].kind in QUIET
            owner_ahead = False
        elif mark.kind is Kind.UNKNOWN:
            unknown_ahead = not owner_ahead
    return foreign


def _leans_forward(marks: Sequence[Mark], at: int) -> bool:
    """Adjectives do; `left` does when it follows neither a light nor `from (the)`."""
    mark = marks[at]
    if mark.kind is not Kind.SIDE:
        return mark.kind in ADJECTIVES | {Kind.COLOUR, Kind.KEEP, Kind.TOUCH}
    return (at == 0 or marks[at - 1].kind is Kind.THE) and not (at > 1 and marks[at - 2].kind is Kind.GLUE)
