"""What goes wrong when parts are started here."""

from __future__ import annotations

from prolight.errors import ProLightError


class StackFailed(ProLightError):
    """A part of the embedded stack cannot start or go on. The message names the part and the fix."""

    code = "stack_failed"
