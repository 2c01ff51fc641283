"""Where one message of the Redis protocol (RESP 2 and 3) ends, and what it asks for."""

from __future__ import annotations

PAIRED = b"%|"
SEVERAL = b"*~>%|"
LONG = b"$=!"


def end_of(data: bytes | bytearray, start: int = 0) -> int | None:
    """The index behind the message that begins at `start`; None while it is not whole."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind, at = data[start : start + 1], line + 2
    if kind in LONG:
        length = int(data[start + 1 : line])
        at += length + 2 if length >= 0 else 0
        return at if at <= len(data) else None
    if kind not in SEVERAL:
        return at
    count = int(data[start + 1 : line]) * (2 if kind in PAIRED else 1) + (kind == b"|")
    for _ in range(count):
        following = end_of(data, at)
        if following is None:
            return None
        at = following
    return at


def take(data: bytearray) -> bytes | None:
    """Take the first whole message off `data`."""
    end = end_of(data)
    if end is None:
        return None
    message = bytes(data[:end])
    del data[:end]
    return message


def command_of(message: bytes) -> bytes:
    """The name of the command that a client's message asks for, in capitals."""
    parts = message.split(b"\r\n")
    words = parts[2:3] if message[:1] == b"*" else parts[0].split()[:1]
    return b"".join(words).upper()
