"""`flux sandbox`: the mock server for other programs, including the failures that they must handle."""

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...batch.costs import parse_amount
from ...config.settings import number, one_of
from ...config.urls import is_loopback
from ...errors import DiskError, ExitCode, UsageError
from ...text import clean, counted, usd
from ..context import SANDBOX_SPEED, Session
from ..options.sandbox import SandboxOptions
from ..output.output import Mode

if TYPE_CHECKING:
    from socket import socket

    from ...sandbox.app import Service
    from ...sandbox.store import Store
    from ...system.signals import Stop

T = TypeVar("T")
KEY = "flux-sandbox-key"
"""Printed as the API key if any key is accepted. No file name contains it, because keys are hidden in output."""


def serve_sandbox(session: Session, options: SandboxOptions) -> ExitCode:
    """Serve the mock until a signal comes, which is not an error.

    Raise UsageError, ConfigError or DiskError.
    """
    if options.list_faults:
        from ...sandbox.faults import describe_faults

        for line in describe_faults():
            session.output.result(line)
        return ExitCode.OK
    from ...system.signals import Stop
    from ...webhooks.server import listening_socket

    with ExitStack() as kept:
        service = _service(session, options, kept)
        listener = kept.enter_context(listening_socket(options.host, options.port, command="flux sandbox"))
        stop = Stop()
        stop.run(_serve(session, options, service, listener, stop))
        tasks, cost = len(service.store.tasks()), service.store.spent()
    session.output.note(f"Stopped. Served {counted(tasks, 'task')} ({usd(cost)} simulated).")
    return ExitCode.OK


def _service(session: Session, options: SandboxOptions, kept: ExitStack) -> "Service":
    """Return the mock server that the options describe."""
    from ...sandbox.app import Service
    from ...sandbox.faults import Faults, duration
    from ...sandbox.responses import REPLIES
    from ...sandbox.webhook_sender import WebhookSender

    speed = float(_checked("--speed", number(0.001, 1000), options.speed or f"{SANDBOX_SPEED:g}"))
    faults = Faults(options.seed)
    faults.add(options.faults or [])
    return Service(
        _store(options.state, kept),
        speed=speed,
        plan=_checked("--plan", one_of("free", "creator", "pro"), options.plan),
        credit=None if options.credits is None else parse_amount(options.credits, "--credits"),
        keys=frozenset(_checked("--key", _key, key) for key in options.keys or []) or None,
        catalog=session.catalog,
        replies=_checked("--replies", one_of(*REPLIES), options.replies),
        result_seconds=_checked("--expire", duration, options.expire),
        faults=faults,
        webhooks=WebhookSender(_allowed_hosts(options), faults, log_of(session), pause=min(5.0, 15.0 / speed)),
    )


def _checked(name: str, check: Callable[[str], T], text: str) -> T:
    try:
        return check(text)
    except ValueError as problem:
        raise UsageError(f"{name} {clean(text, 40)!r}: {problem}") from None


def _key(text: str) -> str:
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError("expected printable ASCII without spaces")
    return text


def _store(state: Path | None, kept: ExitStack) -> "Store":
    """Open the tasks' file: the user's, or a temporary one. Raise DiskError."""
    import sqlite3
    import tempfile

    from ...sandbox.store import Store

    try:
        if state is None:
            folder = tempfile.TemporaryDirectory(prefix="flux-sandbox-", ignore_cleanup_errors=True)
            return kept.enter_context(closing(Store(Path(kept.enter_context(folder)) / "service.db")))
        return kept.enter_context(closing(Store(state)))
    except (sqlite3.Error, OSError) as error:
        raise DiskError(f"cannot keep tasks in {clean(str(state or tempfile.gettempdir()))}: {error}") from error


def _allowed_hosts(options: SandboxOptions) -> Callable[[str], bool]:
    """Return a test of whether webhooks may go to a host.

    Anyone who can reach the sandbox can make it send requests. Another machine must not reach this one that way.
    """
    named = {host.casefold() for host in options.webhook_hosts or []}
    own = is_loopback(options.host)
    return lambda host: host.casefold() in named or (own and is_loopback(host))


async def _serve(
    session: Session, options: SandboxOptions, service: "Service", listener: "socket", stop: "Stop"
) -> None:
    from ...sandbox.app import create_app
    from ...sandbox.middleware import AccessLog
    from ...sandbox.page import Page
    from ...webhooks.server import origin_of, serve

    note = log_of(session)
    app = AccessLog(create_app(service, Page(service).routes()), note)
    _announce(session, options, service, origin_of(options.host, listener))
    await serve(app, listener, stop, note)


def log_of(session: Session) -> Callable[[str], None]:
    """Return a function that writes one line of the log."""
    return lambda line: session.output.note(f"{time.strftime('%H:%M:%S')} {line}")


def variable_lines(variables: Mapping[str, str], environ: Mapping[str, str], platform: str = sys.platform) -> list[str]:
    """Return the commands that set environment variables in the user's shell.

    On Windows they are PowerShell's, then those of cmd.exe; a POSIX shell there, such as Git Bash, sets SHELL.
    """
    if platform != "win32" or "SHELL" in environ:
        return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    quoted = {name: value.replace("'", "''") for name, value in variables.items()}
    return [
        "# PowerShell",
        *(f"$env:{name} = '{value}'" for name, value in quoted.items()),
        "rem cmd.exe",
        *(f'set "{name}={value}"' for name, value in variables.items()),
    ]


def _announce(session: Session, options: SandboxOptions, service: "Service", origin: str) -> None:
    """Print how to reach the server: variables to copy on stdout, notes on stderr."""
    output = session.output
    key = next(iter(options.keys or []), KEY)
    variables = {"FLUX_BASE_URL": f"{origin}/api/v1", "FLUX_UPLOAD_URL": origin, "PIAPI_API_KEY": key}
    if service.speed != 1:
        variables["FLUX_TIME_SCALE"] = f"{1 / service.speed:.6g}"
    if key == KEY:
        output.secrets.discard(key)
    elif key in output.secrets:  # it may be a real one
        del variables["PIAPI_API_KEY"]
        output.note("PIAPI_API_KEY is set already; its value is not printed")
    if output.mode is Mode.JSON:
        output.record("sandbox", {"page": f"{origin}/", "variables": {**variables}})
    else:
        # In one write, so that a script that waits for the first line gets all of them.
        output.lines("\n".join(variable_lines(variables, session.environ)))
    output.note(f"Mock of PiAPI: {origin}/ shows its tasks and images; prices are simulated. Ctrl-C stops it.")
    if not is_loopback(options.host):
        output.warn(
            f"{clean(options.host, 60)} can be reached from other machines: anyone there can use this sandbox, see its "
            "images and change its faults. flux itself accepts plain HTTP from localhost only."
        )
    if session.sandbox:
        output.warn("the setting sandbox is on: flux would use its in-process sandbox instead; unset FLUX_SANDBOX")
