import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prolight.cli import run

PHOTOS = Path(__file__).parents[2] / "photos"
VASE, RING = PHOTOS / "demo-vase.jpg", PHOTOS / "ring-glossy-high-key.jpg"


def test_a_mask_is_written_white_on_black_and_said_to_be_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mask.png"
    assert run(["mask", str(VASE), "-o", str(target)]) == 0
    assert "% of the picture, confidence 0.9" in (printed := capsys.readouterr().out) and "trusted" in printed
    with Image.open(target) as image:
        assert image.size == (900, 900) and image.format == "PNG"
        codes = np.asarray(image.convert("L"))
    assert codes[0, 0] == 0 and codes[600, 450] == 255


def test_a_doubtful_mask_says_so_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mask.png"
    assert run(["mask", str(RING), "-o", str(target), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["trusted"] is False and said["reason"].startswith("Not trusted: ") and said["path"] == str(target)
    assert said["confidence"] < 0.5 and 5 < said["subject_percent"] < 30


def test_a_picture_without_a_subject_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, target = tmp_path / "empty.png", tmp_path / "mask.png"
    Image.new("RGB", (64, 64), "grey").save(empty)
    assert run(["mask", str(empty), "-o", str(target)]) == 1
    assert "no subject to be seen" in capsys.readouterr().err and not target.exists()


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mask.png"
    target.write_bytes(b"mine")
    assert run(["mask", str(VASE), "-o", str(target)]) == 1
    assert "--force" in capsys.readouterr().err and target.read_bytes() == b"mine"
    assert run(["mask", str(VASE), "-o", str(target), "--force"]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")
