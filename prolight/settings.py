"""One frozen object with every setting. Environment: `PROLIGHT_` + the field's name in capitals.

Defaults are here or nowhere. `Settings()` reads the environment; a value that does not fit is
refused at start with the field's name.
"""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from prolight.adapters import redis_url
from prolight.adapters.redis_url import RedisAddress
from prolight.adapters.registry import Retries
from prolight.decisions import Deadlines
from prolight.errors import InvalidInput
from prolight.guardrails import Policy
from prolight.ledger import LedgerPolicy
from prolight.retry import RetryPolicies, RetryPolicy, Sparing
from prolight.schemas import TOOL_NAME, Stage, refusal

if TYPE_CHECKING:
    from prolight.pictures import PictureLimits

DEFAULT_REDIS_URL = "redis://localhost:6379/0"
MAX_SLOTS = 1000
"""Of one worker process, however it is told."""
DEFAULT_STUDIO_URL = "http://127.0.0.1:8765/mcp"


def user_data_dir() -> Path:
    """Where this user's pictures and embedded store live."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "prolight"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "prolight"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PROLIGHT_", frozen=True, extra="ignore")

    # Where the parts are. Empty: what a running `prolight up` says, else the well-known address.
    redis_url: str = ""
    """Store and broker, one server: `redis://:PASSWORD@HOST:6379/0`, `rediss://…` for TLS, or a Unix socket as
    `unix:///PATH?db=0` (or `redis+socket:///PATH`). The client, the command line, workers and Flower all read it."""
    redis_ca_file: Path | None = None
    """For TLS: the CA that signed the server's certificate, where the system does not know it. PEM. The URL may say
    the same: `rediss://HOST:6379/0?ssl_ca_certs=FILE`. Certificate and name are verified unless the URL, loudly
    warned about, says `ssl_cert_reqs=none` or `ssl_check_hostname=false`."""
    redis_cert_file: Path | None = None
    """For TLS: our own certificate, where the server asks for one (`ssl_certfile`)."""
    redis_key_file: Path | None = None
    """… and its key (`ssl_keyfile`), where it is not in the same file."""
    studio_url: str = ""
    home: Path = Field(default_factory=user_data_dir)
    artifacts: Path | None = None
    model: str = "offline"
    """`offline`, `instant`, or `package.module:factory`, which takes these settings and answers with a `ChatModel`."""
    tools: Literal["studio", "instant"] = "studio"
    tools_file: Annotated[Path, AfterValidator(Path.absolute)] | None = None
    """Declares tool servers besides the studio; the form is that of `adapters/tools.toml`."""

    # Liveness
    lease_seconds: float = Field(default=12, gt=0)
    heartbeat_seconds: float = Field(default=4, gt=0)
    sweep_seconds: float = Field(default=1, gt=0)
    loop_stall_seconds: float = Field(default=15, gt=0)
    """A loop that has not ticked for so long gets no more heartbeats, and its process ends."""
    wedged_after_seconds: float = Field(default=30, gt=0)
    """A slot whose attempt goes on for so long after its hard stop is wedged, and its process ends."""
    deaf_sweeps: int = Field(default=60, ge=1)
    """So many sweeps in a row with runs that wait, free slots and no bell: the process is deaf, and ends.

    After an outage Celery may take half a minute to connect again.
    """
    health: Path | None = None
    """Folder of the workers' health files, by default `health` in `home`. `python -m prolight.health` reads them."""
    health_seconds: float = Field(default=5, gt=0)
    """A worker writes its health file this often."""
    slots: int = Field(default=64, ge=1, le=MAX_SLOTS)
    drain_seconds: float = Field(default=330, ge=0)
    crashes_to_suspect: int = Field(default=2, ge=1)
    """A run that so many workers in a row died or froze over is worked in a child process of its own from then on."""
    crashes_to_poison: int = Field(default=3, ge=1)
    """After so many more crashes there it is FAILED(`poison`)."""
    suspects_at_once: int = Field(default=8, ge=1)
    """So many of these children a worker process has at most; other suspects wait, unclaimed."""

    # Deadlines of a run
    run_deadline_seconds: float = Field(default=3600, gt=0)
    max_run_deadline_seconds: float = Field(default=7 * 24 * 3600, gt=0)
    """The longest that a caller may ask for with `--deadline`."""
    stage_deadline_seconds: float = Field(default=180, gt=0)
    step_timeout_seconds: float = Field(default=300, gt=0)
    approval_deadline_seconds: float = Field(default=72 * 3600, gt=0)
    review_deadline_seconds: float = Field(default=7 * 24 * 3600, gt=0)
    retention_seconds: float = Field(default=7 * 24 * 3600, gt=0)
    critic_rounds: int = Field(default=2, ge=0)

    # Calls
    max_tries: int = Field(default=4, ge=1)
    retry_base_seconds: float = Field(default=0.5, gt=0)
    retry_cap_seconds: float = Field(default=30, gt=0)
    retry_policies: dict[str, Retries] = Field(default_factory=dict)
    """By stage or tool: `{"plan": {"max_tries": 3}, "studio.relight": {"retry_base_seconds": 2}}`. Of each value, the
    most specific word counts: the tool's, the stage's, the three settings above."""
    retry_budget_share: float = Field(default=0.1, ge=0, le=1)
    """All workers together retry so often on one dependency, as a share of the calls they begin …"""
    retry_budget_burst: int = Field(default=64, ge=0)
    """… beyond so many, which are free: what one lost connection takes down in a worker process, all its slots …"""
    retry_budget_window_seconds: float = Field(default=60, ge=1, le=3600)
    """… in any time of this length."""
    cool_cap_seconds: float = Field(default=600, gt=0)
    """A dependency that asks for a longer pause is asked again after so long, by those that it did not tell itself."""
    parallel_steps: int = Field(default=4, ge=1)
    effect_grace_seconds: float = Field(default=5, ge=0)
    """How long past its deadline a try may still reach the other side; only then is a repeat thought of."""
    billed_repeats: int = Field(default=1, ge=0)
    """How often a `billed` call is sent again although it may have been carried out."""
    model_repeats: int = Field(default=2, ge=0)
    """The same for what a model is asked before execution: after that the run is FAILED, since nobody can be asked."""
    tools_fresh_seconds: float = Field(default=5, ge=0)
    """So long a worker believes what a tool server listed; before a call with effects it asks in any case."""

    # Guardrails
    budget_usd: Decimal = Field(default=Decimal(1), ge=0)
    max_budget_usd: Decimal = Field(default=Decimal(100), ge=0)
    """The most that a caller may ask for with `--budget`."""
    max_steps: int = Field(default=24, ge=1)
    banned_tools: tuple[str, ...] = ()
    allowed_tools: tuple[str, ...] = ()
    approve_above_usd: Decimal | None = None

    # Pictures
    max_upload_bytes: int = Field(default=25 * 1024 * 1024, ge=1)
    max_pixels: int = Field(default=50_000_000, ge=1)

    @field_validator("redis_ca_file", "redis_cert_file", "redis_key_file", mode="before")
    @classmethod
    def _empty_names_no_file(cls, value: Any) -> Any:
        return value or None

    @field_validator("retry_policies")
    @classmethod
    def _retries_are_of_stages_and_tools(cls, policies: dict[str, Retries]) -> dict[str, Retries]:
        for name in policies:
            if name not in set(Stage) and not re.match(TOOL_NAME, name):
                raise ValueError(f"{name!r} is no stage ({', '.join(Stage)}) and no tool, as in studio.relight")
        return policies

    @field_validator("model")
    @classmethod
    def _model_is_a_name_or_a_reference(cls, model: str) -> str:
        module, colon, factory = model.partition(":")
        named = model in ("offline", "instant")
        if not named and not (colon and factory.isidentifier() and all(map(str.isidentifier, module.split(".")))):
            raise ValueError(f"must be offline, instant, or package.module:factory, not {model!r}")
        return model

    @model_validator(mode="after")
    def _times_fit_together(self) -> Settings:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("heartbeat_seconds may be at most half of lease_seconds, or healthy claims expire")
        return self

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Raises `InvalidInput` that names the setting."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            refused = refusal(error)
            name = refused.field.partition(".")[0].upper()
            raise InvalidInput(f"setting PROLIGHT_{name}: {refused}", field="settings") from None
        except SettingsError as error:
            raise InvalidInput(f"a PROLIGHT_ setting is no JSON: {error}", field="settings") from None

    @cached_property
    def up(self) -> dict[str, Any]:
        """The runtime file of a running `prolight up`; empty when there is none."""
        try:
            runtime = json.loads(self.runtime_file.read_text())
            os.kill(runtime["pid"], 0)
        except (OSError, ValueError, KeyError):
            return {}
        return dict(runtime)

    @property
    def runtime_file(self) -> Path:
        return self.home / "up.json"

    @property
    def store_address(self) -> RedisAddress:
        """Raises `InvalidInput` that names the setting."""
        said = {
            "PROLIGHT_REDIS_URL": self.redis_url,
            "REDIS_URL": os.environ.get("REDIS_URL"),
            str(self.runtime_file): self.up.get("redis_url"),
            "the default": DEFAULT_REDIS_URL,
        }
        name, url = next((name, url) for name, url in said.items() if url)
        files = {
            "ssl_ca_certs": self.redis_ca_file,
            "ssl_certfile": self.redis_cert_file,
            "ssl_keyfile": self.redis_key_file,
        }
        return redis_url.parse(url, name=name, files=files)

    @property
    def store_url(self) -> str:
        """As redis-py wants it."""
        return self.store_address.url

    @property
    def tool_server_url(self) -> str:
        return self.studio_url or self.up.get("studio_url") or DEFAULT_STUDIO_URL

    @property
    def health_folder(self) -> Path:
        return self.health or self.home / "health"

    @property
    def artifact_root(self) -> Path:
        return self.artifacts or self.home / "artifacts"

    @property
    def picture_limits(self) -> PictureLimits:
        from prolight.pictures import PictureLimits

        return PictureLimits(max_bytes=self.max_upload_bytes, max_pixels=self.max_pixels)

    @property
    def deadlines(self) -> Deadlines:
        return Deadlines(
            run=timedelta(seconds=self.run_deadline_seconds),
            stage=timedelta(seconds=self.stage_deadline_seconds),
            step=timedelta(seconds=self.step_timeout_seconds),
            approval=timedelta(seconds=self.approval_deadline_seconds),
            review=timedelta(seconds=self.review_deadline_seconds),
            retention=timedelta(seconds=self.retention_seconds),
            critic_rounds=self.critic_rounds,
        )

    @property
    def retry(self) -> RetryPolicies:
        default = RetryPolicy(
            max_tries=self.max_tries,
            base=timedelta(seconds=self.retry_base_seconds),
            cap=timedelta(seconds=self.retry_cap_seconds),
        )
        return RetryPolicies(default, {name: retries.change for name, retries in self.retry_policies.items()})

    @property
    def sparing(self) -> Sparing:
        window = timedelta(seconds=self.retry_budget_window_seconds)
        return Sparing(
            share=self.retry_budget_share,
            burst=self.retry_budget_burst,
            window=window,
            longest_pause=timedelta(seconds=self.cool_cap_seconds),
        )

    @property
    def ledger(self) -> LedgerPolicy:
        grace = timedelta(seconds=self.effect_grace_seconds)
        return LedgerPolicy(grace=grace, repeats=self.billed_repeats, model_repeats=self.model_repeats)

    @property
    def policy(self) -> Policy:
        return Policy(
            max_steps=self.max_steps,
            banned_tools=frozenset(self.banned_tools),
            allowed_tools=frozenset(self.allowed_tools),
            approve_above_usd=self.approve_above_usd,
        )
