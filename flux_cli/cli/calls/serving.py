"""`flux sandbox`: the miniature service for other programs, with the failures that they will meet."""

import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...batch.costs import parse_amount
from ...config.settings import number, one_of
from ...config.urls import is_loopback
from ...errors import DiskError, ExitCode, UsageError
from ...sandbox.options import ServerOptions
from ...text import clean, counted, usd
from ..context import SANDBOX_SPEED, Session
from ..output.output import Mode

if TYPE_CHECKING:
    from socket import socket

    from ...sandbox.app import Service
    from ...sandbox.store import Store
    from ...system.signals import Stop

T = TypeVar("T")
KEY = "flux-sandbox-key"
"""Stands for a key when any is accepted. Nothing that could be part of a file's name: keys are hidden in output."""


def serve_sandbox(session: Session, options: ServerOptions) -> ExitCode:
    """Serve the miniature until a signal comes, which is how it ends well.

    Raises UsageError, ConfigError, DiskError.
    """
    if options.list_faults:
        from ...sandbox.faults import documented

        for line in documented():
            session.output.result(line)
        return ExitCode.OK
    from ...system.signals import Stop
    from ...webhooks.server import listening_socket

    with ExitStack() as kept:
        service = _service(session, options, kept)
        listener = kept.enter_context(listening_socket(options.host, options.port, usual="flux sandbox"))
        stop = Stop()
        stop.run(_serve(session, options, service, listener, stop))  # at once: whoever reads the addresses may stop it
        tasks, cost = len(service.store.tasks()), service.store.spent()
    session.output.note(f"stopped: {counted(tasks, 'task')}, {usd(cost)} that nobody paid")
    return ExitCode.OK


def _service(session: Session, options: ServerOptions, kept: ExitStack) -> "Service":
    """The service that the options describe."""
    from ...sandbox.app import Service
    from ...sandbox.breaking import Faults
    from ...sandbox.faults import duration
    from ...sandbox.shapes import SHAPES
    from ...sandbox.webhooks import Webhooks

    speed = float(_checked("--speed", number(0.001, 1000), options.speed or f"{SANDBOX_SPEED:g}"))
    shape = _checked("--replies", one_of(*SHAPES), options.replies)
    plan = _checked("--plan", one_of("free", "creator", "pro"), options.plan)
    expire = _checked("--expire", duration, options.expire)
    credit = None if options.credits is None else parse_amount(options.credits, "--credits")
    keys = frozenset(_checked("--key", _key, key) for key in options.keys or [])
    faults = Faults(options.seed)
    faults.add(options.faults or [])
    return Service(
        _store(options.state, kept),
        speed=speed,
        plan=plan,
        credit=credit,
        keys=keys or None,
        catalog=session.catalog,
        shape=shape,
        result_seconds=expire,
        faults=faults,
        webhooks=Webhooks(_deliverable(options), faults, log_of(session), pause=min(5.0, 15.0 / speed)),
    )


def _checked(name: str, check: Callable[[str], T], text: str) -> T:
    try:
        return check(text)
    except ValueError as problem:
        raise UsageError(f"{name}: {problem}", money="") from None


def _key(text: str) -> str:
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError("printable ASCII without spaces")
    return text


def _store(state: Path | None, kept: ExitStack) -> "Store":
    """The tasks' file: the user's, or one that goes with this process. Raises DiskError."""
    import sqlite3
    import tempfile

    from ...sandbox.store import Store

    try:
        if state is None:
            folder = tempfile.TemporaryDirectory(prefix="flux-sandbox-", ignore_cleanup_errors=True)
            return kept.enter_context(closing(Store(Path(kept.enter_context(folder)) / "service.db")))
        return kept.enter_context(closing(Store(state)))
    except (sqlite3.Error, OSError) as error:
        raise DiskError(f"cannot keep the tasks in {clean(str(state or tempfile.gettempdir()))}: {error}") from error


def _deliverable(options: ServerOptions) -> Callable[[str], bool]:
    """Where deliveries to webhooks may go.

    Whoever can reach the sandbox can have it send a request: those from other machines must not reach this one so.
    """
    named = {host.casefold() for host in options.webhook_hosts or []}
    own = is_loopback(options.host)
    return lambda host: host.casefold() in named or (own and is_loopback(host))


async def _serve(
    session: Session, options: ServerOptions, service: "Service", listener: "socket", stop: "Stop"
) -> None:
    from ...sandbox.app import create_app
    from ...sandbox.board import Board
    from ...sandbox.front import Front
    from ...webhooks.server import origin_of, serve

    note = log_of(session)
    app = Front(create_app(service, Board(service).routes()), note)
    _announce(session, options, service, origin_of(options.host, listener))
    await serve(app, listener, stop, note)


def log_of(session: Session) -> Callable[[str], None]:
    """What takes a line of the log."""
    return lambda line: session.output.note(f"{time.strftime('%H:%M:%S')} {line}")


def _announce(session: Session, options: ServerOptions, service: "Service", origin: str) -> None:
    """How to reach it: variables ready to copy on stdout, remarks on stderr."""
    output = session.output
    key = next(iter(options.keys or []), KEY)
    variables = {"FLUX_BASE_URL": f"{origin}/api/v1", "FLUX_UPLOAD_URL": origin, "PIAPI_API_KEY": key}
    if service.speed != 1:
        variables["FLUX_TIME_SCALE"] = f"{1 / service.speed:.6g}"
    if key == KEY:
        output.secrets.discard(key)
    elif key in output.secrets:  # it may be a real one
        del variables["PIAPI_API_KEY"]
        output.note("PIAPI_API_KEY: the one that is set here already, which is not printed")
    if output.mode is Mode.JSON:
        output.record("sandbox", {"page": f"{origin}/", "variables": {**variables}})
    else:
        # In one piece: a script that waits for the first line has all of them.
        output.lines("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
    output.note(f"tasks and pictures: {origin}/ ; Ctrl-C stops it")
    if not is_loopback(options.host):
        output.warn(
            f"{clean(options.host, 60)} can be reached by other machines: whoever does can use this sandbox, see what "
            "it draws, and change its faults; flux itself takes plain http from this machine only"
        )
    if session.sandbox:
        output.warn("the setting sandbox is on: flux would use the one inside the program; unset FLUX_SANDBOX")
