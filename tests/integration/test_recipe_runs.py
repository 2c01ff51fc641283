"""One approved look on other pictures: the real studio measures each, and a person sees those that are unlike."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from prolight.bench.parts import bundled_picture
from prolight.cli import run as prolight
from prolight.cli.output import ExitCode
from prolight.errors import InvalidInput
from prolight.events import PlanMade, parse
from prolight.schemas import State
from tests.integration.fleet import Fleet

pytestmark = pytest.mark.integration

BRIEF = "soft warm key from the left, white background"


def photograph(brightness: float = 1.0, *, mirrored: bool = False) -> bytes:
    picture: Image.Image = Image.open(io.BytesIO(bundled_picture())).convert("RGB")
    picture.thumbnail((700, 700))
    picture = ImageEnhance.Brightness(picture).enhance(brightness)
    file = io.BytesIO()
    (ImageOps.mirror(picture) if mirrored else picture).save(file, "JPEG", quality=92)
    return file.getvalue()


async def test_a_recipe_completes_on_a_picture_like_its_own_and_asks_a_person_about_another(tmp_path: Path) -> None:
    async with Fleet(tmp_path) as fleet:
        first = await fleet.client.submit(photograph(), BRIEF)
        with pytest.raises(InvalidInput, match="only a COMPLETED run's plan"):
            await fleet.client.submit(photograph(), recipe=first)
        await fleet.start_worker()
        made = (await fleet.client.wait(first, timeout=60)).run
        assert made.state is State.COMPLETED

        like = await fleet.client.submit(photograph(mirrored=True), recipe=first)
        dark = await fleet.client.submit(photograph(brightness=0.2), recipe=first)
        followed = (await fleet.client.wait(like, timeout=60)).run
        waits = (await fleet.client.wait(dark, timeout=60)).run

        assert (followed.state, followed.plan, followed.brief) == (State.COMPLETED, made.plan, BRIEF)
        events = [parse(text).payload for text in await fleet.client.store.events(like)]
        assert [event.model for event in events if isinstance(event, PlanMade)] == [f"recipe {first}"]
        assert waits.state is State.AWAITING_APPROVAL
        assert waits.approval
        assert any("median_ev" in reason for reason in waits.approval.reasons)


async def test_a_dry_run_says_whether_a_recipe_fits_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Fleet(tmp_path) as fleet:
        monkeypatch.setenv("PROLIGHT_REDIS_URL", fleet.settings.store_url)
        first = await fleet.client.submit(photograph(), BRIEF)
        await fleet.start_worker()
        made = (await fleet.client.wait(first, timeout=60)).run
        dark = tmp_path / "dark.jpg"
        dark.write_bytes(photograph(brightness=0.2))

        told = await asyncio.to_thread(prolight, ["submit", str(dark), "--recipe", first, "--dry-run", "--json"])

        assert told == ExitCode.WAITS
        said = json.loads(capsys.readouterr().out)
        assert said["plan"] == made.model_dump(mode="json")["plan"]
        assert any("median_ev" in reason for reason in said["waits_for"])
        assert [snapshot.run.run_id for snapshot in await fleet.client.list()] == [first]
