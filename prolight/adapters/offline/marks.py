"""A brief as marks: each token belongs to exactly one phrase, and each phrase has its meaning from the vocabulary.

Numbers with units come first, then the longest phrase of the vocabulary, then stop words; the rest is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from prolight.adapters.offline import retouching, vocabulary
from prolight.adapters.offline.quantities import MOST_BETWEEN, quantity
from prolight.adapters.offline.retouching import IN_STOPS, SCALED
from prolight.adapters.offline.vocabulary import STOP_WORDS, Kind, Meaning, Value, scaled
from prolight.adapters.offline.words import Token

SCALABLE = frozenset({Kind.TINT, Kind.TEXTURE, Kind.STRENGTH, Kind.BRIGHTNESS})
SIDES = frozenset({Kind.SIDE, Kind.DEPTH, Kind.AZIMUTH})
HEIGHTS = frozenset({Kind.HEIGHT, Kind.ABOVE, Kind.RISE})
FILLERS = frozenset({Kind.GLUE, Kind.THE})
IN_FIGURES = frozenset({Kind.EV, Kind.STOPS, Kind.AMOUNT})
PHRASES = vocabulary.PHRASES | retouching.PHRASES
LONGEST_PHRASE = max(map(len, PHRASES))


@dataclass(frozen=True, slots=True)
class Mark:
    """A phrase of the brief: tokens `first` to `last`, both included, and what it means.

    `preset` are the attributes that come with the name of a light; `number` marks what was given in figures;
    `of` is the light that stops are counted from; `sets` the field that a setting is of.
    """

    kind: Kind
    value: Value
    first: int
    last: int
    preset: tuple[Meaning, ...] = ()
    number: bool = False
    of: str = ""
    sets: str = ""

    @property
    def scalable(self) -> bool:
        """Whether `slightly` and `very` make it another value."""
        return self.kind in SCALABLE or self.sets in SCALED

    @property
    def amount(self) -> float:
        return float(self.value)


def marks(tokens: Sequence[Token]) -> list[Mark]:
    """All marks in the order of the text; together they cover every token."""
    found: list[Mark] = []
    at = 0
    while at < len(tokens):
        new, at = _read(tokens, at)
        found += new
    return _elevations(_in_stops(_adverbs(found)))


def _read(tokens: Sequence[Token], at: int) -> tuple[list[Mark], int]:
    if measured := quantity(tokens, at):
        meaning, end = measured
        if meaning.kind in (Kind.STOPS, Kind.AMOUNT):
            return _reference(tokens, at, meaning, end)
        return [Mark(meaning.kind, meaning.value, at, end - 1, number=True, sets=meaning.sets)], end
    for length in range(min(LONGEST_PHRASE, len(tokens) - at), 0, -1):
        meanings = PHRASES.get(tuple(token.text for token in tokens[at : at + length]))
        if meanings:
            return list(_named(meanings, at, at + length - 1)), at + length
    return [_single(tokens[at], at)], at + 1


def _single(token: Token, at: int) -> Mark:
    if token.kind == "hex":
        return Mark(Kind.COLOUR, token.long_hex, at, at, number=True)
    if token.kind in ("comma", "stop"):
        return Mark(Kind(token.kind), token.text, at, at)
    if token.text.endswith("n't"):
        return Mark(Kind.NOT, "", at, at)
    return Mark(Kind.GLUE if token.text in STOP_WORDS else Kind.UNKNOWN, token.text, at, at)


def _named(meanings: Sequence[Meaning], first: int, last: int) -> Iterator[Mark]:
    """One mark a meaning; what follows the name of a light is that light's preset."""
    light: Mark | None = None
    for meaning in meanings:
        if light and meaning.kind is not Kind.LIGHT:
            light = replace(light, preset=(*light.preset, meaning))
            continue
        if light:
            yield light
        mark = Mark(meaning.kind, meaning.value, first, last, sets=meaning.sets)
        light = mark if meaning.kind is Kind.LIGHT else None
        if not light:
            yield mark
    if light:
        yield light


