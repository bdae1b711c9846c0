"""Errors of requests to PiAPI, and the errors that users see when PiAPI refuses one."""

from ..errors import CreditsError, FluxError, KeyRefusedError, PlanError, RefusedError
from .responses import ParsedResponse
from .submission import PLAN, SubmissionOutcome, SubmissionResult

PLAN_HINT = (
    "Upgrade it at https://piapi.ai/workspace. flux gen works on every plan, and so does flux edit with an image URL"
)
UNAVAILABLE_HINT = "This is a problem at PiAPI. Try again later"
UPLOAD_PLAN_HINT = "Uploads require the Creator plan or higher. On any plan, you can pass the URL of a public image"


class TemporaryError(Exception):
    """A free request failed, and may succeed if it is repeated.

    retry_after: seconds that PiAPI asks to wait; None if it does not. hint: what the user can do; None if unknown.
    """

    def __init__(self, message: str, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.hint = hint


class TaskNotFoundError(Exception):
    """PiAPI does not have the task. The message is PiAPI's."""


def refusal_error(result: SubmissionResult) -> FluxError:
    """Return the error for a submission that PiAPI refused permanently."""
    message = result.message
    if result.outcome is SubmissionOutcome.OUT_OF_CREDITS:
        return credits_error(message)
    if result.outcome is SubmissionOutcome.KEY_REFUSED:
        return key_error(message)
    if result.outcome is SubmissionOutcome.PLAN_TOO_LOW:
        return PlanError(f"your PiAPI plan does not include this request: {message}", hint=PLAN_HINT)
    hint = "Change the prompt or the options. To see the request, add --dry-run"
    return RefusedError(f"PiAPI refused the request: {message}", hint=hint)


def upload_error(status: int, parsed: ParsedResponse) -> FluxError:
    """Return the error for an upload that PiAPI refused permanently."""
    message = parsed.error_words(status)
    if status == 401 or parsed.code == 1200:
        return key_error(message)
    if status == 402 or parsed.code == 1300:
        return credits_error(message)
    if status == 403 and PLAN.search(parsed.message):
        return PlanError(f"the image could not be uploaded: {message}", hint=UPLOAD_PLAN_HINT)
    hint = "The limit for uploads is 10 MB" if status == 413 else None
    return RefusedError(f"the image could not be uploaded: {message}", hint=hint)


def credits_error(message: str) -> CreditsError:
    """Return the error for an account without enough credits."""
    reason = message if "credit" in message.casefold() else f"out of credits: {message}"
    return CreditsError(reason, hint="Top up at https://piapi.ai/workspace, then run the command again")


def key_error(message: str) -> KeyRefusedError:
    """Return the error for a key that PiAPI does not accept."""
    return KeyRefusedError(f"PiAPI refused the key: {message}", command=("login",))
