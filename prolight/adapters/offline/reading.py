"""A brief, read: what is asked of each light, of the background, the exposure and the export, and what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from prolight.adapters.offline import clauses, ownership
from prolight.adapters.offline.marks import FILLERS, Mark, marks
from prolight.adapters.offline.ownership import Owner
from prolight.adapters.offline.vocabulary import Kind
from prolight.adapters.offline.wishes import Conflict, Wishes, wishes
from prolight.adapters.offline.words import Token, quote, tokenise

ROLES = ("key", "fill", "rim")
BEHIND_DEG = 100.0
"""A light without a name that comes from further round than this is a rim."""
REFERENCES = {"fill": ("key",), "rim": ("key", "fill")}
"""From which other lights' strength a light's own may be counted."""
BRIDGES = FILLERS | {Kind.ON, Kind.KEEP, Kind.TOUCH}
SOFT_BRIDGES = BRIDGES | {Kind.COMMA, Kind.JOIN}


@dataclass(frozen=True, slots=True)
class Reading:
    """`wishes` by owner (`key`, `fill`, `rim`, `background`, `picture`, `export`); `lost` marks led to nothing."""

    text: str
    tokens: tuple[Token, ...]
    marks: tuple[Mark, ...]
    wishes: dict[str, Wishes]
    excluded: frozenset[str]
    conflicts: tuple[Conflict, ...]
    lost: tuple[Mark, ...]

    @property
    def lights(self) -> dict[str, Wishes]:
        return {role: self.wishes[role] for role in ROLES if role in self.wishes}

    def words(self, mark: Mark) -> str:
        return quote(self.text, self.tokens, mark.first, mark.last)

    def not_understood(self, also: Iterable[Mark] = ()) -> list[str]:
        """The phrases that led to nothing; `also` are marks that the caller can do nothing with."""
        return self._phrases([*self.lost, *also], BRIDGES)

    def served(self, owners: Iterable[str]) -> str:
        """The brief's words that these owners rest on."""
        said = [mark for owner in owners if owner in self.wishes for mark in self.wishes[owner].said]
        return "; ".join(self._phrases(said, SOFT_BRIDGES))

    def filled(self, other: Reading) -> Reading:
        """With what `other` asks for where this says nothing, field by field."""
        made = dict(self.wishes)
        for name, theirs in other.wishes.items():
            if name in self.excluded:
                continue
            own = made.get(name, Wishes(name))
            made[name] = replace(own, chosen={**theirs.chosen, **own.chosen})
        return replace(self, wishes=made)

    def _phrases(self, chosen: Iterable[Mark], bridges: frozenset[Kind]) -> list[str]:
        wanted = {at for mark in chosen for at in range(mark.first, mark.last + 1)}
        passable = {at for mark in self.marks if mark.kind in bridges for at in range(mark.first, mark.last + 1)}
        runs: list[list[int]] = []
        for at in sorted(wanted):
            if runs and all(between in passable for between in range(runs[-1][1] + 1, at)):
                runs[-1][1] = at
            else:
                runs.append([at, at])
        return [quote(self.text, self.tokens, first, last) for first, last in runs]


def read(text: str) -> Reading:
    """Read a brief. Total: every word ends up in a wish, in `excluded`, in `lost`, or is a stop word."""
    tokens = tokenise(text)
    found = marks(tokens)
    parts, negations = clauses.split(found)
    sorted_out = ownership.assign(parts)
    groups, unused = _by_name(sorted_out.owners)
    _add_alone(groups, sorted_out.alone)
    unused += _settle_references(groups)
    made = {name: wishes(name, *said) for name, said in groups.items()}
    conflicts = [conflict for each in made.values() for conflict in each.conflicts]
    lost = [*negations.lost, *sorted_out.lost, *unused, *(mark for each in made.values() for mark in each.lost)]
    for name, said in negations.excluded.items():
        if name in made:
            unwanted = replace(said[0], last=said[-1].last)
            conflicts.append(Conflict(name, "wanted", unwanted, made[name].said[0]))
            lost += made.pop(name).said
    if not made:
        lost += [mark for said in negations.excluded.values() for mark in said]
    excluded = frozenset(negations.excluded)
    return Reading(text, tokens, tuple(found), made, excluded, tuple(conflicts), tuple(lost))


Group = tuple[list[Mark], list[Mark]]
"""The marks that name an owner, and its modifiers."""


def _by_name(owners: Sequence[Owner]) -> tuple[dict[str, Group], list[Mark]]:
    groups: dict[str, Group] = {}
    idle: list[Mark] = []
    in_clause = {owner.clause: owner.name for owner in reversed(owners) if owner.name in ROLES and owner.mark}
    last_light = ""
    for owner in owners:
        name = _role(owner, in_clause, last_light)
        named = [owner.mark] if owner.mark else []
        says_something = owner.own or (owner.mark and owner.mark.preset)
        if not says_something and (owner.name == "any" or owner.kind is not Kind.LIGHT):
            idle += named
            continue
        group = groups.setdefault(name, ([], []))
        group[0].extend(named)
        group[1].extend(owner.own)
        last_light = name if owner.kind is Kind.LIGHT else last_light
    if groups.keys() & set(ROLES):
        idle = [mark for mark in idle if mark.kind is not Kind.LIGHT]
    if "background" in groups:
        idle = [mark for mark in idle if mark.kind is not Kind.BACKGROUND]
    return groups, [mark for mark in idle if mark.kind is not Kind.PICTURE]


def _settle_references(groups: dict[str, Group]) -> list[Mark]:
    """Stops of the key over the fill are the fill's ratio; the marks of references that lead nowhere are returned."""
    nowhere: list[Mark] = []
    for name, (named, own) in list(groups.items()):
        for mark in [mark for mark in own if mark.of and mark.of not in REFERENCES.get(name, ())]:
            own.remove(mark)
            if (name, mark.of) == ("key", "fill"):
                groups.setdefault("fill", ([], []))[1].append(replace(mark, kind=Kind.RATIO, of=""))
            else:
                nowhere.append(mark)
        if not named and not own:
            del groups[name]
    return nowhere


def _role(owner: Owner, in_clause: dict[int, str], last_light: str) -> str:
    """The role of a light that is only called `light`: by its place, its clause, or as the one spoken of."""
    if owner.name != "any":
        return owner.name
    if any(mark.kind in (Kind.DEPTH, Kind.AZIMUTH, Kind.ANGLE) and abs(mark.amount) > BEHIND_DEG for mark in owner.own):
        return "rim"
    placed = any(mark.kind in ownership.DIRECTIONS for mark in owner.own)
    spoken_of = last_light if owner.definite and not placed else ""
    return in_clause.get(owner.clause) or spoken_of or "key"


def _add_alone(groups: dict[str, Group], alone: Iterable[Mark]) -> None:
    for mark in alone:
        name = mark.sets.partition(".")[0] or {Kind.RATIO: "fill", Kind.STYLE: "picture"}.get(mark.kind, "export")
        groups.setdefault(name, ([], []))[1].append(mark)
