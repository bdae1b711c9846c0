"""`flux sandbox`: the mock server for other programs, with simulated failures."""

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from ...config.api_key import is_key
from ...config.settings import BY_NAME, number, one_of
from ...config.urls import is_loopback
from ...errors import DiskError, ExitCode, UsageError
from ...frozen import frozen
from ...operations.parameters import Group, Option
from ...text import clean, counted, parse_usd, quoted, usd
from ..options import Host, Port
from ..output.output import Mode
from ..registry import help_page
from ..session import SANDBOX_SPEED, Session

if TYPE_CHECKING:
    from socket import socket

    from ...sandbox.app import Service
    from ...sandbox.store import Store
    from ...system.signals import Stop


T = TypeVar("T")
KEY = "flux-sandbox-key"
"""The printed API key if any key is accepted. Keys are hidden in output, so no file name must contain it."""


@frozen
class SandboxOptions(Group):
    """Options of the mock server."""

    title = "Server"

    port: Port = 8517
    host: Host = "127.0.0.1"
    faults: Annotated[
        list[str] | None,
        Option(
            "--fault",
            short="Simulate this failure; repeatable.",
            title="Faults",
            metavar="FAULT",
            help="Simulate this failure; repeatable.",
        ),
    ] = None
    list_faults: Annotated[
        bool,
        Option(
            "--list-faults",
            short="List the failures that can be simulated.",
            title="Faults",
            help="List the failures that can be simulated, and exit.",
        ),
    ] = False
    seed: Annotated[int, Option("--seed", title="Faults", metavar="N", help="Random seed for faults with rate=.")] = 0
    replies: Annotated[
        str,
        Option(
            "--replies",
            title="Simulated account",
            metavar="spec|live",
            help="Respond like PiAPI's published specification (spec) or its live API (live).",
        ),
    ] = "spec"
    plan: Annotated[
        str,
        Option(
            "--plan",
            short="Plan to simulate.",
            title="Simulated account",
            metavar="free|creator|pro",
            help="Plan to simulate; sets the concurrency limit and the allowed operations.",
        ),
    ] = "pro"
    credits: Annotated[
        str | None,
        Option(
            "--credits",
            title="Simulated account",
            metavar="USD",
            help="Balance of the simulated account.",
            default="unlimited",
        ),
    ] = None
    speed: Annotated[
        str | None,
        Option(
            "--speed",
            short="Run tasks X times faster.",
            title="Simulated account",
            metavar="X",
            help="Run tasks X times faster than documented.",
            default=f"{SANDBOX_SPEED:g}",
        ),
    ] = None
    expire: Annotated[
        str,
        Option(
            "--expire",
            title="Simulated account",
            metavar="DURATION",
            help="How long image URLs stay valid, for example 30s, 10m or 2h.",
        ),
    ] = "7d"
    keys: Annotated[
        list[str] | None,
        Option(
            "--key",
            short="Accept only this API key; repeatable.",
            metavar="KEY",
            help="Accept only this API key; repeatable.",
            default="any key",
        ),
    ] = None
    webhook_hosts: Annotated[
        list[str] | None,
        Option(
            "--webhook-host",
            title="Webhooks",
            metavar="HOST",
            help="Also deliver webhooks to HOST; repeatable.",
            default="localhost only",
        ),
    ] = None
    state: Annotated[
        Path | None,
        Option(
            "--state",
            short="Keep tasks and uploads in FILE.",
            metavar="FILE",
            help="Keep tasks and uploads in FILE.",
            default="lost on exit",
        ),
    ] = None


@help_page(
    ("Start it, and set the variables that it prints", "flux sandbox"),
    (
        "Refuse two submissions, then truncate one image in five",
        'flux sandbox --fault "create:429 times=2 retry-after=1" \\\n  --fault "image:truncate rate=0.2"',
    ),
    ("List all failures that it can simulate", "flux sandbox --list-faults"),
    hides=("sandbox", "profile", "verbose"),
)
def sandbox(session: Session, options: SandboxOptions) -> ExitCode:
    """Serve a mock of PiAPI on localhost, to test for free.

    It simulates prices, limits and failures, and shows tasks and images on a page. Ctrl-C stops it.
    """
    if options.list_faults:
        from ...sandbox.faults import describe_faults

        for line in describe_faults():
            session.output.print_line(line)
        return ExitCode.OK
    from ...system.signals import Stop
    from ...webhooks.server import open_listening_socket

    with ExitStack() as kept:
        service = _make_service(session, options, kept)
        listener = kept.enter_context(open_listening_socket(options.host, options.port, command="flux sandbox"))
        stop = Stop()
        stop.run(_serve(session, options, service, listener, stop))
        tasks, cost = len(service.store.tasks()), service.store.spent()
    session.output.note(f"Stopped. Served {counted(tasks, 'task')} ({usd(cost)} simulated).")
    return ExitCode.OK


