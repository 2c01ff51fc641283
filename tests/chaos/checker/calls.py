"""I7 no effect twice silently, I8 on record before it is sent, I9 no result invented and none forgotten."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from prolight.ledger import Entry
from tests.chaos.checker.facts import Facts, Start, Violation, Written, canonical_hash, ended, look
from tests.chaos.histories import Receipt, Reply

TWICE = "possibly_billed_twice"


def no_effect_twice_silently(facts: Facts) -> Iterator[Violation | None]:
    """I7: each effect class allows so much, as the tool server saw it, and as the journal says what was repeated."""
    for key, receipts in facts.receipts.items():
        applied = [receipt for receipt in receipts if receipt.what == "applied"]
        if applied:
            applied.sort(key=lambda receipt: _sent(facts, receipt))
            yield from _applied_as_allowed(facts, key, applied)
    doubts: dict[str, int] = defaultdict(int)
    for start in facts.starts:
        if _in_doubt(start):
            doubts[start.key] += 1
            yield _repeated_as_allowed(facts, start, doubts[start.key])


MODEL_REPEATS = 2
"""Of a paid question in doubt, each with a warning; a paid tool is called again once."""


def _sent(facts: Facts, receipt: Receipt) -> float:
    """When its request arrived: one that is applied late was not repeated late."""
    return next(line.at for line in facts.receipts[receipt.key] if line.call == receipt.call)


def _applied_as_allowed(facts: Facts, key: str, applied: list[Receipt]) -> Iterator[Violation | None]:
    first, run = applied[0], facts.run_of.get(key, "")
    yield None
    if first.effect == "pure":
        return
    for extra, receipt in enumerate(applied[1:], 1):
        sent = _sent(facts, receipt)
        allowed = facts.resends(run, after=_sent(facts, first), before=sent)
        if first.effect == "billed":
            allowed += _warned_before(facts, key, sent)
        says = f"{first.tool} ({first.effect}) was applied {extra + 1} times; {allowed} repeats were surfaced before"
        yield look(extra <= allowed, run, says, first, receipt)


def _warned_before(facts: Facts, key: str, sent: float) -> bool:
    return any(
        facts.warned(start.written, TWICE)
        for start in facts.starts_of.get(key, ())
        if start.entry.tries > 1 and start.at <= sent + facts.terms.clock_slack
    )


def _in_doubt(start: Start) -> bool:
    """The try before may have happened. This claim's own may also have been settled by this very commit."""
    status = start.before.status if start.before else ""
    return status == "unknown" or (status == "started" and not start.same_claim)


def _repeated_as_allowed(facts: Facts, start: Start, doubts: int) -> Violation | None:
    before, name = start.before, start.entry.name
    assert before is not None
    effect = "billed" if start.role and before.quote_usd else "pure" if start.role else _effect(facts, name)
    people = facts.resends(start.run, after=before.started_at, before=start.at)
    says = f"{name} ({effect}) is sent again in doubt"
    match effect:
        case "pure" | "keyed":
            allowed = True
        case "billed":
            most = MODEL_REPEATS if start.role else 1
            says += " without a warning" if doubts <= most else f" for the {doubts}. time"
            allowed = people > 0 or (doubts <= most and facts.warned(start.written, TWICE))
        case "probeable":
            says += ", without a probe that found nothing"
            allowed = people > 0 or any(
                receipt.what == "probed"
                and receipt.result is None
                and before.started_at <= receipt.at <= start.at + 0.1
                for receipt in facts.receipts.get(start.key, ())
            )
        case _:
            says += ", and no person said so"
            allowed = people > 0
    return look(allowed, start.run, says, start)


def _effect(facts: Facts, tool: str) -> str:
    terms = facts.terms.tools.get(tool)
    return terms.effect if terms else "blind"


def started_precedes_every_request(facts: Facts) -> Iterator[Violation | None]:
    """I8: the n-th request of a call arrives after the n-th commit of a `started` with these very arguments.

    One that is said to have sent nothing accounts for no request.
    """
    slack = facts.terms.clock_slack
    counted = [start for start in facts.starts if (start.key, start.written.record.lsn) not in facts.given_back]
    starts_of: dict[str, list[Start]] = defaultdict(list)
    for start in counted:
        starts_of[start.key].append(start)
    for key, sends in facts.sends.items():
        starts = starts_of[key]
        for number, sent in enumerate(sends, 1):
            fit = [s for s in starts if s.at <= sent.at + slack and s.entry.arguments_hash == sent.arguments]
            says = f"request {number} for {sent.tool} arrived after {len(fit)} `started` with its arguments"
            yield look(len(fit) >= number, facts.run_of.get(key, ""), says, sent, *starts)
    asked: dict[tuple[str, str], list[Reply]] = defaultdict(list)
    for reply in facts.history.llm:
        if reply.what == "received":
            asked[reply.run or "", reply.role].append(reply)
    for (run, role), replies in asked.items():
        begun = [s for s in counted if s.role == role and run in ("", s.run)]
        for number, reply in enumerate(replies, 1):
            before = sum(start.at <= reply.at + slack for start in begun)
            says = f"question {number} to the {role} arrived after {before} `started`"
            yield look(before >= number, run, says, reply)


def no_result_invented_or_forgotten(facts: Facts) -> Iterator[Violation | None]:
    """I9: `done` says what was answered; what was applied is `done` or `unknown` in the end, not `refused` or gone."""
    for written in facts.writes:
        for key, entry in written.entries.items():
            if entry.status == "done" and entry != written.journal.get(key):
                yield _was_answered(facts, written, key, entry)
    for key, receipts in facts.receipts.items():
        if applied := [receipt for receipt in receipts if receipt.what == "applied" and receipt.effect != "pure"]:
            yield _is_remembered(facts, key, applied)


def _was_answered(facts: Facts, written: Written, key: str, entry: Entry) -> Violation | None:
    by = written.record.at / 1000 + facts.terms.clock_slack
    starts = facts.starts_of.get(key, [])
    result = entry.result or {}
    if any(start.role for start in starts):
        text = hashlib.sha256(str(result.get("text")).encode()).hexdigest()
        found = any(
            reply.result == text
            and reply.at <= by
            and reply.role == starts[0].role
            and reply.run in (None, written.run)
            for reply in facts.history.llm
        )
    else:
        found = any(
            receipt.result == answer_hash(result) and receipt.at <= by
            for receipt in facts.receipts.get(key, ())
            if receipt.what in ("answered", "probed")
        )
    says = f"{entry.name} is done with a result that nobody answered before"
    return look(found, written.run, says, written, *facts.receipts.get(key, ()))


def _is_remembered(facts: Facts, key: str, applied: list[Receipt]) -> Violation | None:
    run = facts.run_of.get(key, "")
    end = facts.end.runs.get(run)
    entry = end.journal.get(key) if end else None
    live = end is not None and not ended(end.document)
    status = entry.status if entry else "not there"
    says = f"{applied[0].tool} was applied, and is {status} in the journal at the end"
    doubted = entry is not None and entry.doubts > 0  # the last try was refused, one before it is not forgotten
    return look(doubted or status in ("done", "unknown") or (status == "started" and live), run, says, *applied)


def answer_hash(result: Mapping[str, Any]) -> str:
    """What the tool server answered, from what the journal keeps of it: a step keeps its picture apart."""
    if set(result) != {"output", "artifact"}:
        return canonical_hash(result)
    picture = {"artifact": result["artifact"]} if result["artifact"] else {}
    return canonical_hash({**result["output"], **picture})
