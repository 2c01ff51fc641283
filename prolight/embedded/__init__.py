"""The parts that ProLight can run by itself, for `prolight up`, `prolight demo` and tests."""

from prolight.embedded.child import Child
from prolight.embedded.errors import StackFailed
from prolight.embedded.stack import Stack
from prolight.embedded.valkey import ValkeyServer, start_valkey

__all__ = ["Child", "Stack", "StackFailed", "ValkeyServer", "start_valkey"]
