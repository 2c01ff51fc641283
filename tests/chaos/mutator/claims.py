"""Mutations against I10, I11, I15, I16 and I17."""

from __future__ import annotations

from prolight.schemas import RunError, State
from tests.chaos.edits import Edited
from tests.chaos.histories import Claim, ClaimEnded
from tests.chaos.mutator.runs import a_run, some_hash

# I10


def _held_commit(h: Edited) -> int:
    """A commit under a claim that a commit before this one was written under as well."""
    return h.some("audit", by="holder", kind="commit")


def write_under_another_claim(h: Edited) -> None:
    place = _held_commit(h)
    record = h.at("audit", place)
    others = [line.claim for line in h.lines["audit"] if isinstance(line, Claim) and line.claim != record.claim]
    h.change("audit", place, under=h.random.choice(others))


def write_under_no_claim(h: Edited) -> None:
    h.change("audit", _held_commit(h), under="")


def take_the_claim_before_a_write(h: Edited) -> None:
    place = _held_commit(h)
    why = h.random.choice(["death", "lease", "retire"])
    h.end_claim(h.at("audit", h.claim_of(place)), place, why)


def repeat_an_epoch(h: Edited) -> None:
    place = h.some("audit", kind="claim")
    h.change("audit", place, epoch=h.at("audit", place).epoch - h.random.randint(1, 3))


def claim_what_is_held(h: Edited) -> None:
    place = h.some("audit", kind="claim")
    claim = h.at("audit", place)
    h.copy("audit", place, claim=some_hash(h)[:32], epoch=claim.epoch + 1)


def lose_a_claim(h: Edited) -> None:
    place = h.some("audit", kind="claim")
    h.lines["audit"].pop(place)


def lose_the_end_of_a_claim(h: Edited) -> None:
    h.lines["audit"].pop(h.some("audit", kind="claim_ended"))


def write_with_another_epoch(h: Edited) -> None:
    place = _held_commit(h)
    h.change("audit", place, epoch=h.at("audit", place).epoch + h.random.choice([-1, 1, 2]))


# I11


def _start(h: Edited) -> int:
    return h.random.choice(h.starts())[0]


def start_under_an_ended_claim(h: Edited) -> None:
    place = _start(h)
    h.end_claim(h.at("audit", h.claim_of(place)), place, h.random.choice(["death", "lease", "retire"]))


def start_under_another_claim(h: Edited) -> None:
    place = _start(h)
    claims = {line.claim for line in h.lines["audit"] if isinstance(line, Claim)} - {h.at("audit", place).claim}
    h.change("audit", place, under=h.random.choice(sorted(claims)))


def start_as_a_client(h: Edited) -> None:
    h.change("audit", _start(h), by="client")


def start_unclaimed(h: Edited) -> None:
    place = _start(h)
    h.lines["audit"].pop(h.claim_of(place))


# I15


def start_in_another_state(h: Edited) -> None:
    late = [State.CANCELLING, State.NEEDS_REVIEW, State.AWAITING_APPROVAL, State.FAILED, State.CANCELLED]
    h.document(_start(h), state=h.random.choice(late))


def start_after_the_deadline(h: Edited) -> None:
    place = _start(h)
    h.document(place, works_until=h.at("audit", place).at / 1000 - h.random.uniform(0, 5))


def start_after_the_hard_stop(h: Edited) -> None:
    place = _start(h)
    h.change("audit", h.claim_of(place), hard_stop=h.at("audit", place).at - h.random.randint(0, 500))


def start_once_cancelled(h: Edited) -> None:
    """A person's cancel came first, and the call started all the same."""
    place = _start(h)
    record = h.at("audit", place)
    before = [other for other in h.where("audit", kind="commit", run=record.run) if other < place]
    before = before or h.where("audit", kind="create", run=record.run)
    h.document(before[-1], state=State.CANCELLING)


def approve_too_late(h: Edited) -> None:
    places = h.where("audit", lambda line: line.document.state is State.AWAITING_APPROVAL, kind="commit")
    place = h.random.choice([place for place in places if h.at("audit", place).run == "approved"])
    asked = h.at("audit", place).document.approval
    h.document(place, approval=asked.evolve(until=asked.asked_at - h.random.uniform(0, 5)))


# I16


def claim_poison_again(h: Edited) -> None:
    """Somewhere a run is claimed right after its third crash in a row."""
    place = h.some("audit", kind="claim")
    claim: Claim = h.at("audit", place)
    crash = ClaimEnded(
        lsn=claim.lsn, at=claim.at, run=claim.run, epoch=claim.epoch, claim=some_hash(h)[:32], why="death"
    )
    for _ in range(h.random.randint(3, 5)):
        h.put("audit", place, crash.evolve(why=h.random.choice(["death", "lease"])))


def call_a_neighbour_poison(h: Edited) -> None:
    run = a_run(h, lambda run: run != "poisonous")
    place = h.where("audit", kind="commit", run=run)[-1]
    h.document(place, error=RunError(code="poison", message=f"{h.random.random()}"))


def lose_a_crash(h: Edited) -> None:
    h.lines["audit"].pop(h.some("audit", kind="claim_ended", run="poisonous"))


def count_what_is_no_crash(h: Edited) -> None:
    h.change("audit", h.some("audit", kind="claim_ended", run="poisonous"), why="retire")


def lose_what_is_taken_back(h: Edited) -> None:
    """The first three of four, or all: the last claim comes after three crashes."""
    for place in reversed(h.where("audit", kind="taken_back", run="frozen")[: h.random.randint(3, 4)]):
        h.lines["audit"].pop(place)


def take_back_what_was_none(h: Edited) -> None:
    h.copy("audit", h.some("audit", kind="taken_back"), claim=some_hash(h)[:32])


# I17


def try_too_often(h: Edited) -> None:
    place, key = h.random.choice(h.starts())
    h.entry(place, key, tries=h.random.randint(6, 20))


def count_no_try(h: Edited) -> None:
    place, key = h.random.choice(h.starts())
    h.entry(place, key, tries=h.at("audit", place).journal[key].tries - h.random.randint(1, 2))


def ask_too_often(h: Edited) -> None:
    place = h.some("world", what="received")
    for number in range(h.random.randint(5, 9)):
        h.copy("world", place, call=2000 + number)


def skip_a_try(h: Edited) -> None:
    place, key = h.random.choice(h.starts(lambda entry: entry.tries == 1))
    h.entry(place, key, tries=h.random.randint(2, 4))


MUTATIONS = {
    "I10": (
        write_under_another_claim, write_under_no_claim, take_the_claim_before_a_write, repeat_an_epoch,
        claim_what_is_held, lose_a_claim, lose_the_end_of_a_claim, write_with_another_epoch,
    ),
    "I11": (start_under_an_ended_claim, start_under_another_claim, start_as_a_client, start_unclaimed),
    "I15": (
        start_in_another_state, start_after_the_deadline, start_after_the_hard_stop, start_once_cancelled,
        approve_too_late,
    ),
    "I16": (
        claim_poison_again, call_a_neighbour_poison, lose_a_crash, count_what_is_no_crash, lose_what_is_taken_back,
        take_back_what_was_none,
    ),
    "I17": (try_too_often, count_no_try, ask_too_often, skip_a_try),
}  # fmt: skip