def _reference(tokens: Sequence[Token], at: int, meaning: Meaning, end: int) -> tuple[list[Mark], int]:
    """`… (than) (the) key`: the light that the stops are counted from is no new light."""
    behind = end
    for word in ("than", "the"):
        behind += behind < len(tokens) and tokens[behind].text == word
    text = tokens[behind].text if behind < len(tokens) else ""
    if meaning.kind is Kind.AMOUNT or text not in ("key", "fill", "rim"):
        return [Mark(meaning.kind, meaning.value, at, end - 1, number=True)], end
    with_light = behind + 1 < len(tokens) and tokens[behind + 1].text == "light"
    return [Mark(meaning.kind, meaning.value, at, behind + with_light, number=True, of=text)], behind + with_light + 1


def _adverbs(found: list[Mark]) -> list[Mark]:
    """`slightly warm` and `sharpen it slightly` are one mark; an adverb without its word is not understood.

    Whatever has one phrase ("make it pop") is scaled whole.
    """
    made: list[Mark] = []
    at = 0
    while at < len(found):
        mark = found[at]
        at += 1
        if mark.kind is not Kind.ADVERB:
            made.append(mark)
        elif (ahead := _phrase(found, at)) and ahead[0].scalable:
            made += [_scaled(each, mark) for each in ahead]
            at += len(ahead)
        elif back := _scalable_behind(made):
            made[-back:] = [_scaled(each, mark) for each in made[-back:] if each.scalable]
        else:
            made.append(replace(mark, kind=Kind.UNKNOWN))
    return made


def _phrase(found: Sequence[Mark], at: int) -> list[Mark]:
    """The marks of the phrase that begins at `at`."""
    return [mark for mark in found[at : at + LONGEST_PHRASE] if mark.first == found[at].first]


def _scalable_behind(made: Sequence[Mark]) -> int:
    """How many marks back the last phrase begins, if it is a setting that can be scaled; 0 otherwise."""
    at = _solid_behind(made)
    if at is None or made[at].sets not in SCALED:
        return 0
    while at > 0 and made[at - 1].first == made[at].first:
        at -= 1
    return len(made) - at


def _solid_behind(made: Sequence[Mark]) -> int | None:
    """Where the last mark is that says something, if it is near: a bound, so that no text makes this quadratic."""
    nearest = range(len(made) - 1, max(-1, len(made) - 2 - MOST_BETWEEN), -1)
    return next((at for at in nearest if made[at].kind not in FILLERS), None)


def _scaled(mark: Mark, adverb: Mark) -> Mark:
    value = scaled(mark.kind, mark.amount, adverb.amount) if mark.scalable else mark.value
    return replace(mark, value=value, first=min(mark.first, adverb.first), last=max(mark.last, adverb.last))


def _in_stops(found: list[Mark]) -> list[Mark]:
    """`lift the shadows by one stop` is one mark: the figure replaces the usual one, the sign stays."""
    made: list[Mark] = []
    for mark in found:
        solid = _solid_behind(made) if mark.kind in IN_FIGURES else None
        if solid is not None and made[solid].sets in IN_STOPS and not made[solid].number:
            value = math.copysign(mark.amount, made[solid].amount)
            made[solid:] = [replace(made[solid], value=value, last=mark.last, number=True)]
        else:
            made.append(mark)
    return made


def _elevations(found: list[Mark]) -> list[Mark]:
    """Degrees next to a word of height are elevation (the word before has the first claim), all others angles."""
    made = list(found)
    solid = [at for at, mark in enumerate(found) if mark.kind not in FILLERS]
    taken: set[int] = set()
    for place, at in enumerate(solid):
        if found[at].kind is not Kind.DEGREES:
            continue
        around = [solid[place + step] for step in (-1, 1) if 0 <= place + step < len(solid)]
        owner = next((near for near in around if near not in taken and found[near].kind in SIDES | HEIGHTS), None)
        if owner is None or found[owner].kind in SIDES:
            made[at] = replace(found[at], kind=Kind.ANGLE)
        else:
            made[at] = _elevation(found[at], found[owner])
            made[owner] = replace(found[owner], kind=Kind.GLUE)
        taken |= {owner} if owner is not None else set()
    return made


def _elevation(degrees: Mark, word: Mark) -> Mark:
    below = word.kind is Kind.ABOVE and word.amount < 0
    first, last = min(degrees.first, word.first), max(degrees.last, word.last)
    return replace(degrees, kind=Kind.HEIGHT, value=-degrees.amount if below else degrees.value, first=first, last=last)
