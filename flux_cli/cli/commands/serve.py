"""Commands that serve other programs."""

from ...errors import ExitCode
from ...sandbox.options import ServerOptions
from ..context import Session
from ..options.arguments import ListenArguments
from ..options.options import SaveOptions


def sandbox(session: Session, options: ServerOptions) -> ExitCode:
    """Serve a miniature of PiAPI, to test scripts at no cost.

    flux sandbox

    flux sandbox --fault "create:429 times=2 retry-after=1" --fault "picture:truncate rate=0.2"
    """
    from ..calls.serving import serve_sandbox

    return serve_sandbox(session, options)


def listen(session: Session, options: ListenArguments, save: SaveOptions) -> ExitCode:
    """Receive PiAPI's webhooks, and save the pictures.

    A delivery is a hint: the service is asked before anything is believed, and pictures are saved as by flux wait. For
    --exec there are FLUX_TASK_ID, FLUX_ENTRY and FLUX_PROMPT, and no shell.

    flux listen -d pictures --webhook-secret-file secret

    flux listen --exec "convert -resize 50%" --forward http://127.0.0.1:9000/done
    """
    from ..calls.listening import listen as receive

    return receive(session, options, save)