def _make_service(session: Session, options: SandboxOptions, kept: ExitStack) -> "Service":
    """Return the mock server for these options. Raise UsageError, DiskError."""
    from ...sandbox.app import Service
    from ...sandbox.faults import Faults, duration
    from ...sandbox.responses import REPLIES
    from ...sandbox.webhook_sender import WebhookSender

    speed = float(_parse("--speed", number(0.001, 1000), options.speed or f"{SANDBOX_SPEED:g}"))
    faults = Faults(options.seed)
    faults.add(options.faults or [])
    return Service(
        _open_store(options.state, kept),
        speed=speed,
        plan=_parse("--plan", BY_NAME["plan"].check, options.plan),
        credit=None if options.credits is None else parse_usd(options.credits, "--credits"),
        keys=frozenset(_parse("--key", _key, key) for key in options.keys or []) or None,
        catalog=session.catalog,
        replies=_parse("--replies", one_of(*REPLIES), options.replies),
        result_seconds=_parse("--expire", duration, options.expire),
        faults=faults,
        webhooks=WebhookSender(_allowed_hosts(options), faults, session.output.log, pause=min(5.0, 15.0 / speed)),
    )


def _parse(name: str, check: Callable[[str], T], text: str) -> T:
    try:
        return check(text)
    except ValueError as problem:
        raise UsageError(f"invalid {name} {quoted(text, 40)}: expected {problem}") from None


def _key(text: str) -> str:
    if not is_key(text):
        raise ValueError("printable ASCII without spaces")
    return text


def _open_store(state: Path | None, kept: ExitStack) -> "Store":
    """Return the open store of tasks: the user's file, or a temporary one. Raise DiskError."""
    import sqlite3
    import tempfile

    from ...sandbox.store import Store

    try:
        if state is None:
            directory = tempfile.TemporaryDirectory(prefix="flux-sandbox-", ignore_cleanup_errors=True)
            return kept.enter_context(closing(Store(Path(kept.enter_context(directory)) / "service.db")))
        return kept.enter_context(closing(Store(state)))
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DiskError(f"cannot keep tasks in {clean(str(state or tempfile.gettempdir()))}: {reason}") from error


def _allowed_hosts(options: SandboxOptions) -> Callable[[str], bool]:
    """Return a function that tests whether webhooks may be sent to a host.

    Anyone who can reach the sandbox can make it send requests, and other machines must not reach loopback servers of
    this one that way.
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

    app = AccessLog(create_app(service, Page(service).routes()), session.output.log)
    _announce(session, options, service, origin_of(options.host, listener))
    await serve(app, listener, stop, session.output.log)


def variable_lines(variables: Mapping[str, str], environ: Mapping[str, str], platform: str = sys.platform) -> list[str]:
    """Return the commands that set environment variables in the user's shell.

    On Windows these are commands of PowerShell and of cmd.exe, unless SHELL is set, as by Git Bash.
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
    """Print the variables to copy on stdout, and notes on stderr."""
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
        output.print_json("sandbox", {"page": f"{origin}/", "variables": {**variables}})
    else:
        # One write, so that a script that waits for the first line gets all of them.
        output.print_lines("\n".join(variable_lines(variables, session.environ)))
    output.note(f"In another terminal, run the lines above. {origin}/ shows tasks and images. Press Ctrl-C to stop.")
    if not is_loopback(options.host):
        output.warn(
            f"{clean(options.host, 60)} can be reached from other machines: anyone there can use this sandbox, see its "
            "images and change its faults. flux itself accepts plain HTTP from localhost only."
        )
    if session.sandbox:
        source = session.settings.values["sandbox"].source
        output.warn(f"the setting sandbox is true ({source}): flux uses its own sandbox, and not this server")
