"""The operations on stored pictures: load, work in a thread, store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pydantic import Field

from prolight.errors import ProLightError
from prolight.ports import ArtifactStore
from prolight.schemas import Artifact, Requirements, Value
from prolight.studio import export as exporting
from prolight.studio import product
from prolight.studio.background import replace_background
from prolight.studio.balance import measure_cast, white_balance
from prolight.studio.blur import blur_background
from prolight.studio.brought import brought
from prolight.studio.check import Checked, check
from prolight.studio.codec import Format, decode, encode_lossless
from prolight.studio.colour import Linear, Pixels, to_linear, to_srgb
from prolight.studio.contrast import adjust_contrast
from prolight.studio.cutout import crop_out_foreground, remove_background
from prolight.studio.enhance import enhance_image, increase_resolution
from prolight.studio.exposure import adjust_exposure
from prolight.studio.light import Lighting, feather, relight
from prolight.studio.mask import Subject, find_subject
from prolight.studio.metrics import Inspection, inspect
from prolight.studio.picture import Picture
from prolight.studio.resize import Fit, TooLarge, resize
from prolight.studio.shelf import Shelf

Result = TypeVar("Result")

PIXEL_SLOTS = 2
"""How many calls work on pixels at the same time; the others wait."""
MOST_PIXELS = 24_000_000
"""Of a picture that is worked on, or made: such a call takes up to 1.3 GB. Larger ones are measured, exported or
made smaller, which takes less."""
LARGE_PIXELS = 8_000_000
"""From here on pictures are worked on one at a time."""
PICTURE_SHELF_BYTES = 24 * 1024 * 1024
"""Decoded pictures that are kept: four of two megapixels."""
MASK_SHELF_BYTES = 24 * 1024 * 1024
"""Masks that are kept: three of two megapixels."""


class Unsupported(ProLightError):
    """What was asked cannot be done honestly with this picture."""

    code = "unsupported"


class SizeMismatch(ProLightError):
    """`mask_of` or `mask` names a picture of another size than `picture`."""

    code = "size_mismatch"


class Made(Value):
    """A picture that was made. The mask fields are null where no mask was used."""

    artifact: Artifact
    mask_confidence: float | None = None
    mask_trusted: bool | None = None
    warnings: tuple[str, ...] = Field(default=(), description="what a person should know before using the picture")


class Masking(Value):
    """Where the subject's mask comes from. `mask` is the mask itself and goes before `mask_of`, the picture in
    which the subject is searched for; with neither it is the picture's own alpha, or found in the picture."""

    mask_of: str | None = None
    mask: str | None = None


OWN = Masking()


