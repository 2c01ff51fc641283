"""What is counted of a stock chain, and that the instrument finds what is known of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.chaos.baseline import PLACES, Counted, effects, popped, repeated
from tests.chaos.ledger import Ledger, read
from tests.chaos.stock import Stock


def test_an_effect_is_doubled_when_it_was_applied_again_for_the_same_step_of_the_same_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for what, label in (
        ("received", "s1.blind-1"),
        ("applied", "s1.blind-1"),
        ("applied", "s1.blind-2"),
        ("applied", "s1.blind-1"),
        ("applied", "s2.blind-1"),
        ("applied", "s3.blind-1"),
        ("applied", "s3.blind-1"),
    ):
        ledger.append(what=what, label=label, effect="blind", charged_usd="0.05")
    receipts = list(read(tmp_path / "ledger"))
    assert list(repeated(receipts, {"s1", "s2"})) == [("blind", Decimal("0.05"))]
    assert list(effects(receipts, {"s1", "s2"})) == ["blind"] * 3


@pytest.mark.integration
@pytest.mark.heavy
async def test_a_stock_chain_loses_a_message_and_pays_twice_where_it_is_known_to(tmp_path: Path) -> None:
    async with Stock(tmp_path / "stock", 1) as stock:
        await stock.worker()
        runs = await PLACES["child_acted"](stock) or []
        await stock.over(runs)
        counted = Counted()
        counted.add(stock, runs)
        assert counted.endings == {"completed": len(runs)}
        assert counted.told()["doubled_silently"] == {"pure": 2, "keyed": 0, "probeable": 0, "billed": 2, "blind": 2}
        assert counted.tool_usd == Decimal("0.18")
        [lost] = await popped(stock) or []
        await stock.over([lost])
        assert lost.ending == "lost"
