"""The same wishes in other words than the first table's, as retouchers, catalogue managers and sellers put them.

Written with the first table in view, whose magnitudes these are (more contrast 0.3, half of it for "a touch"), and
before the grammar of the whole studio was seen; a shop's figures are its preset's.
"""

from __future__ import annotations

from prolight.presets import preset

from .briefs_tools import BLACK, NEUTRAL, PNG, POP, WHITE, Step, do, job


def shot_for(name: str, shadow: str = "none") -> Step:
    """The product shot in which a preset's delivery is made."""
    deliver = preset(name).deliver
    return do(
        "product_shot",
        color=WHITE,
        width_px=deliver.width_px,
        height_px=deliver.height_px,
        fill_percent=deliver.fill_percent,
        shadow=shadow,
    )


def crop_for(name: str) -> Step:
    """The cropped size in which a preset's delivery is made."""
    deliver = preset(name).deliver
    return do("resize", width_px=deliver.width_px, height_px=deliver.height_px, fit="cover")


COLOUR = (
    job("kill the magenta cast", NEUTRAL),
    job("There is an orange cast, please remove it.", NEUTRAL),
    job("correct the white balance and recover the highlights", NEUTRAL, do("adjust_exposure", highlights_ev=-0.7)),
    job("white balance 5000K", do("white_balance", kelvin=5000)),
    job(
        "Set the white balance to 4,500 K. Sharpen.", do("white_balance", kelvin=4500), do("enhance_image", sharpen=0.5)
    ),
    job("warm the image up", do("white_balance", neutralise=0, kelvin=3800)),
    job("convert to black and white, then save as png", do("adjust_contrast", saturation=-1), PNG),
    job("monochrome", do("adjust_contrast", saturation=-1)),
    job("more saturation", do("adjust_contrast", saturation=0.3)),
    job("a touch more saturation", do("adjust_contrast", saturation=0.15)),
    job("saturation -20 %", do("adjust_contrast", saturation=-0.2)),
)

TONE = (
    job("two stops brighter", do("adjust_exposure", ev=2)),
    job("a third of a stop darker", do("adjust_exposure", ev=-0.33)),
    job("exposure +0.3 EV", do("adjust_exposure", ev=0.3)),
    job("overall half a stop up", do("adjust_exposure", ev=0.5)),
    job("Lift the shadows a touch.", do("adjust_exposure", shadows_ev=0.35)),
    job("raise the shadows by 0.5 EV", do("adjust_exposure", shadows_ev=0.5)),
    job("bring the highlights down two thirds of a stop", do("adjust_exposure", highlights_ev=-0.67)),
    job(
        "Open the shadows, a bit more contrast.",
        do("adjust_exposure", shadows_ev=0.7),
        do("adjust_contrast", amount=0.15),
    ),
    job("contrast -10 %", do("adjust_contrast", amount=-0.1)),
    job("increase the contrast", do("adjust_contrast", amount=0.3)),
    job("reduce the contrast slightly", do("adjust_contrast", amount=-0.15)),
    job("make the image pop", POP),
)

DETAIL = (
    job("sharpen the image", do("enhance_image", sharpen=0.5)),
    job("a little sharper", do("enhance_image", sharpen=0.25)),
    job("reduce the noise", do("enhance_image", denoise=0.5)),
    job("Noise reduction, then sharpening.", do("enhance_image", denoise=0.5, sharpen=0.5)),
    job("add clarity", do("enhance_image", local_contrast=0.5)),
    job(
        "denoise it slightly and lift the shadows",
        do("adjust_exposure", shadows_ev=0.7),
        do("enhance_image", denoise=0.25),
    ),
)

