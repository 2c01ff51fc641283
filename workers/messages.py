"""Is it a bell? Decided before kombu's consumer sees it, which would reconnect or end over what it cannot read."""

from __future__ import annotations

import base64
import json
from enum import StrEnum
from typing import Any

from prolight.schemas import Stage

MAX_BYTES = 64 * 1024
"""A bell has less than one thousandth of it."""
CHARACTERS_KEPT = 200
STAGE_QUEUES = frozenset(stage.queue for stage in Stage)

Message = dict[str, Any]


class Reason(StrEnum):
    """Why it is no bell."""

    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    NO_ENVELOPE = "no_envelope"
    """JSON, but not the headers, properties and delivery info that kombu reads."""
    FOREIGN_CONTENT = "foreign_content"
    """Pickle, a compressed body, and the like."""
    BAD_BODY = "bad_body"
    NO_ID = "no_id"
    FOREIGN_TASK = "foreign_task"


def read(raw: bytes, queue: str) -> Message | Reason:
    """The message that kombu may deliver, or why it may not. Never raises.

    Queues that are no stage's hold the replies to `celery inspect`, and those need an envelope only.
    """
    if queue not in STAGE_QUEUES:
        return _unpacked(raw)
    if len(raw) > MAX_BYTES:
        return Reason.TOO_LARGE
    message = _unpacked(raw)
    if isinstance(message, Reason):
        return message
    headers = message["headers"]
    if message.get("content-type") != "application/json" or message.get("content-encoding") != "utf-8":
        return Reason.FOREIGN_CONTENT
    if not (headers.get("id") and isinstance(headers["id"], str)):
        return Reason.NO_ID
    return message if headers.get("task") == queue else Reason.FOREIGN_TASK


def _unpacked(raw: bytes) -> Message | Reason:
    try:
        message = json.loads(raw.decode())
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    except ValueError:
        return Reason.NOT_JSON
    except RecursionError:
        return Reason.TOO_DEEP
    return fault(message) or message


def fault(message: Any) -> Reason | None:
    """Why kombu could not make a message of this, or None."""
    if not _has_envelope(message):
        return Reason.NO_ENVELOPE
    if message["headers"].get("compression"):
        return Reason.FOREIGN_CONTENT
    return None if _body_is_readable(message) else Reason.BAD_BODY


def _has_envelope(message: Any) -> bool:
    match message:
        case {"headers": dict(), "properties": {"delivery_tag": str(), "delivery_info": dict(where)}}:
            return isinstance(where.get("exchange"), str) and isinstance(where.get("routing_key"), str)
    return False


def _body_is_readable(message: Message) -> bool:
    """kombu knows no other encoding of a body than base64 and none."""
    body, encoding = message.get("body"), message["properties"].get("body_encoding")
    if not isinstance(body, str) or encoding not in (None, "", "base64"):
        return False
    try:
        body.encode()
        if encoding:
            base64.b64decode(body)
    except ValueError:  # a lone surrogate, a wrong length
        return False
    return True


def beginning(raw: bytes) -> str:
    """Its first characters, fit to be printed anywhere."""
    text = raw[: 4 * CHARACTERS_KEPT].decode(errors="backslashreplace")[:CHARACTERS_KEPT]
    return text.encode("unicode_escape").decode()[:CHARACTERS_KEPT]
