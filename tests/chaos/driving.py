"""The driver's end: the suite's programs as child processes, and their control faces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from prolight.embedded.guard import guarded

ROOT = Path(__file__).parents[2]
WITHIN_SECONDS = 30.0
"""The bound of every wait: reached only when something is broken."""


class Program:
    """`python -m MODULE ARGV`, started, killed and started again on the same port. It dies with this process.

    `said` is the first line that it prints. The thread that calls `start` has to live as long as it.
    """

    def __init__(self, module: str, *argv: str | Path, log: Path) -> None:
        self._command = [sys.executable, "-m", module, *map(str, argv)]
        self._log = log
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.said = ""

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process, "it was not started"
        return self._process

    @property
    def url(self) -> str:
        """Where it serves, without a path."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                guarded([*self._command, "--port", str(self._port)]),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )
        assert self.process.stdout
        self.said = self.process.stdout.readline().strip()
        assert self.said, f"{self._command} does not start:\n{self._log.read_text()[-2000:]}"
        self._port = httpx.URL(self.said.split()[0]).port or 0

    def kill(self) -> None:
        """SIGKILL. Does nothing when it has ended."""
        self.process.kill()
        self.ended()

    def ended(self) -> int:
        """Wait until it has ended by itself; its exit code."""
        assert self.process.stdout
        self.process.stdout.close()
        return self.process.wait(WITHIN_SECONDS)

    def restart(self) -> None:
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()


class Control:
    """The control face of the World or the LLM, at `url`, as `script.py` describes it; or of a proxy."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=2 * WITHIN_SECONDS, trust_env=False, verify=False)
        self._heard: dict[frozenset[tuple[str, str]], int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, **given: Any) -> Any:
        answer = await self._http.request(method, path, **given)
        assert answer.is_success, answer.text
        return answer.json()

    async def script(self, act: str, **rule: Any) -> int:
        return int((await self.ask("POST", "/script", json={"act": act, **rule}))["rule"])

    async def clear(self) -> None:
        await self.ask("DELETE", "/script")

    async def held(self, **wanted: str) -> dict[str, Any]:
        """The next call like `wanted` that is held, and that was not told of when asked like this before."""
        question = frozenset(wanted.items())
        asked = {"after": str(self._heard.get(question, 0)), "timeout": str(WITHIN_SECONDS), **wanted}
        held = (await self.ask("GET", "/held", params=asked))["held"]
        assert held, f"no call like {wanted} was held"
        self._heard[question] = held[0]["id"]
        return dict(held[0])

    def restarted(self) -> None:
        """The program was started again, and counts its held calls from one."""
        self._heard.clear()

    async def release(self, id: int | None = None) -> int:
        return int((await self.ask("POST", "/release", json={} if id is None else {"id": id}))["released"])

    async def counts(self) -> dict[str, int]:
        return dict(await self.ask("GET", "/counts"))

    async def faults(self, **told: Any) -> None:
        """What a proxy is to do from now on; nothing heals it."""
        await self.ask("POST", "/faults", json=told)

    async def end(self, how: str) -> int:
        """A proxy ends all its present connections: "cut", "reset" or "silence"."""
        return int((await self.ask("POST", "/end", json={"how": how}))["ended"])