SUBJECT = (
    job("background removed", do("remove_background"), PNG),
    job("transparent PNG", do("remove_background"), PNG),
    job("Cut out the product and save it as a webp.", do("remove_background"), do("export", format="webp")),
    job("isolate the subject", do("remove_background"), PNG),
    job("cut it out, trimmed with a 15% margin", do("crop_out_foreground", margin_percent=15), PNG),
    job("throw the background out of focus", do("blur_background", amount=0.5)),
    job("Blur the background a little.", do("blur_background", amount=0.25)),
    job("product shot on black with no shadow", do("product_shot", color=BLACK, shadow="none")),
    job(
        "product shot, 1800x1800, filling 75% of the frame",
        do("product_shot", width_px=1800, height_px=1800, fill_percent=75),
    ),
    job("a packshot on #eeeeee, contact shadow", do("product_shot", color="#eeeeee", shadow="contact")),
    job("catalogue shot on white as a png", do("product_shot", color=WHITE), PNG),
)

SIZE = (
    job("upscale 2x", do("increase_resolution", factor=2)),
    job("enlarge it twofold", do("increase_resolution", factor=2)),
    job("quadruple the resolution", do("increase_resolution", factor=4)),
    job("resize to 640x480, padded with black", do("resize", width_px=640, height_px=480, fit="pad", color=BLACK)),
    job("1024 px wide", do("resize", width_px=1024)),
    job("resize to a height of 900 px", do("resize", height_px=900)),
    job("crop to 1080x1350", do("resize", width_px=1080, height_px=1350, fit="cover")),
    job("make it 1200 pixels wide and save as webp", do("resize", width_px=1200), do("export", format="webp")),
)

SHOPS = (
    job("Amazon main image", shot_for("amazon-main")),
    job("Ready for Amazon, please. Kill the yellow cast.", NEUTRAL, shot_for("amazon-main")),
    job("eBay listing", shot_for("ebay")),
    job("Etsy listing, sharpen it", do("enhance_image", sharpen=0.5), shot_for("etsy", shadow="contact")),
    job("for Google Shopping", shot_for("google-shopping")),
    job("for Shopify, more contrast", do("adjust_contrast", amount=0.3), shot_for("shopify")),
    job("square for Instagram", crop_for("instagram-square")),
    job("Instagram portrait, warm up the picture", do("white_balance", kelvin=3800), crop_for("instagram-portrait")),
)

SENTENCES = (
    job(
        "Sharpen it last. First kill the green cast. Save as png.",
        NEUTRAL,
        do("enhance_image", sharpen=0.5),
        PNG,
    ),
    job("Do not blur the background. Lift the shadows.", do("adjust_exposure", shadows_ev=0.7)),
    job("more contrast, without sharpening", do("adjust_contrast", amount=0.3)),
    job("Product shot on white. No shadow. Do not crop it out.", do("product_shot", color=WHITE, shadow="none")),
    job(
        "Hard key from the right. Black background. Upscale 2x. Save as png.",
        do("relight", key={"azimuth_deg": 45, "softness": 0.2}),
        do("replace_background", color=BLACK),
        do("increase_resolution", factor=2),
        PNG,
    ),
    job(
        "Soft key from the left, a stop under. More contrast. Remove the background. Upscale 4x.",
        do("relight", key={"azimuth_deg": -45, "softness": 0.8, "ev": -1}),
        do("adjust_contrast", amount=0.3),
        do("remove_background"),
        do("increase_resolution", factor=4),
        PNG,
    ),
    job(
        "Denoise. Fix the white balance. Make it pop. Product shot on black with a contact shadow. Export as webp.",
        NEUTRAL,
        POP,
        do("enhance_image", denoise=0.5),
        do("product_shot", color=BLACK, shadow="contact"),
        do("export", format="webp"),
    ),
    job(
        "Split lighting from the right. Black and white. High contrast. Resize to 1080x1080.",
        do("relight", key={"azimuth_deg": 90, "elevation_deg": 0}),
        do("adjust_contrast", amount=0.3, saturation=-1),
        do("resize", width_px=1080, height_px=1080, fit="cover"),
    ),
)

HEARD = (*COLOUR, *TONE, *DETAIL, *SUBJECT, *SIZE, *SHOPS, *SENTENCES)
