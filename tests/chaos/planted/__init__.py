"""Violations written by hand. Each is a sentence, and an edit of a good history that makes it true."""

from __future__ import annotations

from tests.chaos.planted import calls, claims, plans, runs, streams
from tests.chaos.planted.plant import Plant

PLANTED: tuple[Plant, ...] = (*runs.PLANTED, *streams.PLANTED, *calls.PLANTED, *claims.PLANTED, *plans.PLANTED)
"""Of all invariants."""
