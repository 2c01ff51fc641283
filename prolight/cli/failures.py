"""What a command's failure means to the shell, and the fix that the error itself does not know."""

from __future__ import annotations

from prolight.cli.output import ExitCode
from prolight.errors import STORE_FIX, InvalidInput, ProLightError, StoreUnavailable

PASSWORD_FIX = "put its password into PROLIGHT_REDIS_URL: redis://:PASSWORD@HOST:6379/0"  # noqa: S105 - names the place of one
STUDIO_FIX = "`prolight up`, or `python -m prolight.studio`; PROLIGHT_STUDIO_URL names another"


class Refused(ProLightError):
    """The command cannot do this here and now; the message names the fix."""

    code = "refused"


def exit_code(error: ProLightError) -> ExitCode:
    if isinstance(error, InvalidInput):
        return ExitCode.USAGE
    return ExitCode.AUTH if _wants_password(error) else ExitCode.FAILED


def fix(error: ProLightError) -> str:
    """What helps; empty where the message says it already."""
    if _wants_password(error):
        return PASSWORD_FIX
    return STORE_FIX if isinstance(error, StoreUnavailable) and "prolight up" not in str(error) else ""


def message(error: ProLightError) -> str:
    """The error in one line, with its fix."""
    return ": ".join(filter(None, (str(error), fix(error))))


def _wants_password(error: ProLightError) -> bool:
    # By name: the class is redis-py's, and only the store adapter may know redis-py.
    return type(error.__cause__).__name__ == "AuthenticationError"
