"""The tools as an MCP client sees them, in-process, over a real picture folder."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from mcp import Client, MCPError
from mcp_types import CallToolResult, RequestParamsMeta

from prolight.adapters.local_artifacts import LocalArtifacts
from prolight.adapters.registry import studio_tools
from prolight.studio.calls import KEY_META, MAX_CALLS_KEPT, Call, CallLog
from prolight.studio.codec import decode
from prolight.studio.mask import find_subject
from prolight.studio.product import Shot
from prolight.studio.server import build_server
from prolight.studio.studio import Studio, Unsupported
from prolight.studio.tools import TOOL_ERROR

from .pictures import CAT, HELMET, VASE, as_file, flat, noise, photo

KEY = {"azimuth_deg": -45, "elevation_deg": 30, "ev": 0}
MISSING = "0" * 64


def about(key: str | None) -> RequestParamsMeta | None:
    return cast("RequestParamsMeta", {KEY_META: key}) if key else None


class Bench:
    """A studio, its server, and a new client for every call."""

    def __init__(self, root: Path) -> None:
        self.store, self.calls = LocalArtifacts(root), CallLog()
        self.studio = Studio(self.store)
        self.server = build_server(self.studio, self.calls)

    async def put(self, content: bytes, media_type: str = "image/png") -> str:
        return (await self.store.put(content, media_type=media_type)).id

    async def photo(self, name: str, side: int = 500) -> str:
        return await self.put(as_file(photo(name, side)))

    async def answer(self, tool: str, arguments: dict[str, Any], key: str | None = None) -> CallToolResult:
        async with Client(self.server) as client:
            return await client.call_tool(tool, arguments, meta=about(key))

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.answer(tool, arguments)
        assert not result.is_error, result.content
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """What a call with bad arguments is told."""
        result = await self.answer(tool, arguments)
        assert result.is_error
        return " ".join(block.text for block in result.content if block.type == "text")

    async def failure(self, tool: str, **arguments: Any) -> MCPError:
        async with Client(self.server) as client:
            with pytest.raises(MCPError) as caught:
                await client.call_tool(tool, arguments)
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.studio.close()


async def test_the_tools_say_what_they_take_what_they_give_and_that_they_are_harmless(bench: Bench) -> None:
    async with Client(bench.server) as client:
        listed = await client.list_tools()
    tools = {tool.name: tool for tool in listed.tools}
    assert tools.keys() == studio_tools().keys()
    for tool in tools.values():
        assert tool.annotations and tool.annotations.read_only_hint and tool.annotations.idempotent_hint
        assert tool.input_schema["additionalProperties"] is False and "picture" in tool.input_schema["required"]
        assert tool.output_schema and tool.description


async def test_a_relit_picture_is_a_new_artifact_of_the_same_size(bench: Bench) -> None:
    picture = await bench.photo(HELMET)
    made = await bench.call("relight", picture=picture, key=KEY)
    artifact = await bench.store.find(made["artifact"]["id"])
    assert artifact is not None and artifact.model_dump() == made["artifact"]
    assert (artifact.width, artifact.height, artifact.media_type) == (487, 500, "image/png")
    assert artifact.id != picture
    assert made["mask_trusted"] is True and made["mask_confidence"] > 0.5 and made["warnings"] == []


async def test_a_plan_of_relight_background_export_ends_in_a_white_backed_file(bench: Bench) -> None:
    picture = await bench.photo(HELMET)
    lit = await bench.call("relight", picture=picture, key=KEY, rim={**KEY, "azimuth_deg": 150, "kelvin": 9000})
    cut = await bench.call("replace_background", picture=lit["artifact"]["id"], color="#ffffff", mask_of=picture)
    done = await bench.call("export", picture=cut["artifact"]["id"], format="jpeg", long_side_px=400, quality=95)
    assert done["artifact"]["media_type"] == "image/jpeg" and done["artifact"]["height"] == 400
    assert done["mask_confidence"] is None and done["mask_trusted"] is None
    codes = decode(await bench.store.get(done["artifact"]["id"])).pixels
    assert (codes[:10, :10] == 255).all() and codes[180, 200].max() < 240


@pytest.mark.parametrize(
    ("tool", "arguments", "size"),
    [
        ("white_balance", {"neutralise": 0.5, "kelvin": 4000, "tint": 0.2}, (292, 300)),
        ("adjust_exposure", {"ev": 0.5, "shadows_ev": 1, "highlights_ev": -1}, (292, 300)),
        ("adjust_contrast", {"amount": 0.3, "saturation": -0.2}, (292, 300)),
        ("enhance_image", {"denoise": 0.5, "local_contrast": 0.5, "sharpen": 0.5}, (292, 300)),
        ("remove_background", {}, (292, 300)),
        ("blur_background", {"amount": 0.7}, (292, 300)),
        ("crop_out_foreground", {"margin_percent": 5}, None),
        ("product_shot", {"width_px": 400, "height_px": 320, "shadow": "contact"}, (400, 320)),
        ("increase_resolution", {"factor": 2}, (584, 600)),
        ("resize", {"width_px": 200, "height_px": 100, "fit": "pad"}, (200, 100)),
    ],
)
async def test_every_operation_makes_a_new_artifact_the_same_one_on_repeat(
    bench: Bench, tmp_path: Path, tool: str, arguments: dict[str, Any], size: tuple[int, int] | None
) -> None:
    picture = await bench.photo(HELMET, 300)
    made = await bench.call(tool, picture=picture, **arguments)
    other = Bench(tmp_path)
    assert await other.call(tool, picture=picture, **arguments) == made
    other.studio.close()
    assert made["artifact"]["id"] != picture
    assert size is None or (made["artifact"]["width"], made["artifact"]["height"]) == size


async def test_the_same_call_gives_the_same_picture_on_a_studio_that_knows_nothing_yet(
    bench: Bench, tmp_path: Path
) -> None:
    picture = await bench.photo(VASE)
    first = await bench.call("relight", picture=picture, key=KEY)
    again = await bench.call("relight", picture=picture, key=KEY)
    other = Bench(tmp_path)
    fresh = await other.call("relight", picture=picture, key=KEY)
    other.studio.close()
    assert first == again == fresh


async def test_the_mask_of_the_original_serves_a_picture_whose_own_subject_is_lost(bench: Bench) -> None:
    picture = await bench.photo(VASE)
    dark = await bench.call("relight", picture=picture, exposure_ev=-4)
    own = find_subject(decode(await bench.store.get(dark["artifact"]["id"])).pixels)
    borrowed = await bench.call("replace_background", picture=dark["artifact"]["id"], color="#00ff00", mask_of=picture)
    assert borrowed["mask_trusted"] and not own.trusted


async def test_an_untrusted_mask_is_said_and_the_rim_left_out(bench: Bench) -> None:
    picture = await bench.photo(CAT)
    with_rim = await bench.call("relight", picture=picture, key=KEY, rim=KEY)
    without = await bench.call("relight", picture=picture, key=KEY)
    assert with_rim["mask_trusted"] is False and with_rim["artifact"] == without["artifact"]
    assert "widely feathered mask and the rim light was left out" in with_rim["warnings"][0]
    assert "rim" not in without["warnings"][0]
    cut = await bench.call("replace_background", picture=picture, color="#ffffff")
    assert "needs a person's eye" in cut["warnings"][0]


async def test_a_mask_that_is_brought_takes_the_place_of_a_search(bench: Bench) -> None:
    picture = await bench.photo(CAT, 200)
    left = flat(0, 200)[: photo(CAT, 200).shape[0]].copy()
    left[:, :100] = 255
    mask = await bench.put(as_file(left))
    made = await bench.call("replace_background", picture=picture, color="#00ff00", mask=mask, mask_of=picture)
    codes = decode(await bench.store.get(made["artifact"]["id"])).pixels
    assert made["mask_trusted"] is True and made["mask_confidence"] == 1 and made["warnings"] == []
    assert (codes[:, 110:] == (0, 255, 0)).all() and not (codes[:, :90] == (0, 255, 0)).all(axis=2).any()
    measured = await bench.call("inspect_image", picture=picture, mask=mask)
    assert measured["subject_fill_percent"] == 50 and measured["mask_reason"] == "The mask was brought."


async def test_an_empty_mask_is_refused_and_one_of_another_size_named(bench: Bench) -> None:
    picture, empty = await bench.put(as_file(noise(64))), await bench.put(as_file(flat(0, 64)))
    error = await bench.failure("remove_background", picture=picture, mask=empty)
    assert error.error.data == {"code": "unsupported", "retryable": False} and "marks nothing" in str(error)
    other = await bench.put(as_file(flat(255, 65)))
    error = await bench.failure("remove_background", picture=picture, mask=other)
    assert error.error.data == {"code": "size_mismatch", "retryable": False} and "mask is 65 x 65" in str(error)


async def test_a_cut_out_keeps_its_alpha_through_tone_and_size_and_is_its_own_mask(bench: Bench) -> None:
    picture = await bench.photo(HELMET, 300)
    cut = await bench.call("crop_out_foreground", picture=picture, margin_percent=5)
    warm = await bench.call("white_balance", picture=cut["artifact"]["id"], kelvin=4000)
    small = await bench.call("resize", picture=warm["artifact"]["id"], width_px=150)
    lit = await bench.call("relight", picture=small["artifact"]["id"], key=KEY)
    assert lit["mask_trusted"] is True and lit["mask_confidence"] == 1
    png = await bench.call("export", picture=lit["artifact"]["id"], format="png")
    kept = decode(await bench.store.get(png["artifact"]["id"]))
    assert kept.alpha is not None and kept.alpha[0, 0] == 0 and kept.alpha.max() == 255
    jpeg = await bench.call("export", picture=lit["artifact"]["id"], format="jpeg")
    flattened = decode(await bench.store.get(jpeg["artifact"]["id"]))
    assert flattened.alpha is None and (flattened.pixels[:3, :3] >= 250).all()
    shot = await bench.call("product_shot", picture=lit["artifact"]["id"], width_px=200, height_px=200)
    assert (decode(await bench.store.get(shot["artifact"]["id"])).pixels[:8] == 255).all()


async def test_a_picture_that_is_too_large_is_refused_until_it_was_made_smaller(bench: Bench) -> None:
    small = Studio(bench.store, most_pixels=90_000)
    picture = await bench.photo(HELMET, 400)
    for refused in (
        small.adjust_exposure(picture, 1, 0, 0),
        small.remove_background(picture),
        small.product_shot(picture, Shot(width=301, height=300)),
    ):
        with pytest.raises(Unsupported, match="`resize` makes a picture smaller first"):
            await refused
    assert (await small.inspect(picture)).width == 390
    done = await small.resize(picture, 250, None, "inside", "#ffffff")
    assert (await small.adjust_exposure(done.artifact.id, 1, 0, 0)).artifact.width == 250
    with pytest.raises(Unsupported, match="the enlarged picture"):
        await small.increase_resolution(done.artifact.id, 2)
    small.close()


async def test_a_subject_that_would_be_enlarged_too_much_is_a_typed_error(bench: Bench) -> None:
    picture = await bench.photo(HELMET, 100)
    error = await bench.failure("product_shot", picture=picture)
    assert error.error.data == {"code": "unsupported", "retryable": False} and "at most 4 times" in str(error)


async def test_without_a_subject_the_whole_frame_is_lit_and_the_background_refused(bench: Bench) -> None:
    picture = await bench.put(as_file(noise()))
    made = await bench.call("relight", picture=picture, key=KEY)
    assert made["warnings"][0].startswith("The whole frame was lit. Not trusted")
    error = await bench.failure("replace_background", picture=picture, color="#ffffff")
    assert error.code == TOOL_ERROR
    assert error.error.data == {"code": "unsupported", "retryable": False}
    assert "no subject to cut out" in str(error)


async def test_exposure_alone_needs_no_mask_warning(bench: Bench) -> None:
    picture = await bench.put(as_file(noise()))
    made = await bench.call("relight", picture=picture, exposure_ev=1)
    assert made["warnings"] == []


async def test_an_inspection_measures_the_key_that_was_set(bench: Bench) -> None:
    picture = await bench.photo(VASE)
    sides = []
    for azimuth in (-60, 60):
        lit = await bench.call("relight", picture=picture, key={**KEY, "azimuth_deg": azimuth})
        sides.append((await bench.call("inspect_image", picture=lit["artifact"]["id"]))["left_right_ev"])
    assert sides[0] > 0.3 > -0.3 > sides[1]
    before = await bench.call("inspect_image", picture=picture)
    assert len(before["histogram"]) == 32 and before["mask_reason"]


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [
        ("inspect_image", {"picture": "../etc/passwd"}, "picture"),
        ("inspect_image", {"picture": "A" * 64}, "picture"),
        ("inspect_image", {}, "picture"),
        ("inspect_image", {"picture": MISSING, "url": "http://example.org"}, "url"),
        ("relight", {"picture": MISSING, "key": {**KEY, "ev": 4.01}}, "key.ev"),
        ("relight", {"picture": MISSING, "key": {**KEY, "ev": float("nan")}}, "key.ev"),
        ("relight", {"picture": MISSING, "fill": {**KEY, "kelvin": 1699}}, "fill.kelvin"),
        ("relight", {"picture": MISSING, "rim": {**KEY, "softness": 1.1}}, "rim.softness"),
        ("relight", {"picture": MISSING, "key": {**KEY, "azimuth_deg": -181}}, "key.azimuth_deg"),
        ("relight", {"picture": MISSING, "key": {**KEY, "elevation_deg": 91}}, "key.elevation_deg"),
        ("relight", {"picture": MISSING, "key": {**KEY, "colour": "red"}}, "key.colour"),
        ("relight", {"picture": MISSING, "key": {"ev": 0}}, "key.azimuth_deg"),
        ("relight", {"picture": MISSING, "exposure_ev": -5}, "exposure_ev"),
        ("relight", {"picture": MISSING, "mask_of": "short"}, "mask_of"),
        ("relight", {"picture": MISSING, "ambient": 1}, "ambient"),
        ("replace_background", {"picture": MISSING}, "color"),
        ("replace_background", {"picture": MISSING, "color": "white"}, "color"),
        ("replace_background", {"picture": MISSING, "color": "#fffffg"}, "color"),
        ("replace_background", {"picture": MISSING, "color": "#ffffff\n"}, "color"),
        ("export", {"picture": MISSING, "format": "gif"}, "format"),
        ("export", {"picture": MISSING, "format": "png", "long_side_px": 15}, "long_side_px"),
        ("export", {"picture": MISSING, "format": "png", "long_side_px": 10_001}, "long_side_px"),
        ("export", {"picture": MISSING, "format": "jpeg", "quality": 0}, "quality"),
        ("export", {"picture": MISSING, "format": "jpeg", "quality": 101}, "quality"),
    ],
)
async def test_a_bad_argument_is_refused_by_name(
    bench: Bench, tool: str, arguments: dict[str, Any], named: str
) -> None:
    refusal = await bench.refusal(tool, **arguments)
    assert named in refusal.splitlines()
    assert bench.calls.records()[-1]["status"] == "failed"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("inspect_image", {}),
        ("relight", {"key": KEY}),
        ("replace_background", {"color": "#ffffff"}),
        ("export", {"format": "png"}),
    ],
)
async def test_a_picture_that_is_not_there_is_a_typed_error(bench: Bench, tool: str, arguments: dict[str, Any]) -> None:
    error = await bench.failure(tool, picture=MISSING, **arguments)
    assert error.code == TOOL_ERROR and error.error.data == {"code": "asset_not_found", "retryable": False}


async def test_a_mask_of_another_size_is_a_typed_error(bench: Bench) -> None:
    picture, other = await bench.put(as_file(flat(9))), await bench.put(as_file(flat(9, 65)))
    error = await bench.failure("relight", picture=picture, key=KEY, mask_of=other)
    assert error.error.data == {"code": "size_mismatch", "retryable": False}
    assert "65 x 65" in str(error) and "64 x 64" in str(error)


async def test_a_picture_that_cannot_be_read_is_a_typed_error(bench: Bench) -> None:
    whole = as_file(photo(VASE, 200))
    picture = await bench.put(whole[: len(whole) // 2])
    error = await bench.failure("inspect_image", picture=picture)
    assert error.error.data == {"code": "picture_refused", "retryable": False}


async def test_too_much_enlargement_is_a_typed_error_that_names_the_limit(bench: Bench) -> None:
    picture = await bench.put(as_file(flat(9)))
    error = await bench.failure("export", picture=picture, format="png", long_side_px=129)
    assert error.error.data == {"code": "unsupported", "retryable": False}
    assert "ask for 128 or less" in str(error)


async def test_the_log_keeps_key_tool_and_end_of_each_call(bench: Bench) -> None:
    picture = await bench.put(as_file(flat(9)))
    await bench.answer("inspect_image", {"picture": picture}, key="run-1:0")
    await bench.failure("inspect_image", picture=MISSING)
    async with Client(bench.server) as client:
        resource = (await client.read_resource("studio://calls")).contents[0]
    records = json.loads(resource.text)  # type: ignore[union-attr]
    assert [(record["key"], record["tool"], record["status"]) for record in records] == [
        ("run-1:0", "inspect_image", "finished"),
        (None, "inspect_image", "failed"),
    ]
    assert all(record["seconds"] >= 0 for record in records)


async def test_the_log_is_bounded() -> None:
    log = CallLog()
    for number in range(MAX_CALLS_KEPT + 5):
        log.add(Call(str(number), "export"))
    assert len(log.records()) == MAX_CALLS_KEPT and log.records()[0]["key"] == "5"


@pytest.mark.parametrize("slots", [1, 2])
async def test_no_more_calls_work_on_pixels_than_there_are_slots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    store = LocalArtifacts(tmp_path)
    pictures = [(await store.put(as_file(noise(160, seed)), media_type="image/png")).id for seed in range(6)]
    lock, working, peak = threading.Lock(), 0, 0

    def counted(pixels: Any) -> Any:
        nonlocal working, peak
        with lock:
            working += 1
            peak = max(peak, working)
        subject = find_subject(pixels)
        with lock:
            working -= 1
        return subject

    monkeypatch.setattr("prolight.studio.studio.find_subject", counted)
    studio = Studio(store, slots=slots)
    measured = await asyncio.gather(*map(studio.inspect, pictures))
    studio.close()
    assert len(measured) == 6 and peak == slots


async def test_what_waits_in_line_never_starts_once_its_caller_went_away(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    busy, waiting = [
        (await store.put(as_file(pixels), media_type="image/png")).id for pixels in (photo(CAT), flat(200, 16))
    ]
    studio = Studio(store, slots=1)
    first = asyncio.create_task(studio.inspect(busy))
    second = asyncio.create_task(studio.inspect(waiting))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (await first).width == 1000
    studio.close()


async def test_a_mask_is_found_once_and_then_remembered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = await bench.photo(VASE, 300)
    searches: list[tuple[int, ...]] = []

    def counted(pixels: Any) -> Any:
        searches.append(pixels.shape)
        return find_subject(pixels)

    monkeypatch.setattr("prolight.studio.studio.find_subject", counted)
    for azimuth in (-45, 0, 45):
        await bench.call("relight", picture=picture, key={**KEY, "azimuth_deg": azimuth})
    assert searches == [(300, 300, 3)]


async def test_the_stored_result_is_lossless_to_the_next_step(bench: Bench, tmp_path: Path) -> None:
    picture = await bench.photo(VASE, 300)
    made = await bench.call("relight", picture=picture, key=KEY)
    remembered = await bench.call("export", picture=made["artifact"]["id"], format="png")
    studio = Studio(LocalArtifacts(tmp_path))
    read = await studio.export(made["artifact"]["id"], "png", None, 92)
    studio.close()
    assert read.artifact.id == remembered["artifact"]["id"]
    assert np.array_equal(
        decode(await bench.store.get(read.artifact.id)).pixels,
        decode(await bench.store.get(made["artifact"]["id"])).pixels,
    )


async def test_a_check_answers_figures_and_what_is_missed_with_its_remedy(bench: Bench) -> None:
    picture = await bench.photo(HELMET)
    said = await bench.call("check_picture", picture=picture, required={"formats": ["jpeg"], "min_long_side_px": 500})
    assert (said["met"], [miss["rule"] for miss in said["misses"]]) == (False, ["format"])
    assert (said["figures"]["width"], said["figures"]["height"], said["figures"]["format"]) == (487, 500, "png")
    assert "required.least" in await bench.refusal("check_picture", picture=picture, required={"least": 5})
