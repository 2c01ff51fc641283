"""`prolight presets`: what shops ask for, for people and for programs."""

from __future__ import annotations

import json

import pytest

from prolight import presets
from prolight.cli import run
from prolight.cli.presets import WORDS, in_words
from prolight.schemas import Requirements


def test_every_preset_is_listed_with_what_it_requires(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in presets.names())
    assert "ground exactly #ffffff; shadow: none; subject fills at least 85 %" in shown


def test_one_is_shown_with_its_brief_and_where_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "ebay"]) == 0
    shown, ebay = capsys.readouterr().out, presets.preset("ebay")
    assert ebay.brief in shown and all(source.url in shown for source in ebay.sources)


def test_as_records_they_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["name"] for record in records] == list(presets.names())
    assert records[0]["required"]["max_bytes"] == 10_000_000


@pytest.mark.parametrize(
    "command", [["presets", "amazon"], ["submit", "x.jpg", "--preset", "amazon"], ["batch", ".", "--preset", "amazon"]]
)
def test_an_unknown_one_is_refused_with_the_names(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert "amazon-main, ebay, etsy" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["submit", "x.jpg"], ["batch", "."]])
def test_something_has_to_say_what_to_make(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert "--preset NAME, or --recipe RUN" in capsys.readouterr().err


def test_there_are_words_for_everything_that_can_be_required() -> None:
    assert list(WORDS) == list(Requirements.model_fields)
    assert in_words(Requirements()) == "nothing"
