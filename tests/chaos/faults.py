"""What a `Proxy` is told to do to the bytes that pass it. All of it is JSON; a field that is left out does nothing."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

End = Literal["cut", "reset", "silence"]
"""How a connection goes: FIN both ways, RST both ways, or it stays open and nothing passes any more (half-open)."""


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Way(_Told):
    """One direction, of each connection."""

    delay_ms: float = Field(default=0, description="before each piece that arrives")
    bytes_per_second: float | None = None
    cut_after: int | None = Field(default=None, description="bytes from now on, then FIN both ways")
    reset_after: int | None = Field(default=None, description="bytes from now on, then RST both ways")
    silent_after: int | None = Field(default=None, description="bytes from now on, then half-open")
    blackhole: bool = Field(default=False, description="what goes this way is lost; a connection that lost some, ends")


class Chance(_Told):
    """Some of the requests: each that fits, with probability `rate`, in an order that `seed` decides."""

    rate: float = 1.0
    seed: int = 0
    times: int | None = None
    containing: str = Field(default="", description="bytes that are in the request, e.g. EVALSHA or tools/call")
    then: End = Field(default="reset", description="of lose_reply: how the connection goes")

    _dice: random.Random = PrivateAttr(default_factory=random.Random)

    def model_post_init(self, context: object) -> None:
        self._dice.seed(self.seed)

    def hits(self, request: bytes) -> bool:
        if self.times == 0 or self.containing.encode() not in request or self._dice.random() >= self.rate:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Faults(_Told):
    """`up` is from the client to the server."""

    up: Way = Way()
    down: Way = Way()
    stall: bool = Field(default=False, description="nothing passes, nothing is lost, until it is told otherwise")
    lose_reply: Chance | None = Field(default=None, description="execute and time out: the request ran, no reply comes")
    duplicate: Chance | None = Field(default=None, description="the request is carried out twice, answered once")
