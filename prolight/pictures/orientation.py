"""Which way up a photograph is, from its EXIF."""

from __future__ import annotations

import struct

UPRIGHT = 1
_TAG, _SHORT = 0x0112, 3
_ENTRY_BYTES = 12


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1..8 (Exif 2.32, tag 0x0112 of the first directory).

    Upright when it is absent or unreadable: many good photographs carry EXIF that some editor broke.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + count * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if (tag, kind) == (_TAG, _SHORT):
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT
