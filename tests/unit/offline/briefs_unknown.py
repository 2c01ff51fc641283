"""What no tool of the studio can do honestly, or what says too little: it must be said, and nothing be made up for it.

Written before the grammar. Beside it stand the briefs of which a part is understood, with the steps of that part.
"""

from __future__ import annotations

from .briefs_tools import GREY, NEUTRAL, PNG, POP, WHITE, Job, do, job

NOT_AT_ALL: tuple[Job, ...] = (
    job("remove the person", lost=("remove the person",)),
    job("make it look like a Vermeer", lost=("Vermeer",)),
    job("put it on a marble table", lost=("marble table",)),
    job("generate a forest", lost=("generate a forest",)),
    job("move the shadow", lost=("move the shadow",)),
    job("a mirror reflection underneath it", lost=("mirror reflection underneath",)),
    job("swap the label to French", lost=("swap the label to French",)),
    job("retouch the skin", lost=("retouch the skin",)),
    job("straighten the horizon", lost=("straighten the horizon",)),
    job("rotate it", lost=("rotate",)),
    job("remove the dust", lost=("remove the dust",)),
    job("a cinematic mood", lost=("cinematic mood",)),
    job("make the sky dramatic", lost=("sky dramatic",)),
    job("recolour the dress", lost=("recolour the dress",)),
    job("add our logo", lost=("logo",)),
    job("ghost mannequin", lost=("ghost mannequin",)),
    job("smile more", lost=("smile more",)),
    job("professional", lost=("professional",)),
    job("wie im Katalog", lost=("wie im Katalog",)),
    job("erase the price tag", lost=("erase the price tag",)),
    job("expand the canvas to the right", lost=("expand the canvas to the right",)),
    job("crop tight", lost=("crop tight",)),
)

IN_PART: tuple[Job, ...] = (
    job("make it pop and remove the person", POP, lost=("remove the person",)),
    job("sharpen the logo", do("enhance_image", sharpen=0.5), lost=("logo",)),
    job("kill the green cast, put it on a marble table", NEUTRAL, lost=("marble table",)),
    job("remove the background and add a reflection", do("remove_background"), PNG, lost=("reflection",)),
    job("packshot on white, straighten it", do("product_shot", color=WHITE), lost=("straighten",)),
    job("black and white, retouch the skin", do("adjust_contrast", saturation=-1), lost=("retouch the skin",)),
    job("upscale 3x", do("increase_resolution", factor=2), lost=("3x",)),
    job("blur the background and the logo", do("blur_background", amount=0.5), lost=("logo",)),
    job("moody, high contrast", do("adjust_contrast", amount=0.3), lost=("moody",)),
    job("for Amazon and Walmart", do("product_shot", color=WHITE), lost=("Walmart",)),
    job("not too contrasty, sharpen", do("enhance_image", sharpen=0.5), lost=("not too contrasty",)),
    job("1080x1080 with our watermark", do("resize", width_px=1080, height_px=1080), lost=("watermark",)),
    job(
        "grey background, drop shadow to the right",
        do("replace_background", color=GREY),
        lost=("drop shadow to the right",),
    ),
    job("brighter, but keep the label readable", do("adjust_exposure", ev=0.7), lost=("keep the label readable",)),
)
