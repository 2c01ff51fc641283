"""The shipped workers behind a bad line: every third bell is lost, or each is heard twice."""

import itertools
import os
from typing import Any

from workers import app
from workers.transport import Channel

deliver = Channel._deliver_or_drop
count = itertools.count(1)


def lose_every_third(self: Channel, raw: Any, queue: str) -> None:
    if next(count) % 3:
        deliver(self, raw, queue)


def double(self: Channel, raw: Any, queue: str) -> None:
    deliver(self, raw, queue)
    deliver(self, raw, queue)


setattr(Channel, "_deliver_or_drop", {"lost": lose_every_third, "doubled": double}[os.environ["BELLS"]])  # noqa: B010

__all__ = ["app"]
