"""Planted: I1, I2, I3, I4, I5, I18, I22."""

from __future__ import annotations

from prolight.events import Note, Status
from prolight.schemas import State
from tests.chaos.edits import Edited, in_state, is_step, writes
from tests.chaos.planted.plant import Plants
from tests.chaos.tape import sha

PLANTED = plant = Plants()


@plant("I1", "an accepted run is gone at the end")
def _(h: Edited) -> None:
    h.ends(runs={run: end for run, end in h.end.runs.items() if run != "happy"})


@plant("I1", "an accepted run was never created")
def _(h: Edited) -> None:
    h.drop("audit", kind="create", run="taken-over")


@plant("I1", "a submit was answered a second before its run was created")
def _(h: Edited) -> None:
    (place,) = h.where("client", run="paused")
    h.change("client", place, got=h.at("client", place).got - 1)


@plant("I1", "a submit whose answer was lost made two runs")
def _(h: Edited) -> None:
    (place,) = h.where("audit", kind="create", run="answer-lost")
    h.copy("audit", place, run="answer-lost-2")


@plant("I1", "a run was created with other content than was accepted")
def _(h: Edited) -> None:
    (place,) = h.where("audit", kind="create", run="happy")
    h.change("audit", place, fingerprint=sha("something else"))


@plant("I1", "a run exists that nobody asked for")
def _(h: Edited) -> None:
    h.drop("client", run="revised")


@plant("I2", "two submits with one key are answered with two runs")
def _(h: Edited) -> None:
    h.change("client", h.where("client", run="happy")[1], run="happy-2")


@plant("I2", "one key is accepted with two contents")
def _(h: Edited) -> None:
    (place,) = h.where("client", code="idempotency_mismatch")
    h.change("client", place, answer="accepted", run="happy", code="")


@plant("I2", "one key made two runs")
def _(h: Edited) -> None:
    (place,) = h.where("audit", kind="create", run="happy")
    h.copy("audit", place, run="happy-2", fingerprint=sha("other content"))


@plant("I2", "a key is refused for the very content that it stands for")
def _(h: Edited) -> None:
    place = h.where("client", run="sent-again")[-1]
    h.change("client", place, answer="refused", run=None, code="idempotency_mismatch")


@plant("I3", "a version is skipped")
def _(h: Edited) -> None:
    place = h.where("audit", kind="commit", run="happy")[3]
    h.change("audit", place, ver=h.at("audit", place).ver + 1)


@plant("I3", "two commits made the same version")
def _(h: Edited) -> None:
    h.copy("audit", h.where("audit", kind="commit", run="approved")[2])


@plant("I3", "a run goes from EXECUTING back to PLANNING")
def _(h: Edited) -> None:
    h.document(h.where("audit", in_state(State.EXECUTING), run="happy")[1], state=State.PLANNING)


@plant("I3", "a finished run is written to again")
def _(h: Edited) -> None:
    place = h.where("audit", kind="commit", run="declined")[-1]
    record = h.at("audit", place)
    h.copy("audit", place, ver=record.ver + 1, events=())
    h.run("declined", ver=record.ver + 1)


@plant("I3", "the store ends with a document that nobody committed")
def _(h: Edited) -> None:
    h.run("happy", document=h.end.runs["happy"].document.evolve(brief="another"))


@plant("I3", "a finished run was put back into the queue")
def _(h: Edited) -> None:
    h.change("audit", h.where("audit", kind="commit", run="revised")[-1], place="queued")


@plant("I4", "a run tells twice that it ended")
def _(h: Edited) -> None:
    last = h.end.runs["happy"].seq
    h.event("happy", last + 1, Status(state=State.COMPLETED, previous=State.EXECUTING))


@plant("I4", "a note follows the last status")
def _(h: Edited) -> None:
    h.event("paused", h.end.runs["paused"].seq + 1, Note(message="by the way"))


@plant("I4", "a finished run never says so")
def _(h: Edited) -> None:
    h.drop("events", run="declined", seq=h.end.runs["declined"].seq)


@plant("I4", "a run that waits for a person says that it is REJECTED")
def _(h: Edited) -> None:
    h.event("waiting", h.end.runs["waiting"].seq, Status(state=State.REJECTED, previous=State.AWAITING_APPROVAL))


@plant("I4", "a run is COMPLETED without a result")
def _(h: Edited) -> None:
    (line,) = [line for line in h.stream("probed") if '"type":"result"' in line.event]
    h.event("probed", line.seq, Note(message="no result"))