class Studio:
    """Carries the operations out. Raises `ProLightError`s.

    Pixel work runs in `PIXEL_SLOTS` threads. A caller that goes away does not stop a thread that works: its
    slot stays taken until it is done, and what was waiting in line never starts.
    A picture with an alpha keeps it: steps of tone and colour leave it alone, steps of size change it likewise,
    and it is the subject's mask wherever one is needed.
    """

    def __init__(self, store: ArtifactStore, *, slots: int = PIXEL_SLOTS, most_pixels: int = MOST_PIXELS) -> None:
        self._store = store
        self._most_pixels = most_pixels
        self._one_large = threading.Lock()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="pixels")
        self._pictures: Shelf[Picture] = Shelf(PICTURE_SHELF_BYTES)
        self._masks: Shelf[Subject] = Shelf(MASK_SHELF_BYTES)

    def close(self) -> None:
        """Drop what waits in line; work under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def inspect(self, picture: str, masking: Masking = OWN) -> Inspection:
        given = await self._load(picture)
        find = await self._finder(picture, given, masking)
        return await self._in_thread(lambda: inspect(given.opaque(), find()), given)

    async def relight(self, picture: str, lighting: Lighting, masking: Masking = OWN) -> Made:
        def work(given: Picture, subject: Subject) -> tuple[Picture, tuple[str, ...]]:
            lit = _relight(to_linear(given.pixels), subject, lighting)
            return given.recoloured(lit), _doubts(subject, lighting)

        return await self._with_subject(picture, masking, work)

    async def white_balance(self, picture: str, neutralise: float, kelvin: float, tint: float) -> Made:
        def work(given: Picture) -> tuple[Picture, tuple[str, ...]]:
            cast = measure_cast(given.opaque())
            balanced = given.recoloured(white_balance(given.pixels, cast, neutralise, kelvin, tint))
            if not neutralise or cast.found:
                return balanced, ()
            return balanced, ("No cast was taken out: too little of the picture is grey to measure one.",)

        return await self._made(picture, work)

    async def adjust_exposure(self, picture: str, ev: float, shadows_ev: float, highlights_ev: float) -> Made:
        return await self._toned(picture, lambda pixels: adjust_exposure(pixels, ev, shadows_ev, highlights_ev))

    async def adjust_contrast(self, picture: str, amount: float, saturation: float) -> Made:
        return await self._toned(picture, lambda pixels: adjust_contrast(pixels, amount, saturation))

    async def enhance_image(self, picture: str, denoise: float, local_contrast: float, sharpen: float) -> Made:
        return await self._toned(picture, lambda pixels: enhance_image(pixels, denoise, local_contrast, sharpen))

    async def replace_background(self, picture: str, colour: str, masking: Masking = OWN) -> Made:
        def work(given: Picture, subject: Subject) -> Picture:
            return Picture(to_srgb(replace_background(to_linear(given.pixels), subject.alpha, colour)))

        return await self._cut(picture, masking, work)

    async def remove_background(self, picture: str, masking: Masking = OWN) -> Made:
        return await self._cut(picture, masking, lambda given, subject: remove_background(given.pixels, subject.alpha))

    async def crop_out_foreground(self, picture: str, margin_percent: float, masking: Masking = OWN) -> Made:
        def work(given: Picture, subject: Subject) -> Picture:
            return crop_out_foreground(given.pixels, subject.alpha, margin_percent)

        return await self._cut(picture, masking, work)

    async def blur_background(self, picture: str, amount: float, masking: Masking = OWN) -> Made:
        def work(given: Picture, subject: Subject) -> Picture:
            return given.recoloured(blur_background(given.pixels, subject.alpha, amount))

        return await self._cut(picture, masking, work)

    async def product_shot(self, picture: str, shot: product.Shot, masking: Masking = OWN) -> Made:
        self._need_room(shot.width * shot.height, "the product shot")

        def work(given: Picture, subject: Subject) -> tuple[Picture, tuple[str, ...]]:
            _need_subject(subject)
            pixels, scale = product.product_shot(given.pixels, subject.alpha, shot)
            return Picture(pixels), (*_eye(subject), *product.doubts(subject.alpha, scale))

        return await self._with_subject(picture, masking, work)

    async def increase_resolution(self, picture: str, factor: int) -> Made:
        def work(given: Picture) -> tuple[Picture, tuple[str, ...]]:
            self._need_room(given.pixel_count * factor**2, "the enlarged picture")
            return increase_resolution(given, factor), ()

        return await self._made(picture, work)

    async def resize(self, picture: str, width_px: int | None, height_px: int | None, fit: Fit, colour: str) -> Made:
        if width_px is not None and height_px is not None and fit != "inside":
            self._need_room(width_px * height_px, "the resized picture")
        return await self._made(
            picture, lambda given: (resize(given, width_px, height_px, fit, colour), ()), any_size=True
        )

    async def export(self, picture: str, form: Format, long_side_px: int | None, quality: int) -> Made:
        given = await self._load(picture)
        content = await self._in_thread(lambda: exporting.export(given, form, long_side_px, quality), given)
        return Made(artifact=await self._store.put(content, media_type=f"image/{form}"))

    async def check(self, picture: str, required: Requirements, recommended: Requirements) -> Checked:
        content = await self._store.get(picture)
        given = await self._load(picture)
        return await self._in_thread(lambda: check(content, given, required, recommended), given)

    async def _toned(self, picture: str, tone: Callable[[Pixels], Pixels]) -> Made:
        return await self._made(picture, lambda given: (given.recoloured(tone(given.pixels)), ()))

    async def _made(
        self, picture: str, work: Callable[[Picture], tuple[Picture, tuple[str, ...]]], *, any_size: bool = False
    ) -> Made:
        given = await self._load(picture)
        if not any_size:
            self._need_room(given.pixel_count, "the picture")

        def worked() -> tuple[bytes, Picture, tuple[str, ...]]:
            made, warnings = work(given)
            return encode_lossless(made), made, warnings

        return await self._keep(*await self._in_thread(worked, given))

    async def _with_subject(
        self, picture: str, masking: Masking, work: Callable[[Picture, Subject], tuple[Picture, tuple[str, ...]]]
    ) -> Made:
        given = await self._load(picture)
        self._need_room(given.pixel_count, "the picture")
        find = await self._finder(picture, given, masking)

        def worked() -> tuple[bytes, Picture, tuple[str, ...], Subject]:
            subject = find()
            made, warnings = work(given, subject)
            return encode_lossless(made), made, warnings, subject

        return await self._keep(*await self._in_thread(worked, given))

    async def _cut(self, picture: str, masking: Masking, work: Callable[[Picture, Subject], Picture]) -> Made:
        """Work that needs a subject, and says when its mask is doubtful."""

        def cut(given: Picture, subject: Subject) -> tuple[Picture, tuple[str, ...]]:
            _need_subject(subject)
            return work(given, subject), _eye(subject)

        return await self._with_subject(picture, masking, cut)

    async def _load(self, picture: str) -> Picture:
        if (kept := self._pictures.get(picture)) is not None:
            return kept
        content = await self._store.get(picture)
        decoded = await self._in_thread(lambda: decode(content))
        self._pictures.put(picture, decoded, decoded.nbytes)
        return decoded

    async def _finder(self, picture: str, given: Picture, masking: Masking) -> Callable[[], Subject]:
        """Loads what the mask is made of; the answer makes it, on a thread."""
        name = masking.mask or masking.mask_of or picture
        outline = given if name == picture else await self._load(name)
        if outline.pixels.shape != given.pixels.shape:
            (height, width, _), (high, wide, _) = given.pixels.shape, outline.pixels.shape
            field = "mask" if masking.mask else "mask_of"
            raise SizeMismatch(
                f"{field} is {wide} x {high} px and picture is {width} x {height} px: name a picture of the same size"
            )
        if masking.mask or outline.alpha is not None:
            return lambda: brought(outline)
        return lambda: self._searched(name, outline.pixels)

    def _searched(self, picture: str, pixels: Pixels) -> Subject:
        if (kept := self._masks.get(picture)) is not None:
            return kept
        subject = find_subject(pixels)
        self._masks.put(picture, subject, subject.alpha.nbytes)
        return subject

    async def _keep(
        self, content: bytes, made: Picture, warnings: tuple[str, ...], subject: Subject | None = None
    ) -> Made:
        artifact = await self._store.put(content, media_type="image/png")
        self._pictures.put(artifact.id, made, made.nbytes)
        return Made(
            artifact=artifact,
            mask_confidence=round(subject.confidence, 3) if subject else None,
            mask_trusted=subject.trusted if subject else None,
            warnings=warnings,
        )

    def _need_room(self, pixels: int, what: str) -> None:
        if pixels > self._most_pixels:
            raise Unsupported(
                f"{what} has {pixels / 1e6:.3g} megapixels, the studio works on {self._most_pixels / 1e6:.3g}: "
                "`resize` makes a picture smaller first"
            )

    async def _in_thread(self, work: Callable[[], Result], given: Picture | None = None) -> Result:
        """Off the event loop. Work on a large picture (`given`) waits for its turn."""

        def in_turn() -> Result:
            if given is None or given.pixel_count <= LARGE_PIXELS:
                return work()
            with self._one_large:
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, in_turn)
        except (TooLarge, product.TooSmall) as error:
            raise Unsupported(str(error)) from error


def _need_subject(subject: Subject) -> None:
    if not subject.usable:
        raise Unsupported(f"no subject to cut out. {subject.reason} Use a picture with a plainer backdrop.")


def _eye(subject: Subject) -> tuple[str, ...]:
    return () if subject.trusted else (f"The cut-out needs a person's eye. {subject.reason}",)


def _relight(linear: Linear, subject: Subject, lighting: Lighting) -> Pixels:
    """Light with the mask as far as it can be believed: a doubtful one is feathered and draws no rim."""
    if subject.trusted:
        return to_srgb(relight(linear, subject.alpha, lighting))
    return to_srgb(relight(linear, feather(subject.alpha), lighting.without_rim()))


def _doubts(subject: Subject, lighting: Lighting) -> tuple[str, ...]:
    if subject.trusted or not (lighting.frontal or lighting.rim):
        return ()
    said = "The whole frame was lit" if not subject.usable else "The subject was lit with a widely feathered mask"
    rim = " and the rim light was left out" if lighting.rim else ""
    return (f"{said}{rim}. {subject.reason}",)
