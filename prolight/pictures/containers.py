"""What a picture file is made of, read without decoding a pixel or inflating a text.

A file is a list of parts (JPEG segments, PNG chunks, WebP chunks). The few parts that pixels need are
copied, all others are dropped: comments, EXIF, XMP, thumbnails, further pictures, whatever stands
behind the end. So neither a bomb in a text chunk nor a second file hidden in the first reaches a decoder.

Formats: ITU-T T.81 (JPEG), W3C PNG third edition, RFC 9649 (WebP).
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from prolight.errors import PictureRefused
from prolight.pictures.orientation import UPRIGHT, exif_orientation

Buffer = bytes | mmap.mmap
Part = tuple[bytes, bytes]
"""The kind of a part, and all its bytes."""

MAX_PARTS = 65_536
"""Per file; an honest one has some thousands at most."""

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_OTHER_FORMATS = (
    (0, b"GIF8", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"BM", "BMP"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
)


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What is taken at the door. The pixel limit must stay below Pillow's own (89 million)."""

    max_bytes: int = 25_000_000
    max_pixels: int = 50_000_000
    min_side_px: int = 16
    max_profile_bytes: int = 4_000_000
    max_jpeg_scans: int = 64
    """A progressive file of a few kilobytes can ask for thousands of passes over all pixels."""


@dataclass(frozen=True, slots=True)
class Header:
    """Type and size in pixels, as the file stores them (before its orientation is applied)."""

    media_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Container:
    """A picture file, taken apart. `bare` is the same compressed pixels with nothing beside them."""

    header: Header
    bare: bytes
    profile: bytes = b""
    """The ICC profile, as stored."""
    orientation: int = UPRIGHT
    """EXIF 1..8."""


def refused(message: str) -> PictureRefused:
    return PictureRefused(message, field="picture")


def damaged(what: str) -> PictureRefused:
    return refused(f"is damaged ({what}); export it again")


def measure(content: Buffer) -> Header:
    """Type and size from the first bytes. Raises `PictureRefused` when it is no JPEG, PNG or WebP."""
    head = content[:16]
    try:
        if head.startswith(b"\xff\xd8\xff"):
            return _jpeg_header(content)
        if head.startswith(_PNG_MAGIC):
            return _png_header(content)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp_header(content)
    except struct.error:
        raise damaged("it ends inside its header") from None
    raise refused(f"is {_name_of(head)}; send a JPEG, PNG or WebP")


def read_container(content: bytes, limits: PictureLimits) -> Container:
    """Take a file apart, with every limit checked before anything is decoded. Raises `PictureRefused`."""
    if not content:
        raise refused("is empty; send the bytes of a JPEG, PNG or WebP")
    if len(content) > limits.max_bytes:
        raise refused(f"has {len(content):,} bytes, at most {limits.max_bytes:,}; export it smaller")
    header = measure(content)
    _check_size(header, limits)
    read = {JPEG: _read_jpeg, PNG: _read_png, WEBP: _read_webp}[header.media_type]
    try:
        return read(content, header, limits)
    except struct.error:
        raise damaged("it ends too early") from None


def _name_of(head: bytes) -> str:
    for offset, magic, name in _OTHER_FORMATS:
        if head[offset:].startswith(magic):
            return f"in {name} format"
    return "not a picture that ProLight knows"


def _check_size(header: Header, limits: PictureLimits) -> None:
    width, height = header.width, header.height
    if min(width, height) < limits.min_side_px:
        raise refused(f"is {width} × {height} px, at least {limits.min_side_px} px a side; send a larger one")
    if width * height > limits.max_pixels:
        raise refused(f"is {width} × {height} px, at most {limits.max_pixels:,} pixels; scale it down")


def _limited(parts: Iterator[Part]) -> Iterator[Part]:
    yield from islice(parts, MAX_PARTS)
    if next(parts, None) is not None:
        raise refused(f"is cut into more than {MAX_PARTS:,} parts; export it again")


def _checked_profile(profile: bytes, limits: PictureLimits) -> bytes:
    if len(profile) > limits.max_profile_bytes:
        limit = f"{limits.max_profile_bytes:,}"
        raise refused(f"has a colour profile of more than {limit} bytes; export it with an sRGB profile")
    return profile


# JPEG: every segment starts with FF and its kind; compressed pixels follow the kind DA.

