"""The Celery side of ProLight. `celery -A workers worker` starts a worker."""

from workers.app import app

__all__ = ["app"]
