"""How a planted violation is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.edits import Edited

Edit = Callable[[Edited], None]


@dataclass(frozen=True)
class Plant:
    invariant: str
    says: str
    edit: Edit


class Plants(list[Plant]):
    def __call__(self, invariant: str, says: str) -> Callable[[Edit], Edit]:
        def planted(edit: Edit) -> Edit:
            self.append(Plant(invariant, says, edit))
            return edit

        return planted
