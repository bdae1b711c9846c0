"""What the service's answers mean: what became of a POST, and which errors its refusals are."""

from ..errors import CreditsError, KeyRefusedError, RefusedError
from ..frozen import frozen
from .http_errors import Response, is_untrusted, plain_words, retry_after
from .responses import Reply, read_reply, seen_task_id, told
from .submission import Evidence, Fate, fate_of
from .task import Task


@frozen
class Answer:
    """What became of one POST.

    retry_after: what the server asked for, in seconds, 0 to 300.
    evidence: what came back, in plain words, for the journal.
    seen_id: a task id in an answer that cannot be read as a whole.
    """

    fate: Fate
    task: Task | None
    message: str
    retry_after: float | None = None
    evidence: str = ""
    seen_id: str | None = None


class PassingTroubleError(Exception):
    """A free request failed in a way that is worth another try."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class NoSuchTaskError(Exception):
    """The service does not know the task; the message holds its words."""


def answered(response: Response) -> Answer:
    """What a response says of its POST."""
    reply = read_reply(response.content)
    seen_id = None if reply.task else seen_task_id(response.content)
    evidence = Evidence(
        sent=True,
        status=response.status,
        complete=response.complete,
        well_formed=reply.well_formed,
        code=reply.code,
        message=reply.message,
        task_id=reply.task.id if reply.task else None,
        seen_id=seen_id,
    )
    cut = "" if response.complete else ", cut short"
    came = f"the answer was HTTP {response.status}{cut}; its text: {told(response.content) or 'none'}"
    words = words_of(response.status, reply) if response.complete else f"HTTP {response.status}, cut short"
    return Answer(fate_of(evidence), reply.task, words, retry_after(response.headers), came, seen_id)


def lost(error: Exception, *, sent: bool, seen_id: str | None) -> Answer:
    """What an error says of the POST that it ended. sent: sending had begun; seen_id: a task id in what had come."""
    fate = fate_of(Evidence(sent=sent, untrusted=is_untrusted(error), seen_id=seen_id))
    words = plain_words(error)
    return Answer(fate, None, words, None, f"{words} ({type(error).__name__})", seen_id)


def words_of(status: int, reply: Reply) -> str:
    """The service's own words, or the status."""
    code = f" (code {reply.code})" if reply.code and reply.code != status and reply.code >= 1000 else ""
    return f"{reply.message}{code}" if reply.message else f"HTTP {status}{code}"


def refusal(answer: Answer) -> RefusedError | CreditsError | KeyRefusedError:
    """The error for a POST that was refused for good."""
    if answer.fate is Fate.NO_CREDITS:
        return CreditsError(
            f"out of credits: {answer.message}", hint="top up in the PiAPI workspace, then run it again"
        )
    if answer.fate is Fate.NO_KEY:
        return key_refused(answer.message)
    return RefusedError(f"the service refused the request: {answer.message}")


def upload_refused(status: int, reply: Reply) -> RefusedError | CreditsError | KeyRefusedError:
    """The error for an upload that was refused for good."""
    words = words_of(status, reply)
    if status == 401 or reply.code == 1200:
        return key_refused(words)
    if status == 402 or reply.code == 1300:
        return CreditsError(f"the picture could not be uploaded: {words}")
    return RefusedError(f"the picture could not be uploaded: {words}")


def key_refused(message: str, *, money: str | None = None) -> KeyRefusedError:
    """The error for a key that the service does not accept."""
    hint = "give another one with: flux login"
    return KeyRefusedError(f"the service refused the key: {message}", hint=hint, money=money)