_SOI, _EOI = b"\xff\xd8", b"\xd9"
_BASELINE, _EXTENDED, _PROGRESSIVE = b"\xc0", b"\xc1", b"\xc2"
_FRAMES = {_BASELINE, _EXTENDED, _PROGRESSIVE}
_OTHER_FRAMES = {bytes([kind]) for kind in range(0xC3, 0xD0)} - {b"\xc4", b"\xc8", b"\xcc"}
_SCAN, _APP0, _APP1, _APP2, _ADOBE = b"\xda", b"\xe0", b"\xe1", b"\xe2", b"\xee"
_TABLES = {b"\xc4", b"\xdb", b"\xdd"}
_ICC_TAG = b"ICC_PROFILE\0"
_JFIF = b"\xff\xe0\x00\x10JFIF\0\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_ADOBE_BYTES = 12

_SEGMENT = re.compile(rb"\xff++([^\x00\xff])")
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _jpeg_segments(content: Buffer) -> Iterator[Part]:
    at = len(_SOI)
    while True:
        found = _SEGMENT.match(content, at)
        if not found:
            raise damaged("a JPEG segment is missing")
        kind, start = found[1], found.end()
        if kind == _EOI:
            yield kind, b"\xff" + kind
            return
        (length,) = struct.unpack(">H", content[start : start + 2])
        at = start + length
        if length < 2 or at > len(content):
            raise damaged("a JPEG segment has a wrong length")
        if kind == _SCAN:
            at = _end_of_scan(content, at)
        yield kind, b"\xff" + kind + content[start:at]


def _end_of_scan(content: Buffer, at: int) -> int:
    found = _SCAN_END.search(content, at)
    if not found:
        raise damaged("it ends too early")
    return found.start()


def _jpeg_header(content: Buffer) -> Header:
    for kind, segment in _limited(_jpeg_segments(content)):
        if kind in _OTHER_FRAMES:
            raise refused("is a lossless, hierarchical or arithmetic-coded JPEG; export it as a common JPEG or PNG")
        if kind in _FRAMES:
            bits, height, width = struct.unpack(">BHH", segment[4:9])
            if bits != 8:
                raise refused(f"is a JPEG of {bits} bits a channel, exactly 8 are taken; export it as PNG")
            return Header(JPEG, width, height)
        if kind == _SCAN:
            break
    raise damaged("the JPEG has no frame header")


def _read_jpeg(content: bytes, header: Header, limits: PictureLimits) -> Container:
    kept, profiles, exif, frames, scans = [_SOI], [], b"", 0, 0
    for kind, segment in _limited(_jpeg_segments(content)):
        body = segment[4:]
        if kind == _APP1 and body.startswith(b"Exif\0"):
            exif = exif or body[6:]
        elif kind == _APP2 and body.startswith(_ICC_TAG):
            profiles.append(body[len(_ICC_TAG) :])
        frames += kind in _FRAMES | _OTHER_FRAMES
        scans += kind == _SCAN
        kept.append(_bare_segment(kind, segment))
    if frames != 1:
        raise damaged(f"the JPEG has {frames} frame headers, one is right")
    if scans > limits.max_jpeg_scans:
        raise refused(f"is a JPEG of {scans} scans, at most {limits.max_jpeg_scans}; export it as a baseline JPEG")
    profile = _checked_profile(_joined_profile(profiles), limits)
    return Container(header, b"".join(kept), profile, exif_orientation(exif))


def _bare_segment(kind: bytes, segment: bytes) -> bytes:
    """JFIF and Adobe say how the colours are stored, so their heads stay; thumbnail and density go."""
    if kind == _APP0 and segment[4:9] == b"JFIF\0":
        return _JFIF
    if kind == _ADOBE and segment[4:9] == b"Adobe" and len(segment) >= 4 + _ADOBE_BYTES:
        return b"\xff\xee" + struct.pack(">H", 2 + _ADOBE_BYTES) + segment[4 : 4 + _ADOBE_BYTES]
    return segment if kind in _TABLES | _FRAMES | {_SCAN, _EOI} else b""


