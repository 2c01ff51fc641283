"""What may come in as a picture, and in which form it is kept."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from prolight.errors import PictureRefused
from prolight.pictures import PictureLimits, ingest, measure

SECRET = b"48.8584N 2.2945E"
SMALL_LIMITS = PictureLimits(max_bytes=200_000, max_pixels=100_000)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def scene(width: int = 48, height: int = 32) -> Image.Image:
    """Every pixel says where it is: red to the right, green downwards."""
    columns = bytes(round(255 * x / (width - 1)) for x in range(width))
    rows = bytes(round(255 * y / (height - 1)) for y in range(height))
    values = bytes(value for y in range(height) for x in range(width) for value in (columns[x], rows[y], 90))
    return Image.frombytes("RGB", (width, height), values)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def pixels(content: bytes) -> bytes:
    return opened(content).convert("RGB").tobytes()


def colour_at(content: bytes, at: tuple[int, int] = (8, 8)) -> tuple[int, int, int]:
    red, green, blue = opened(content).crop((*at, at[0] + 1, at[1] + 1)).tobytes()
    return red, green, blue


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiny_png(depth: int, colour: int, row: bytes, *extras: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, depth, colour, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress((b"\0" + row) * 16))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extras) + rows + chunk(b"IEND")


def png_header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def with_chunk(png: bytes, extra: bytes) -> bytes:
    """The extra chunk directly behind the header."""
    return png[:33] + extra + png[33:]


def with_segment(jpeg: bytes, kind: int, body: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body + jpeg[2:]


def rotated_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = SECRET.decode()
    return exif


def icc_number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def matrix_profile(columns: dict[bytes, tuple[float, float, float]], gamma: float) -> bytes:
    """A version 2 display profile of three primaries (XYZ, D50) and one gamma (ICC.1:2001-04)."""
    white = {b"wtpt": (0.9642, 1.0, 0.8249)}
    tags = {name: b"XYZ \0\0\0\0" + b"".join(map(icc_number, xyz)) for name, xyz in (columns | white).items()}
    curve = b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(gamma * 256))
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return icc_file(b"mntr", b"RGB ", b"XYZ ", tags)


def inverting_cmyk_profile() -> bytes:
    """A print profile of 2⁴ grid points that gives each ink mix a grey of its own, lighter with more ink."""
    line = bytes(range(256))
    grid = b"".join(bytes([17 * mix, 128, 128]) for mix in range(16))
    matrix = b"".join(icc_number(value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + line * 4 + grid + line * 3
    white = b"XYZ \0\0\0\0" + b"".join(map(icc_number, (0.9642, 1.0, 0.8249)))
    return icc_file(b"prtr", b"CMYK", b"Lab ", {b"wtpt": white, b"A2B0": table})


def icc_file(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    at = 128 + 4 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name, at + len(bodies), len(body))
        bodies += body + b"\0" * (-len(body) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(bodies), b"none", 0x02100000, device, space, connection)
    head = head.ljust(36, b"\0") + b"acsp"
    illuminant = b"".join(map(icc_number, (0.9642, 1.0, 0.8249)))
    return (head.ljust(68, b"\0") + illuminant).ljust(128, b"\0") + table + bodies


ADOBE_RGB = matrix_profile(
    {b"rXYZ": (0.60974, 0.31111, 0.01947), b"gXYZ": (0.20528, 0.62567, 0.06087), b"bXYZ": (0.14919, 0.06322, 0.74457)},
    gamma=2.2,
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class TestJpegInTheRightForm:
    def test_keeps_its_compressed_pixels(self) -> None:
        plain = saved(scene(), "JPEG", quality=80)
        assert ingest(plain).content == plain

    def test_loses_all_metadata_but_no_pixel(self) -> None:
        told = saved(scene(), "JPEG", quality=80, exif=rotated_exif(1), comment=SECRET, xmp=SECRET, dpi=(300, 300))
        kept = ingest(told)
        assert SECRET in told
        assert SECRET not in kept.content
        assert kept.content == ingest(saved(scene(), "JPEG", quality=80)).content

    def test_loses_what_stands_behind_its_end(self) -> None:
        plain = saved(scene(), "JPEG")
        assert ingest(plain + b"<script>alert(1)</script>" + plain).content == plain

    def test_keeps_its_pixels_when_its_profile_is_srgb(self) -> None:
        kept = ingest(saved(scene(), "JPEG", icc_profile=SRGB))
        assert kept.media_type == "image/jpeg"
        assert b"ICC_PROFILE" not in kept.content

    def test_that_stores_rgb_without_a_transform_keeps_its_colours(self) -> None:
        rgb = saved(scene(), "JPEG", keep_rgb=True, subsampling=0)
        assert pixels(ingest(rgb).content) == pixels(rgb)

    def test_of_a_telephone_loses_its_second_picture(self) -> None:
        many = saved(scene(), "MPO", save_all=True, append_images=[scene().rotate(180)])
        kept = ingest(many).content
        assert opened(kept).format == "JPEG"
        assert pixels(kept) == pixels(many)

    def test_loses_the_thumbnail_inside_its_jfif_header(self) -> None:
        plain = saved(scene(), "JPEG")
        jfif = b"JFIF\0\x01\x01\x01\x01\x2c\x01\x2c\x02\x01" + b"hidden"
        assert ingest(plain[:2] + with_segment(plain[:2] + plain[20:], 0xE0, jfif)[2:]).content == plain


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_turned_picture_is_put_upright(kind: str, orientation: int, undo: Image.Transpose) -> None:
    as_the_camera_saw_it = saved(scene().transpose(undo), kind, exif=rotated_exif(orientation), lossless=True)
    upright = ingest(as_the_camera_saw_it)
    assert (upright.width, upright.height) == scene().size
    assert pixels(upright.content) == scene().tobytes()


def test_a_turned_jpeg_becomes_an_upright_png_of_the_same_pixels() -> None:
    turned = saved(scene(), "JPEG", exif=rotated_exif(6))
    upright = ingest(turned)
    assert (upright.media_type, upright.width, upright.height) == ("image/png", 32, 48)
    assert pixels(upright.content) == opened(turned).transpose(Image.Transpose.ROTATE_270).tobytes()


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_broken_exif_is_dropped_and_the_picture_is_taken_as_it_lies(exif: bytes) -> None:
    plain = saved(scene(), "JPEG")
    assert ingest(with_segment(plain, 0xE1, exif)).content == plain


class TestEveryColourModeBecomesEightBitRgb:
    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
    def test_png(self, mode: str) -> None:
        picture = scene().convert(mode)
        assert pixels(ingest(saved(picture, "PNG")).content) == picture.convert("RGB").tobytes()

    def test_grey_jpeg(self) -> None:
        grey = saved(scene().convert("L"), "JPEG")
        assert opened(ingest(grey).content).mode == "RGB"
        assert pixels(ingest(grey).content) == pixels(grey)

    def test_cmyk_jpeg(self) -> None:
        ink = saved(scene().convert("CMYK"), "JPEG", quality=95)
        assert pixels(ingest(ink).content) == pixels(ink)

    def test_webp(self) -> None:
        assert pixels(ingest(saved(scene(), "WEBP", lossless=True)).content) == scene().tobytes()
        lossy = saved(scene(), "WEBP", quality=50)
        assert pixels(ingest(lossy).content) == pixels(lossy)

    @pytest.mark.parametrize("level", [0, 255, 256, 32_768, 65_535])
    def test_sixteen_bit_grey_keeps_its_upper_eight(self, level: int) -> None:
        deep = Image.frombytes("I;16", (16, 16), struct.pack("<H", level) * 256)
        assert colour_at(ingest(saved(deep, "PNG")).content) == (level >> 8,) * 3

    def test_sixteen_bit_colour_keeps_its_upper_eight(self) -> None:
        deep = tiny_png(16, 2, struct.pack(">HHH", 0x12FF, 0x8001, 0xFFFF) * 16)
        assert colour_at(ingest(deep).content) == (0x12, 0x80, 0xFF)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_transparency_is_composited_on_white(self, kind: str) -> None:
        half_black = Image.new("RGBA", (16, 16), (0, 0, 0, 128))
        kept = opened(ingest(saved(half_black, kind, lossless=True)).content)
        assert (kept.mode, kept.getpixel((0, 0))) == ("RGB", (127, 127, 127))

    @pytest.mark.parametrize("mode", ["L", "P", "RGB"])
    def test_a_transparent_colour_becomes_white(self, mode: str) -> None:
        black = Image.new(mode, (16, 16), 0)
        key: int | tuple[int, ...] = (0, 0, 0) if mode == "RGB" else 0
        assert colour_at(ingest(saved(black, "PNG", transparency=key)).content) == (255, 255, 255)

    def test_a_transparent_level_of_sixteen_bits_does_not_hit_its_neighbours(self) -> None:
        grey = tiny_png(16, 0, struct.pack(">H", 0x0102) * 16, chunk(b"tRNS", b"\x00\x01"))
        assert colour_at(ingest(grey).content) == (1, 1, 1)

    @pytest.mark.parametrize("extras", [(), (chunk(b"PLTE", b"abcdef"), chunk(b"tRNS", b"\0" * 300))])
    def test_a_palette_without_the_colours_that_are_used_is_refused(self, extras: tuple[bytes, ...]) -> None:
        with pytest.raises(PictureRefused, match="is damaged"):
            ingest(tiny_png(8, 3, b"\0\1\2\x63" * 4, *extras))


class TestColourProfiles:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_are_converted_to_srgb(self, kind: str) -> None:
        green = Image.new("RGB", (16, 16), (100, 200, 100))
        kept = ingest(saved(green, kind, icc_profile=ADOBE_RGB, quality=95, lossless=True))
        red, level, blue = colour_at(kept.content)
        assert red < 30
        assert 195 <= level <= 206
        assert 85 <= blue <= 105
        assert kept.media_type == "image/png"
        assert "icc_profile" not in opened(kept.content).info

    def test_of_rgb_on_a_grey_picture_are_applied(self) -> None:
        linear = matrix_profile(
            {b"rXYZ": (0.4361, 0.2225, 0.0139), b"gXYZ": (0.3851, 0.7169, 0.0971), b"bXYZ": (0.1431, 0.0606, 0.7141)},
            1.0,
        )
        grey = saved(Image.new("L", (16, 16), 55), "PNG", icc_profile=linear)
        assert all(abs(level - 128) <= 2 for level in colour_at(ingest(grey).content))

    def test_of_print_are_applied_to_ink(self) -> None:
        inks = Image.new("CMYK", (16, 16), (255, 255, 255, 255))
        file = saved(inks, "JPEG", quality=95, icc_profile=inverting_cmyk_profile())
        assert min(colour_at(ingest(file).content)) > 240

    @pytest.mark.parametrize("profile", [b"no profile at all", SRGB[:200], inverting_cmyk_profile()])
    def test_that_cannot_be_used_are_refused(self, profile: bytes) -> None:
        with pytest.raises(PictureRefused, match=r"picture: has a colour profile .*sRGB profile or none"):
            ingest(saved(scene(), "PNG", icc_profile=profile))

    def test_with_a_missing_piece_are_refused(self) -> None:
        with pytest.raises(PictureRefused, match="pieces of its colour profile are missing"):
            ingest(with_segment(saved(scene(), "JPEG"), 0xE2, b"ICC_PROFILE\0\x02\x02" + SRGB))

    def test_that_inflate_without_end_are_refused_before_they_do(self) -> None:
        bomb = chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"\0" * 40_000_000, 9))
        with pytest.raises(PictureRefused, match="colour profile of more than 4,000,000 bytes"):
            ingest(with_chunk(saved(scene(), "PNG"), bomb))


class TestRefusedFromTheHeader:
    @pytest.mark.parametrize(
        ("content", "name"),
        [
            (saved(scene(), "GIF"), "in GIF format"),
            (saved(scene(), "TIFF"), "in TIFF format"),
            (saved(scene(), "BMP"), "in BMP format"),
            (saved(scene(), "PDF"), "in PDF format"),
            (saved(scene(), "AVIF"), "in AVIF format"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "in HEIC format"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
            (b"<html>" + saved(scene(), "JPEG"), "not a picture"),
            (b"\x89PNG\r\n", "not a picture"),
        ],
    )
    def test_other_formats(self, content: bytes, name: str) -> None:
        with pytest.raises(PictureRefused, match=f"picture: is {name}.*send a JPEG, PNG or WebP"):
            ingest(content)

    def test_no_bytes(self) -> None:
        with pytest.raises(PictureRefused, match="picture: is empty") as refusal:
            ingest(b"")
        assert refusal.value.field == "picture"

    def test_too_many_bytes(self) -> None:
        with pytest.raises(PictureRefused, match="picture: has 1,001 bytes, at most 1,000"):
            ingest(b"\xff" * 1001, PictureLimits(max_bytes=1000))

    @pytest.mark.parametrize("size", [(15, 400), (400, 15)])
    def test_too_small_a_side(self, size: tuple[int, int]) -> None:
        with pytest.raises(PictureRefused, match="at least 16 px a side"):
            ingest(saved(Image.new("RGB", size), "PNG"))

    def test_a_png_header_that_claims_more_pixels_than_memory(self) -> None:
        huge = b"\x89PNG\r\n\x1a\n" + png_header(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", b"x") + chunk(b"IEND")
        with pytest.raises(PictureRefused, match="at most 50,000,000 pixels; scale it down"):
            ingest(huge)

    def test_a_jpeg_header_that_claims_65535_squared(self) -> None:
        plain = saved(scene(), "JPEG")
        frame = plain.index(b"\xff\xc0")
        with pytest.raises(PictureRefused, match="65535 × 65535 px, at most 50,000,000"):
            ingest(plain[: frame + 5] + b"\xff" * 4 + plain[frame + 9 :])

    @pytest.mark.parametrize("kind", [b"VP8X", b"VP8L", b"VP8 "])
    def test_a_webp_header_that_claims_16383_squared(self, kind: bytes) -> None:
        body = {
            b"VP8X": b"\0" * 4 + b"\xfe\x3f\0" * 2,
            b"VP8L": b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + b"\0" * 5,
            b"VP8 ": b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383),
        }[kind]
        parts = b"WEBP" + kind + struct.pack("<I", len(body)) + body
        with pytest.raises(PictureRefused, match="16383 × 16383 px, at most 50,000,000"):
            ingest(b"RIFF" + struct.pack("<I", len(parts)) + parts)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_animations(self, kind: str) -> None:
        frames = [scene().rotate(angle) for angle in (0, 90, 180)]
        with pytest.raises(PictureRefused, match="is animated, exactly one frame is taken"):
            ingest(saved(frames[0], kind, save_all=True, append_images=frames[1:]))

    def test_a_progressive_jpeg_of_a_thousand_scans(self) -> None:
        slow = saved(scene(), "JPEG", progressive=True)
        scan = slow.rindex(b"\xff\xda")
        with pytest.raises(PictureRefused, match="scans, at most 64"):
            ingest(slow[:scan] + slow[scan:-2] * 1000 + slow[-2:])

    @pytest.mark.parametrize("frame", [0xC3, 0xC9])
    def test_lossless_and_arithmetic_jpegs(self, frame: int) -> None:
        with pytest.raises(PictureRefused, match="lossless, hierarchical or arithmetic"):
            ingest(saved(scene(), "JPEG").replace(b"\xff\xc0", bytes([0xFF, frame])))

    def test_two_frame_headers_of_which_the_first_looks_harmless(self) -> None:
        plain = saved(scene(), "JPEG")
        frame = plain[(at := plain.index(b"\xff\xc0")) : at + 19]
        with pytest.raises(PictureRefused, match="2 frame headers"):
            ingest(plain[:at] + frame + plain[at:])

    def test_a_million_tiny_segments(self) -> None:
        plain = saved(scene(), "JPEG")
        with pytest.raises(PictureRefused, match="more than 65,536 parts"):
            ingest(plain[:2] + b"\xff\xfe\0\x02" * 100_000 + plain[2:])


class TestPng:
    @pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt"])
    def test_text_bombs_are_dropped_without_being_inflated(self, kind: bytes) -> None:
        plain = saved(scene(), "PNG")
        packed = zlib.compress(b"\0" * 30_000_000, 9)
        body = {b"zTXt": b"a\0\0" + packed, b"iTXt": b"a\0\x01\0\0\0" + packed, b"tEXt": b"a\0" + SECRET * 1000}[kind]
        assert ingest(with_chunk(plain, chunk(kind, body) * 50)).content == ingest(plain).content

    def test_what_stands_behind_the_end_is_dropped(self) -> None:
        plain = saved(scene(), "PNG")
        assert ingest(plain + b"PK\x03\x04" + SECRET).content == ingest(plain).content

    def test_a_flipped_bit_is_noticed(self) -> None:
        plain = bytearray(saved(scene(), "PNG"))
        plain[60] ^= 1
        with pytest.raises(PictureRefused, match="a PNG checksum is wrong"):
            ingest(bytes(plain))

    def test_pixels_that_inflate_beyond_the_header_do_no_harm(self) -> None:
        rows = zlib.compress(b"\0" * 200_000_000, 9)
        bomb = b"\x89PNG\r\n\x1a\n" + png_header(16, 16) + chunk(b"IDAT", rows) + chunk(b"IEND")
        assert ingest(bomb).width == 16


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_refused_wherever_it_ends(kind: str) -> None:
    whole = saved(scene(), kind)
    for end in range(1, len(whole), 7):
        with pytest.raises(PictureRefused):
            ingest(whole[:end])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_was_taken_in_once_is_taken_in_again_unchanged(kind: str) -> None:
    noise = Image.frombytes("RGB", (40, 40), random.Random(1).randbytes(4800))
    once = ingest(saved(noise, kind, exif=rotated_exif(6), icc_profile=ADOBE_RGB))
    assert ingest(once.content) == once
    assert SECRET not in once.content


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_header_can_be_read_alone(kind: str) -> None:
    header = measure(saved(scene(), kind)[:1000])
    assert (header.media_type, header.width, header.height) == (f"image/{kind.lower()}", 48, 32)


SEEDS = [
    saved(scene(), "JPEG", exif=rotated_exif(6), icc_profile=SRGB),
    saved(scene(), "JPEG", progressive=True),
    saved(scene().convert("P"), "PNG", transparency=0, exif=rotated_exif(3)),
    saved(scene(), "WEBP", exif=rotated_exif(8), icc_profile=SRGB),
    saved(scene().convert("RGBA"), "WEBP", lossless=True),
    tiny_png(16, 0, struct.pack(">H", 300) * 16, chunk(b"tRNS", b"\x01\x2c")),
    tiny_png(8, 4, b"\x40\x80" * 16),
]


def repaired(png: bytes) -> bytes:
    """The same chunks with right checksums, so that the damage reaches the decoder."""
    at, parts = 8, [png[:8]]
    while at + 12 <= len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        parts.append(chunk(png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join(parts)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6),
)
def test_damaged_bytes_are_refused_or_give_a_picture_in_the_one_form(
    seed: bytes, edits: list[tuple[int, bytes]]
) -> None:
    content = bytearray(seed)
    for at, new in edits:
        content[at % len(content) : at % len(content) + len(new)] = new
    attack = repaired(bytes(content)) if seed.startswith(b"\x89PNG") else bytes(content)
    try:
        kept = ingest(attack, SMALL_LIMITS)
    except PictureRefused:
        return
    assert opened(kept.content).mode == "RGB"
    assert opened(kept.content).size == (kept.width, kept.height)
