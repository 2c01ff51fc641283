"""Mutations against I6, I20 and I21."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from prolight.events import Note
from prolight.schemas import State
from tests.chaos.edits import Edited
from tests.chaos.histories import Sink
from tests.chaos.mutator.runs import a_run, some_hash

# I6


def lose_an_event(h: Edited) -> None:
    place = h.some("events")
    h.lines["events"].pop(place)


def repeat_an_event(h: Edited) -> None:
    h.copy("events", h.some("events"))


def swap_two_events(h: Edited) -> None:
    places = h.where("events", run=a_run(h))
    number = h.random.randrange(len(places) - 1)
    h.move("events", places[number + 1], places[number])


def add_an_event(h: Edited) -> None:
    run = a_run(h)
    h.event(run, h.end.runs[run].seq + 1, Note(message=f"{h.random.random()}"))


def change_an_event(h: Edited) -> None:
    place = h.some("events")
    text = h.at("events", place).event
    h.change("events", place, event=text.replace('"at":1', f'"at":{h.random.randint(2, 9)}'))


def lose_a_received_event(h: Edited) -> None:
    """Not the last one of a channel, which nobody can know to have been sent."""
    place = h.some("readers", lambda line: line.seq is not None and line.reader != "channel")
    line = h.at("readers", place)
    later = h.where("readers", lambda other: other.seq is None or other.seq > line.seq, reader=line.reader)
    if later:
        h.lines["readers"].pop(place)
    else:
        h.copy("readers", place)


def receive_twice(h: Edited) -> None:
    h.copy("readers", h.some("readers", lambda line: line.seq is not None))


def receive_other_bytes(h: Edited) -> None:
    h.change("readers", h.some("readers", lambda line: line.seq is not None), sha256=some_hash(h))


def resume_elsewhere(h: Edited) -> None:
    place = h.some("readers", lambda line: line.seq is not None and line.seq == line.after + 1 and line.after > 0)
    h.change("readers", place, after=h.at("readers", place).after + h.random.choice([-1, 1]))


# I20


def _leak(h: Edited, text: str) -> None:
    name = h.random.choice(["worker.log", "flower", "broker", "artifact", "core"])
    noise = "".join(h.random.choices("abcdef ", k=h.random.randint(0, 40)))
    h.ends(sinks=(*h.end.sinks, Sink(name=name, text=f"{noise}{text}{noise}")))


def _secret(h: Edited) -> str:
    return h.random.choice(h.end.canaries)


def leak_it_plainly(h: Edited) -> None:
    _leak(h, _secret(h))


def leak_it_in_hex(h: Edited) -> None:
    text = _secret(h).encode().hex()
    _leak(h, h.random.choice([text, text.upper()]))


def leak_it_in_base64(h: Edited) -> None:
    around = "x" * h.random.randint(0, 5), "y" * h.random.randint(0, 5)
    encode = h.random.choice([base64.b64encode, base64.urlsafe_b64encode])
    _leak(h, encode(f"{around[0]}{_secret(h)}{around[1]}".encode()).decode())


def leak_it_in_an_address(h: Edited) -> None:
    _leak(h, f"https://host/?q={quote(_secret(h), safe='')}")


def leak_it_in_json(h: Edited) -> None:
    _leak(h, json.dumps([_secret(h)]))


def leak_it_in_an_event(h: Edited) -> None:
    run = a_run(h)
    h.event(run, h.random.randint(1, h.end.runs[run].seq), Note(message=f"with {_secret(h)}"))


# I21


def see_an_older_version(h: Edited) -> None:
    place = h.some("reads", lambda read: read.ver > 1)
    read = h.at("reads", place)
    h.put("reads", place + 1, read.evolve(ver=h.random.randrange(1, read.ver)))


def see_another_state(h: Edited) -> None:
    place = h.some("reads")
    state = h.at("reads", place).state
    h.change("reads", place, state=h.random.choice([other for other in State if other is not state]))


def see_the_future(h: Edited) -> None:
    h.change("reads", h.some("reads"), ver=h.random.randint(30, 99))


def see_it_too_early(h: Edited) -> None:
    place = h.some("reads")
    h.change("reads", place, at=h.at("reads", place).at - h.random.uniform(0.1, 9))


MUTATIONS = {
    "I6": (
        lose_an_event, repeat_an_event, swap_two_events, add_an_event, change_an_event, lose_a_received_event,
        receive_twice, receive_other_bytes, resume_elsewhere,
    ),
    "I20": (
        leak_it_plainly, leak_it_in_hex, leak_it_in_base64, leak_it_in_an_address, leak_it_in_json, leak_it_in_an_event,
    ),
    "I21": (see_an_older_version, see_another_state, see_the_future, see_it_too_early),
}  # fmt: skip
