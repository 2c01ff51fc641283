"""What a container engine would make of docker-compose.yml, and honcho of the Procfile, as processes of this machine.

No engine is at hand. So each service's own command runs here, with its own environment after Compose's interpolation
and nothing else, and its own healthcheck is asked. What the engine's network and volumes would do, `Machine` does:
ports, folders and host names are exchanged for free ones.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import yaml

from prolight.client import AsyncClient
from prolight.embedded.guard import guarded
from prolight.embedded.valkey import LOOPBACK, find_server, free_port, serves
from prolight.settings import Settings
from tests.integration.fleet import ROOT, WITHIN, until

COMPOSE_FILE, PROCFILE = ROOT / "docker-compose.yml", ROOT / "Procfile"
STORE_PORT, STUDIO_PORT, FLOWER_PORT = 6379, 8765, 5555
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<what>:[-?])(?P<word>[^}]*))?\})")


class Missing(Exception):
    """A variable that `${NAME:?why}` insists on is not set."""


def interpolate(value: Any, given: Mapping[str, str]) -> Any:
    """`$$`, `${NAME}`, `${NAME:-default}` and `${NAME:?why}` in every string below `value`, as Compose does it."""

    def substitute(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if set_to := given.get(found["name"]):
            return set_to
        if found["what"] == ":?":
            raise Missing(f"{found['name']}: {found['word']}")
        return found["word"] or ""

    match value:
        case str():
            return _VARIABLE.sub(substitute, value)
        case dict():
            return {key: interpolate(item, given) for key, item in value.items()}
        case list():
            return [interpolate(item, given) for item in value]
        case _:
            return value


def services(given: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml, for a shell or an `.env` in which `given` is set."""
    read: dict[str, Any] = interpolate(yaml.safe_load(COMPOSE_FILE.read_text()), given)
    return dict(read["services"])


def procfile() -> dict[str, str]:
    """Name and command of each line, as honcho and foreman read it."""
    return dict(re.findall(r"^([A-Za-z0-9_-]+):\s*(.+)$", PROCFILE.read_text(), re.MULTILINE))


@dataclass(frozen=True, slots=True)
class Part:
    """One process: a container, or a line of the Procfile."""

    name: str
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    healthcheck: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid


class Machine:
    """Starts parts, and kills them at the end. `given` is what a person has set; addresses are added to it."""

    def __init__(self, home: Path, **given: str) -> None:
        self.home = home
        self.ports = {well_known: free_port() for well_known in (STORE_PORT, STUDIO_PORT, FLOWER_PORT)}
        self.given = {
            "PROLIGHT_REDIS_URL": f"redis://{LOOPBACK}:{self.ports[STORE_PORT]}/0",
            "PROLIGHT_STUDIO_URL": f"http://{LOOPBACK}:{self.ports[STUDIO_PORT]}/mcp",
            **given,
        }
        self.parts: dict[str, Part] = {}

    def client(self) -> AsyncClient:
        """One that shares the pictures with the parts."""
        return AsyncClient(
            settings=Settings.load(
                redis_url=self.given["PROLIGHT_REDIS_URL"], artifacts=self.home / "pictures", home=self.home
            )
        )

    def url(self, port: int, path: str) -> str:
        return f"http://{LOOPBACK}:{self.ports[port]}{path}"

    def start_service(self, service: str, number: int = 1) -> Part:
        """One container of the service, with the `number` that --scale would give it."""
        asked = services(self.given)[service]
        host = f"{service}-{number}"
        here = partial(self._here, host=host)
        argv = [here(word) for word in shlex.split(asked["command"])]
        if argv[0] == "valkey-server":
            argv = [find_server(), *argv[1:], "--bind", LOOPBACK, "--port", str(self.ports[STORE_PORT])]
        from_file = self.given if "env_file" in asked else {}
        own = {name: here(value) for name, value in asked.get("environment", {}).items()}
        environment = {**from_file, **own, "HOSTNAME": host}
        return self._start(host, argv, environment, here(asked["healthcheck"]["test"]))

    def start_line(self, name: str, number: int = 1, **more: str) -> Part:
        """One process of the Procfile's line, with the `number` that honcho would give it."""
        command = self._here(procfile()[name])
        environment = {**self.given, "PROLIGHT_HOME": str(self.home), "PROLIGHT_ARTIFACTS": f"{self.home}/pictures"}
        return self._start(f"{name}.{number}", ["sh", "-c", command], {**environment, **more})

    def _here(self, text: str, host: str = "") -> str:
        """What the engine's network and volumes would map."""
        for well_known, port in self.ports.items():
            text = re.sub(rf"\b{well_known}\b", str(port), text)
        text = text.replace("%h", host).replace("/tmp", f"{self.home}/{host}") if host else text
        return text.replace("0.0.0.0", LOOPBACK).replace("/pictures", f"{self.home}/pictures")

    def _start(self, name: str, argv: list[str], environment: Mapping[str, str], healthcheck: str = "") -> Part:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        clean = {"PATH": path, "PYTHONUNBUFFERED": "1", "HOME": str(self.home), **environment}
        folder = self.home / name
        folder.mkdir()
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                guarded(argv), stdout=log, stderr=log, cwd=folder, start_new_session=True, env=clean
            )
        self.parts[name] = Part(name, process, clean, healthcheck)
        return self.parts[name]

    def log(self, part: Part) -> str:
        return (self.home / f"{part.name}.log").read_text()[-3000:]

    async def serves_store(self, part: Part) -> None:
        async def ready() -> bool:
            assert part.process.poll() is None, self.log(part)
            return await asyncio.to_thread(serves, self.ports[STORE_PORT], part.pid)

        await until(ready, what=f"{part.name} answers PING")

    async def announced(self, client: AsyncClient, *parts: Part) -> None:
        """Returns when each worker has said in the store that it is there."""

        async def all_known() -> bool:
            assert not [self.log(part) for part in parts if part.process.poll() is not None]
            return {part.pid for part in parts} <= {known.pid for known in await client.store.processes()}

        await until(all_known, what=f"{[part.name for part in parts]} announce themselves")

    async def healthy(self, part: Part) -> None:
        """Returns when the part's own healthcheck says so."""

        async def ok() -> bool:
            assert part.process.poll() is None, self.log(part)
            check = await asyncio.create_subprocess_shell(
                part.healthcheck,
                env=part.environment,
                cwd=self.home / part.name,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            return await check.wait() == 0

        await until(ok, what=f"{part.name} is healthy: {part.healthcheck}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for part in self.parts.values():
            part.process.kill()
            part.process.wait(WITHIN.total_seconds())
