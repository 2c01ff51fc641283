"""Mutations against I1, I2, I3, I4, I5, I18 and I22."""

from __future__ import annotations

from collections.abc import Callable

from prolight.events import Note, Status
from prolight.lifecycle import STAGES, TERMINAL, TRANSITIONS
from prolight.schemas import State
from tests.chaos.edits import Edited
from tests.chaos.histories import ClaimEnded, Commit, Create
from tests.chaos.tape import sha


def a_run(h: Edited, test: Callable[[str], bool] = bool) -> str:
    return h.random.choice([run for run in sorted(h.end.runs) if test(run)])


def a_finished_run(h: Edited) -> str:
    return a_run(h, lambda run: h.end.runs[run].document.state in TERMINAL)


def a_new_run(h: Edited) -> str:
    return f"run-{h.random.randrange(10**6)}"


def some_hash(h: Edited) -> str:
    return sha(str(h.random.random()))


# I1


def lose_a_run(h: Edited) -> None:
    run = a_run(h)
    h.ends(runs={other: end for other, end in h.end.runs.items() if other != run})


def lose_a_create(h: Edited) -> None:
    accepted = h.some("client", answer="accepted")
    h.drop("audit", kind="create", run=h.at("client", accepted).run)


def answer_too_early(h: Edited) -> None:
    place = h.some("client", answer="accepted")
    (create,) = h.where("audit", kind="create", run=h.at("client", place).run)
    h.change("client", place, got=h.at("audit", create).at / 1000 - h.random.uniform(0.01, 5))


def answer_with_another_run(h: Edited) -> None:
    h.change("client", h.some("client", answer="accepted"), run=a_new_run(h))


def create_twice(h: Edited) -> None:
    run = a_new_run(h)
    place = h.some("audit", kind="create")
    h.copy("audit", place, run=run)
    h.ends(runs={**h.end.runs, run: h.end.runs[h.at("audit", place).run]})


def create_other_content(h: Edited) -> None:
    accepted = {line.run for line in h.lines["client"]} - {None}
    h.change("audit", h.some("audit", lambda line: line.run in accepted, kind="create"), fingerprint=some_hash(h))


# I2


def a_repeated_key(h: Edited) -> list[int]:
    """The submits of a key that was used twice for one content."""
    key = h.random.choice(["order-1", "order-2"])
    return h.where("client", lambda line: line.key == key and line.code == "")


def split_a_key(h: Edited) -> None:
    first, second = a_repeated_key(h)
    run = h.at("client", first).run or h.at("client", second).run
    h.change("client", first, answer="accepted", run=run)
    h.change("client", second, answer="accepted", run=a_new_run(h))


def accept_other_content(h: Edited) -> None:
    place = a_repeated_key(h)[-1]
    h.copy("client", place, body=some_hash(h))


def create_a_key_twice(h: Edited) -> None:
    place = h.some("audit", lambda line: bool(line.idem), kind="create")
    h.copy("audit", place, run=a_new_run(h), fingerprint=some_hash(h))


def refuse_its_own_content(h: Edited) -> None:
    place = h.where("client", key="order-2")[h.random.randrange(2)]
    h.change("client", place, answer="refused", run=None, code="idempotency_mismatch", got=h.random.uniform(1, 2))


# I3


def a_commit(h: Edited, test: Callable[[Commit], bool] = bool) -> int:
    return h.some("audit", test, kind="commit")


def lose_a_commit(h: Edited) -> None:
    place = a_commit(h)
    h.drop("audit", lsn=h.at("audit", place).lsn)


def repeat_a_commit(h: Edited) -> None:
    h.copy("audit", a_commit(h))


def skip_versions(h: Edited) -> None:
    place = a_commit(h)
    h.change("audit", place, ver=h.at("audit", place).ver + h.random.choice([-1, 1, 2, 10]))


