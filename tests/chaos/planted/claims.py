"""Planted: I10, I11, I15, I16, I17."""

from __future__ import annotations

from prolight.schemas import State
from tests.chaos.edits import Edited, in_state, is_step, is_tool
from tests.chaos.histories import Fault, TakenBack
from tests.chaos.planted.calls import key_of
from tests.chaos.planted.plant import Plants

PLANTED = plant = Plants()


@plant("I10", "a worker that was given up for dead writes, and is heard")
def _(h: Edited) -> None:
    old, new = h.where("audit", kind="claim", run="taken-over")[-2:]
    place = h.where("audit", lambda line: line.lsn > h.at("audit", new).lsn, kind="commit", run="taken-over")[0]
    h.change("audit", place, under=h.at("audit", old).claim)


@plant("I10", "a holder's write is accepted after its lease was taken away")
def _(h: Edited) -> None:
    place = h.where("audit", kind="commit", run="sent-again", place="held")[-1]
    h.end_claim(h.at("audit", h.claim_of(place)), place)


@plant("I10", "an epoch is given out twice")
def _(h: Edited) -> None:
    place = h.where("audit", kind="claim", run="happy")[-1]
    h.change("audit", place, epoch=h.at("audit", place).epoch - 1)


@plant("I10", "a run is claimed by two workers at once")
def _(h: Edited) -> None:
    h.drop("audit", kind="claim_ended", run="sent-again")


@plant("I10", "a worker writes that never claimed the run")
def _(h: Edited) -> None:
    h.drop("audit", kind="claim", run="declined", stage="plan")


@plant("I11", "a call starts under a claim that has ended")
def _(h: Edited) -> None:
    place, _ = h.starts(is_step, run="happy")[0]
    h.end_claim(h.at("audit", h.claim_of(place)), place, why="death")


@plant("I11", "a call starts under the claim before the last one")
def _(h: Edited) -> None:
    place, _ = h.starts(is_step, run="taken-over")[-1]
    before = h.where("audit", kind="claim", run="taken-over")[-2]
    h.change("audit", place, under=h.at("audit", before).claim)


@plant("I11", "a client starts a call, who holds nothing")
def _(h: Edited) -> None:
    place, _ = h.starts(is_step, run="paused")[0]
    h.change("audit", place, by="client", under="")


@plant("I11", "a call starts though nobody ever claimed the run")
def _(h: Edited) -> None:
    place, _ = h.starts(is_tool, run="declined")[0]
    h.drop("audit", kind="claim", run="declined", claim=h.at("audit", place).claim)


@plant("I15", "a step starts while the run is being cancelled")
def _(h: Edited) -> None:
    start, _ = h.starts(is_step, run="cancelled-at-work")[0]
    cancel = h.where("audit", in_state(State.CANCELLING), run="cancelled-at-work")[0]
    h.move("audit", start, cancel)


@plant("I15", "a step starts after the deadline of its run")
def _(h: Edited) -> None:
    place, _ = h.starts(is_step, run="happy")[0]
    h.document(place, works_until=h.at("audit", place).at / 1000 - 1)


@plant("I15", "a step starts after the hard stop of its claim")
def _(h: Edited) -> None:
    place, _ = h.starts(is_step, run="happy")[0]
    h.change("audit", h.claim_of(place), hard_stop=h.at("audit", place).at - 5)


@plant("I15", "an approval counts that came after its deadline")
def _(h: Edited) -> None:
    place = h.where("audit", in_state(State.EXECUTING), run="approved", by="client")[0]
    before = h.where("audit", in_state(State.AWAITING_APPROVAL), run="approved")[-1]
    asked = h.at("audit", before).document.approval
    h.document(before, approval=asked.evolve(until=h.at("audit", place).at / 1000 - 1))


@plant("I15", "a call starts in the commit that ends the run")
def _(h: Edited) -> None:
    place, key = h.starts(run="overdue")[-1]
    entry = h.at("audit", place).journal[key]
    last = h.where("audit", kind="commit", run="overdue")[-1]
    h.change("audit", last, journal={"f" * 40: entry})


@plant("I16", "a poisonous run is claimed a fourth time")
def _(h: Edited) -> None:
    last = h.where("audit", lambda line: getattr(line, "crashed", False), run="poisonous")[-1]
    claim = h.at("audit", h.where("audit", kind="claim", run="poisonous")[-1])
    h.put("audit", last + 1, claim.evolve(claim="again", epoch=claim.epoch + 1))


@plant("I16", "a crash in a process of its own does not count, and the run is called poison")
def _(h: Edited) -> None:
    h.change_all("audit", lambda line: line.run == "poisonous" and getattr(line, "crashed", False), crashed=False)


@plant("I16", "a run whose workers froze three times, and took back nothing, is claimed again")
def _(h: Edited) -> None:
    h.drop("audit", kind="taken_back", run="frozen")


@plant("I16", "a crash is taken back twice")
def _(h: Edited) -> None:
    place = h.where("audit", kind="taken_back", run="frozen")[0]
    h.copy("audit", place)


@plant("I16", "a dead worker takes its crash back, and the run is called poison after two")
def _(h: Edited) -> None:
    dead = h.at("audit", h.where("audit", kind="claim_ended", run="poisonous")[0])
    back = TakenBack(lsn=dead.lsn, at=dead.at, run=dead.run, claim=dead.claim)
    h.put("audit", h.where("audit", kind="commit", run="poisonous")[-1], back)


@plant("I16", "a run is called poison after two crashes of three")
def _(h: Edited) -> None:
    h.drop("audit", lambda line: line.epoch == 2, kind="claim_ended", run="poisonous")


@plant("I16", "a neighbour of poison, whose worker died once, is called poison as well")
def _(h: Edited) -> None:
    place = h.where("audit", kind="commit", run="taken-over")[-1]
    error = h.end.runs["poisonous"].document.error
    h.document(place, error=error)


@plant("I16", "a run that was made deadly is cancelled, not convicted")
def _(h: Edited) -> None:
    h.put("faults", 0, Fault(name="deadly", planned={"deadly": "frozen"}, landed=True))


@plant("I16", "beside a deadly run another one fails")
def _(h: Edited) -> None:
    h.put("faults", 0, Fault(name="deadly", planned={"deadly": "poisonous"}, landed=True))


@plant("I16", "a process that retired counts as a crash")
def _(h: Edited) -> None:
    for place in h.where("audit", kind="claim_ended", run="poisonous"):
        h.change("audit", place, why="retire")


@plant("I17", "a call is tried a fifth time of four")
def _(h: Edited) -> None:
    place, key = h.starts(is_step, run="paused")[-1]
    h.entry(place, key, tries=5)


@plant("I17", "a second try is not counted")
def _(h: Edited) -> None:
    place, key = h.starts(is_step, run="taken-over")[-1]
    h.entry(place, key, tries=1)


@plant("I17", "the tool server was asked five times")
def _(h: Edited) -> None:
    (place,) = h.where("world", key=key_of(h, "happy"), what="received")
    for call in range(4):
        h.copy("world", place, call=1000 + call)
