"""More that must be said and not done: other wordings of what no tool here does, and words that would be guesses.

Written without the grammar. An unknown word is reported and never turned into a neighbour of it: "less sharp" is not
sharpening, "no blur" not a blur, "3:2" no size, and a thing to be erased is not the background.
"""

from __future__ import annotations

from .briefs_tools import NEUTRAL, PNG, POP, WHITE, Job, do, job

REFUSED: tuple[Job, ...] = (
    job("remove the person in the background", lost=("remove the person",)),
    job("generate a beach behind it", lost=("generate a beach",)),
    job("move the shadow to the right", lost=("move the shadow",)),
    job("add a reflection", lost=("reflection",)),
    job("cut the hair out strand by strand", lost=("strand by strand",)),
    job("whiten the teeth", lost=("whiten the teeth",)),
    job("remove the wrinkles", lost=("remove the wrinkles",)),
    job("erase the wires", lost=("erase the wires",)),
    job("make it look expensive", lost=("expensive",)),
    job("open her eyes", lost=("open her eyes",)),
    job("flip it horizontally", lost=("flip it horizontally",)),
    job("correct the perspective", lost=("correct the perspective",)),
    job("remove lens distortion", lost=("lens distortion",)),
    job("match hero.jpg", lost=("match hero.jpg",)),
    job("put a model in the jacket", lost=("jacket",)),
    job("extend the canvas", lost=("extend the canvas",)),
    job("fake some bokeh lights", lost=("bokeh lights",)),
    job("teal and orange grade", lost=("grade",)),
    job("change the shirt to blue", lost=("shirt",)),
    job("no blur", lost=("no blur",)),
    job("don't sharpen it", lost=("don't sharpen",)),
    job("make it less sharp", lost=("less sharp",)),
    job("print it on A4 at 300 dpi", lost=("300 dpi",)),
    job("save as tiff", lost=("tiff",)),
    job("mach den Hintergrund weiss", lost=("mach den Hintergrund weiss",)),
)

REFUSED_IN_PART: tuple[Job, ...] = (
    job("sharpen and whiten the teeth", do("enhance_image", sharpen=0.5), lost=("whiten the teeth",)),
    job("kill the green cast and erase the wires", NEUTRAL, lost=("erase the wires",)),
    job("more contrast, teal shadows", do("adjust_contrast", amount=0.3), lost=("teal",)),
    job("upscale 8x", do("increase_resolution", factor=2), lost=("8x",)),
    job("white background with a bokeh", do("replace_background", color=WHITE), lost=("bokeh",)),
    job("make it pop like a Vermeer", POP, lost=("Vermeer",)),
    job("cut it out strand by strand", do("remove_background"), PNG, lost=("strand by strand",)),
    job("lift the shadows on the face", do("adjust_exposure", shadows_ev=0.7), lost=("face",)),
    job("packshot on white with a splash of water", do("product_shot", color=WHITE), lost=("splash of water",)),
    job("sharpen, and save as tiff", do("enhance_image", sharpen=0.5), lost=("tiff",)),
    job("for eBay and Zalando", do("product_shot", color=WHITE, width_px=1600), lost=("Zalando",)),
    job("denoise, less sharp", do("enhance_image", denoise=0.5), lost=("less sharp",)),
    job("remove the background and the price tag", do("remove_background"), PNG, lost=("price tag",)),
    job("blur the background, flip it", do("blur_background", amount=0.5), lost=("flip it",)),
    job("warm key from the left, crop to 3:2", do("relight", key={"kelvin": 3800}), lost=("3:2",)),
)
