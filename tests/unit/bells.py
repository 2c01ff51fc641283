"""A bell as the scripts ring it, and what else may lie in a queue."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

from workers.messages import MAX_BYTES, Reason


def bell(queue: str) -> bytes:
    """Read from the script, so that this is the real one."""
    lua = (files("prolight.adapters") / "lua" / "prelude.lua").read_text()
    written = lua[lua.index("local BELL =") : lua.index("local function ring")]
    text = "".join(re.findall(r"'([^']*)'", written))
    return text.replace("prolight.STAGE", queue).encode()


def changed(*path: str, to: Any = None) -> bytes:
    """A bell for `prolight.plan` with the part at `path` replaced; left out without `to`."""
    message = json.loads(bell("prolight.plan"))
    inside = message
    for name in path[:-1]:
        inside = inside[name]
    inside.pop(path[-1], None)
    if to is not None:
        inside[path[-1]] = to
    return json.dumps(message).encode()


ODD: dict[str, tuple[bytes, Reason]] = {
    "empty": (b"", Reason.NOT_JSON),
    "no JSON": (b"hello", Reason.NOT_JSON),
    "truncated": (bell("prolight.plan")[:-20], Reason.NOT_JSON),
    "a huge number": (b"9" * 10_000, Reason.NOT_JSON),
    "no UTF-8": (b"\xff\xfe{}", Reason.NOT_UTF8),
    "too large": (b"x" * (MAX_BYTES + 1), Reason.TOO_LARGE),
    "huge headers": (changed("headers", "origin", to="x" * MAX_BYTES), Reason.TOO_LARGE),
    "nested too deep": (b"[" * 50_000, Reason.TOO_DEEP),
    "null": (b"null", Reason.NO_ENVELOPE),
    "a list": (b"[1, 2]", Reason.NO_ENVELOPE),
    "no headers": (changed("headers"), Reason.NO_ENVELOPE),
    "headers that are a list": (changed("headers", to=["id", "task"]), Reason.NO_ENVELOPE),
    "no properties": (changed("properties"), Reason.NO_ENVELOPE),
    "no delivery tag": (changed("properties", "delivery_tag"), Reason.NO_ENVELOPE),
    "a delivery tag that is a list": (changed("properties", "delivery_tag", to=[1]), Reason.NO_ENVELOPE),
    "no delivery info": (changed("properties", "delivery_info"), Reason.NO_ENVELOPE),
    "delivery info without exchange": (changed("properties", "delivery_info", to={}), Reason.NO_ENVELOPE),
    "no body": (changed("body"), Reason.BAD_BODY),
    "a body that is no base64": (changed("body", to="abc"), Reason.BAD_BODY),
    "an unknown body encoding": (changed("properties", "body_encoding", to="rot13"), Reason.BAD_BODY),
    "a body encoding that is a list": (changed("properties", "body_encoding", to=[1]), Reason.BAD_BODY),
    "half a character in the body": (
        bell("prolight.plan").replace(b'"body":"', b'"body":"\\ud800').replace(b'"base64"', b"null"),
        Reason.BAD_BODY,
    ),
    "a pickle": (changed("content-type", to="application/x-python-serialize"), Reason.FOREIGN_CONTENT),
    "no content type": (changed("content-type"), Reason.FOREIGN_CONTENT),
    "bytes for content": (changed("content-encoding", to="binary"), Reason.FOREIGN_CONTENT),
    "a compressed body": (changed("headers", "compression", to="application/x-gzip"), Reason.FOREIGN_CONTENT),
    "no id": (changed("headers", "id"), Reason.NO_ID),
    "an id that is a number": (changed("headers", "id", to=7), Reason.NO_ID),
    "no task": (changed("headers", "task"), Reason.FOREIGN_TASK),
    "somebody else's task": (changed("headers", "task", to="shop.tasks.pay"), Reason.FOREIGN_TASK),
    "another stage's task": (changed("headers", "task", to="prolight.execute"), Reason.FOREIGN_TASK),
    "a task that is a list": (changed("headers", "task", to=["prolight.plan"]), Reason.FOREIGN_TASK),
}
"""By name: what lies in the queue of `prolight.plan`, and why it is no bell."""
