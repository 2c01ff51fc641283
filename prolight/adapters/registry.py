"""What *we* say of each tool: its effect class, price, time-out. What a server says of itself is not trusted.

`tools.toml` beside this file speaks of the built-in server `studio`; a user's file of the same form adds
servers. A tool that is not listed is `blind`: never silently sent again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from prolight.errors import InvalidInput
from prolight.ports import Effect
from prolight.retry import RetryChange
from prolight.schemas import TOOL_NAME, Usd, Value

STUDIO = "studio"
MAX_SECONDS = 366 * 24 * 3600
MAX_TRIES = 1000
_SERVER, _TOOL = TOOL_NAME.split(r"\.")


def _quoted(price: Any) -> Any:
    if not isinstance(price, str | Decimal):
        raise ValueError('must be a decimal in quotes, such as "0.04"')
    return price


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must begin with http:// or https:// and name a host")
    if parts.username or parts.password:
        raise ValueError("must hold no user or password: addresses are shown in errors and logs")
    return url


Seconds = Annotated[float, Field(strict=True, gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
Tries = Annotated[int, Field(strict=True, ge=1, le=MAX_TRIES)]
Price = Annotated[Usd, BeforeValidator(_quoted)]
ServerName = Annotated[str, Field(pattern=f"{_SERVER}$")]
ToolName = Annotated[str, Field(pattern=f"^{_TOOL}")]


class Retries(Value):
    """What is another than in the policy below it, as a file or a setting says it."""

    max_tries: Tries | None = None
    retry_base_seconds: Seconds | None = None
    retry_cap_seconds: Seconds | None = None

    @property
    def change(self) -> RetryChange:
        return RetryChange(self.max_tries, _time(self.retry_base_seconds), _time(self.retry_cap_seconds))


class Registered(Value):
    """One tool. Design §5 says what follows from its effect class."""

    effect: Effect = "blind"
    price_usd: Price = Decimal(0)
    timeout_seconds: Seconds = 300
    key_window_seconds: Seconds | None = None
    """keyed: so long the server remembers a key, and carries it out once."""
    probe: Annotated[str, Field(pattern=f"^$|^{_TOOL}")] = ""
    """probeable: a tool of the same server. Takes `{"key": …}`, answers `{"status": "done"|"absent"|"unclear", …}`."""
    picture_params: frozenset[str] = frozenset()
    description: str = ""
    """In place of the server's own."""
    max_tries: Tries | None = None
    retry_base_seconds: Seconds | None = None
    retry_cap_seconds: Seconds | None = None
    """None: as for the stage that calls."""

    @model_validator(mode="after")
    def _keys_fit_the_effect(self) -> Self:
        for effect, key, given in (
            ("keyed", "key_window_seconds", self.key_window_seconds is not None),
            ("probeable", "probe", bool(self.probe)),
        ):
            if given and self.effect != effect:
                raise ValueError(f'{key} is for effect = "{effect}" only, not for "{self.effect}"')
            if self.effect == effect and not given:
                raise ValueError(f'effect = "{effect}" needs {key}')
        return self

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.timeout_seconds)

    @property
    def key_window(self) -> timedelta | None:
        return _time(self.key_window_seconds)

    @property
    def retry(self) -> RetryChange:
        return RetryChange(self.max_tries, _time(self.retry_base_seconds), _time(self.retry_cap_seconds))


class Server(Value):
    url: Annotated[str, AfterValidator(_web_address)]
    tools: dict[ToolName, Registered] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _probes_are_other_tools(self) -> Self:
        for name, tool in self.tools.items():
            if tool.probe == name:
                raise ValueError(f"tools.{name}.probe names {name} itself: to ask would be to do it again")
        return self


class Servers(Value):
    """A file."""

    servers: dict[ServerName, Server] = Field(default_factory=dict)


def _time(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


Registry = Mapping[str, Registered]
"""The tools of one server, by their names there."""


@cache
def studio_tools() -> Registry:
    """What the package says of its own server."""
    built_in = tomllib.loads(files(__package__).joinpath("tools.toml").read_text())
    return {name: Registered.model_validate(tool) for name, tool in built_in["servers"][STUDIO]["tools"].items()}


def read_tools_file(path: Path) -> Mapping[str, Server]:
    """The servers that a user's file declares. Raises `InvalidInput` that names file, place and remedy."""
    try:
        content = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise InvalidInput(
            f"cannot be read: {error.strerror} (PROLIGHT_TOOLS_FILE names it)", field=str(path)
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"is not TOML: {error}", field=str(path)) from None
    try:
        servers = Servers.model_validate(content).servers
    except ValidationError as error:
        raise _refused(path, error) from None
    if STUDIO in servers:
        raise InvalidInput(
            f"servers.{STUDIO}: is the built-in server: take another name (PROLIGHT_STUDIO_URL says where it is)",
            field=str(path),
        )
    return servers


def _refused(path: Path, error: ValidationError) -> InvalidInput:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part != "[key]")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InvalidInput(": ".join(filter(None, (place, _in_words(first)))) + more, field=str(path))


def _in_words(first: ErrorDetails) -> str:
    """The complaint; for a key that nobody knows, those that there are."""
    if first["type"] != "extra_forbidden":
        return first["msg"].removeprefix("Value error, ")
    places: dict[int, type[Value]] = {1: Servers, 3: Server}
    model = places.get(len(first["loc"]), Registered)
    return f"there is no such key; there are {', '.join(model.model_fields)}"
