"""What all schemas are made of: ids, money, states, and the frozen base."""

from __future__ import annotations

import json
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from prolight.errors import InvalidInput

RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
SHA256 = r"^[0-9a-f]{64}$"

RunId = Annotated[str, Field(pattern=RUN_ID)]
ArtifactId = Annotated[str, Field(pattern=SHA256)]
"""The sha256 of the bytes, in hex: an artifact is its content."""
AssetId = Annotated[str, Field(pattern=RUN_ID)]
"""What a caller names a picture by: an artifact id, or an alias of one (`prolight assets add`)."""


def _plain(amount: Decimal) -> Decimal:
    """One way to write each amount: a plan must have the same hash whether it says 0, 0.0 or 0.00."""
    return Decimal(f"{abs(amount).normalize():f}")


Usd = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6), AfterValidator(_plain)]
"""Dollars, exact; a string in JSON."""


def usd(amount: Decimal) -> Decimal:
    """An amount as records keep it: rounded up to a millionth of a dollar."""
    return _plain(amount.quantize(Decimal("0.000001"), rounding=ROUND_CEILING))


class State(StrEnum):
    """Where a run stands. `lifecycle.TRANSITIONS` says how it leaves."""

    PLANNING = "PLANNING"
    CRITIQUING = "CRITIQUING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    EXECUTING = "EXECUTING"
    NEEDS_REVIEW = "NEEDS_REVIEW"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class Stage(StrEnum):
    """One agent's turn. The Celery task is `prolight.<stage>`, on the queue of the same name."""

    PLAN = "plan"
    CRITIQUE = "critique"
    EXECUTE = "execute"

    @property
    def queue(self) -> str:
        return f"prolight.{self.value}"


class Value(BaseModel):
    """Frozen, closed: an unknown field is an error, never a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, **fields: Any) -> Self:
        """Build one from what a caller sent. Raises `InvalidInput` naming field and limit."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise refusal(error) from None

    def evolve(self, **changes: Any) -> Self:
        """A copy with these fields changed. The caller vouches for their types."""
        return self.model_copy(update=changes)


class Artifact(Value):
    """A stored picture: its content's sha256 is its name."""

    id: ArtifactId
    media_type: str
    size_bytes: int = Field(ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class Usage(Value):
    """What a model call used. Zero for the offline rules."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Usd = Decimal(0)

    def __add__(self, other: Usage) -> Usage:
        return Usage.model_construct(
            **{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields}
        )


def refusal(error: ValidationError) -> InvalidInput:
    """The first complaint of pydantic, in our words: field and limit, never the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InvalidInput(first["msg"].removeprefix("Value error, ") + more, field=field)


def compact_json(value: Any) -> str:
    """One line, no spaces: the form of every record that ProLight prints or stores."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
