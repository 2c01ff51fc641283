"""Mutations against I7, I8, I9 and I12."""

from __future__ import annotations

from decimal import Decimal

from prolight.events import Note
from tests.chaos.edits import Edited, is_step
from tests.chaos.histories import Receipt
from tests.chaos.mutator.runs import a_run, some_hash

# I7


def _effective(receipt: Receipt) -> bool:
    return receipt.effect != "pure"


def apply_it_again(h: Edited) -> None:
    """Under the same request: more often than any warning or person allowed."""
    place = h.some("world", _effective, what="applied")
    for _ in range(h.random.randint(1, 3)):
        h.copy("world", place)


def send_it_again(h: Edited) -> None:
    """A further request that arrives and is applied, once more than was surfaced."""
    place = h.some("world", _effective, what="applied")
    call = 1000 + h.random.randrange(1000)
    later = h.at("world", place).at + 0.001
    h.lines["world"] += [
        h.at("world", place).evolve(call=call, what=what, at=later) for what in ("received", "applied")
    ]


def hide_the_warning(h: Edited) -> None:
    run = h.random.choice(["taken-over", "asked-again"])
    for line in h.stream(run):
        if "possibly_billed_twice" in line.event:
            h.event(run, line.seq, Note(message=f"{h.random.random()}"))


def hide_the_person(h: Edited) -> None:
    h.change_all("audit", lambda line: line.run == "reviewed" and line.kind == "commit", by="holder")


def hide_the_probe(h: Edited) -> None:
    place = h.where("world", what="probed", result=None)[0]
    if h.random.random() < 0.5:
        h.change("world", place, result=some_hash(h))
    else:
        h.lines["world"].pop(place)


def make_it_blind(h: Edited) -> None:
    """Our registry knows the tool as one that is never sent again by itself."""
    name = h.random.choice(["world.relight", "world.mask"])
    tools = {**h.end.settings.tools, name: h.end.settings.tools[name].evolve(effect="blind")}
    h.ends(settings=h.end.settings.evolve(tools=tools))


# I8


def send_too_early(h: Edited) -> None:
    place = h.some("world", what="received")
    h.change("world", place, at=h.at("world", place).at - h.random.uniform(60, 600))


def send_another_key(h: Edited) -> None:
    place = h.some("world", what="received")
    h.change("world", place, key=some_hash(h)[:40])


def send_other_arguments(h: Edited) -> None:
    h.change("world", h.some("world", what="received"), arguments=some_hash(h))


def send_twice(h: Edited) -> None:
    h.copy("world", h.some("world", what="received"), call=1000 + h.random.randrange(1000))


def start_nothing(h: Edited) -> None:
    """A `started` was never written, though the request arrived."""
    keys = {line.key for line in h.lines["world"]}
    starts = [(place, key) for place, key in h.starts(is_step) if key in keys and h.at("audit", place).run != "paused"]
    place, key = h.random.choice(starts)
    h.entry(place, key, status="refused")


def ask_too_early(h: Edited) -> None:
    place = h.some("llm", what="received")
    h.change("llm", place, at=h.at("llm", place).at - h.random.uniform(60, 600))


def ask_twice(h: Edited) -> None:
    h.copy("llm", h.some("llm", what="received"))


# I9


def invent_a_result(h: Edited) -> None:
    place, key = h.random.choice(h.dones(is_step))
    result = h.at("audit", place).journal[key].result
    h.entry(place, key, result={**result, "output": {"delta": h.random.random()}})


def invent_an_answer(h: Edited) -> None:
    place, key = h.random.choice(h.dones(lambda entry: entry.name == "stub-1"))
    h.entry(place, key, result={"text": some_hash(h), "model": "stub-1"})


def answer_nothing(h: Edited) -> None:
    file = h.random.choice(["world", "llm"])
    place = h.some(file, lambda line: line.result is not None)
    h.change(file, place, result=None)


def answer_too_late(h: Edited) -> None:
    file = h.random.choice(["world", "llm"])
    place = h.some(file, lambda line: line.result is not None)
    h.change(file, place, at=h.at(file, place).at + h.random.uniform(60, 600))


def forget_a_result(h: Edited) -> None:
    applied = h.at("world", h.some("world", _effective, what="applied"))
    for run, end in h.end.runs.items():
        if applied.key in end.journal:
            h.run(run, journal={key: entry for key, entry in end.journal.items() if key != applied.key})


def deny_a_result(h: Edited) -> None:
    applied = h.at("world", h.some("world", _effective, what="applied"))
    for run, end in h.end.runs.items():
        if applied.key in end.journal:
            status = h.random.choice(["refused", "started"])
            h.run(run, journal={**end.journal, applied.key: end.journal[applied.key].evolve(status=status)})


# I12


def _cents(h: Edited) -> Decimal:
    return Decimal(h.random.randint(1, 30)) / 100


def reserve_otherwise(h: Edited) -> None:
    place = h.some("audit", kind="commit")
    h.document(place, reserved_usd=h.at("audit", place).document.reserved_usd + _cents(h))


def spend_otherwise(h: Edited) -> None:
    place = h.some("audit", kind="commit")
    h.document(place, spent_usd=h.at("audit", place).document.spent_usd + _cents(h))


def reserve_nothing(h: Edited) -> None:
    place, _ = h.random.choice(h.starts(is_step, place="held"))
    document = h.at("audit", place).document
    quoted = sum((entry.quote_usd for entry in h.at("audit", place).journal.values()), Decimal(0)) or _cents(h)
    h.document(place, reserved_usd=document.reserved_usd - quoted)


def shrink_the_budget(h: Edited) -> None:
    run = a_run(h, lambda run: h.end.runs[run].document.spent_usd > 0)
    spent = h.end.runs[run].document.spent_usd
    h.documents(run, lambda document: document.evolve(budget_usd=spent / 2))


def change_the_budget(h: Edited) -> None:
    place = h.some("audit", kind="commit")
    h.document(place, budget_usd=h.at("audit", place).document.budget_usd + _cents(h))


def charge_more(h: Edited) -> None:
    warned = {line.run for line in h.lines["events"] if "possibly_billed_twice" in line.event}
    run = a_run(h, lambda run: run not in warned and bool(h.where("llm", run=run)))
    h.change("llm", h.some("llm", run=run), charged_usd=_cents(h) + 1)


def keep_a_reservation(h: Edited) -> None:
    run = a_run(h, lambda run: h.end.runs[run].document.finished_at is not None)
    h.run(run, document=h.end.runs[run].document.evolve(reserved_usd=_cents(h)))


MUTATIONS = {
    "I7": (apply_it_again, send_it_again, hide_the_warning, hide_the_person, hide_the_probe, make_it_blind),
    "I8": (
        send_too_early, send_another_key, send_other_arguments, send_twice, start_nothing, ask_too_early, ask_twice,
    ),
    "I9": (invent_a_result, invent_an_answer, answer_nothing, answer_too_late, forget_a_result, deny_a_result),
    "I12": (
        reserve_otherwise, spend_otherwise, reserve_nothing, shrink_the_budget, change_the_budget, charge_more,
        keep_a_reservation,
    ),
}  # fmt: skip
