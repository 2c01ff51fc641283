"""What the offline rules know of a photographer's words: one rule a line, nothing else decides what a word means.

Azimuth in degrees: negative = camera left, 0 = at the camera, ±180 = behind the subject. Elevation in degrees above
the horizon. Strength in stops (EV), light colour in kelvin, softness 0 (bare point) to 1 (wrapped around).

Kelvin by name follows the usual charts: candle 1900, household bulb 2800, tungsten and halogen 3200, golden hour 3500,
flash and noon sun 5500, overcast 6500, open shade 7500, blue hour 10000. `warm` and `cool` are lighter touches than the
named sources. Key 45° to the side and 30° up, fill one stop under it, rim 135° behind are the usual starting points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

NEUTRAL_KELVIN = 5500
WHOLE_CLAUSE = "whole clause"
"""A negation that covers what stands before it, too: "rim light off"."""
IN_DEGREE = "in degree"
"""A negation that asks for less of something, not for none of it: "less fill"."""


class Kind(StrEnum):
    """What a phrase of the brief is."""

    LIGHT = "light"  # a light is named; the value is its role, or "any"
    BACKGROUND = "background"
    PICTURE = "picture"  # the picture as a whole: exposure belongs to it
    SIDE = "side"  # -1 camera left, +1 camera right
    DEPTH = "depth"  # 0 in front, 180 behind
    ANGLE = "angle"  # degrees off the camera axis, the side being open
    AZIMUTH = "azimuth"  # degrees, signed
    DEGREES = "degrees"  # degrees of something
    RISE = "rise"  # says that degrees are of elevation
    HEIGHT = "height"  # degrees of elevation
    ABOVE = "above"  # the same, and in front unless a side is named
    KELVIN = "kelvin"
    TINT = "tint"  # kelvin of an adjective that adverbs scale
    SOFTNESS = "softness"
    TEXTURE = "texture"  # softness of an adjective that adverbs scale
    COLOUR = "colour"
    STRENGTH = "strength"  # stops against the light's usual value
    BRIGHTNESS = "brightness"  # the same, and of the picture where no light is meant
    EV = "ev"  # stops, absolute
    STOPS = "stops"  # stops against another light, or against the picture as it is
    AMOUNT = "amount"  # stops whose sign is said elsewhere
    RATIO = "ratio"
    STYLE = "style"
    FORMAT = "format"
    PIXELS = "pixels"
    QUALITY = "quality"
    SETTING = "setting"  # a field of what a retoucher does; `Meaning.sets` says which
    # words that only work on others
    ADVERB = "adverb"
    NOT = "not"
    TOUCH = "touch"
    KEEP = "keep"
    ON = "on"
    THE = "the"
    GLUE = "glue"
    JOIN = "join"
    COMMA = "comma"
    STOP = "stop"
    UNKNOWN = "unknown"


Value = float | str


@dataclass(frozen=True, slots=True)
class Meaning:
    kind: Kind
    value: Value = ""
    sets: str = ""


Phrases = dict[tuple[str, ...], tuple[Meaning, ...]]


def rule(phrases: str, *meanings: tuple[Kind, Value]) -> Phrases:
    """Each of the phrases, which ", " parts, and what all of them mean."""
    made = tuple(Meaning(kind, value) for kind, value in meanings)
    return {tuple(phrase.split()): made for phrase in phrases.split(", ")}


LIGHT, SIDE, DEPTH, ANGLE, HEIGHT, ABOVE = Kind.LIGHT, Kind.SIDE, Kind.DEPTH, Kind.ANGLE, Kind.HEIGHT, Kind.ABOVE
CLAMSHELL = ((LIGHT, "key"), (ANGLE, 0), (HEIGHT, 45), (LIGHT, "fill"), (ANGLE, 0), (HEIGHT, -30))
BRIGHTEN = ((Kind.PICTURE, ""), (Kind.BRIGHTNESS, 0.7))
DARKEN = ((Kind.PICTURE, ""), (Kind.BRIGHTNESS, -0.7))
THREE_POINT = ((LIGHT, "key"), (LIGHT, "fill"), (LIGHT, "rim"))

PHRASES: dict[tuple[str, ...], tuple[Meaning, ...]] = (
    # lights
    rule("key, key light, keylight, key lighting, main light, main", (LIGHT, "key"))
    | rule("fill, fill light, fill in light, filler, fill lighting, reflector, fill card, bounce card", (LIGHT, "fill"))
    | rule("rim, rim light, rim lighting, rimlight, edge light, separation light, accent light", (LIGHT, "rim"))
    | rule("kicker, kicker light", (LIGHT, "rim"), (ANGLE, 120), (HEIGHT, 0))
    | rule("hair light, hairlight", (LIGHT, "rim"), (ANGLE, 180), (HEIGHT, 60))
    | rule("back light, backlight, backlighting, backlit, back lit, back rim", (LIGHT, "rim"), (ANGLE, 180))
    | rule("light, lights, lighting, lit", (LIGHT, "any"))
    | rule("sun, sunlight, sunshine", (LIGHT, "any"), (Kind.SOFTNESS, 0.1))
    | rule("high key light", (LIGHT, "key"), (HEIGHT, 50))
    | rule("low key light", (LIGHT, "key"), (HEIGHT, 10))
    # patterns
    | rule("rembrandt, rembrandt light, rembrandt lighting", (LIGHT, "key"), (ANGLE, 45), (HEIGHT, 45))
    | rule("loop light, loop lighting", (LIGHT, "key"), (ANGLE, 35), (HEIGHT, 30))
    | rule("split light, split lighting", (LIGHT, "key"), (ANGLE, 90), (HEIGHT, 0))
    | rule("side light, side lighting, sidelight", (LIGHT, "key"), (ANGLE, 90))
    | rule(
        "butterfly, butterfly light, butterfly lighting, paramount lighting", (LIGHT, "key"), (ANGLE, 0), (HEIGHT, 45)
    )
    | rule("top light, toplight, top lighting, overhead light", (LIGHT, "key"), (ANGLE, 0), (HEIGHT, 80))
    | rule("under light, underlight, uplight", (LIGHT, "key"), (ANGLE, 0), (HEIGHT, -45))
    | rule("ring light", (LIGHT, "key"), (ANGLE, 0), (HEIGHT, 0))
    | rule("clamshell, clamshell light, clamshell lighting", *CLAMSHELL)
    | rule("three point, three point light, three point lighting, 3 point lighting", *THREE_POINT)
    # side and depth
    | rule("left, camera left, left side, left hand side, from left", (SIDE, -1))
    | rule("right, camera right, right side, right hand side, from right", (SIDE, 1))
    | rule("model's left, subject's left, sitter's left", (SIDE, 1))
    | rule("model's right, subject's right, sitter's right", (SIDE, -1))
    | rule("back left, rear left, behind left", (DEPTH, 180), (SIDE, -1))
    | rule("back right, rear right, behind right", (DEPTH, 180), (SIDE, 1))
    | rule("front left", (DEPTH, 0), (SIDE, -1))
    | rule("front right", (DEPTH, 0), (SIDE, 1))
    | rule("behind, from the back, from the rear, from back, rear", (DEPTH, 180))
    | rule("behind the subject, behind the product, behind the model", (DEPTH, 180))
    | rule("in front, front, frontal, the front, on axis, head on, straight on", (DEPTH, 0))
    # height
    | rule("upper left, top left, high left", (SIDE, -1), (HEIGHT, 45))
    | rule("upper right, top right, high right", (SIDE, 1), (HEIGHT, 45))
    | rule("from the top left, from top left", (SIDE, -1), (HEIGHT, 45))
    | rule("from the top right, from top right", (SIDE, 1), (HEIGHT, 45))
    | rule("lower left, bottom left, low left", (SIDE, -1), (HEIGHT, -30))
    | rule("lower right, bottom right, low right", (SIDE, 1), (HEIGHT, -30))
    | rule("from above, above", (ABOVE, 60))
    | rule("overhead, from the top, straight above, directly above", (ABOVE, 80))
    | rule("slightly above, from slightly above", (HEIGHT, 15))
    | rule("from below, below, from underneath, underneath, from the bottom", (ABOVE, -45))
    | rule("high, up high, high up, raised", (HEIGHT, 50))
    | rule("low, low down, down low", (HEIGHT, 10))
    | rule("eye level, subject level", (HEIGHT, 0))
    | rule("up, elevated", (Kind.RISE, 1))
    # colour of the light
    | rule("warm, warmer, warmly, warmth, warm up, warm it up", (Kind.TINT, 3800))
    | rule("cool, cooler, cold, colder, coolly, cool down, cool it down", (Kind.TINT, 7500))
    | rule("candle, candlelight, candle light, candlelit, firelight, fire light", (Kind.KELVIN, 1900))
    | rule("incandescent, light bulb, household bulb", (Kind.KELVIN, 2800))
    | rule("sunset light, sunrise light, sunset lighting, sunrise lighting", (Kind.KELVIN, 3000))
    | rule("tungsten, halogen, tungsten light, halogen light", (Kind.KELVIN, 3200))
    | rule("golden hour, golden hour light, golden hour lighting", (Kind.KELVIN, 3500))
    | rule("daylight, daylight balanced, neutral, neutral white, noon sun, midday sun", (Kind.KELVIN, NEUTRAL_KELVIN))
    | rule("overcast, cloudy", (Kind.KELVIN, 6500))
    | rule("shade, open shade", (Kind.KELVIN, 7500))
    | rule("blue hour, blue hour light", (Kind.KELVIN, 10000))
    # softness
    | rule("soft, softer, softly, soften", (Kind.TEXTURE, 0.8))
    | rule("hard, harder, harsh", (Kind.TEXTURE, 0.2))
    | rule("big soft, large soft, diffused, diffuse, scrim, octabox, octa, large umbrella", (Kind.SOFTNESS, 0.85))
    | rule("big softbox, large softbox, huge softbox, big soft box, large soft box", (Kind.SOFTNESS, 0.9))
    | rule("softbox, soft box, window light, umbrella", (Kind.SOFTNESS, 0.8))
    | rule("small softbox, small soft box, strip box, stripbox, strip softbox, strip light", (Kind.SOFTNESS, 0.6))
    | rule("beauty dish", (Kind.SOFTNESS, 0.45))
    | rule("bare bulb, bare flash, undiffused, fresnel", (Kind.SOFTNESS, 0.15))
    | rule("snoot, direct sun, spotlight, spot light", (Kind.SOFTNESS, 0.05))
    # strength
    | rule("strong, stronger, bold, powerful, intense", (Kind.STRENGTH, 0.7))
    | rule("subtle, weak, weaker, faint, gentle, delicate", (Kind.STRENGTH, -0.7))
    | rule("bright, brighter, lighter, hotter, brighten, lift, too dark, overexpose", (Kind.BRIGHTNESS, 0.7))
    | rule("dim, dimmer, darker, darken, too bright, underexpose", (Kind.BRIGHTNESS, -0.7))
    | rule("increase the exposure, increase exposure, raise the exposure, raise exposure", *BRIGHTEN)
    | rule("reduce the exposure, reduce exposure, lower the exposure, lower exposure", *DARKEN)
    | rule("drop the exposure, drop exposure, decrease the exposure, decrease exposure", *DARKEN)
    | rule("slightly, a bit, a little, a touch, a hint, a tad, somewhat, mildly", (Kind.ADVERB, 0.5))
    | rule("more", (Kind.ADVERB, 1.0))
    | rule("very, much, really, a lot, significantly, extra, extremely", (Kind.ADVERB, 1.5))
    # style, background, picture
    | rule("high key, high key look, high key style", (Kind.STYLE, "high-key"))
    | rule("low key, low key look, low key style", (Kind.STYLE, "low-key"))
    | rule("background, backdrop, bg, seamless, back drop", (Kind.BACKGROUND, ""))
    | rule("seamless background, seamless backdrop, seamless paper", (Kind.BACKGROUND, ""))
    | rule("picture, image, photo, photograph, shot, scene, overall, exposure, expose, everything", (Kind.PICTURE, ""))
    # export
    | rule("jpeg, jpg", (Kind.FORMAT, "jpeg"))
    | rule("png", (Kind.FORMAT, "png"))
    | rule("webp", (Kind.FORMAT, "webp"))
    | rule("for the web, for web, web ready, web sized", (Kind.PIXELS, 2000), (Kind.QUALITY, 85))
    | rule("full resolution, full size, original size, original resolution, full res", (Kind.PIXELS, 0))
    # words that work on others
    | rule("no, not, without, never, avoid, don't, skip, omit, remove, drop, neither, nothing", (Kind.NOT, ""))
    | rule("do not, dont, instead of, rather than, nor, cannot, turn off, switch off, kill, ditch", (Kind.NOT, ""))
    | rule("get rid of, exclude, excluding, except, apart from, lose, cut", (Kind.NOT, ""))
    | rule("off, not needed, not wanted, not necessary, unnecessary, unwanted", (Kind.NOT, WHOLE_CLAUSE))
    | rule("isn't needed, isn't wanted, isn't necessary, absent, none", (Kind.NOT, WHOLE_CLAUSE))
    | rule("less, too, hardly", (Kind.NOT, IN_DEGREE))
    | rule("off camera, off axis", (Kind.GLUE, ""))
    | rule("touch, change, alter, replace, modify, edit", (Kind.TOUCH, ""))
    | rule("keep, leave, preserve, same", (Kind.KEEP, ""))
    | rule("unchanged, untouched, alone, as is, as it is", (Kind.KEEP, ""))
    | rule("on, against, onto", (Kind.ON, ""))
    | rule("the, this, that, its", (Kind.THE, ""))
    | rule("and, or", (Kind.JOIN, "list"))
    | rule("plus a, plus, with, but, while, then", (Kind.JOIN, ""))
    # phrases that look like light and are not
    | rule("light background, dark background, bright background", (Kind.UNKNOWN, ""))
    | rule("fill the frame, fills the frame, frame filling, rim of the, rim of a, key visual", (Kind.UNKNOWN, ""))
    | rule("background light, light the background, light tent, light box, headlight", (Kind.UNKNOWN, ""))
    | rule("soft focus, warm feeling, cool looking, high resolution, high quality, high end", (Kind.UNKNOWN, ""))
    | rule("hard drive, right away, right now, all right", (Kind.UNKNOWN, ""))
)

COLOURS = {
    "white": "#ffffff",
    "pure white": "#ffffff",
    "off white": "#faf9f6",
    "ivory": "#fffff0",
    "cream": "#fffdd0",
    "beige": "#f5f5dc",
    "light grey": "#d3d3d3",
    "pale grey": "#e5e5e5",
    "grey": "#808080",
    "mid grey": "#808080",
    "middle grey": "#777777",
    "dark grey": "#404040",
    "charcoal": "#36454f",
    "black": "#000000",
    "pure black": "#000000",
    "red": "#ff0000",
    "orange": "#ffa500",
    "yellow": "#ffff00",
    "green": "#008000",
    "dark green": "#006400",
    "light green": "#90ee90",
    "teal": "#008080",
    "cyan": "#00ffff",
    "blue": "#0000ff",
    "light blue": "#add8e6",
    "sky blue": "#87ceeb",
    "dark blue": "#00008b",
    "navy": "#000080",
    "navy blue": "#000080",
    "purple": "#800080",
    "lavender": "#e6e6fa",
    "pink": "#ffc0cb",
    "light pink": "#ffb6c1",
    "magenta": "#ff00ff",
    "brown": "#a52a2a",
    "sand": "#c2b280",
    "gold": "#ffd700",
    "silver": "#c0c0c0",
}
"""CSS colours where CSS has the name; middle grey is the 18 % card (sRGB 119)."""

for _name, _hex in COLOURS.items():
    for _spelling in (_name, _name.replace("grey", "gray")):
        PHRASES[tuple(_spelling.split())] = (Meaning(Kind.COLOUR, _hex),)
        PHRASES[("background", *_spelling.split())] = (Meaning(Kind.BACKGROUND), Meaning(Kind.COLOUR, _hex))

_SAYS_NOTHING = """
    a an ish bring push bump turn i we you he she it my our your his her their me us is are was be been being
    should must shall will would could can may might have has had do does did to of in at by for from as so than
    there here these those please want need like make made makes add added use using used put place set give get
    let take placed coming come comes some any just also only about around roughly into go going look looks tone
    tones feel glow colour color colored coloured temperature relight relit clean plain solid uniform export
    save output file format side sides subject product object item model position positioned direction directed
    long longest edge max maximum ratio hour strength power intensity quality level angle which where when if
    i'd we'd i'm let's it's that's azimuth elevation whole entire style setup one another looking
"""
STOP_WORDS = frozenset(_SAYS_NOTHING.split())
"""Words that carry no wish of their own."""


def scaled(kind: Kind, value: float, factor: float) -> float:
    """`value` of an adjective made weaker (factor < 1) or stronger (> 1) by an adverb.

    Light colour is scaled as its shift from neutral in mired (10⁶ / K), the unit of correction gels; softness as its
    distance from 0.5; strength as it is.
    """
    match kind:
        case Kind.TINT:
            neutral = 1e6 / NEUTRAL_KELVIN
            return 50.0 * round(1e6 / (neutral + factor * (1e6 / value - neutral)) / 50)
        case Kind.TEXTURE:
            return round(0.5 + factor * (value - 0.5), 2)
        case _:
            return round(value * factor, 2)


def stops_of_ratio(ratio: float) -> float:
    """The stops between key and fill at a key:fill ratio of `ratio` to 1 (2:1 is one stop)."""
    return round(math.log2(ratio), 2)
