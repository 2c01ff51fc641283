"""What a trial leaves behind, taken from the store and the ledgers, as `histories` says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from prolight.adapters.redis_store import RedisStore
from prolight.schemas import Stage
from tests.chaos import histories as lines
from tests.chaos.ledger import read
from tests.chaos.recording import AUDIT

_AUDIT: TypeAdapter[lines.Audit] = TypeAdapter(lines.Audit)
OURS = (AUDIT,)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def audit(store: RedisStore) -> tuple[lines.Audit, ...]:
    told = await store._ask("LRANGE", AUDIT, 0, -1)
    return tuple(_record(number, json.loads(text)) for number, text in enumerate(told, 1))


def _record(lsn: int, told: dict[str, Any]) -> lines.Audit:
    """The scripts name the first event and their number; the place in the list is the lsn."""
    first, count = told.pop("first", 0), told.pop("told", 0)
    if told["kind"] in ("create", "commit"):
        told["events"] = tuple(range(first, first + count))
    return _AUDIT.validate_python({**told, "lsn": lsn})


async def streams(store: RedisStore, runs: Iterable[str]) -> tuple[lines.Streamed, ...]:
    found = [(run, await store.events(run)) for run in runs]
    return tuple(
        lines.Streamed(run=run, seq=seq, event=text, sha256=sha(text))
        for run, texts in found
        for seq, text in enumerate(texts, 1)
    )


def world(ledger: Path, keys: Collection[str], runs: Collection[str]) -> tuple[lines.Receipt, ...]:
    """The receipts of these runs' calls: by their labels, which begin with the run, and by their journals' keys."""
    found = [line for line in read(ledger) if line["label"].partition(".")[0] in runs]
    known = {*keys, *(line["key"] for line in found)}
    return tuple(_receipt(line) for line in read(ledger) if line["key"] in known)


def _receipt(line: Mapping[str, Any]) -> lines.Receipt:
    said = {name: line[name] for name in ("n", "at", "what", "key", "arguments", "result", "charged_usd", "pin")}
    tool, call = f"world.{line['tool']}", line["call"] or line["n"]
    if line["what"] == "probed" and line["status"] != "done":
        said["result"] = None
    return lines.Receipt(**said, tool=tool, call=call, effect=line["effect"])


def llm(ledger: Path, runs: Collection[str]) -> tuple[lines.Reply, ...]:
    names = ("n", "at", "what", "role", "key", "result", "charged_usd")
    return tuple(
        lines.Reply(**{name: line[name] for name in names}, call=line["call"] or line["n"], run=line["label"])
        for line in read(ledger)
        if line["label"] in runs
    )


async def end(store: RedisStore, runs: Collection[str], **more: Any) -> lines.End:
    """The store as it stands. Keys of other trials' runs are theirs to explain."""
    ask = store._ask
    processes = await ask("HKEYS", "prolight:processes")
    claims = {process: _pairs(await ask("HGETALL", f"prolight:claims:{process}")) for process in processes}
    due = _pairs(await ask("ZRANGE", "prolight:due", 0, -1, "WITHSCORES"))
    return lines.End(
        runs={run: held for run in runs if (held := await _run_end(store, run))},
        due={entry: round(float(score)) for entry, score in due.items()},
        ready={stage: tuple(await ask("ZRANGE", f"prolight:ready:{stage}", 0, -1)) for stage in Stage},
        claims={process: held for process, held in claims.items() if held},
        keys=tuple(sorted(key for key in await ask("KEYS", "*") if key not in OURS)),
        **more,
    )


async def _run_end(store: RedisStore, run: str) -> lines.RunEnd | None:
    kept = _pairs(await store._ask("HGETALL", f"prolight:run:{run}"))
    if not kept:
        return None
    return lines.RunEnd(
        document=kept["document"],
        ver=int(kept["ver"]),
        epoch=int(kept["epoch"]),
        seq=int(kept["seq"]),
        claim=kept["claim"],
        journal=dict(await store.journal(run)),
    )


def _pairs(told: Any) -> dict[str, str]:
    """However the server's protocol puts them."""
    if isinstance(told, dict) or (told and isinstance(told[0], list)):
        return dict(told)
    return dict(zip(told[::2], told[1::2], strict=True))


async def clear(store: RedisStore) -> None:
    """Nothing of this trial is left for the next; the worker processes stay known."""
    kept = {"prolight:processes", "prolight:absent", "prolight:clock", "prolight:store", "prolight:slots"}
    keys = [key for key in await store._ask("KEYS", "prolight*") if key not in kept]
    if keys:
        await store._ask("DEL", *keys)
