"""Every error that ProLight raises on purpose, and whether trying again can help.

    ProLightError
    ├── InvalidInput            refused at the door; names the field and the limit
    │   ├── PictureRefused      not a picture that we take
    │   ├── PlanInvalid         the model's plan is not a plan
    │   │   └── ToolChanged     a tool is no longer what it was when the plan was made
    │   └── IdempotencyMismatch same key, other content
    ├── RunNotFound
    ├── ArtifactMissing
    ├── ToolsMissing            a package that a tool server needs is not installed
    ├── NothingFinished         the run has no finished pictures (yet)
    ├── IllegalMove             the table in lifecycle.py has no such arrow
    │   ├── PlanChanged         an approval names another plan than the one that waits
    │   └── PicturesChanged     … other finished pictures than those that wait
    ├── StoreError
    │   ├── VersionConflict     somebody committed first: read again, decide again
    │   ├── ClaimLost           the claim ended: stop, write nothing
    │   ├── StoreUnavailable    no answer (retryable)
    │   └── StoreRefused        wrong server or settings; says the fix
    ├── GuardrailDenied         policy says no
    │   └── BudgetExceeded
    ├── ServerCrashed           a pure call lost a tool server of our own: a crash of its run
    └── CallError               one LLM or tool call
        ├── NotSent             nothing left this process (retryable, free)
        │   ├── CoolingDown     the dependency asks all workers for a pause
        │   └── NoRetryLeft     the retry budget of the dependency is spent for now
        ├── CallRejected        the other side refused before acting
        │   └── RateLimited     … for now (retryable, may carry retry_after)
        ├── ToolFailed          the tool says that it cannot do this
        └── OutcomeUnknown      it may or may not have happened
            └── ConnectionLost

Adapters map foreign errors to this tree; nothing above them sees a foreign one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

STORE_FIX = "`prolight up` starts one here, PROLIGHT_REDIS_URL names another"
"""What helps where no store answers."""


class ProLightError(Exception):
    """Base of all. `code` is stable and goes on the record; the message is for people."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    retry_after: timedelta | None = None
    step: str | None = None
    """The step of the plan in which it happened, once that is known."""


class InvalidInput(ProLightError):
    """Input that was refused at the door. `field` names the offender."""

    code = "invalid_input"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class PictureRefused(InvalidInput):
    """The bytes are no picture that ProLight takes (type, size, or a bomb)."""

    code = "picture_refused"


class PlanInvalid(InvalidInput):
    """A plan that cannot be carried out as written."""

    code = "plan_invalid"


class ToolChanged(PlanInvalid):
    """A tool's definition is another one than the plan's lock pins."""

    code = "tool_changed"

    def __init__(self, tool: str, pin: str, *, step: str) -> None:
        super().__init__(f"tool {tool!r} has changed since the plan was made", field=f"step {step}")
        self.tool, self.pin, self.step = tool, pin, step


class IdempotencyMismatch(InvalidInput):
    """The idempotency key or run id is already taken by other content."""

    code = "idempotency_mismatch"


class RunNotFound(ProLightError):
    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run {run_id!r}: `prolight list` shows the runs of this store")
        self.run_id = run_id


class ArtifactMissing(ProLightError):
    """A picture is referred to that the artifact store does not hold."""

    code = "asset_not_found"


class ToolsMissing(ProLightError):
    """A tool server cannot be had here. The message names the fix."""

    code = "tools_missing"


class NothingFinished(ProLightError):
    """A run is asked for finished pictures that it does not have."""

    code = "nothing_finished"


class IllegalMove(ProLightError):
    """`lifecycle.TRANSITIONS` has no such arrow. Nothing was changed."""

    code = "illegal_move"


class PlanChanged(IllegalMove):
    """What was approved is not what waits: somebody has changed the plan since."""

    code = "plan_changed"


class PicturesChanged(IllegalMove):
    """What was approved are not the finished pictures that wait."""

    code = "pictures_changed"


class StoreError(ProLightError):
    code = "store_error"


class VersionConflict(StoreError):
    """The run was committed to by somebody else since it was read."""

    code = "version_conflict"


class ClaimLost(StoreError):
    """The claim under which this write was made has ended."""

    code = "claim_lost"


class StoreUnavailable(StoreError):
    """The store does not answer."""

    code = "store_unavailable"
    retryable = True


class StoreRefused(StoreError):
    """The store answers, but ProLight must not use it as it is. The message names the fix."""

    code = "store_refused"


class GuardrailDenied(ProLightError):
    code = "guardrail_denied"


class BudgetExceeded(GuardrailDenied):
    code = "budget_exceeded"


class CallError(ProLightError):
    """Something about one call to a model or a tool."""

    code = "call_failed"

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotSent(CallError):
    """Refused connection, or the dispatch window passed: the other side saw nothing."""

    code = "not_sent"
    retryable = True


class CoolingDown(NotSent):
    """The dependency has asked for a pause, and it is not over."""

    code = "cooling_down"


class NoRetryLeft(NotSent):
    """All workers together have retried enough on this dependency for now."""

    code = "retry_budget"


class CallRejected(CallError):
    """The other side refused before it acted (4xx, bad arguments)."""

    code = "call_rejected"


class RateLimited(CallRejected):
    """The other side asks for a pause; `retry_after` says how long, when it said so."""

    code = "rate_limited"
    retryable = True


class ToolFailed(CallError):
    """The tool answered that it cannot do this; `code` is the tool's own."""

    code = "tool_failed"

    def __init__(self, message: str, *, code: str = "tool_failed") -> None:
        super().__init__(message)
        self.tool_code = code


class OutcomeUnknown(CallError):
    """Lost connection, time-out, 5xx: nobody knows whether it happened."""

    code = "outcome_unknown"
    retryable = True


class ConnectionLost(OutcomeUnknown):
    """The other side was connected, and is gone."""


class ServerCrashed(ProLightError):
    """A server of our own was lost while it worked on a pure call, which may be what it died of."""

    code = "server_crashed"
