"""The Celery app and its options. Why each one: a message is a doorbell, never the truth."""

from __future__ import annotations

import logging

from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from prolight.errors import InvalidInput
from prolight.schemas import Stage
from prolight.settings import Settings
from workers.command_line import ONLY_OURS, POOL, refuse_another_broker

# `broker_transport` would do the same for workers, but breaks Flower's broker page. kombu looks up `redis` for
# `redis+socket` as well.
for scheme in ("redis", "rediss"):
    TRANSPORT_ALIASES[scheme] = "workers.transport:Transport"

logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for each tool call says nothing new

try:
    settings = Settings.load()
    address = settings.store_address
    refuse_another_broker(address)
except InvalidInput as error:
    raise SystemExit(f"prolight worker: {error}") from None

app = Celery("prolight", broker=address.broker_url, include=["workers.tasks", "workers.control"])
app.conf.update(
    broker_use_ssl=address.broker_use_ssl,
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    # Explicit direct queues: no bindings that can get lost, no queue made by a typo. Without acks a bell costs one
    # command; a lost one is rung again by the next sweep.
    task_queues=[
        Queue(stage.queue, Exchange(stage.queue, type="direct"), routing_key=stage.queue, no_ack=True)
        for stage in Stage
    ],
    task_create_missing_queues=False,
    task_routes={stage.queue: {"queue": stage.queue} for stage in Stage},
    broker_transport_options={
        "priority_steps": [0],
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
    },
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,
    worker_pool=POOL,
    worker_consumer="workers.consumer:QuietConsumer",
    worker_concurrency=settings.slots,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_send_task_events=True,
    task_send_sent_event=False,
    worker_redirect_stdouts=False,
)
app.steps["consumer"].add("workers.consumer:RuntimeStep")
app.user_options["worker"].add(ONLY_OURS)