@plant("I5", "a run still waits for a person an hour after that person's deadline")
def _(h: Edited) -> None:
    h.ends(now=h.end.now + 2 * 3_600_000)


@plant("I5", "a queued run is claimed by nobody, though all is quiet")
def _(h: Edited) -> None:
    cut = h.where("audit", kind="claim", run="happy")[-1]
    keep = h.lines["audit"][:cut]
    h.lines["audit"] = keep + [line for line in h.lines["audit"][cut:] if line.run != "happy"]
    last = [line for line in keep if line.run == "happy" and writes(line)][-1]
    h.run("happy", document=last.document, ver=last.ver)


@plant("I5", "a claim of a dead worker is found out after a minute and a half")
def _(h: Edited) -> None:
    (died,) = h.where("audit", kind="claim_ended", run="taken-over")
    for place in h.where("audit"):
        if place >= died:
            h.change("audit", place, at=h.at("audit", place).at + 90_000)
    h.ends(now=h.end.now + 90_000)


@plant("I5", "a killed worker keeps its claim until its call would have timed out")
def _(h: Edited) -> None:
    (died,) = h.where("audit", kind="claim_ended", run="taken-over")
    for later in h.where("audit", run="taken-over"):
        if later >= died:
            h.change("audit", later, at=h.at("audit", later).at + 18_000)
    h.lines["faults"].clear()
    h.ends(now=h.end.now + 18_000)


@plant("I5", "a worker's call is done, and then nothing happens while its claim is kept alive")
def _(h: Edited) -> None:
    place, _ = h.dones(is_step, run="paused")[0]
    for later in h.where("audit", run="paused"):
        if later > place:
            h.change("audit", later, at=h.at("audit", later).at + 18_000)
    h.lines["faults"].clear()
    h.ends(now=h.end.now + 18_000)


@plant("I5", "a run is still EXECUTING long after the deadline of the whole run")
def _(h: Edited) -> None:
    executing = h.where("audit", in_state(State.EXECUTING), run="happy")[-1]
    document = h.at("audit", executing).document
    h.run("happy", document=document)
    h.ends(now=round(document.works_until * 1000) + 60_000, quiet=False)


@plant("I18", "a submit that was refused at the door made a run")
def _(h: Edited) -> None:
    h.change("audit", h.where("audit", kind="create", run="revised")[0], fingerprint=sha("no picture"))


@plant("I18", "the picture of a refused submit is still there")
def _(h: Edited) -> None:
    (place,) = h.where("client", code="invalid_input")
    h.ends(artifacts=(*h.end.artifacts, h.at("client", place).picture))


@plant("I18", "a run that was refused has events")
def _(h: Edited) -> None:
    (place,) = h.where("client", code="invalid_input")
    h.change("client", place, run="no-picture")
    h.lines["events"] += [line.evolve(run="no-picture") for line in h.stream("happy")[:1]]


@plant("I18", "a key's second content was refused, and created all the same")
def _(h: Edited) -> None:
    (place,) = h.where("audit", kind="create", run="happy")
    h.copy("audit", place, run="happy-2", fingerprint=sha("other content"))


@plant("I22", "a finished run is still due")
def _(h: Edited) -> None:
    h.ends(due={**h.end.due, "run:happy": h.end.now})


@plant("I22", "a live run is due to nobody")
def _(h: Edited) -> None:
    h.ends(due={})


@plant("I22", "a process still lists a claim on a finished run")
def _(h: Edited) -> None:
    h.ends(claims={"worker-1": {"happy": "abc"}})


@plant("I22", "a killed process still holds a run")
def _(h: Edited) -> None:
    h.run("waiting", claim="abc")
    h.ends(claims={"worker-3": {"waiting": "abc"}})


@plant("I22", "a finished run still waits in line")
def _(h: Edited) -> None:
    h.ends(ready={"plan": ("happy",)})


@plant("I22", "money is reserved for a finished run")
def _(h: Edited) -> None:
    h.run("happy", document=h.end.runs["happy"].document.evolve(reserved_usd=h.end.runs["happy"].document.budget_usd))


@plant("I22", "a key belongs to a run that does not exist")
def _(h: Edited) -> None:
    h.ends(keys=(*h.end.keys, "prolight:journal:nobody"))


@plant("I22", "a call of a finished run is open for ever")
def _(h: Edited) -> None:
    end = h.end.runs["overdue"]
    h.run("overdue", journal={key: entry.evolve(status="started") for key, entry in end.journal.items()})
