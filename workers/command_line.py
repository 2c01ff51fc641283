"""What `celery worker` would take, and ProLight's workers refuse rather than ignore."""

from __future__ import annotations

import os
from typing import Any

import click
from click.core import ParameterSource

from prolight.adapters.redis_url import RedisAddress
from prolight.errors import InvalidInput

POOL = "workers.pool:ShellPool"
RIGHT = "start it with `celery -A workers worker -c N` or `prolight worker -c N`"


def refuse_what_is_not_ours(context: click.Context, _option: click.Parameter, _value: Any) -> None:
    """Celery has worked out its own options when it asks for this one, and has neither detached nor started."""
    if context.get_parameter_source("pool") != ParameterSource.DEFAULT and not _is_ours(context.params["pool"]):
        raise click.ClickException(f"ProLight's workers have a pool of their own, others would work on bells: {RIGHT}")
    if context.params.get("autoscale"):
        raise click.ClickException(f"ProLight's workers do not autoscale, since an idle slot costs nothing: {RIGHT}")


def _is_ours(pool: type) -> bool:
    """`-P custom` may name our pool. `-P prefork` gives the class of ours as well, but asks for another."""
    return os.environ.get("CELERY_CUSTOM_WORKER_POOL") == POOL == f"{pool.__module__}:{pool.__qualname__}"


def refuse_another_broker(address: RedisAddress) -> None:
    """Celery would listen there for ever, while the bells ring in the store. Raises `InvalidInput`."""
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        if os.environ.get(name, address.broker_url) not in ("", address.broker_url):
            raise InvalidInput(
                "store and broker are one server: unset this (or BROKER_URL, or the option -b), "
                "and set PROLIGHT_REDIS_URL alone",
                field=name,
            )


ONLY_OURS = click.Option(
    ["--only-our-pool"], is_flag=True, hidden=True, expose_value=False, callback=refuse_what_is_not_ours
)
"""An option that nobody gives: Celery's way to be asked when the command line is read."""
