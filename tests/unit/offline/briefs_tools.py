"""The briefs for the tools beyond light, background and export: what a retoucher or a shop writes, and the steps.

Written from the vocabulary of photographers and the tools' parameters, before the grammar that reads it. Steps are in
the order in which they are to run, each with the params that the brief decides; an export as JPEG at quality 92 comes
last where none is named. A phrase that leads to nothing must be said, word for word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Params = dict[str, Any]
WHITE, BLACK, GREY = "#ffffff", "#000000", "#808080"


@dataclass(frozen=True)
class Step:
    tool: str
    params: Params


@dataclass(frozen=True)
class Job:
    text: str
    steps: tuple[Step, ...] = ()
    not_understood: tuple[str, ...] = ()


def do(tool: str, /, **params: Any) -> Step:
    return Step(tool, params)


def job(text: str, *steps: Step, lost: tuple[str, ...] = ()) -> Job:
    return Job(text, steps, lost)


NEUTRAL = do("white_balance", neutralise=1, kelvin=5500)
POP = do("adjust_contrast", amount=0.3, saturation=0.2)
PNG = do("export", format="png")
AMAZON = do("product_shot", color=WHITE, width_px=2000, height_px=2000, fill_percent=90, shadow="none")

COLOUR = (
    job("kill the green cast, make it pop", NEUTRAL, POP),
    job("Remove the colour cast.", NEUTRAL),
    job("get rid of the yellow tint", NEUTRAL),
    job("fix the white balance", NEUTRAL),
    job("neutral white balance", NEUTRAL),
    job("Correct the white balance and add a fill", NEUTRAL, do("relight", fill={"ev": -1})),
    job("neutralise the colours", NEUTRAL),
    job("take out the blue cast", NEUTRAL),
    job("white balance at 4800 K", do("white_balance", neutralise=1, kelvin=4800)),
    job("white balance 6500K, more contrast", do("white_balance", kelvin=6500), do("adjust_contrast", amount=0.3)),
    job("warm up the whole picture", do("white_balance", neutralise=0, kelvin=3800)),
    job("make the image slightly cooler", do("white_balance", neutralise=0, kelvin=6350)),
    job(
        "cool the picture down, key from the left",
        do("white_balance", kelvin=7500),
        do("relight", key={"azimuth_deg": -45}),
    ),
    job("black and white", do("adjust_contrast", saturation=-1)),
    job("Convert it to monochrome with more contrast.", do("adjust_contrast", amount=0.3, saturation=-1)),
    job("vivid colours", do("adjust_contrast", saturation=0.3)),
    job("slightly more saturated", do("adjust_contrast", saturation=0.15)),
    job("muted colours, low contrast", do("adjust_contrast", amount=-0.3, saturation=-0.3)),
    job("desaturate it a little", do("adjust_contrast", saturation=-0.15)),
    job("saturation +20%", do("adjust_contrast", saturation=0.2)),
    job("make the colours pop", do("adjust_contrast", saturation=0.3)),
)

TONE = (
    job("one stop darker", do("adjust_exposure", ev=-1)),
    job("lift the shadows", do("adjust_exposure", shadows_ev=0.7)),
    job("lift the shadows by one stop", do("adjust_exposure", shadows_ev=1)),
    job("open up the shadows half a stop", do("adjust_exposure", shadows_ev=0.5)),
    job("deepen the shadows slightly", do("adjust_exposure", shadows_ev=-0.35)),
    job("recover the highlights", do("adjust_exposure", highlights_ev=-0.7)),
    job("Pull the highlights down by a stop.", do("adjust_exposure", highlights_ev=-1)),
    job("tame the highlights, lift the shadows", do("adjust_exposure", highlights_ev=-0.7, shadows_ev=0.7)),
    job("half a stop brighter, recover the highlights", do("adjust_exposure", ev=0.5, highlights_ev=-0.7)),
    job(
        "warm key from the left, half a stop brighter overall, open the shadows",
        do("adjust_exposure", shadows_ev=0.7),
        do("relight", key={"kelvin": 3800}, exposure_ev=0.5),
    ),
    job("more contrast", do("adjust_contrast", amount=0.3)),
    job("less contrast", do("adjust_contrast", amount=-0.3)),
    job("much more contrast", do("adjust_contrast", amount=0.45)),
    job("a bit more contrast, please", do("adjust_contrast", amount=0.15)),
    job("contrast +15%", do("adjust_contrast", amount=0.15)),
    job("Make it pop!", POP),
    job("punchy", POP),
    job("flat, matte look", do("adjust_contrast", amount=-0.3)),
    job("high contrast black and white", do("adjust_contrast", amount=0.3, saturation=-1)),
    job("low key, high contrast", do("adjust_exposure", ev=-1), do("adjust_contrast", amount=0.3)),
)

DETAIL = (
    job("sharpen", do("enhance_image", sharpen=0.5)),
    job("Sharpen it slightly.", do("enhance_image", sharpen=0.25)),
    job("crisp", do("enhance_image", sharpen=0.5)),
    job("very sharp", do("enhance_image", sharpen=0.75)),
    job("remove the noise", do("enhance_image", denoise=0.5)),
    job("reduce the noise a little and sharpen", do("enhance_image", denoise=0.25, sharpen=0.5)),
    job("denoise", do("enhance_image", denoise=0.5)),
    job("clean up the grain", do("enhance_image", denoise=0.5)),
    job("more clarity", do("enhance_image", local_contrast=0.5)),
    job("bring out the texture", do("enhance_image", local_contrast=0.5)),
    job(
        "Bring out the texture, sharpen, and lift the shadows.",
        do("adjust_exposure", shadows_ev=0.7),
        do("enhance_image", local_contrast=0.5, sharpen=0.5),
    ),
    job("enhance the image", do("enhance_image", local_contrast=0.3, sharpen=0.3)),
    job(
        "enhance it and make it brighter",
        do("adjust_exposure", ev=0.7),
        do("enhance_image", local_contrast=0.3, sharpen=0.3),
    ),
)

SUBJECT = (
    job("remove the background", do("remove_background"), PNG),
    job("Transparent background, please.", do("remove_background"), PNG),
    job("cut it out", do("remove_background"), PNG),
    job("isolate the product as a transparent PNG", do("remove_background"), PNG),
    job("knock out the background and save as webp", do("remove_background"), do("export", format="webp")),
    job("cut out and crop to the product", do("crop_out_foreground"), PNG),
    job("Cut out the subject, crop to it with a 10% margin.", do("crop_out_foreground", margin_percent=10), PNG),
    job("trimmed cut-out with a margin of 5 %", do("crop_out_foreground", margin_percent=5), PNG),
    job("blur the background", do("blur_background", amount=0.5)),
    job("slightly blurred background", do("blur_background", amount=0.25)),
    job("shallow depth of field", do("blur_background", amount=0.5)),
    job(
        "Background out of focus, key from the right.",
        do("relight", key={"azimuth_deg": 45}),
        do("blur_background", amount=0.5),
    ),
    job("blurred background, key left", do("relight", key={"azimuth_deg": -45}), do("blur_background", amount=0.5)),
    job("strongly blur the background", do("blur_background", amount=0.75)),
    job("product shot", do("product_shot", color=WHITE, width_px=2000, height_px=2000, fill_percent=85, shadow="none")),
    job("packshot on white", do("product_shot", color=WHITE)),
    job("pack shot on light grey with a contact shadow", do("product_shot", color="#d3d3d3", shadow="contact")),
    job("Product shot on black, 1600 x 1600 px.", do("product_shot", color=BLACK, width_px=1600, height_px=1600)),
    job("product shot on white, the product fills 90% of the frame", do("product_shot", color=WHITE, fill_percent=90)),
    job("product shot, soft shadow underneath", do("product_shot", shadow="contact")),
    job("product shot without a shadow", do("product_shot", shadow="none")),
    job("white background, filling 80 % of the frame", do("product_shot", color=WHITE, fill_percent=80)),
    job(
        "Soft key from the left, then a catalogue shot on #f4efe6.",
        do("relight", key={"azimuth_deg": -45, "softness": 0.8}),
        do("product_shot", color="#f4efe6"),
    ),
    job("studio product shot, 1200x1500, png", do("product_shot", width_px=1200, height_px=1500), PNG),
    job(
        "Product shot on pure white, no shadow, the product fills 90% of the frame, 2000 x 2000 px. Export JPEG.",
        AMAZON,
    ),
    job(
        "Product shot on pure white, soft contact shadow, the product fills 80% of the frame, 2000 x 2000 px.",
        do("product_shot", shadow="contact", fill_percent=80),
    ),
)

SIZE = (
    job("upscale", do("increase_resolution", factor=2)),
    job("upscale 4x", do("increase_resolution", factor=4)),
    job("double the resolution", do("increase_resolution", factor=2)),
    job("Enlarge it four times and sharpen.", do("enhance_image", sharpen=0.5), do("increase_resolution", factor=4)),
    job("2x larger", do("increase_resolution", factor=2)),
    job("resize to 1200 px wide", do("resize", width_px=1200)),
    job("800 px high", do("resize", height_px=800)),
    job("1080x1080", do("resize", width_px=1080, height_px=1080, fit="cover")),
    job("Resize to 1080 x 1350 px, cropped. Export JPEG.", do("resize", width_px=1080, height_px=1350, fit="cover")),
    job("fit inside 800x600", do("resize", width_px=800, height_px=600, fit="inside")),
    job("1000 x 1000, padded", do("resize", width_px=1000, height_px=1000, fit="pad")),
    job(
        "1600x1600 px on white",
        do("replace_background", color=WHITE),
        do("resize", width_px=1600, height_px=1600, fit="pad", color=WHITE),
    ),
    job(
        "white background, 1200x900",
        do("replace_background", color=WHITE),
        do("resize", width_px=1200, height_px=900, fit="pad", color=WHITE),
    ),
    job(
        "more contrast, 1500 px wide, webp",
        do("adjust_contrast", amount=0.3),
        do("resize", width_px=1500),
        do("export", format="webp"),
    ),
    job("denoise, long side 1600 px", do("enhance_image", denoise=0.5), do("export", long_side_px=1600)),
)

SHOPS = (
    job("for Amazon", AMAZON),
    job("high key for Amazon", do("adjust_exposure", ev=0.7), AMAZON),
    job("Amazon main image, soft key from the left", do("relight", key={"azimuth_deg": -45, "softness": 0.8}), AMAZON),
    job("an eBay listing photo", do("product_shot", color=WHITE, width_px=1600, height_px=1600, fill_percent=85)),
    job(
        "for Etsy, warm up the picture",
        do("white_balance", kelvin=3800),
        do("product_shot", color=WHITE, shadow="contact"),
    ),
    job("Google Shopping", do("product_shot", color=WHITE, width_px=1500, height_px=1500)),
    job("for our Shopify store", do("product_shot", color=WHITE, width_px=2048, height_px=2048)),
    job("Instagram square, make it pop", POP, do("resize", width_px=1080, height_px=1080, fit="cover")),
    job("instagram portrait", do("resize", width_px=1080, height_px=1350, fit="cover")),
    job("Kill the green cast. Make it ready for eBay.", NEUTRAL, do("product_shot", color=WHITE, width_px=1600)),
)

SENTENCES = (
    job("Rembrandt, a stop under", do("relight", key={"azimuth_deg": -45, "elevation_deg": 45, "ev": -1})),
    job("golden hour from behind", do("relight", rim={"azimuth_deg": 180, "kelvin": 3500})),
    job(
        "Kill the green cast. Soft warm key from the left. Make it pop. White background. Save a 1200 px webp.",
        NEUTRAL,
        do("relight", key={"azimuth_deg": -45, "kelvin": 3800, "softness": 0.8}),
        POP,
        do("replace_background", color=WHITE),
        do("export", format="webp", long_side_px=1200),
    ),
    job(
        "Fix the white balance and recover the highlights. Then sharpen a touch. Blur the background.",
        NEUTRAL,
        do("adjust_exposure", highlights_ev=-0.7),
        do("enhance_image", sharpen=0.25),
        do("blur_background", amount=0.5),
    ),
    job(
        "Denoise. Bring out the texture. Product shot on white with a contact shadow, 1600 x 1600 px.",
        do("enhance_image", denoise=0.5, local_contrast=0.5),
        do("product_shot", color=WHITE, shadow="contact", width_px=1600, height_px=1600),
    ),
    job(
        "Hard key from the upper right at 3200 K. Deepen the shadows. Black and white. Export as PNG.",
        do("adjust_exposure", shadows_ev=-0.7),
        do("relight", key={"azimuth_deg": 45, "elevation_deg": 45, "kelvin": 3200, "softness": 0.2}),
        do("adjust_contrast", saturation=-1),
        PNG,
    ),
    job(
        "Remove the noise and the colour cast, lift the shadows one stop, cut it out.",
        NEUTRAL,
        do("adjust_exposure", shadows_ev=1),
        do("enhance_image", denoise=0.5),
        do("remove_background"),
        PNG,
    ),
    job(
        "key left, more contrast, do not sharpen",
        do("relight", key={"azimuth_deg": -45}),
        do("adjust_contrast", amount=0.3),
    ),
    job("brighter, but don't blur the background", do("adjust_exposure", ev=0.7)),
    job("packshot on white, never crop it out", do("product_shot", color=WHITE)),
)

UNDERSTOOD = (*COLOUR, *TONE, *DETAIL, *SUBJECT, *SIZE, *SHOPS, *SENTENCES)
