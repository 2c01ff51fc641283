"""I1 accepted is never lost, I2 one key one run, I18 refused leaves no trace."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.chaos.checker.facts import Facts, Violation, look
from tests.chaos.histories import Create, Submit


def accepted_is_never_lost(facts: Facts) -> Iterator[Violation | None]:
    """I1: what was accepted was created before the answer, as it was asked for, and is there at the end."""
    for submit in facts.history.client:
        if submit.answer == "accepted":
            yield from _is_kept(facts, submit)
    for run, create in facts.creates.items():
        yield look(run in facts.end.runs, run, "was created, and is gone at the end", create, "end.json")
    yield from _each_run_is_owed_to_a_submit(facts)


def _is_kept(facts: Facts, submit: Submit) -> Iterator[Violation | None]:
    run, line = submit.run or "", f"client n={submit.n}"
    create = facts.creates.get(run)
    yield look(run in facts.end.runs, run, "was accepted, and is gone at the end", line, "end.json")
    if create is None:
        yield look(False, run, "was accepted, but the store never created it", line)
        return
    heard = submit.got if submit.got is not None else submit.sent
    early = create.at / 1000 <= heard + facts.terms.clock_slack
    yield look(early, run, f"was created at {create.at} ms, after its submit was answered at {heard}", line, create)
    same = create.fingerprint == submit.body
    yield look(same, run, "was created with other content than was accepted", line, create)


def _each_run_is_owed_to_a_submit(facts: Facts) -> Iterator[Violation | None]:
    """A submit makes one run; whose answer was lost, at most one; and nothing else makes any."""
    made: dict[tuple[str, str], list[Create]] = defaultdict(list)
    for record in facts.history.audit:
        if isinstance(record, Create):
            made[record.fingerprint, record.idem].append(record)
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    lost: Counter[tuple[str, str]] = Counter()
    for submit in facts.history.client:
        content = submit.body, idem(submit.key)
        if submit.answer == "accepted":
            known[content].add(submit.run or "")
        elif submit.answer == "unknown":
            lost[content] += 1
    for content, creates in made.items():
        most = len(known[content]) + lost[content]
        if content[1]:
            most = min(most, 1)
        says = f"{len(creates)} runs were created where the submits account for at most {most}"
        yield look(len(creates) <= most, creates[-1].run, says, *creates)


def one_key_one_run(facts: Facts) -> Iterator[Violation | None]:
    """I2: all that is accepted under a key is one run and one content; the same content is never refused for it."""
    submits: dict[str, list[Submit]] = defaultdict(list)
    for submit in facts.history.client:
        if submit.key:
            submits[submit.key].append(submit)
    creates = [record for record in facts.history.audit if isinstance(record, Create)]
    for key, asked in submits.items():
        lines = [f"client n={submit.n}" for submit in asked]
        accepted = [submit for submit in asked if submit.answer == "accepted"]
        runs = {submit.run for submit in accepted}
        yield look(len(runs) <= 1, str(max(runs, default="", key=str)), f"key {key!r} names {len(runs)} runs", *lines)
        bodies = {submit.body for submit in accepted}
        yield look(len(bodies) <= 1, "", f"key {key!r} was accepted with {len(bodies)} contents", *lines)
        made = [create for create in creates if create.idem == idem(key)]
        yield look(len(made) <= 1, made[-1].run if made else "", f"key {key!r} made {len(made)} runs", *made)
        alike = len({submit.body for submit in asked}) == 1
        mismatch = any(submit.code == "idempotency_mismatch" for submit in asked)
        yield look(not (alike and mismatch), "", f"key {key!r} is refused for the content that it stands for", *lines)


def refused_leaves_no_trace(facts: Facts) -> Iterator[Violation | None]:
    """I18: of a refused submit there is no run, no event and no picture, unless another submit is owed them."""
    owed = [submit for submit in facts.history.client if submit.answer != "refused"]
    contents = {(submit.body, idem(submit.key)) for submit in owed}
    pictures = {submit.picture for submit in owed}
    runs = {submit.run for submit in owed if submit.run}
    for submit in facts.history.client:
        if submit.answer != "refused":
            continue
        line = f"client n={submit.n}"
        content = submit.body, idem(submit.key)
        made = [create for create in facts.creates.values() if (create.fingerprint, create.idem) == content]
        found = made[0].run if made else ""
        yield look(content in contents or not made, found, "was created, though its submit was refused", line, *made)
        if submit.run and submit.run not in runs:
            kept = submit.run in facts.end.runs or submit.run in facts.last_seq
            yield look(not kept, submit.run, "was refused, and is there at the end", line, "end.json")
        left = submit.picture in facts.end.artifacts and submit.picture not in pictures
        yield look(not left, "", f"picture {submit.picture} of a refused submit is still there", line, "end.json")


def idem(key: str | None) -> str:
    """An idempotency key as the store keeps it."""
    return hashlib.sha256(key.encode()).hexdigest() if key else ""