def swap_two_commits(h: Edited) -> None:
    run = a_run(h, lambda run: len(h.where("audit", kind="commit", run=run)) > 1)
    places = h.where("audit", kind="commit", run=run)
    number = h.random.randrange(len(places) - 1)
    h.move("audit", places[number + 1], places[number])


def jump_to_a_state(h: Edited) -> None:
    place = a_commit(h)
    state = h.at("audit", place).document.state
    h.document(place, state=h.random.choice([other for other in State if other is not state]))


def tell_of_an_illegal_move(h: Edited) -> None:
    place = a_commit(h, lambda commit: bool(commit.events))
    record = h.at("audit", place)
    seq = h.random.choice(record.events)
    state = h.random.choice(list(State))
    illegal = [to for to in State if to not in TRANSITIONS[state].values()]
    h.event(record.run, seq, Status(state=h.random.choice(illegal), previous=state))


def end_with_another_version(h: Edited) -> None:
    run = a_run(h)
    h.run(run, ver=h.end.runs[run].ver + h.random.choice([-1, 1]))


def place_wrongly(h: Edited) -> None:
    place = a_commit(h, lambda commit: commit.place != "held")
    others = {"queued": "ended", "parked": "queued", "ended": h.random.choice(["parked", "held", "queued"])}
    h.change("audit", place, place=others[h.at("audit", place).place])


# I4


def end_twice(h: Edited) -> None:
    run = a_finished_run(h)
    end = h.end.runs[run]
    h.event(run, end.seq + 1, Status(state=h.random.choice(sorted(TERMINAL)), previous=end.document.state))


def say_something_after_the_end(h: Edited) -> None:
    run = a_finished_run(h)
    h.event(run, h.end.runs[run].seq + 1, Note(message=f"late {h.random.random()}"))


def end_without_a_word(h: Edited) -> None:
    run = a_finished_run(h)
    h.drop("events", run=run, seq=h.end.runs[run].seq)


def say_another_end(h: Edited) -> None:
    run = a_finished_run(h)
    state = h.end.runs[run].document.state
    h.event(run, h.end.runs[run].seq, Status(state=h.random.choice([s for s in State if s is not state])))


def end_too_soon(h: Edited) -> None:
    run = a_run(h)
    seq = h.random.randrange(1, h.end.runs[run].seq)
    h.event(run, seq, Status(state=h.random.choice(sorted(TERMINAL))))


def end_without_a_reason(h: Edited) -> None:
    run = a_run(h, lambda run: h.end.runs[run].document.state in (State.COMPLETED, State.FAILED))
    for line in h.stream(run):
        if '"type":"result"' in line.event or '"type":"error"' in line.event:
            h.event(run, line.seq, Note(message=f"{h.random.random()}"))


# I5


def _moves(line: object) -> bool:
    """After this the run is live, and no person is awaited."""
    return isinstance(line, Create | Commit) and line.document.state in {*STAGES, State.CANCELLING}


def stand_still(h: Edited) -> None:
    """From some moment on the run's records come minutes later."""
    place = h.some("audit", _moves)
    run, wait = h.at("audit", place).run, h.random.randint(120_000, 500_000)
    for later in h.where("audit", run=run):
        if later > place:
            h.change("audit", later, at=h.at("audit", later).at + wait)
    h.ends(now=h.end.now + wait)


def never_move_again(h: Edited) -> None:
    place = h.some("audit", _moves)
    record = h.at("audit", place)
    kept = h.lines["audit"][: place + 1]
    h.lines["audit"] = kept + [line for line in h.lines["audit"][place + 1 :] if line.run != record.run]
    h.run(record.run, document=record.document, ver=record.ver)
    h.ends(quiet=h.random.random() < 0.5, now=h.end.now + h.random.randint(700_000, 900_000))


def forget_who_waits(h: Edited) -> None:
    h.ends(now=h.end.now + h.random.randint(3_700_000, 9_000_000))


