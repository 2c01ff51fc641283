"""What *we* say of each tool: its effect class, price, time-out. What a server says of itself is not trusted.

A tool that is not listed is `blind`: never silently sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from prolight.ports import Effect

PICTURES = frozenset({"picture", "mask_of"})


@dataclass(frozen=True, slots=True)
class Registered:
    effect: Effect = "blind"
    price_usd: Decimal = Decimal(0)
    timeout: timedelta = timedelta(seconds=300)
    picture_params: frozenset[str] = frozenset()
    description: str = ""


Registry = Mapping[str, Registered]

STUDIO: Registry = {
    "studio.inspect_image": Registered("pure", timeout=timedelta(seconds=60), picture_params=PICTURES),
    "studio.relight": Registered("pure", timeout=timedelta(seconds=120), picture_params=PICTURES),
    "studio.replace_background": Registered("pure", timeout=timedelta(seconds=120), picture_params=PICTURES),
    "studio.export": Registered("pure", timeout=timedelta(seconds=120), picture_params=PICTURES),
}
