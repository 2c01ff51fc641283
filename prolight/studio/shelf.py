"""What was decoded or found lately, within a bound on memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Shelf(Generic[Item]):
    """The items used last whose sizes together stay within `limit`. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit
        self._items: OrderedDict[str, tuple[Item, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Item | None:
        with self._lock:
            if name not in self._items:
                return None
            self._items.move_to_end(name)
            return self._items[name][0]

    def put(self, name: str, item: Item, size: int) -> None:
        """Keep the item; an item larger than the whole shelf is not kept."""
        with self._lock:
            self._drop(name)
            if size > self._limit:
                return
            while size > self._room:
                self._drop(next(iter(self._items)))
            self._items[name] = (item, size)
            self._room -= size

    def _drop(self, name: str) -> None:
        if (kept := self._items.pop(name, None)) is not None:
            self._room += kept[1]
