"""What the World's tools do, without HTTP: receipts, one effect per call, and a table of keys.

`applied` is written to the ledger first, then to the state file; a World that dies in between finishes the effect
when it starts again. So the counts are those of the ledger's `applied` receipts, whatever happens.
"""

from __future__ import annotations

import io
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from prolight.determinism import fingerprint, sha256
from prolight.ports import Effect
from tests.chaos.ledger import Ledger, read

PRICES: dict[str, tuple[Effect, Decimal]] = {
    "pure": ("pure", Decimal(0)),
    "keyed": ("keyed", Decimal("0.02")),
    "probeable": ("probeable", Decimal("0.03")),
    "billed": ("billed", Decimal("0.04")),
    "blind": ("blind", Decimal("0.05")),
}
OVERCHARGED = 10
"""How many times its price a tool takes whose cost is above its quote."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that arrived."""

    key: str
    tool: str
    label: str
    arguments: str
    """sha256 of their canonical JSON, as in the caller's journal."""
    pin: str = ""
    """Hash of the tool's definition at this moment."""
    number: int = 0
    """The receipt of its arrival; 0 for that one itself."""


@dataclass(frozen=True, slots=True)
class Effected:
    """What was once applied under a key."""

    arguments: str
    at: float
    result: dict[str, Any]


class Works:
    """The effects, and the receipts of them."""

    def __init__(self, ledger: Path, *, window: timedelta) -> None:
        self._window = window
        self._ledger = Ledger(ledger)
        self._state = Ledger(ledger.with_name(ledger.name + ".state"))
        self._effected: dict[str, Effected] = {}
        self._forgotten: set[str] = set()
        self._under_way: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._recover(ledger)

    def received(self, call: Call) -> Call:
        """The call with its number."""
        self._under_way[call.key] += 1
        return replace(call, number=self._receipt("received", call)["n"])

    def known(self, call: Call) -> Effected | None:
        """What a keyed tool did under this key, within its window."""
        effected = self._effected.get(call.key)
        if call.tool != "keyed" or effected is None or call.key in self._forgotten:
            return None
        return effected if time.time() - effected.at < self._window.total_seconds() else None

    def apply(self, call: Call, *, above_quote: bool = False) -> dict[str, Any]:
        """The effect, and what the tool has to say of it."""
        charged = PRICES[call.tool][1] * (OVERCHARGED if above_quote else 1)
        result = made(call.tool, call.label, charged)
        receipt = self._receipt("applied", call, result, charged)
        self._effect(receipt, result)
        self._under_way[call.key] -= 1
        return result

    def answered(self, call: Call, result: dict[str, Any] | None) -> None:
        """`result` is None where the answer is a refusal, or breaks on its way."""
        self._receipt("answered", call, result)

    def probe(self, key: str, *, unclear: bool = False) -> dict[str, Any]:
        """What became of a key. A call that has arrived and is not applied yet makes it unclear."""
        effected = self._effected.get(key)
        if unclear or (effected is None and self._under_way[key] > 0):
            result: dict[str, Any] = {"status": "unclear", "artifact": None}
        elif effected is None:
            result = {"status": "absent", "artifact": None}
        else:
            result = {"status": "done", **effected.result}
        self._receipt("probed", Call(key, "probe", "", fingerprint({"key": key})), result)
        return result

    def left(self, call: Call) -> None:
        """It was refused: it will not be applied."""
        self._under_way[call.key] -= 1

    def forget_keys(self) -> None:
        """Keyed tools no longer recognise what they did before. The effects stay."""
        self._state.append(forgotten=True)
        self._forgotten = set(self._effected)

    def _receipt(
        self, what: str, call: Call, result: dict[str, Any] | None = None, charged: Decimal = Decimal(0)
    ) -> dict[str, Any]:
        return self._ledger.append(
            what=what,
            key=call.key,
            tool=call.tool,
            effect=PRICES[call.tool][0] if call.tool in PRICES else "pure",
            label=call.label,
            arguments=call.arguments,
            result=fingerprint(result) if result is not None else None,
            charged_usd=str(charged),
            call=call.number,
            pin=call.pin,
            **({"status": (result or {}).get("status")} if what == "probed" else {}),
        )

    def _effect(self, receipt: dict[str, Any], result: dict[str, Any]) -> None:
        effect = {name: receipt[name] for name in ("key", "arguments")}
        self._remember(self._state.append(receipt=receipt["n"], applied_at=receipt["at"], result=result, **effect))

    def _remember(self, effect: dict[str, Any]) -> None:
        key = effect["key"]
        self.counts[key] += 1
        self._effected[key] = Effected(effect["arguments"], effect["applied_at"], effect["result"])
        self._forgotten.discard(key)

    def _recover(self, ledger: Path) -> None:
        finished = set()
        for line in read(ledger.with_name(ledger.name + ".state")):
            if "forgotten" in line:
                self._forgotten = set(self._effected)
            else:
                finished.add(line["receipt"])
                self._remember(line)
        for receipt in list(read(ledger)):
            if receipt["what"] == "applied" and receipt["n"] not in finished:
                charged = Decimal(receipt["charged_usd"])
                self._effect(receipt, made(receipt["tool"], receipt["label"], charged))


def made(tool: str, label: str, charged: Decimal) -> dict[str, Any]:
    """What a tool answers: the same for the same (tool, label), whoever asks for whichever picture."""
    content = png(tool, label)
    artifact = {"id": sha256(content), "media_type": "image/png", "size_bytes": len(content), "width": 4, "height": 4}
    return {"artifact": artifact, "score": 0.5, "cost_usd": str(charged), "warnings": []}


@cache
def png(tool: str, label: str) -> bytes:
    from PIL import Image

    pixels = bytes.fromhex(fingerprint([tool, label]) + fingerprint([label, tool]))[:48]
    content = io.BytesIO()
    Image.frombytes("RGB", (4, 4), pixels).save(content, "PNG")
    return content.getvalue()
