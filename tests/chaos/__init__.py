"""Faults on purpose, and a checker that decides the invariants from what was recorded."""
