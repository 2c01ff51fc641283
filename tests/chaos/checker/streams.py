"""I6 events without gaps and equal for all readers, I20 no secret anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote

from tests.chaos.checker.facts import Facts, Violation, event_of, look
from tests.chaos.histories import Heard, Streamed, Told


def gapless_and_identical(facts: Facts) -> Iterator[Violation | None]:
    """I6: seq is 1 … n, each told by one record of the audit, and every reader gets these bytes in this order."""
    streams: dict[str, list[Streamed]] = defaultdict(list)
    for line in facts.history.events:
        streams[line.run].append(line)
    for run in {*facts.threads, *streams, *facts.end.runs}:
        yield from _stream(facts, run, streams.get(run, []))
    kept = {(line.run, line.seq): line.sha256 for line in facts.history.events}
    yield from _readers(facts, kept)


def _stream(facts: Facts, run: str, lines: list[Streamed]) -> Iterator[Violation | None]:
    where = f"events {run}"
    seqs = [line.seq for line in lines]
    yield look(seqs == list(range(1, len(seqs) + 1)), run, f"its events are numbered {seqs}", where)
    told = [(seq, record) for record in facts.threads.get(run, ()) for seq in _told(record)]
    numbers = [seq for seq, _ in told]
    yield look(numbers == seqs, run, f"its records tell of the events {numbers}, its stream holds {seqs}", where)
    if end := facts.end.runs.get(run):
        yield look(end.seq == len(seqs), run, f"its record counts {end.seq} events of {len(seqs)}", where, "end.json")
    epochs = _epochs(facts, run)
    for line in lines:
        yield _is_itself(line, epochs.get(line.seq))


def _told(record: object) -> tuple[int, ...]:
    return (record.seq,) if isinstance(record, Told) else tuple(getattr(record, "events", ()))


def _epochs(facts: Facts, run: str) -> dict[int, int]:
    epoch, epochs = 0, {}
    for record in facts.threads.get(run, ()):
        epoch = getattr(record, "epoch", epoch)
        epochs.update(dict.fromkeys(_told(record), epoch))
    return epochs


def _is_itself(line: Streamed, epoch: int | None) -> Violation | None:
    where = f"events {line.run} seq={line.seq}"
    event = event_of(line.event)
    if event is None:
        return look(False, line.run, "has an event that is none", where)
    itself = (event.run_id, event.seq) == (line.run, line.seq)
    same = hashlib.sha256(line.event.encode()).hexdigest() == line.sha256
    says = "an event carries another run, seq or epoch than its place, or other bytes than its hash"
    return look(itself and same and event.epoch == epoch, line.run, says, where)


def _readers(facts: Facts, kept: dict[tuple[str, int], str]) -> Iterator[Violation | None]:
    last: dict[tuple[str, str], Heard] = {}
    for number, heard in enumerate(facts.history.readers, 1):
        where = f"readers line {number}"
        before = last.get((heard.reader, heard.run))
        at = before.seq or 0 if before else heard.after
        if before and before.after != heard.after:
            yield look(heard.after == at, heard.run, f"{heard.reader} got to {at} and resumes at {heard.after}", where)
        if heard.seq is None:
            complete = at == facts.last_seq.get(heard.run, 0)
            yield look(complete, heard.run, f"the stream of {heard.reader} ended at {at}, before its end", where)
            continue
        last[heard.reader, heard.run] = heard
        yield look(heard.seq == at + 1, heard.run, f"{heard.reader} got {heard.seq} after {at}", where)
        same = kept.get((heard.run, heard.seq)) == heard.sha256
        yield look(same, heard.run, f"{heard.reader} got other bytes as seq {heard.seq} than are stored", where)


def no_secret_anywhere(facts: Facts) -> Iterator[Violation | None]:
    """I20: no canary, however written, in a sink or an event."""
    sinks = {sink.name: sink.text for sink in facts.end.sinks}
    sinks["events.jsonl"] = "\n".join(line.event for line in facts.history.events)
    for number, canary in enumerate(facts.end.canaries):
        for name, text in sinks.items():
            forms = [form for form, written in spellings(canary) if written in text]
            says = f"canary {number} stands in {name}, written as {', '.join(forms)}"
            yield look(not forms, "", says, name)


@lru_cache
def spellings(secret: str) -> tuple[tuple[str, str], ...]:
    """Each form in which the secret could have got out. In base64 it looks different at each of three offsets."""
    raw = secret.encode()
    bits = [base64.b64encode(b"\0" * pad + raw).decode() for pad in range(3)]
    inner = [text[(0, 2, 3)[pad] : len(text) - (0, 3, 2)[(pad + len(raw)) % 3]] for pad, text in enumerate(bits)]
    forms = [("plain", secret), ("hex", raw.hex()), ("HEX", raw.hex().upper())]
    forms += [("base64", text) for text in inner]
    forms += [("base64url", text.replace("+", "-").replace("/", "_")) for text in inner]
    forms += [("url", quote(secret, safe="")), ("url, all of it", "".join(f"%{byte:02X}" for byte in raw))]
    forms += [("JSON", json.dumps(secret)[1:-1])]
    forms += [("JSON, all of it", "".join(f"\\u{ord(char):04x}" for char in secret))]
    return tuple(forms)
