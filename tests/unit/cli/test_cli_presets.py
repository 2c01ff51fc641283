"""`prolight presets`: what shops ask for, for people and for programs."""

from __future__ import annotations

import csv
import io
import json

import pytest

from prolight import presets
from prolight.batches import Line, Result
from prolight.cli import run
from prolight.cli.batch import _report, _word
from prolight.cli.presets import WORDS, in_words
from prolight.schemas import Artifact, Requirements


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


def test_a_batch_tells_a_missed_preset_in_its_csv_and_on_its_contact_sheet() -> None:
    made = Artifact(id="a" * 64, media_type="image/jpeg", size_bytes=1, width=1, height=1)
    met = Line(0, "chair.jpg", "b.0", "COMPLETED", Result(state="COMPLETED", outputs=(made,)))
    missed = Line(1, "lamp.jpg", "b.1", "COMPLETED", Result(state="COMPLETED", outputs=(made,), reason="missed, fill"))
    waits = Line(2, "vase.jpg", "b.2", "WAITS", None)
    assert [_word(line) for line in (met, missed, waits)] == ["chair.jpg", "missed: lamp.jpg", "WAITS"]
    rows = csv.DictReader(io.StringIO(_report([met, missed], {}).decode()))
    assert [row["reason"] for row in rows] == ["", "missed, fill"]
