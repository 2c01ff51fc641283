"""Briefs in which a grammar is tempted to do something else, or to leave something out and not say so.

Found by trying a first grammar on words that lie near to what it knows. What cannot be done as asked must be said: a
margin that the step has no room for, a colour of light that is the picture's and not a lamp's, alpha that JPEG drops.
"""

from __future__ import annotations

from .briefs_tools import WHITE, Job, do, job

TRAPS: tuple[Job, ...] = (
    job("cut out with a 10% margin", do("crop_out_foreground", margin_percent=10), do("export", format="png")),
    job("a 10 % margin on white", do("replace_background", color=WHITE), lost=("10 % margin",)),
    job("product shot with 10% margin", do("product_shot", color=WHITE), lost=("10% margin",)),
    job("warmer white balance", do("white_balance", kelvin=3800)),
    job("white balance of 4500 K", do("white_balance", kelvin=4500)),
    job("remove the background and save as jpeg", do("remove_background"), do("export", format="png"), lost=("jpeg",)),
    job("white background, transparent", do("replace_background", color=WHITE), lost=("transparent",)),
    job("product shot on white and blur the background", do("product_shot", color=WHITE), lost=("blur",)),
    job("keep the background, product shot", lost=("product shot",)),
    job("darken the highlights", do("adjust_exposure", highlights_ev=-0.7)),
    job("shadows -1 EV", do("adjust_exposure", shadows_ev=-1)),
    job(
        "product shot with a long shadow to the left",
        do("product_shot", color=WHITE, shadow="none"),
        lost=("long shadow to the left",),
    ),
    job("key light 2x", do("relight", key={"azimuth_deg": -45}), lost=("2x",)),
    job("don't crop, white background", do("replace_background", color=WHITE), lost=("don't crop",)),
    job("add a green cast", lost=("green cast",)),
    job("add grain", lost=("grain",)),
    job("blur the face", lost=("blur the face",)),
    job("not for Amazon", lost=("not for Amazon",)),
)
