"""Commands that run a local server."""

from ...errors import ExitCode
from ..context import Session
from ..options.arguments import ListenArguments
from ..options.options import SaveOptions
from ..options.sandbox import SandboxOptions


def sandbox(session: Session, options: SandboxOptions) -> ExitCode:
    """Serve a mock of PiAPI on localhost, to test for free.

    It simulates prices, limits and failures, and shows tasks and images on a page. Ctrl-C stops it.

    flux sandbox

    flux sandbox --fault "create:429 times=2 retry-after=1" --fault "image:truncate rate=0.2"
    """
    from ..calls.serving import serve_sandbox

    return serve_sandbox(session, options)


def listen(session: Session, options: ListenArguments, save: SaveOptions) -> ExitCode:
    """Receive PiAPI's webhooks and save the images.

    A webhook is only a trigger: flux checks the task's status with PiAPI, and saves its images as flux wait does. The
    --exec command runs without a shell, with FLUX_TASK_ID, FLUX_ENTRY and FLUX_PROMPT in its environment.

    flux listen -d images --webhook-secret-file secret

    flux listen --exec "convert -resize 50%" --forward http://127.0.0.1:9000/done
    """
    from ..calls.listening import listen as receive

    return receive(session, options, save)
