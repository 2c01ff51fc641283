"""Clauses and negations of a brief.

Commas and joining words part a sentence into clauses. A negation covers the rest of its clause, and the bare lights
that a list goes on with ("without rim or fill"). "No rim" and "don't touch the background" are wishes that are kept;
any other negated wish is said to be not understood, never turned into its opposite.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prolight.adapters.offline.marks import FILLERS, Mark
from prolight.adapters.offline.vocabulary import IN_DEGREE, WHOLE_CLAUSE, Kind

LIST = "list"
"""What `and` and `or` join by."""


@dataclass(slots=True)
class Clause:
    """A part of a sentence; `negated_from` is the place in `marks` from which on it is negated."""

    marks: list[Mark]
    number: int
    sentence: int
    joined_by: str = ""
    negated_from: int | None = None


@dataclass(slots=True)
class Negations:
    """`excluded` maps what must not be made or touched to the marks that say so; `lost` are all other negated marks."""

    excluded: dict[str, list[Mark]] = field(default_factory=dict)
    lost: list[Mark] = field(default_factory=list)


def split(marks: Iterable[Mark]) -> tuple[list[Clause], Negations]:
    """The clauses of a brief, without what is negated in them."""
    clauses = list(_clauses(marks))
    for at in range(len(clauses)):
        clauses[at].negated_from = _negated_from(clauses, at)
    negations = Negations()
    for clause in clauses:
        _take_out_negated(clause, negations)
        _take_out_kept_background(clause, negations)
    return clauses, negations


def _clauses(marks: Iterable[Mark]) -> Iterator[Clause]:
    clause = Clause([], 0, 0)
    for mark in marks:
        if mark.kind not in (Kind.COMMA, Kind.JOIN, Kind.STOP):
            clause.marks.append(mark)
            continue
        if clause.marks:
            yield clause
        ends = mark.kind is Kind.STOP
        clause = Clause([], clause.number + 1, clause.sentence + ends, str(mark.value))
    if clause.marks:
        yield clause


def _negated_from(clauses: Sequence[Clause], at: int) -> int | None:
    clause = clauses[at]
    if any(mark.kind is Kind.NOT and mark.value == WHOLE_CLAUSE for mark in clause.marks):
        return 0
    own = next((place for place, mark in enumerate(clause.marks) if mark.kind is Kind.NOT), None)
    if own is not None or at == 0 or not _bare(clause.marks):
        return own
    before = clauses[at - 1]
    if before.negated_from is None or before.sentence != clause.sentence:
        return None
    only_lights = _bare([mark for mark in before.marks[before.negated_from :] if mark.kind is not Kind.NOT])
    listed = clause.joined_by == LIST
    if clause.joined_by == "," and at + 1 < len(clauses):
        listed = clauses[at + 1].joined_by == LIST and _bare(clauses[at + 1].marks)
    return 0 if only_lights and listed else None


def _bare(marks: Sequence[Mark]) -> bool:
    """Nothing but names of lights."""
    solid = [mark for mark in marks if mark.kind not in FILLERS]
    return bool(solid) and all(mark.kind is Kind.LIGHT and mark.value != "any" for mark in solid)


def _take_out_negated(clause: Clause, result: Negations) -> None:
    """Move what is negated or to be kept out of the clause, so that it cannot be read as its opposite."""
    start = len(clause.marks) if clause.negated_from is None else clause.negated_from
    clause.marks, negated = clause.marks[:start], clause.marks[start:]
    kinds = {mark.kind for mark in negated} - FILLERS
    rest = [mark for mark in negated if mark.kind is not Kind.NOT]
    if kinds == {Kind.NOT, Kind.TOUCH, Kind.BACKGROUND}:
        result.excluded.setdefault("background", []).extend(negated)
    elif rest and kinds == {Kind.NOT, Kind.SETTING} and not any(mark.value == IN_DEGREE for mark in negated):
        for owner in dict.fromkeys(mark.sets.partition(".")[0] for mark in rest if mark.sets):
            result.excluded.setdefault(owner, []).extend(negated)
    elif _bare(rest) and not any(mark.value == IN_DEGREE for mark in negated):
        for role in dict.fromkeys(str(mark.value) for mark in rest if mark.kind is Kind.LIGHT):
            result.excluded.setdefault(role, []).extend(negated)
    else:
        result.lost += [mark for mark in negated if mark.kind not in FILLERS]


def _take_out_kept_background(clause: Clause, result: Negations) -> None:
    kept = [mark for mark in clause.marks if mark.kind in (Kind.KEEP, Kind.BACKGROUND)]
    coloured = any(mark.kind is Kind.COLOUR for mark in clause.marks)
    if {mark.kind for mark in kept} == {Kind.KEEP, Kind.BACKGROUND} and not coloured:
        result.excluded.setdefault("background", []).extend(kept)
        clause.marks = [mark for mark in clause.marks if mark.kind not in (Kind.KEEP, Kind.BACKGROUND)]
