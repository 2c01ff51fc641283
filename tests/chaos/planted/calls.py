"""Planted: I7, I8, I9, I12."""

from __future__ import annotations

from decimal import Decimal

from prolight.events import Note
from tests.chaos.edits import Edited, is_step, is_tool
from tests.chaos.planted.plant import Plants
from tests.chaos.tape import sha

PLANTED = plant = Plants()


def key_of(h: Edited, run: str) -> str:
    """The first step's call."""
    return next(key for place, key in h.starts(is_step, run=run))


def unwarned(h: Edited, run: str) -> None:
    for line in h.stream(run):
        if "possibly_billed_twice" in line.event:
            h.event(run, line.seq, Note(message="nothing to see here"))


@plant("I7", "a billed call was applied twice, and nobody was warned")
def _(h: Edited) -> None:
    unwarned(h, "taken-over")


@plant("I7", "a billed call was applied a third time")
def _(h: Edited) -> None:
    h.copy("world", h.where("world", key=key_of(h, "taken-over"), what="applied")[-1])


@plant("I7", "the warning came only after the second call had been sent")
def _(h: Edited) -> None:
    first, second = h.where("world", key=key_of(h, "taken-over"), what="received")
    h.change("world", second, at=h.at("world", first).at + 0.1)


@plant("I7", "a keyed call was applied twice")
def _(h: Edited) -> None:
    h.copy("world", h.where("world", key=key_of(h, "sent-again"), what="applied")[0])


@plant("I7", "a blind call was sent again without anybody's word")
def _(h: Edited) -> None:
    h.drop("audit", lambda line: line.kind == "commit" and line.by == "client", run="reviewed")


@plant("I7", "a probeable call was sent again without a probe")
def _(h: Edited) -> None:
    h.drop("world", what="probed", key=key_of(h, "probed"), result=None)


@plant("I7", "a question to the model was asked again without a warning")
def _(h: Edited) -> None:
    unwarned(h, "asked-again")


@plant("I8", "a call was sent a second before it was on record")
def _(h: Edited) -> None:
    (place,) = h.where("world", key=key_of(h, "happy"), what="received")
    h.change("world", place, at=h.at("world", place).at - 1)


@plant("I8", "the tool server was asked under a key that nobody started")
def _(h: Edited) -> None:
    h.copy("world", h.where("world", what="received")[0], call=999, key="0" * 40)


@plant("I8", "the arguments that were sent are not those on record")
def _(h: Edited) -> None:
    (place,) = h.where("world", key=key_of(h, "happy"), what="received")
    h.change("world", place, arguments=sha("other arguments"))


@plant("I8", "one `started` served two requests")
def _(h: Edited) -> None:
    (place,) = h.where("world", key=key_of(h, "happy"), what="received")
    h.copy("world", place, call=999)


@plant("I8", "the model was asked before that was on record")
def _(h: Edited) -> None:
    place = h.where("llm", run="happy", what="received")[0]
    h.change("llm", place, at=h.at("llm", place).at - 60)


@plant("I8", "the server applied what had never been started, and wrote no receipt of a request")
def _(h: Edited) -> None:
    place, _key = h.starts(is_step, run="happy")[0]
    h.change("audit", place, journal={})


@plant("I9", "a step is done with a result that the server never gave")
def _(h: Edited) -> None:
    place, key = h.dones(is_step, run="happy")[0]
    result = h.at("audit", place).journal[key].result
    h.entry(place, key, result={**result, "output": {"delta": 0.9}})


@plant("I9", "a step is done that was never answered")
def _(h: Edited) -> None:
    h.drop("world", key=key_of(h, "happy"), what="answered")


@plant("I9", "a step was done before it was answered")
def _(h: Edited) -> None:
    (place,) = h.where("world", key=key_of(h, "happy"), what="answered")
    h.change("world", place, at=h.at("world", place).at + 1)


@plant("I9", "a plan was made of an answer that the model never gave")
def _(h: Edited) -> None:
    h.change("llm", h.where("llm", run="happy", what="answered")[0], result=sha("something else"))


@plant("I9", "what was applied is refused in the journal")
def _(h: Edited) -> None:
    end, key = h.end.runs["cancelled-at-work"], key_of(h, "cancelled-at-work")
    entry = end.journal[key].evolve(status="refused")
    h.run("cancelled-at-work", journal={**end.journal, key: entry})


@plant("I9", "the journal has lost a call that was applied")
def _(h: Edited) -> None:
    h.run("happy", journal={})


@plant("I12", "a run has spent more than its budget")
def _(h: Edited) -> None:
    h.documents("taken-over", lambda run: run.evolve(budget_usd=Decimal("0.06")))


@plant("I12", "a call starts with nothing reserved for it")
def _(h: Edited) -> None:
    place, _ = h.starts(is_step, run="happy")[0]
    h.document(place, reserved_usd=Decimal(0))


@plant("I12", "a finished run keeps a reservation")
def _(h: Edited) -> None:
    document = h.end.runs["happy"].document
    h.run("happy", document=document.evolve(reserved_usd=Decimal("0.04")))


@plant("I12", "a call that is done was not paid for")
def _(h: Edited) -> None:
    place, _key = h.dones(is_step, run="happy")[0]
    document = h.at("audit", place).document
    h.document(place, spent_usd=document.spent_usd - Decimal("0.04"))


@plant("I12", "a run was charged more than it knows, and tells nobody")
def _(h: Edited) -> None:
    h.change("world", h.where("world", key=key_of(h, "happy"), what="applied")[0], charged_usd=Decimal("0.2"))


@plant("I12", "the budget was raised on the way")
def _(h: Edited) -> None:
    h.document(h.where("audit", kind="commit", run="happy")[4], budget_usd=Decimal(5))


@plant("I12", "a try that a successor gave up for lost was not counted as spent")
def _(h: Edited) -> None:
    place, _ = h.starts(is_tool, run="taken-over")[-1]
    document = h.at("audit", place).document
    h.document(place, spent_usd=document.spent_usd - Decimal("0.04"))
