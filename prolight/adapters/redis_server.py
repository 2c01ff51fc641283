"""What server this is, and what it promises: read back from it, not assumed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError, ResponseError

from prolight.errors import StoreRefused, StoreUnavailable

OLDEST = (6, 2)
PASSING = frozenset({"LOADING", "BUSY", "MASTERDOWN", "READONLY", "TRYAGAIN", "OOM", "MISCONF"})
"""Codes of the server's errors that need no change of ours to go away."""


@dataclass(frozen=True, slots=True)
class Durability:
    """The server's real settings. Empty strings: it does not tell (a managed service hides CONFIG)."""

    server: str
    appendonly: bool
    appendfsync: str
    maxmemory_policy: str

    @property
    def full(self) -> bool:
        """What was accepted survives a power cut, and nothing is evicted."""
        return self.appendonly and self.appendfsync == "always" and self.maxmemory_policy == "noeviction"

    @property
    def says(self) -> str:
        if not self.maxmemory_policy:
            return f"{self.server}: hides its settings; ProLight cannot say what survives a crash"
        if self.maxmemory_policy != "noeviction":
            return f"{self.server}: maxmemory-policy {self.maxmemory_policy} may evict runs; set noeviction"
        if not self.appendonly:
            return f"{self.server}: appendonly is off: a restart loses runs since the last snapshot; set appendonly yes"
        if self.appendfsync != "always":
            return f"{self.server}: appendfsync {self.appendfsync}: a power cut may lose the last second; set always"
        return f"{self.server}: appendfsync always: what was accepted survives a power cut"


async def inspect_server(ask: Callable[..., Awaitable[Any]]) -> Durability:
    """Raises `StoreRefused` for a server that ProLight cannot work on."""
    server = _info(await ask("INFO", "server"))
    version = server.get("valkey_version") or server.get("redis_version", "0")
    name = f"{'Valkey' if 'valkey_version' in server else 'Redis'} {version}"
    if tuple(int(part) for part in server.get("redis_version", "0").split(".")[:2]) < OLDEST:
        raise StoreRefused(f"{name} is too old: ProLight needs Redis ≥ 6.2 or Valkey")
    if server.get("redis_mode") == "cluster":
        raise StoreRefused("Redis Cluster is not supported: run and queue must change in one script; use one server")
    try:
        config = _config(await ask("CONFIG", "GET", "*append*"), await ask("CONFIG", "GET", "maxmemory-policy"))
    except ResponseError:
        return Durability(name, appendonly=False, appendfsync="", maxmemory_policy="")
    return Durability(
        name,
        appendonly=config.get("appendonly") == "yes",
        appendfsync=config.get("appendfsync", ""),
        maxmemory_policy=config.get("maxmemory-policy", ""),
    )


def _info(reply: Any) -> dict[str, str]:
    if isinstance(reply, dict):
        return {str(name): str(value) for name, value in reply.items()}
    return dict(line.split(":", 1) for line in str(reply).splitlines() if ":" in line)


def _config(*replies: Any) -> dict[str, str]:
    config: dict[str, str] = {}
    for reply in replies:
        config |= reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return config


def will_pass(error: RedisError) -> bool:
    """Whether the server, as it is, may do the same later: a full one may get room. Nothing was done now."""
    # redis-py cuts the code off the text of those errors for which it has a class.
    return (error.status_code or str(error).partition(" ")[0]) in PASSING


def translated(error: RedisError) -> Exception:
    if will_pass(error):
        return StoreUnavailable(f"the store cannot write now: {error}")
    return StoreRefused(f"the store refuses: {error}")
