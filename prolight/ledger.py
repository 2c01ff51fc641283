"""What a call whose outcome is unknown leads to, by the effect class of its tool. Pure.

    class      │ the try before began, and nobody knows how it ended
    ───────────┼─────────────────────────────────────────────────────────────────────────────────────
    pure       │ call again
    keyed      │ the same key again, while the other side surely still knows it; then as blind
    probeable  │ once nothing can be under way any more: ask. Done: adopt. Absent: send once more. Else as blind
    billed     │ a repeat costs money and harms nothing: send once more, and say so; then as blind
    blind      │ once nothing can be under way any more: a person decides

"Under way" ends with the try's deadline and a grace. A person's word to send again waits for that too, except where
a repeat harms nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from prolight.ports import Effect
from prolight.schemas import Usage, Value


@dataclass(frozen=True, slots=True)
class LedgerPolicy:
    grace: timedelta = timedelta(seconds=5)
    """How long past its deadline a try may still reach the other side."""
    repeats: int = 1
    """How often a billed call is sent again although it may have been carried out."""
    model_repeats: int = 2
    """The same before execution, where a doubt ends the run and nobody is asked.

    As often as another run may take the worker down with it before that one works alone.
    """

    @property
    def before_execution(self) -> LedgerPolicy:
        return replace(self, repeats=max(self.repeats, self.model_repeats))


class Entry(Value):
    """One call, as the journal holds it. Times are seconds of the store's clock."""

    status: Literal["started", "done", "refused", "unknown"]
    name: str
    arguments_hash: str
    tries: int
    started_at: float
    deadline_at: float
    first_started_at: float = 0.0
    quote_usd: Decimal = Decimal(0)
    doubts: int = 0
    """Earlier tries of which nobody knows how they ended."""
    finished_at: float | None = None
    result: dict[str, Any] | None = None
    usage: Usage = Usage()
    request_id: str = ""
    reason: str = ""
    unsent: bool = False
    """The last try was about to leave and did not: it still may."""
    cleared: int = 0
    """A person lets the call be sent again after this try."""
    inherited: int = 0
    """So many of its tries a parent made: they are on the parent's bill, and not among the tries of this run."""

    @property
    def unclear(self) -> bool:
        return self.status in ("started", "unknown")

    @property
    def at_risk_usd(self) -> Decimal:
        """What all tries together may have cost for nothing known."""
        return self.quote_usd * (self.doubts + self.unclear)


@dataclass(frozen=True, slots=True)
class Send:
    """(Again.)"""


@dataclass(frozen=True, slots=True)
class Wait:
    """Until this moment something may still be under way."""

    until: float


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the other side whether it happened."""


@dataclass(frozen=True, slots=True)
class AskPerson:
    reason: str


NextStep = Send | Wait | Probe | AskPerson


def next_step(
    entry: Entry | None, effect: Effect, *, now: float, policy: LedgerPolicy, key_window: timedelta | None = None
) -> NextStep:
    """What may be done about a call that is not done."""
    if entry is None or effect == "pure":
        return Send()
    if not entry.unclear and not (effect == "keyed" and entry.doubts):  # the last one did nothing; those before it may
        return Send()
    cleared = entry.cleared == entry.tries
    if effect == "billed":
        return Send() if entry.doubts < policy.repeats or cleared else AskPerson(doubt(entry))
    if effect == "keyed" and key_window and now - entry.first_started_at <= key_window.total_seconds() / 2:
        return Send()
    quiet_at = entry.deadline_at + policy.grace.total_seconds()
    if now < quiet_at:
        return Wait(quiet_at)
    if cleared:
        return Send()
    if effect == "probeable" and entry.doubts == 0:
        return Probe()
    return AskPerson(doubt(entry))


Said = Literal["adopt", "resend", "allow", "abandon"]
"""What a person may say of a call: it happened and this is what it made; send it again; go on although something has
changed; give the run up."""


def answered(entry: Entry, said: Said, *, by: str, now: float, result: dict[str, Any] | None = None) -> Entry:
    """The entry after a person's word."""
    match said:
        case "adopt":
            return entry.evolve(status="done", finished_at=now, result=result, reason=f"adopted by {by}")
        case "resend":
            return entry.evolve(cleared=entry.tries)
        case "allow":
            return entry.evolve(status="refused", finished_at=now, reason=f"allowed by {by}")
        case "abandon":
            return entry


def doubt(entry: Entry) -> str:
    return (
        f"{entry.name} may have been carried out: try {entry.tries} began and nobody knows how it ended"
        f" (at risk: {entry.at_risk_usd} USD)"
    )


def late_key(key: str, tries: int) -> str:
    """Where the journal keeps what a try brought after its claim had ended."""
    return f"{key}#{tries}"


def inherited(entries: Mapping[str, str], *, now: float) -> dict[str, str]:
    """What a child run takes over. Done: as it is. Unclear: unclear, but the allowance for losses is the child's own.

    What was refused did not happen: it is left behind, and its tries with it, unless a try before that one is in doubt.
    """
    kept = {}
    for key, text in {**entries, **settled(entries, now=now)}.items():
        entry = Entry.model_validate_json(text)
        if entry.status == "done":
            kept[key] = text
        elif entry.unclear or entry.doubts:
            kept[key] = entry.evolve(status="unknown", doubts=0, inherited=entry.tries).model_dump_json()
    return kept


def settled(entries: Mapping[str, str], *, now: float) -> dict[str, str]:
    """The open entries of a run that ends, as they stay: nobody will know any more how those tries ended."""
    opened = ((key, Entry.model_validate_json(text)) for key, text in entries.items())
    return {
        key: entry.evolve(status="unknown", finished_at=now, reason="the run ended first").model_dump_json()
        for key, entry in opened
        if entry.status == "started"
    }
