"""The four operations on stored pictures: load, work in a thread, store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pydantic import Field

from prolight.errors import ProLightError
from prolight.ports import ArtifactStore
from prolight.schemas import Artifact, Value
from prolight.studio import export as exporting
from prolight.studio.background import replace_background
from prolight.studio.codec import Format, decode, encode_lossless
from prolight.studio.colour import Linear, Pixels, to_linear, to_srgb
from prolight.studio.light import Lighting, feather, relight
from prolight.studio.mask import Subject, find_subject
from prolight.studio.metrics import Inspection, inspect
from prolight.studio.shelf import Shelf

Result = TypeVar("Result")

PIXEL_SLOTS = 2
"""How many calls work on pixels at the same time; the others wait."""
PICTURE_SHELF_BYTES = 96 * 1024 * 1024
"""Decoded pictures that are kept: about twelve of 2.5 megapixels."""
MASK_SHELF_BYTES = 96 * 1024 * 1024
"""Masks that are kept: about nine of 2.5 megapixels."""


class Unsupported(ProLightError):
    """What was asked cannot be done honestly with this picture."""

    code = "unsupported"


class SizeMismatch(ProLightError):
    """`mask_of` names a picture of another size than `picture`."""

    code = "size_mismatch"


class Made(Value):
    """A picture that was made. The mask fields are null where no mask was used."""

    artifact: Artifact
    mask_confidence: float | None = None
    mask_trusted: bool | None = None
    warnings: tuple[str, ...] = Field(default=(), description="what a person should know before using the picture")


class Studio:
    """Carries the operations out. Raises `ProLightError`s.

    Pixel work runs in `PIXEL_SLOTS` threads. A caller that goes away does not stop a thread that works: its
    slot stays taken until it is done, and what was waiting in line never starts.
    """

    def __init__(self, store: ArtifactStore, *, slots: int = PIXEL_SLOTS) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="pixels")
        self._pictures: Shelf[Pixels] = Shelf(PICTURE_SHELF_BYTES)
        self._masks: Shelf[Subject] = Shelf(MASK_SHELF_BYTES)

    def close(self) -> None:
        """Drop what waits in line; work under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def inspect(self, picture: str) -> Inspection:
        pixels = await self._load(picture)
        return await self._in_thread(lambda: inspect(pixels, self._subject(picture, pixels)))

    async def relight(self, picture: str, lighting: Lighting, mask_of: str | None = None) -> Made:
        pixels = await self._load(picture)
        outline = await self._load_outline(mask_of or picture, pixels)

        def work() -> tuple[bytes, Pixels, Subject]:
            subject = self._subject(mask_of or picture, outline)
            lit = _relight(to_linear(pixels), subject, lighting)
            return encode_lossless(lit), lit, subject

        content, lit, subject = await self._in_thread(work)
        return await self._keep(content, lit, subject, _doubts(subject, lighting))

    async def replace_background(self, picture: str, colour: str, mask_of: str | None = None) -> Made:
        pixels = await self._load(picture)
        outline = await self._load_outline(mask_of or picture, pixels)

        def work() -> tuple[bytes, Pixels, Subject]:
            subject = self._subject(mask_of or picture, outline)
            if not subject.usable:
                raise Unsupported(f"no subject to cut out. {subject.reason} Use a picture with a plainer backdrop.")
            cut = to_srgb(replace_background(to_linear(pixels), subject.alpha, colour))
            return encode_lossless(cut), cut, subject

        content, cut, subject = await self._in_thread(work)
        warnings = () if subject.trusted else (f"The cut-out needs a person's eye. {subject.reason}",)
        return await self._keep(content, cut, subject, warnings)

    async def export(self, picture: str, form: Format, long_side_px: int | None, quality: int) -> Made:
        pixels = await self._load(picture)
        try:
            content = await self._in_thread(lambda: exporting.export(pixels, form, long_side_px, quality))
        except exporting.TooLarge as error:
            raise Unsupported(str(error)) from error
        return Made(artifact=await self._store.put(content, media_type=f"image/{form}"))

    async def _load(self, picture: str) -> Pixels:
        if (kept := self._pictures.get(picture)) is not None:
            return kept
        content = await self._store.get(picture)
        pixels = await self._in_thread(lambda: decode(content))
        self._pictures.put(picture, pixels, pixels.nbytes)
        return pixels

    async def _load_outline(self, mask_of: str, pixels: Pixels) -> Pixels:
        outline = await self._load(mask_of)
        if outline.shape != pixels.shape:
            (height, width, _), (high, wide, _) = pixels.shape, outline.shape
            raise SizeMismatch(
                f"mask_of is {wide} x {high} px and picture is {width} x {height} px: name a picture of the same size"
            )
        return outline

    def _subject(self, picture: str, pixels: Pixels) -> Subject:
        if (kept := self._masks.get(picture)) is not None:
            return kept
        subject = find_subject(pixels)
        self._masks.put(picture, subject, subject.alpha.nbytes)
        return subject

    async def _keep(self, content: bytes, pixels: Pixels, subject: Subject, warnings: tuple[str, ...]) -> Made:
        artifact = await self._store.put(content, media_type="image/png")
        self._pictures.put(artifact.id, pixels, pixels.nbytes)
        return Made(
            artifact=artifact,
            mask_confidence=round(subject.confidence, 3),
            mask_trusted=subject.trusted,
            warnings=warnings,
        )

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


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
