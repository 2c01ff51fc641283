"""What the picture shows around its subject: a smooth surface of colour fitted to the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prolight.studio.colour import Plane

Lab = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

BORDER_SHARE = 0.04
"""Width of the frame that is looked at, of the long side."""
DEGREES = ((0, 0), (1, 1), (2, 2), (2, 5))
"""How far the surface may bend across and down, plainest first; sweeps of paper bend downwards."""
WORTH_SPREAD, WORTH_SHARE = 1.25, 0.05
"""A surface that bends more must explain the frame this much better: it is a guess behind the subject."""
SPREAD_FLOOR = 1.0
"""ΔE below which a backdrop is as plain as compression noise lets it be."""
BLANK = 0.3
"""ΔE up to which a colour is the same to the code."""
OUTLIER_SPREADS = 3.0
LIGHTNESS_WEIGHT, TINT_WEIGHT, CAST_WEIGHT = 0.7, 1.3, 0.4
CAST_DEPTH, CAST_TINT = 40.0, 5.0
"""Shadows and pools of light on a plain backdrop change its L* by at most this much, and a* and b* hardly."""
MAX_POINTS = 6_000
"""Of the frame's pixels, for the fit."""
_ROUNDS = 12
_RIDGE = 1e-5


@dataclass(frozen=True, slots=True)
class Backdrop:
    """`spread` is the robust deviation of the frame from the surface (ΔE*ab), `plain_share` the part of the
    frame that lies within `OUTLIER_SPREADS` of it, `border` marks the frame, `colour` is the surface (Lab). `blank`:
    most of the frame is the surface to the code, as only a drawn ground is."""

    colour: Lab
    spread: float
    plain_share: float
    border: npt.NDArray[np.bool_]
    blank: bool


def fit_backdrop(lab: Lab) -> Backdrop:
    """The plainest of the `DEGREES` of surface that explains the picture's frame about as well as the best."""
    border = frame(lab.shape[0], lab.shape[1])
    stride = max(1, int(border.sum()) // MAX_POINTS)
    down, across = _grid(lab.shape[0], lab.shape[1])
    points = down[border][::stride], across[border][::stride]
    colours = lab[border][::stride].astype(np.float64)
    fits = [_fit(_basis(*points, degrees), colours, degrees) for degrees in DEGREES]
    best = fits[-1]
    good = (
        fit
        for fit in fits
        if fit.spread <= WORTH_SPREAD * best.spread and fit.plain_share >= best.plain_share - WORTH_SHARE
    )
    chosen = next(good, best)
    colour = _basis(down, across, chosen.degrees) @ chosen.weights
    off = np.linalg.norm(lab[border] - colour[border], axis=1)
    return Backdrop(colour.astype(np.float32), chosen.spread, chosen.plain_share, border, float(np.median(off)) < BLANK)


@dataclass(frozen=True, slots=True)
class _Fit:
    degrees: tuple[int, int]
    weights: Floats
    spread: float
    plain_share: float


def _fit(basis: Floats, colours: Floats, degrees: tuple[int, int]) -> _Fit:
    """Iteratively re-weighted least squares: what crosses the frame (a stand, a cut-off subject) loses its weight."""
    # Medians first: with a mean, a subject that crosses the frame would pull the surface to itself.
    off = _length(colours - np.median(colours, axis=0))
    weights: Floats = np.zeros((basis.shape[1], 3))
    ridge = _RIDGE * len(basis) * np.diag([0.0] + [1.0] * (basis.shape[1] - 1))
    for _ in range(_ROUNDS):
        trusted = basis / (1 + (off / (2 * _spread(off))) ** 4)[:, None]
        weights = np.asarray(np.linalg.solve(trusted.T @ basis + ridge, trusted.T @ colours), np.float64)
        off = _length(colours - basis @ weights)
    spread = _spread(off)
    return _Fit(degrees, weights, spread, float(np.mean(off < OUTLIER_SPREADS * spread)))


def _spread(off: Floats) -> float:
    """The standard deviation that the median of these deviations stands for."""
    return max(SPREAD_FLOOR, 1.4826 * float(np.median(off)))


def _length(rows: Floats) -> Floats:
    return np.asarray(np.linalg.norm(rows, axis=1), np.float64)


def frame(height: int, width: int) -> npt.NDArray[np.bool_]:
    """True on the frame of the picture, `BORDER_SHARE` of the long side wide."""
    thick = max(3, round(BORDER_SHARE * max(height, width)))
    inside = np.zeros((height, width), bool)
    inside[thick:-thick, thick:-thick] = True
    return ~inside


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return down, across


def _basis(down: Floats, across: Floats, degrees: tuple[int, int]) -> Floats:
    top = max(degrees)
    powers = [(i, j) for i in range(degrees[0] + 1) for j in range(degrees[1] + 1) if i + j <= top]
    return np.stack([across**i * down**j for i, j in powers], axis=-1)


def visible_difference(difference: Lab) -> Plane:
    """ΔE with lightness at a lower weight: shadow and light on a backdrop change its lightness, not its colour."""
    lightness, tint = difference[..., 0], np.hypot(difference[..., 1], difference[..., 2])
    weight = np.where(cast_like(difference), np.float32(CAST_WEIGHT), np.float32(LIGHTNESS_WEIGHT))
    return np.hypot(weight * lightness, np.float32(TINT_WEIGHT) * tint)


def cast_like(difference: Lab) -> npt.NDArray[np.bool_]:
    """Where the difference could be shadow or light on the backdrop: somewhat darker or lighter, same colour."""
    lightness, tint = difference[..., 0], np.hypot(difference[..., 1], difference[..., 2])
    cast: npt.NDArray[np.bool_] = (np.abs(lightness) < CAST_DEPTH) & (tint < CAST_TINT)
    return cast
