"""Planted: I6, I20, I21."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from prolight.events import Note
from prolight.schemas import State
from tests.chaos.edits import Edited
from tests.chaos.histories import Sink
from tests.chaos.planted.plant import Plants
from tests.chaos.tape import CANARIES, sha

PLANTED = plant = Plants()


@plant("I6", "the stream of a run has a gap")
def _(h: Edited) -> None:
    h.drop("events", run="happy", seq=4)


@plant("I6", "two events of a run have changed places")
def _(h: Edited) -> None:
    first, second, *_ = h.where("events", run="happy")
    h.move("events", second, first)


@plant("I6", "an event stands in the stream that no record tells of")
def _(h: Edited) -> None:
    h.event("waiting", h.end.runs["waiting"].seq + 1, Note(message="out of nothing"))


@plant("I6", "an event carries another epoch than the write that told it")
def _(h: Edited) -> None:
    place = h.where("events", run="paused", seq=1)[0]
    text = h.at("events", place).event.replace('"epoch":0', '"epoch":7')
    h.change("events", place, event=text, sha256=sha(text))


@plant("I6", "one reader got other bytes than all others")
def _(h: Edited) -> None:
    h.change("readers", h.where("readers", reader="channel", run="happy")[2], sha256=sha("other bytes"))


@plant("I6", "a follower was never given an event")
def _(h: Edited) -> None:
    h.drop("readers", reader="follower of happy", seq=3)


@plant("I6", "a follower that came back got an event twice")
def _(h: Edited) -> None:
    place = h.where("readers", lambda line: line.after > 0 and line.seq, reader="follower of happy")[0]
    h.copy("readers", place)


@plant("I6", "a stream was closed before its end")
def _(h: Edited) -> None:
    end = h.where("readers", reader="follower of happy", seq=None)[0]
    h.put("readers", end - 1, h.lines["readers"].pop(end))


@plant("I20", "a key stands in a worker's log")
def _(h: Edited) -> None:
    h.ends(sinks=(*h.end.sinks, Sink(name="worker-2.log", text=f"calling with {CANARIES[0]}")))


@plant("I20", "a key stands in a core dump, in hex")
def _(h: Edited) -> None:
    h.ends(sinks=(Sink(name="core", text=f"00ff{CANARIES[0].encode().hex()}00"),))


@plant("I20", "a key stands in a message's body, in base64 and in the middle of it")
def _(h: Edited) -> None:
    body = base64.b64encode(f'[["{CANARIES[0]}"], {{}}]'.encode()).decode()
    h.ends(sinks=(Sink(name="broker", text=f'{{"body":"{body}"}}'),))


@plant("I20", "a password stands in a page's address, url-encoded")
def _(h: Edited) -> None:
    h.ends(sinks=(Sink(name="flower", text=f"<a href='/broker?url={quote(CANARIES[1], safe='')}'>"),))


@plant("I20", "a password stands in a record, escaped as JSON does")
def _(h: Edited) -> None:
    h.ends(sinks=(Sink(name="dump", text=json.dumps({"error": f"cannot reach {CANARIES[1]}"})),))


@plant("I20", "an event gives a key away")
def _(h: Edited) -> None:
    h.event("waiting", h.end.runs["waiting"].seq + 1, Note(message=f"used {CANARIES[0]}"))


@plant("I21", "a client saw an older version after a newer one")
def _(h: Edited) -> None:
    place = h.where("reads")[-1]
    read = h.at("reads", place)
    h.put("reads", place, read.evolve(ver=read.ver + 1))


@plant("I21", "a client saw a state that this version never had")
def _(h: Edited) -> None:
    h.change("reads", h.where("reads", lambda read: read.state is not State.CANCELLING)[0], state=State.CANCELLING)


@plant("I21", "a client saw a version that nobody committed")
def _(h: Edited) -> None:
    h.copy("reads", h.where("reads")[-1], ver=99)


@plant("I21", "a client saw a version a second before it was committed")
def _(h: Edited) -> None:
    place = h.where("reads")[0]
    h.change("reads", place, at=h.at("reads", place).at - 1)