def find_a_death_late(h: Edited) -> None:
    place = h.some("audit", kind="claim_ended")
    ended: ClaimEnded = h.at("audit", place)
    wait = h.random.randint(60_000, 90_000)
    for later in h.where("audit", run=ended.run):
        if later >= place:
            h.change("audit", later, at=h.at("audit", later).at + wait)
    h.ends(now=h.end.now + wait)


# I18


def a_refused_submit(h: Edited) -> int:
    return h.some("client", answer="refused")


def create_what_was_refused(h: Edited) -> None:
    submit = h.at("client", a_refused_submit(h))
    idem = sha(submit.key) if submit.key else ""
    h.copy("audit", h.some("audit", kind="create"), run=a_new_run(h), fingerprint=submit.body, idem=idem)


def keep_its_picture(h: Edited) -> None:
    picture = h.at("client", a_refused_submit(h)).picture
    others = tuple(one for one in h.end.artifacts if h.random.random() < 0.8)
    h.ends(artifacts=(*others, picture))


def keep_its_run(h: Edited) -> None:
    run = a_new_run(h)
    h.change("client", a_refused_submit(h), run=run)
    if h.random.random() < 0.5:
        h.ends(runs={**h.end.runs, run: h.end.runs[a_run(h)]})
    else:
        h.lines["events"].append(h.at("events", h.some("events")).evolve(run=run))


# I22


def keep_it_due(h: Edited) -> None:
    h.ends(due={**h.end.due, f"run:{a_finished_run(h)}": h.end.now + h.random.randrange(10_000)})


def lose_a_due_time(h: Edited) -> None:
    h.ends(due={f"run:{a_new_run(h)}": h.end.now})


def keep_a_claim(h: Edited) -> None:
    run, claim = a_finished_run(h), some_hash(h)[:32]
    if h.random.random() < 0.5:
        h.run(run, claim=claim)
    else:
        h.ends(claims={f"worker-{h.random.randint(1, 9)}": {run: claim}})


def keep_a_turn(h: Edited) -> None:
    stage = h.random.choice(sorted(h.end.ready))
    h.ends(ready={**h.end.ready, stage: (a_run(h, lambda run: h.end.runs[run].document.state not in STAGES),)})


def keep_money(h: Edited) -> None:
    run = a_finished_run(h)
    document = h.end.runs[run].document
    h.run(run, document=document.evolve(reserved_usd=document.budget_usd * h.random.randint(1, 9)))


def keep_a_key(h: Edited) -> None:
    kind = h.random.choice(["run", "journal", "events", "idem", "slot", "lock"])
    h.ends(keys=(*h.end.keys, f"prolight:{kind}:{a_new_run(h)}"))


def keep_a_call_open(h: Edited) -> None:
    run = a_run(h, lambda run: bool(h.end.runs[run].journal) and h.end.runs[run].document.state in TERMINAL)
    journal = dict(h.end.runs[run].journal)
    key = h.random.choice(sorted(journal))
    h.run(run, journal={**journal, key: journal[key].evolve(status="started")})


MUTATIONS = {
    "I1": (lose_a_run, lose_a_create, answer_too_early, answer_with_another_run, create_twice, create_other_content),
    "I2": (split_a_key, accept_other_content, create_a_key_twice, refuse_its_own_content),
    "I3": (
        lose_a_commit, repeat_a_commit, skip_versions, swap_two_commits, jump_to_a_state, tell_of_an_illegal_move,
        end_with_another_version, place_wrongly,
    ),
    "I4": (
        end_twice, say_something_after_the_end, end_without_a_word, say_another_end, end_too_soon, end_without_a_reason,
    ),
    "I5": (stand_still, never_move_again, forget_who_waits, find_a_death_late),
    "I18": (create_what_was_refused, keep_its_picture, keep_its_run),
    "I22": (keep_it_due, lose_a_due_time, keep_a_claim, keep_a_turn, keep_money, keep_a_key, keep_a_call_open),
}  # fmt: skip
