"""How `prolight up` prints what its parts write."""

from __future__ import annotations

import io

import pytest

from prolight.cli.up import LogPrinter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(stream: io.StringIO) -> str:
    LogPrinter(stream)("worker1", "ready")
    return stream.getvalue()


@pytest.fixture(autouse=True)
def colour_is_not_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_each_line_names_its_part() -> None:
    assert printed(io.StringIO()) == "worker1  | ready\n"


def test_a_terminal_gets_the_name_in_colour() -> None:
    assert printed(Terminal()) == "\x1b[32mworker1  |\x1b[0m ready\n"


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed(Terminal()) == "worker1  | ready\n"


def test_a_terminal_that_went_away_does_no_harm() -> None:
    gone = Terminal()
    gone.close()
    LogPrinter(gone)("worker1", "ready")
