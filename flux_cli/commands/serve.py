"""Commands that serve other programs."""

from ..errors import ExitCode
from ..sandbox.options import ServerOptions
from ..session import Session


def sandbox(session: Session, options: ServerOptions) -> ExitCode:
    """Serve a miniature of PiAPI, to test scripts at no cost.

    flux sandbox

    flux sandbox --fault "create:429 times=2 retry-after=1" --fault "picture:truncate rate=0.2"
    """
    from ..serving import serve_sandbox

    return serve_sandbox(session, options)
