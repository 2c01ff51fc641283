"""I12 the budget holds at every commit, and the books agree with the journal and with the bills."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from prolight.ledger import Entry
from tests.chaos.checker.facts import Facts, Violation, Written, ended, look, same_try

SURFACED = frozenset({"possibly_billed_twice", "billed_above_quote", "late_result"})
"""Warnings that tell people of a bill that the run's books may not hold."""


def budget_holds(facts: Facts) -> Iterator[Violation | None]:
    """I12: spent + reserved ≤ budget; reserved is what open tries were quoted, from the commit that starts them on;
    spent grows by what tries cost; in the end nothing is reserved, and no bill is above what was spent unsurfaced.
    """
    for written in facts.writes:
        run, after = written.run, written.after
        total = after.spent_usd + after.reserved_usd
        yield look(total <= after.budget_usd, run, f"{total} USD of {after.budget_usd} spent and reserved", written)
        if written.before:
            same = written.before.budget_usd == after.budget_usd
            yield look(same, run, f"its budget became {after.budget_usd} USD", written)
        quoted = Decimal(0) if ended(after) else _open({**written.journal, **written.entries}.values())
        says = f"{after.reserved_usd} USD are reserved, its open calls were quoted {quoted}"
        yield look(after.reserved_usd == quoted, run, says, written)
        yield _spent_as_settled(facts, written)
    yield from _bills(facts)


def _open(entries: object) -> Decimal:
    assert hasattr(entries, "__iter__")
    return sum((e.quote_usd for e in entries if isinstance(e, Entry) and e.status == "started"), Decimal(0))


def _spent_as_settled(facts: Facts, written: Written) -> Violation | None:
    least = most = Decimal(0)
    for key, entry in written.entries.items():
        before = written.journal.get(key)
        if same_try(entry, before):
            continue
        if before and before.unclear and entry.status == "started" and _never_happened(facts, written, key, before):
            least -= before.quote_usd if before.status == "unknown" else Decimal(0)
            most += before.quote_usd if before.cleared and before.status == "started" else Decimal(0)
            continue  # the other side said so, and it was given back; or its word was lost, and a person sends again
        match entry.status:
            case "done" if before and before.status == "unknown":
                pass  # adopted: what it may have cost was put down when its outcome became unknown
            case "refused" if before and before.status == "unknown":
                least -= before.quote_usd  # it never happened; a person who allows a change gets nothing back
            case "done":
                least += entry.usage.cost_usd
                most += entry.usage.cost_usd
            case "unknown":
                least += entry.quote_usd
                most += entry.quote_usd
            case "started" if before and before.status == "started":
                # Given up for lost by a successor; or settled by its own claim within this commit, perhaps for free.
                own = written.held is not None and written.writers.get(key) == written.held.claim
                least += Decimal(0) if own else before.quote_usd
                most += before.quote_usd
            case _:
                pass
    if ended(written.after):
        left = _open({**written.journal, **written.entries}.values())
        least, most = least + left, most + left
    grown = written.after.spent_usd - (written.before.spent_usd if written.before else Decimal(0))
    says = f"{grown} USD more are spent, its calls came to {least}" + (f" to {most}" if most != least else "")
    return look(least <= grown <= most, written.run, says, written)


def _never_happened(facts: Facts, written: Written, key: str, before: Entry) -> bool:
    by = written.record.at / 1000 + facts.terms.clock_slack
    probes = (line for line in facts.receipts.get(key, ()) if line.what == "probed" and line.result is None)
    return any(before.started_at <= line.at <= by for line in probes)


def _bills(facts: Facts) -> Iterator[Violation | None]:
    charged: dict[str, Decimal] = defaultdict(Decimal)
    for receipt in facts.history.world:
        charged[facts.run_of.get(receipt.key, "")] += receipt.charged_usd
    for reply in facts.history.llm:
        charged[reply.run or ""] += reply.charged_usd
    told = {
        run for (run, _), event in facts.events.items() if getattr(event.payload, "code", "") in SURFACED
    }  # fmt: skip
    for run, end in facts.end.runs.items():
        document = end.document
        if ended(document):
            none = document.reserved_usd == 0
            yield look(none, run, f"ends with {document.reserved_usd} USD reserved", "end.json")
        known = document.spent_usd + document.reserved_usd
        says = f"was charged {charged[run]} USD, knows of {known}, and told nobody"
        yield look(charged[run] <= known or run in told, run, says, "end.json")