def _joined_profile(pieces: list[bytes]) -> bytes:
    """Annex B.4 of ICC.1:2010: each piece starts with its number, from 1, and their count."""
    pieces = sorted(pieces, key=lambda piece: piece[:1])
    numbers = [tuple(piece[:2]) for piece in pieces]
    if numbers != [(number, len(pieces)) for number in range(1, len(pieces) + 1)]:
        raise damaged("pieces of its colour profile are missing")
    return b"".join(piece[2:] for piece in pieces)


# PNG: length, kind, body, CRC.

_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PNG_FRAMES = {b"acTL", b"fcTL", b"fdAT"}


def _png_header(content: Buffer) -> Header:
    length, kind, width, height = struct.unpack(">I4sII", content[8:24])
    if (length, kind) != (13, b"IHDR"):
        raise damaged("the PNG does not start with its header")
    return Header(PNG, width, height)


def _png_chunks(content: bytes) -> Iterator[Part]:
    at, kind = len(_PNG_MAGIC), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        chunk = content[at : at + length + 12]
        if len(chunk) < length + 12:
            raise damaged("it ends too early")
        if zlib.crc32(chunk[4:-4]).to_bytes(4) != chunk[-4:]:
            raise damaged("a PNG checksum is wrong")
        yield kind, chunk
        at += len(chunk)


def _read_png(content: bytes, header: Header, limits: PictureLimits) -> Container:
    kept, profile, exif = [_PNG_MAGIC], b"", b""
    for kind, chunk in _limited(_png_chunks(content)):
        if kind in _PNG_FRAMES:
            raise refused("is animated, exactly one frame is taken; export one frame")
        if kind in _PNG_KEPT:
            kept.append(chunk)
        elif kind == b"iCCP":
            profile = _inflated_profile(chunk[8:-4], limits)
        elif kind == b"eXIf":
            exif = chunk[8:-4]
    return Container(header, b"".join(kept), profile, exif_orientation(exif))


def _inflated_profile(body: bytes, limits: PictureLimits) -> bytes:
    _, _, packed = body.partition(b"\0")
    try:
        profile = zlib.decompressobj().decompress(packed[1:], limits.max_profile_bytes + 1)
    except zlib.error:
        raise damaged("its colour profile cannot be unpacked") from None
    return _checked_profile(profile, limits)


# WebP: a RIFF list of kind, length, body, padded to even.

_WEBP_KEPT = {b"VP8X", b"ALPH", b"VP8 ", b"VP8L"}
_WEBP_ALPHA, _WEBP_ANIMATED = 0x10, 0x02


def _webp_header(content: Buffer) -> Header:
    kind, body = content[12:16], content[20:30]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
    elif kind == b"VP8L":
        (bits,) = struct.unpack("<I", body[1:5])
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", body[6:10]))
    else:
        raise damaged("the WebP does not start with its header")
    return Header(WEBP, width, height)


def _webp_chunks(content: bytes) -> Iterator[Part]:
    end = 8 + struct.unpack("<I", content[4:8])[0]
    if end > len(content):
        raise damaged("it ends too early")
    at = 12
    while at < end:
        kind, length = struct.unpack("<4sI", content[at : at + 8])
        chunk = content[at : at + 8 + length]
        if at + 8 + length > end:
            raise damaged("a WebP chunk has a wrong length")
        yield kind, chunk + b"\0" * (length % 2)
        at += 8 + length + length % 2


def _read_webp(content: bytes, header: Header, limits: PictureLimits) -> Container:
    kept, profile, exif = [], b"", b""
    for kind, chunk in _limited(_webp_chunks(content)):
        if kind in {b"ANIM", b"ANMF"} or (kind == b"VP8X" and chunk[8] & _WEBP_ANIMATED):
            raise refused("is animated, exactly one frame is taken; export one frame")
        if kind in _WEBP_KEPT:
            kept.append(_bare_chunk(kind, chunk))
        elif kind == b"ICCP":
            profile = _checked_profile(chunk[8:], limits)
        elif kind == b"EXIF":
            exif = chunk[8:]
    body = b"WEBP" + b"".join(kept)
    bare = b"RIFF" + struct.pack("<I", len(body)) + body
    return Container(header, bare, profile, exif_orientation(exif.removeprefix(b"Exif\0\0")))


def _bare_chunk(kind: bytes, chunk: bytes) -> bytes:
    if kind != b"VP8X":
        return chunk
    return chunk[:8] + bytes([chunk[8] & _WEBP_ALPHA]) + chunk[9:]
