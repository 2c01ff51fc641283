"""What the offline rules know of a retoucher's words: one rule a line, as `vocabulary.py` is for light.

A setting is a field of one thing that can be done ("contrast.contrast") and the value that the words mean. Strengths of
0 to 1 and of -1 to 1 are moderate (0.3 and 0.5), so that half and one and a half of them still mean something; stops
are the 0.7 of "brighter". `slightly` and `very` scale a setting that they stand next to; stops behind one replace it.

Bare `crop` asks for nothing here: the studio crops only what it cuts out, and a background must not go unasked.
"""

from __future__ import annotations

from itertools import product

from prolight.adapters.offline.vocabulary import Kind, Meaning, Phrases, Value, rule

IN_STOPS = frozenset({"tones.shadows_ev", "tones.highlights_ev"})
"""Settings that an amount of stops behind them replaces."""
SCALED = IN_STOPS | {"contrast.contrast", "contrast.saturation", "blur.blur"}
SCALED |= {f"detail.{name}" for name in ("denoise", "local_contrast", "sharpen")}
"""Settings that adverbs make weaker or stronger."""


def _set(phrases: str, *settings: tuple[str, Value]) -> Phrases:
    made = tuple(Meaning(Kind.SETTING, value, sets) for sets, value in settings)
    return {tuple(phrase.split()): made for phrase in phrases.split(", ")}


def _each(pattern: str, **words: str) -> str:
    """Every phrase that `pattern` makes of these words, ", " between them."""
    lists = [choice.split(", ") for choice in words.values()]
    made = (pattern.format(**dict(zip(words, chosen, strict=True))) for chosen in product(*lists))
    return ", ".join(" ".join(phrase.split()) for phrase in made)


NEUTRALISE = ("balance.neutralise", 1.0)
CUT, CROP = ("cut.out", 1.0), ("cut.crop", 1.0)
TAKE_OUT = "kill, remove, get rid of, take out, fix, correct, neutralise, neutralize, lose, clean up"
TINGES = "colour, color, green, yellow, blue, red, magenta, orange, pink, cyan, warm, cool"
PICTURES = "it, the image, the picture, the photo"
SUBJECTS = "it, the subject, the product, the item, the object"

