"""What a shop wants of a picture: the requirements, what is made for them, and how a finished picture met them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from prolight.schemas.values import ArtifactId, Value

PRESET_NAME = r"^[a-z][a-z0-9-]{0,47}$"
Format = Literal["jpeg", "png", "webp"]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Percent = Annotated[float, Field(ge=0, le=100)]
Pixels = Annotated[int, Field(ge=1)]


class Requirements(Value):
    """What a picture has to be. What is absent is not asked for."""

    background: Colour | None = None
    """The ground is exactly this, and nothing of it is transparent."""
    shadow: Literal["none"] | None = None
    """No shadow is drawn. Judged on the plan: in a picture, a shadow and a grey part of the subject look alike."""
    min_fill_percent: Percent | None = None
    max_fill_percent: Percent | None = None
    """Of the frame, taken by the subject's longer extent against it."""
    min_margin_px: Pixels | None = None
    """Ground between the subject and each edge of the frame."""
    formats: tuple[Format, ...] = ()
    """Of those that ProLight writes; empty: any."""
    min_long_side_px: Pixels | None = None
    max_long_side_px: Pixels | None = None
    min_short_side_px: Pixels | None = None
    max_pixels: Pixels | None = None
    aspect: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}:[1-9][0-9]{0,2}$")] | None = None
    """Width to height."""
    max_bytes: Annotated[int, Field(ge=1)] | None = None

    def told(self) -> dict[str, Any]:
        """Only what is asked for."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Delivery(Value):
    """What ProLight makes so that the requirements are met with room to spare."""

    width_px: Pixels
    height_px: Pixels
    format: Format = "jpeg"
    fill_percent: Percent | None = None


class Target(Value):
    """A preset as a run keeps it: what was asked for when it was handed in."""

    name: str = Field(pattern=PRESET_NAME)
    required: Requirements
    recommended: Requirements = Requirements()
    """What the shop advises: said, and never a miss."""
    deliver: Delivery

    def told(self) -> dict[str, Any]:
        """As the Planner and the Critic are told of it."""
        return {
            "name": self.name,
            "required": self.required.told(),
            "recommended": self.recommended.told(),
            "deliver": self.deliver.model_dump(mode="json", exclude_none=True),
        }


class Miss(Value):
    """One requirement that a picture does not meet: which, what was wanted, what was found, and what would help."""

    rule: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    wanted: str = Field(max_length=120)
    found: str = Field(max_length=120)
    remedy: str = Field(max_length=300)

    def __str__(self) -> str:
        return f"{self.rule}: wanted {self.wanted}, found {self.found}; {self.remedy}"


class Check(Value):
    """A finished picture held against the run's preset. `met` is None where nobody could look: `why` says it."""

    picture_id: ArtifactId
    preset: str
    met: bool | None
    misses: tuple[Miss, ...] = Field(default=(), max_length=16)
    advice: tuple[Miss, ...] = Field(default=(), max_length=16)
    why: str = Field(default="", max_length=300)

    @property
    def code(self) -> str:
        """Of the warnings that say its sentences."""
        return "preset_unchecked" if self.met is None else "preset_missed"

    @property
    def sentences(self) -> tuple[str, ...]:
        """What speaks against it; none for one that is met."""
        if self.met is None:
            return (f"preset {self.preset} not checked: {self.why}",)
        if self.met:
            return ()
        return tuple(f"preset {self.preset} missed, {miss}" for miss in self.misses) or (
            f"preset {self.preset} missed",
        )
