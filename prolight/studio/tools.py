"""The studio's tools: what they are called, what they take, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import ToolAnnotations
from pydantic import Field, create_model

from prolight.errors import ProLightError
from prolight.schemas import ArtifactId, Requirements
from prolight.studio.check import Checked
from prolight.studio.codec import Format
from prolight.studio.light import Light, Lighting
from prolight.studio.metrics import Inspection
from prolight.studio.product import Shadow, Shot
from prolight.studio.resize import Fit
from prolight.studio.studio import Made, Masking, Studio

TOOL_ERROR = -32050
"""JSON-RPC code of every refusal; `data.code` says which."""
LARGEST_SIDE = 10_000

Ev4 = Annotated[float, Field(ge=-4, le=4, description="stops")]
Ev2 = Annotated[float, Field(ge=-2, le=2, description="stops; as far as the surroundings are dark, or bright")]
Exposure = Annotated[float, Field(ge=-4, le=4, description="stops, applied to the whole picture after the lights")]
Share = Annotated[float, Field(ge=0, le=1)]
Signed = Annotated[float, Field(ge=-1, le=1)]
Neutralise = Annotated[float, Field(ge=0, le=1, description="how much of the cast that is measured is taken out")]
Kelvin = Annotated[float, Field(ge=1700, le=15000, description="the look afterwards: lower is warmer, 5500 neutral")]
Tint = Annotated[float, Field(ge=-1, le=1, description="-1 green, +1 magenta")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", description="sRGB, #rrggbb")]
Side = Annotated[int, Field(ge=16, le=LARGEST_SIDE)]
Fill = Annotated[float, Field(ge=10, le=100, description="share of the frame that the subject's longer extent takes")]
Margin = Annotated[float, Field(ge=0, le=100, description="of the subject's longer extent, on each side")]
Quality = Annotated[int, Field(ge=1, le=100, description="of JPEG and WebP")]
MaskOf = Annotated[
    ArtifactId | None,
    Field(description="find the subject in this picture of the same size instead, e.g. the one before relighting"),
]
Mask = Annotated[
    ArtifactId | None,
    Field(description="the mask itself, of the same size: its alpha, or its luma, white being the subject"),
]


def all_tools(studio: Studio) -> list[Tool]:
    """In the order in which a client is told of them."""
    functions = (*_light_tools(studio), *_tone_tools(studio), *_subject_tools(studio), *_size_tools(studio))
    return [_closed(function) for function in functions]


def _light_tools(studio: Studio) -> tuple[Callable[..., Any], ...]:
    async def inspect_image(picture: ArtifactId, mask_of: MaskOf = None, mask: Mask = None) -> Inspection:
        """Measure a picture: exposure, light colour, clipping, sharpness, and how well its subject can be found."""
        with _typed_errors():
            return await studio.inspect(picture, Masking(mask_of=mask_of, mask=mask))

    async def relight(  # noqa: PLR0917 - a tool's parameters are named by its caller
        picture: ArtifactId,
        key: Light | None = None,
        fill: Light | None = None,
        rim: Light | None = None,
        exposure_ev: Exposure = 0,
        mask_of: MaskOf = None,
        mask: Mask = None,
    ) -> Made:
        """Put a key, fill or rim light on the subject: shading only, no new cast shadows or reflections."""
        with _typed_errors():
            lighting = Lighting(key, fill, rim, exposure_ev)
            return await studio.relight(picture, lighting, Masking(mask_of=mask_of, mask=mask))

    return inspect_image, relight


def _tone_tools(studio: Studio) -> tuple[Callable[..., Any], ...]:
    async def white_balance(
        picture: ArtifactId, neutralise: Neutralise = 1, kelvin: Kelvin = 5500, tint: Tint = 0
    ) -> Made:
        """Take the colour cast of the light out of the whole picture, and give it a warmer or cooler look."""
        with _typed_errors():
            return await studio.white_balance(picture, neutralise, kelvin, tint)

    async def adjust_exposure(picture: ArtifactId, ev: Ev4 = 0, shadows_ev: Ev2 = 0, highlights_ev: Ev2 = 0) -> Made:
        """Brighten or darken the whole picture, its shadows, its highlights. What was burnt out stays empty."""
        with _typed_errors():
            return await studio.adjust_exposure(picture, ev, shadows_ev, highlights_ev)

    async def adjust_contrast(picture: ArtifactId, amount: Signed = 0, saturation: Signed = 0) -> Made:
        """Change contrast around middle grey, and how saturated colours are (-1 is black and white)."""
        with _typed_errors():
            return await studio.adjust_contrast(picture, amount, saturation)

    async def enhance_image(
        picture: ArtifactId, denoise: Share = 0, local_contrast: Share = 0, sharpen: Share = 0
    ) -> Made:
        """Take out noise, bring out texture, sharpen edges. Nothing is generated."""
        with _typed_errors():
            return await studio.enhance_image(picture, denoise, local_contrast, sharpen)

    return white_balance, adjust_exposure, adjust_contrast, enhance_image


def _subject_tools(studio: Studio) -> tuple[Callable[..., Any], ...]:
    async def replace_background(picture: ArtifactId, color: Colour, mask_of: MaskOf = None, mask: Mask = None) -> Made:
        """Lay the subject on one plain colour."""
        with _typed_errors():
            return await studio.replace_background(picture, color, Masking(mask_of=mask_of, mask=mask))

    async def remove_background(picture: ArtifactId, mask_of: MaskOf = None, mask: Mask = None) -> Made:
        """Make what is not the subject transparent. Later steps keep the alpha and take it for the mask."""
        with _typed_errors():
            return await studio.remove_background(picture, Masking(mask_of=mask_of, mask=mask))

    async def blur_background(
        picture: ArtifactId, amount: Share = 0.5, mask_of: MaskOf = None, mask: Mask = None
    ) -> Made:
        """Put what is behind the subject out of focus, all of it alike."""
        with _typed_errors():
            return await studio.blur_background(picture, amount, Masking(mask_of=mask_of, mask=mask))

    async def crop_out_foreground(
        picture: ArtifactId, margin_percent: Margin = 0, mask_of: MaskOf = None, mask: Mask = None
    ) -> Made:
        """Make what is not the subject transparent and crop to the subject."""
        with _typed_errors():
            return await studio.crop_out_foreground(picture, margin_percent, Masking(mask_of=mask_of, mask=mask))

    async def product_shot(  # noqa: PLR0917
        picture: ArtifactId,
        color: Colour = "#ffffff",
        width_px: Side = 2000,
        height_px: Side = 2000,
        fill_percent: Fill = 85,
        shadow: Shadow = "none",
        mask_of: MaskOf = None,
        mask: Mask = None,
    ) -> Made:
        """Centre the subject on one plain colour at an exact size, on its own or with a shadow where it stands."""
        with _typed_errors():
            shot = Shot(color, width_px, height_px, fill_percent, shadow)
            return await studio.product_shot(picture, shot, Masking(mask_of=mask_of, mask=mask))

    return replace_background, remove_background, blur_background, crop_out_foreground, product_shot


def _size_tools(studio: Studio) -> tuple[Callable[..., Any], ...]:
    async def increase_resolution(picture: ArtifactId, factor: Literal[2, 4] = 2) -> Made:
        """Enlarge twofold or fourfold by interpolation and sharpening: not generative, no detail is invented."""
        with _typed_errors():
            return await studio.increase_resolution(picture, factor)

    async def resize(
        picture: ArtifactId,
        width_px: Side | None = None,
        height_px: Side | None = None,
        fit: Fit = "inside",
        color: Colour = "#ffffff",
    ) -> Made:
        """Another size: inside these sides, covering them (cropped), or padded to them with a colour."""
        with _typed_errors():
            return await studio.resize(picture, width_px, height_px, fit, color)

    async def export(
        picture: ArtifactId, format: Format, long_side_px: Side | None = None, quality: Quality = 92
    ) -> Made:
        """Write the finished file: sRGB, no metadata, enlarged at most twofold. A JPEG has no alpha: white instead."""
        with _typed_errors():
            return await studio.export(picture, format, long_side_px, quality)

    async def check_picture(
        picture: ArtifactId, required: Requirements, recommended: Requirements | None = None
    ) -> Checked:
        """Hold a finished file against what a shop asks for: ground, fill, margins, format, size."""
        with _typed_errors():
            return await studio.check(picture, required, recommended or Requirements())

    return increase_resolution, resize, export, check_picture


def _closed(function: Callable[..., Any]) -> Tool:
    """The function as a tool that refuses arguments it does not know."""
    tool = Tool.from_function(function, annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True))
    arguments = tool.fn_metadata.arg_model
    closed = create_model(arguments.__name__, __base__=arguments, __cls_kwargs__={"extra": "forbid"})
    metadata = tool.fn_metadata.model_copy(update={"arg_model": closed})
    return tool.model_copy(update={"fn_metadata": metadata, "parameters": closed.model_json_schema(by_alias=True)})


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except ProLightError as error:
        raise MCPError(TOOL_ERROR, str(error), {"code": error.code, "retryable": error.retryable}) from error
