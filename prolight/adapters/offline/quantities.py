"""Numbers with their units: stops, degrees, kelvin, pixels, ratios, and numbers behind the name of what they set."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prolight.adapters.offline.vocabulary import Kind, Meaning, stops_of_ratio
from prolight.adapters.offline.words import Token

COUNTS = {"a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "half": 0.5, "quarter": 0.25}
PARTS = {"half": 0.5, "third": 1 / 3, "thirds": 1 / 3, "quarter": 0.25, "quarters": 0.25}
UNITS = {
    "k": Kind.KELVIN,
    "kelvin": Kind.KELVIN,
    "°": Kind.DEGREES,
    "deg": Kind.DEGREES,
    "degree": Kind.DEGREES,
    "degrees": Kind.DEGREES,
    "px": Kind.PIXELS,
    "pixel": Kind.PIXELS,
    "pixels": Kind.PIXELS,
}
SIDES = dict.fromkeys(("wide", "width"), "size.width") | dict.fromkeys(("high", "tall", "height"), "size.height")
TIMES = frozenset({"x", "times", "×"})
FACTORS = {2.0, 4.0}
"""By which pictures can be enlarged."""
TONES = {"shadows": "tones.shadows_ev", "highlights": "tones.highlights_ev"}
IN_PERCENT = {"contrast": "contrast.contrast", "saturation": "contrast.saturation", "margin": "cut.margin"}
NAMES: dict[tuple[str, ...], Kind] = {
    ("azimuth",): Kind.AZIMUTH,
    ("elevation",): Kind.HEIGHT,
    ("softness",): Kind.SOFTNESS,
    ("kelvin",): Kind.KELVIN,
    ("colour", "temperature"): Kind.KELVIN,
    ("color", "temperature"): Kind.KELVIN,
    ("ev",): Kind.EV,
    ("quality",): Kind.QUALITY,
    ("long", "side"): Kind.PIXELS,
    ("longest", "side"): Kind.PIXELS,
    ("long", "edge"): Kind.PIXELS,
    ("longest", "edge"): Kind.PIXELS,
}
BETWEEN = frozenset({"of", "at", "to", "is", "the", "than", "by", "with"})
OF_A = frozenset({"of", "a", "an", "full"})
MOST_BETWEEN = 3
RELATIONS = {
    **dict.fromkeys(("over", "above", "more", "up", "brighter", "stronger", "hotter", "plus", "overexposed"), 1),
    **dict.fromkeys(("under", "below", "less", "down", "darker", "weaker", "lower", "minus", "underexposed"), -1),
}
LOWEST_KELVIN_SAID = 1000
"""Below this, `4k` is a size of screen and not a colour of light."""
ASPECT_WORDS = frozenset({"crop", "aspect", "format"})

Found = tuple[Meaning, int]
"""What was found, and the index of the first token after it."""


def quantity(tokens: Sequence[Token], at: int) -> Found | None:
    """The number with its unit or name that begins at token `at`, if there is one."""
    readers = (_stops, _ratio, _settings, _named, _measured)
    return next((found for reader in readers if (found := reader(tokens, at))), None)


def _text(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].text if at < len(tokens) else ""


def _number(tokens: Sequence[Token], at: int) -> float | None:
    return tokens[at].number if at < len(tokens) else None


def _skip(tokens: Sequence[Token], at: int, words: frozenset[str] = BETWEEN) -> int:
    """Past at most `MOST_BETWEEN` such words: a bound, so that no text makes this quadratic."""
    for _ in range(MOST_BETWEEN):
        at += _text(tokens, at) in words
    return at


def _stops(tokens: Sequence[Token], at: int) -> Found | None:
    """`half a stop under`, `up by 1/3 stop`, `+0.7 EV`; without a direction it is an `AMOUNT`."""
    relation = RELATIONS.get(_text(tokens, at), 0)
    counted = _count(tokens, _skip(tokens, at + 1) if relation else at)
    if counted is None:
        return None
    amount, signed, end = counted
    absolute = _text(tokens, end - 1) == "ev" and not (at and tokens[at - 1].text == "by")
    if signed or (absolute and not relation and _text(tokens, end) not in RELATIONS):
        return Meaning(Kind.EV, round(amount, 2)), end
    if not relation:
        relation = RELATIONS.get(_text(tokens, end), 0)
        end += bool(relation)
    return Meaning(Kind.STOPS if relation else Kind.AMOUNT, round(amount * (relation or 1), 2)), end


def _count(tokens: Sequence[Token], at: int) -> tuple[float, bool, int] | None:
    """How many stops, whether a sign was written, and the index behind the unit."""
    if at >= len(tokens):
        return None
    number = tokens[at].number
    amount = COUNTS.get(tokens[at].text) if number is None else number
    if amount is None:
        return None
    more, end = _and_a_half(tokens, at + 1)
    amount += more
    if _text(tokens, end) in PARTS and _text(tokens, at) not in PARTS:
        amount, end = amount * PARTS[_text(tokens, end)], end + 1
    end = _skip(tokens, end, OF_A)
    if _text(tokens, end) not in ("stop", "stops", "ev"):
        return None
    more, end = _and_a_half(tokens, end + 1)
    return amount + more, tokens[at].signed, end


def _and_a_half(tokens: Sequence[Token], at: int) -> tuple[float, int]:
    if _text(tokens, at) == "and" and _text(tokens, at + 1) in ("a", "one") and _text(tokens, at + 2) in PARTS:
        return PARTS[_text(tokens, at + 2)], at + 3
    return 0.0, at


def _ratio(tokens: Sequence[Token], at: int) -> Found | None:
    """Key to fill, `N:1`. Other ratios are shapes of a picture."""
    if tokens[at].kind != "ratio" or _text(tokens, at + 1) in ASPECT_WORDS:
        return None
    key, _, fill = tokens[at].text.partition(":")
    if float(fill) != 1 or float(key) <= 1:
        return None
    return Meaning(Kind.RATIO, stops_of_ratio(float(key))), at + 1


def _settings(tokens: Sequence[Token], at: int) -> Found | None:
    """`1600x1600 px`, `1200 px wide`, `4x`, `10 % margin`, `90 % of the frame`, `contrast +15 %`, `balance 4800 K`."""
    readers = (_box, _figure, _percent_behind, _balance, _tones)
    return next((found for reader in readers if (found := reader(tokens, at))), None)


def _tones(tokens: Sequence[Token], at: int) -> Found | None:
    """`shadows +1 EV`, `highlights down half a stop`."""
    sets = TONES.get(_text(tokens, at))
    found = _stops(tokens, _skip(tokens, at + 1)) if sets and at + 1 < len(tokens) else None
    if sets is None or found is None or found[0].kind is Kind.AMOUNT:
        return None
    return Meaning(Kind.SETTING, found[0].value, sets), found[1]


def _box(tokens: Sequence[Token], at: int) -> Found | None:
    box = re.fullmatch(r"(\d+)\s?[x×]\s?(\d+)", tokens[at].text)
    if not box:
        return None
    unit = UNITS.get(_text(tokens, at + 1)) is Kind.PIXELS
    return Meaning(Kind.SETTING, f"{box[1]}x{box[2]}", "size.box"), at + 1 + unit


def _figure(tokens: Sequence[Token], at: int) -> Found | None:
    number = tokens[at].number
    number = COUNTS.get(tokens[at].text) if number is None and _text(tokens, at + 1) == "times" else number
    if number is None:
        return None
    if number in FACTORS and _text(tokens, at + 1) in TIMES:
        return Meaning(Kind.SETTING, number, "enlarge.factor"), at + 2
    if UNITS.get(_text(tokens, at + 1)) is Kind.PIXELS and (side := SIDES.get(_text(tokens, at + 2))):
        return Meaning(Kind.SETTING, number, side), at + 3
    if _text(tokens, at + 1) != "%":
        return None
    if _text(tokens, at + 2) == "margin":
        return Meaning(Kind.SETTING, number, "cut.margin"), at + 3
    if [_text(tokens, at + 2 + place) for place in range(3)] == ["of", "the", "frame"]:
        return Meaning(Kind.SETTING, number, "shot.fill"), at + 5
    return None


def _percent_behind(tokens: Sequence[Token], at: int) -> Found | None:
    sets = IN_PERCENT.get(tokens[at].text)
    value_at = _skip(tokens, at + 1)
    number = _number(tokens, value_at) if sets else None
    if sets is None or number is None or _text(tokens, value_at + 1) != "%":
        return None
    return Meaning(Kind.SETTING, number if sets == "cut.margin" else round(number / 100, 3), sets), value_at + 2


def _balance(tokens: Sequence[Token], at: int) -> Found | None:
    if _text(tokens, at) == "set":
        at = _skip(tokens, at + 1)
    if [token.text for token in tokens[at : at + 2]] != ["white", "balance"]:
        return None
    value_at = _skip(tokens, at + 2)
    number = _number(tokens, value_at)
    if number is None or number < LOWEST_KELVIN_SAID:
        return None
    unit = _text(tokens, value_at + 1) in ("k", "kelvin")
    return Meaning(Kind.SETTING, number, "balance.kelvin"), value_at + 1 + unit


def _named(tokens: Sequence[Token], at: int) -> Found | None:
    for length in (2, 1):
        kind = NAMES.get(tuple(token.text for token in tokens[at : at + length]))
        if kind is None:
            continue
        value_at = _skip(tokens, at + length)
        number = _number(tokens, value_at)
        if number is not None:
            unit = UNITS.get(_text(tokens, value_at + 1)) or (_text(tokens, value_at + 1) == "%")
            return Meaning(kind, number), value_at + 1 + bool(unit)
    return None


def _measured(tokens: Sequence[Token], at: int) -> Found | None:
    number = tokens[at].number
    if number is None:
        return None
    unit = _text(tokens, at + 1)
    kind, end = UNITS.get(unit), at + 2
    if kind is Kind.KELVIN and number < LOWEST_KELVIN_SAID:
        return None
    if kind is Kind.DEGREES and tokens[at].signed:
        return Meaning(Kind.AZIMUTH, number), end
    if kind is None and _text(tokens, end - (unit != "%")) == "quality":
        return Meaning(Kind.QUALITY, number), end + (unit == "%")
    return (Meaning(kind, number), end) if kind else None
