"""`prolight audit`: is anything left over, missing or lost in the store?"""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from prolight.audit import Audit, Finding
from prolight.cli.output import ExitCode, Json, console, record, say, wait_for

TELL_EVERY = 10_000
"""Keys."""


def audit(as_json: Json = False) -> ExitCode:
    """Look at every run, key and list of the store, and change nothing. Safe beside busy workers.

    Exit 1 when something is found. A fix in capitals is a command for `redis-cli`.
    """
    found = wait_for(_audit())
    for finding in found.findings:
        if as_json:
            record(asdict(finding))
        else:
            console().print(line(finding))
    for note in found.notes:
        say(note)
    if as_json:
        told = {"findings": len(found.findings), "runs": found.runs, "keys": found.keys, "cut": found.cut}
        record({**told, "notes": list(found.notes)})
    else:
        console().print(summary(found))
    return ExitCode.FAILED if found.findings else ExitCode.OK


async def _audit() -> Audit:
    from prolight.client import AsyncClient

    told = 0

    def progress(runs: int, keys: int) -> None:
        nonlocal told
        if keys - told >= TELL_EVERY:
            told = keys
            say(f"{runs:,} runs, {keys:,} keys so far")

    async with AsyncClient() as client:
        return await client.audit(progress)


def line(finding: Finding) -> Text:
    """What is wrong, and under it the fix."""
    said = Text.assemble(("✗ ", "red"), (f"{finding.about}  ", "bold"), f"{finding.kind}: {finding.message}")
    return said.append(f"\n    fix: {finding.fix}")


def summary(found: Audit) -> Text:
    looked = f"{found.runs:,} runs and {found.keys:,} keys were looked at"
    if not found.findings:
        return Text(f"in order: {looked}", "green")
    more = " or more" if found.cut else ""
    return Text(f"{len(found.findings):,}{more} findings; {looked}", "red")
