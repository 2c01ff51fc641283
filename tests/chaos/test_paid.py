"""Receipts and effects, without a server: what a restart finds again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.chaos.ledger import Ledger, read
from tests.chaos.paid import Call, Works

HOUR = timedelta(hours=1)


def test_a_key_is_known_within_its_window_and_what_was_forgotten_stays_so(tmp_path: Path) -> None:
    call = Call("k", "keyed", "label", "arguments")
    works = Works(tmp_path / "ledger", window=HOUR)
    made = works.apply(call)
    known = works.known(call)
    assert known and known.result == made
    assert Works(tmp_path / "ledger", window=HOUR).known(call) == known
    assert Works(tmp_path / "ledger", window=timedelta(0)).known(call) is None
    works.forget_keys()
    again = Works(tmp_path / "ledger", window=HOUR)
    assert again.known(call) is None
    assert again.probe("k")["status"] == "done"
    assert again.counts == {"k": 1}


def test_a_torn_last_line_is_no_receipt_and_numbers_go_on(tmp_path: Path) -> None:
    Ledger(tmp_path / "l").append(what="one")
    with (tmp_path / "l").open("ab") as file:
        file.write(b'{"n":2,"wh')
    assert [line["what"] for line in read(tmp_path / "l")] == ["one"]
    Ledger(tmp_path / "l").append(what="two")
    assert [(line["n"], line["what"]) for line in read(tmp_path / "l")] == [(1, "one"), (2, "two")]
