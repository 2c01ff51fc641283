"""What is a bell, and what is set aside before kombu's consumer sees it."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport.virtual.base import Base64, Channel, Message

from tests.unit.bells import ODD, bell
from workers.messages import MAX_BYTES, Reason, beginning, read

QUEUE = "prolight.plan"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_the_bell_that_the_scripts_ring_is_one() -> None:
    message = read(bell(QUEUE), QUEUE)
    assert isinstance(message, dict)
    assert message["headers"]["task"] == QUEUE


@pytest.mark.parametrize(("name", "raw", "reason"), [(name, *odd) for name, odd in ODD.items()], ids=list(ODD))
def test_what_is_no_bell_has_a_reason(name: str, raw: bytes, reason: Reason) -> None:
    assert read(raw, QUEUE) is reason


def test_a_bell_of_another_stage_is_foreign_in_this_queue() -> None:
    assert read(bell("prolight.execute"), QUEUE) is Reason.FOREIGN_TASK


def test_replies_to_remote_control_need_no_task_and_may_be_large() -> None:
    reply = json.loads(bell(QUEUE)) | {"headers": {"ticket": "t"}, "body": "a" * MAX_BYTES}
    assert read(json.dumps(reply).encode(), "x.reply.celery.pidbox") == reply
    assert read(b"{", "x.reply.celery.pidbox") is Reason.NOT_JSON


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), JSON))
def test_nothing_that_lies_in_a_queue_raises(raw: bytes) -> None:
    assert isinstance(read(raw, QUEUE), Reason)


class Codec:
    """What kombu's `Message` asks of a channel."""

    codecs: ClassVar[dict[str, Base64]] = {"base64": Base64()}
    decode_body = Channel.decode_body


PLACES = [(), ("body",), ("content-type",), ("headers",), ("headers", "task"), ("headers", "id"),
          ("headers", "compression"), ("properties",), ("properties", "delivery_tag"), ("properties", "delivery_info"),
          ("properties", "delivery_info", "exchange"), ("properties", "body_encoding")]  # fmt: skip


@given(st.sampled_from(PLACES), JSON | st.sampled_from(["base64", "zlib", "application/json"]))
def test_a_bell_with_any_part_replaced_is_set_aside_or_kombu_can_read_it(place: tuple[str, ...], value: Any) -> None:
    message: Any = {"": json.loads(bell(QUEUE))}
    inside = message
    for name in ("", *place)[:-1]:
        inside = inside[name]
    inside[("", *place)[-1]] = value
    found = read(json.dumps(message[""]).encode(), QUEUE)
    if not isinstance(found, Reason):
        read_by_kombu = Message(found, channel=Codec())
        assert not read_by_kombu.errors
        assert read_by_kombu.headers["task"] == QUEUE
        assert {"exchange", "routing_key"} <= read_by_kombu.delivery_info.keys()


@given(st.binary())
def test_the_beginning_that_is_kept_is_short_and_can_be_printed(raw: bytes) -> None:
    kept = beginning(raw)
    assert len(kept) <= 200
    assert kept.isascii() and (kept.isprintable() or not kept)


def test_a_pickle_is_never_opened() -> None:
    opened: list[str] = []

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return opened.append, ("opened",)

    body = base64.b64encode(pickle.dumps(Trap())).decode()
    pickled = json.loads(bell(QUEUE)) | {"body": body, "content-type": "application/x-python-serialize"}
    assert read(json.dumps(pickled).encode(), QUEUE) is Reason.FOREIGN_CONTENT
    assert not opened