PHRASES: Phrases = (
    # white balance
    _set(_each("{verb} {the} {tinge} {what}", verb=TAKE_OUT, the="the, ", tinge=TINGES, what="cast, tint"), NEUTRALISE)
    | _set(_each("{verb} {the} cast", verb=TAKE_OUT, the="the, "), NEUTRALISE)
    | _set("colour cast, color cast, no colour cast, no color cast, without a colour cast", NEUTRALISE)
    | _set("white balance, the white balance, auto white balance, neutral white balance, neutral colours", NEUTRALISE)
    | _set(_each("{verb} the white balance", verb="fix, correct, neutralise, neutralize, set"), NEUTRALISE)
    | _set("neutralise the colours, neutralize the colors, neutralise the colour, correct the colours", NEUTRALISE)
    | rule("cool the picture down, cool the image down, cool the photo down", (Kind.PICTURE, ""), (Kind.TINT, 7500))
    | rule("warm the picture up, warm the image up, warm the photo up", (Kind.PICTURE, ""), (Kind.TINT, 3800))
    | _set("warmer white balance, warm white balance", NEUTRALISE, ("balance.kelvin", 3800.0))
    | _set("cooler white balance, cool white balance", NEUTRALISE, ("balance.kelvin", 7500.0))
    # shadows and highlights
    | _set(
        _each("{verb} the shadows", verb="lift, open, open up, raise, brighten, recover, fill in"),
        ("tones.shadows_ev", 0.7),
    )
    | _set("lifted shadows, open shadows, brighter shadows, more shadow detail", ("tones.shadows_ev", 0.7))
    | _set(_each("{verb} the shadows", verb="deepen, darken, crush, lower"), ("tones.shadows_ev", -0.7))
    | _set("deeper shadows, darker shadows, deep shadows", ("tones.shadows_ev", -0.7))
    | _set(
        _each("{verb} the highlights", verb="recover, tame, pull down, bring down, lower, save, rein in, reduce"),
        ("tones.highlights_ev", -0.7),
    )
    | _set("pull the highlights down, bring the highlights down, darken the highlights", ("tones.highlights_ev", -0.7))
    | _set(_each("{verb} the highlights", verb="lift, raise, brighten"), ("tones.highlights_ev", 0.7))
    # contrast and saturation
    | _set("more contrast, high contrast, higher contrast, add contrast, contrasty", ("contrast.contrast", 0.3))
    | _set("increase the contrast, raise the contrast, boost the contrast", ("contrast.contrast", 0.3))
    | _set("less contrast, low contrast, lower contrast, flat, flatter, matte, matte look", ("contrast.contrast", -0.3))
    | _set("reduce the contrast, lower the contrast, soften the contrast", ("contrast.contrast", -0.3))
    | _set(_each("make {what} pop", what=PICTURES), ("contrast.contrast", 0.3), ("contrast.saturation", 0.2))
    | _set("punchy, punchier, more punch", ("contrast.contrast", 0.3), ("contrast.saturation", 0.2))
    | _set("make the colours pop, make the colors pop, richer colours, richer colors", ("contrast.saturation", 0.3))
    | _set("vivid, vivid colours, vivid colors, vibrant, vibrant colours, vibrant colors", ("contrast.saturation", 0.3))
    | _set("saturated, more saturated, more saturation, boost the saturation", ("contrast.saturation", 0.3))
    | _set("muted, muted colours, muted colors, desaturate, desaturated", ("contrast.saturation", -0.3))
    | _set("less saturated, less saturation, less colourful", ("contrast.saturation", -0.3))
    | _set("black and white, black & white, monochrome, greyscale, grayscale", ("contrast.saturation", -1.0))
    # detail
    | _set("sharpen, sharpening, sharp, sharper, crisp, crisper, tack sharp", ("detail.sharpen", 0.5))
    | _set("denoise, noise reduction, less noise, no noise, without noise, less grain", ("detail.denoise", 0.5))
    | _set(_each("{verb} {the} {what}", verb="remove, reduce, clean up", the="the, ", what="noise, grain"),
           ("detail.denoise", 0.5))
    | _set("clarity, more clarity, more texture, more detail", ("detail.local_contrast", 0.5))
    | _set(_each("bring out the {what}", what="texture, textures, detail, details"), ("detail.local_contrast", 0.5))
    | _set(_each("enhance {what}", what=PICTURES), ("detail.local_contrast", 0.3), ("detail.sharpen", 0.3))
    | _set("enhance", ("detail.local_contrast", 0.3), ("detail.sharpen", 0.3))
    # the subject alone
    | _set("cut out, cutout, cut outs, knock out the background, background removed, remove background", CUT)
    | _set("remove the background, transparent background, on transparent, transparent, no background", CUT)
    | _set(_each("{verb} {what}", verb="cut out, isolate", what=SUBJECTS), CUT)
    | _set("cut it out", CUT)
    | _set(_each("{verb} to {what}", verb="crop, cropped, trim, trimmed", what=SUBJECTS), CROP)
    | _set("trimmed cut out, cropped cut out, crop it out, crop out the subject, crop out the product", CUT, CROP)
    | _set(_each("{verb} the background", verb="blur, defocus, throw out of focus"), ("blur.blur", 0.5))
    | _set("blurred background, blurry background, background blur, background blurred", ("blur.blur", 0.5))
    | _set("background out of focus, throw the background out of focus", ("blur.blur", 0.5))
    | _set("shallow depth of field, bokeh", ("blur.blur", 0.5))
    # the shop's picture
    | _set("product shot, product shots, packshot, pack shot, catalogue shot, catalog shot", ("shot.made", 1.0))
    | _set("studio product shot, e commerce shot, ecommerce shot", ("shot.made", 1.0))
    | rule("the product shot, this product shot, the packshot, this packshot", (Kind.PICTURE, ""))
    | _set("contact shadow, soft shadow, soft contact shadow, natural shadow", ("shot.shadow", "contact"))
    | _set("soft shadow underneath, shadow underneath, contact shadow underneath", ("shot.shadow", "contact"))
    | _set("no shadow, without a shadow, without shadow, no drop shadow", ("shot.shadow", "none"))
    | _set("amazon, amazon main image, amazon main, amazon listing", ("shop.preset", "amazon-main"))
    | _set("ebay, ebay listing, ebay listing photo", ("shop.preset", "ebay"))
    | _set("etsy, etsy listing, etsy shop", ("shop.preset", "etsy"))
    | _set("google shopping, google merchant, google merchant center", ("shop.preset", "google-shopping"))
    | _set("shopify, shopify store, shopify shop", ("shop.preset", "shopify"))
    | _set("instagram square, square instagram post, instagram post", ("shop.preset", "instagram-square"))
    | _set("square for instagram", ("shop.preset", "instagram-square"))
    | _set("instagram portrait, portrait for instagram, instagram portrait post", ("shop.preset", "instagram-portrait"))
    # size
    | _set("upscale, enlarge, larger, bigger, double the resolution, double the size", ("enlarge.factor", 2.0))
    | _set("increase the resolution, increase resolution, twice the size, twice as large", ("enlarge.factor", 2.0))
    | _set("cropped, crop to fill, fill and crop", ("size.fit", "cover"))
    | _set("enlarge it twofold, enlarge twofold, twofold", ("enlarge.factor", 2.0))
    | _set("quadruple the resolution, enlarge it fourfold, fourfold", ("enlarge.factor", 4.0))
    | _set("padded, pad it, with padding", ("size.fit", "pad"))
    | _set("fit inside, fit within, inside", ("size.fit", "inside"))
    # words that say nothing of their own
    | rule("strongly, heavily, strong amount of", (Kind.ADVERB, 1.5))
    | rule("resize, resize to, resized to, scale to, fills, filling, convert, ready for, in total", (Kind.GLUE, ""))
)  # fmt: skip
