"""The options of `flux sandbox`. Every start of the program imports this module, so it imports little."""

from pathlib import Path
from typing import Annotated

from ...frozen import frozen
from ...operations.parameters import Group, Option

PORT = 8517


@frozen
class SandboxOptions(Group):
    """How the mock server behaves."""

    title = "Server"

    port: Annotated[
        int, Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 picks a free port.")
    ] = PORT
    host: Annotated[str, Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1"
    faults: Annotated[
        list[str] | None, Option("--fault", metavar="FAULT", help="Simulate this failure; repeatable.")
    ] = None
    list_faults: Annotated[bool, Option("--list-faults", help="List the failures that can be simulated, and exit.")] = (
        False
    )
    seed: Annotated[int, Option("--seed", metavar="N", help="Random seed for faults with rate=.")] = 0
    replies: Annotated[
        str,
        Option(
            "--replies",
            metavar="spec|live",
            help="Respond like PiAPI's published specification (spec) or its live API (live).",
        ),
    ] = "spec"
    plan: Annotated[
        str,
        Option(
            "--plan",
            metavar="free|creator|pro",
            help="Plan to simulate; sets the concurrency limit and the allowed operations.",
        ),
    ] = "pro"
    credits: Annotated[
        str | None, Option("--credits", metavar="USD", help="Balance of the simulated account. [default: unlimited]")
    ] = None
    speed: Annotated[
        str | None,
        Option("--speed", metavar="X", help="Run tasks X times faster than documented. [default: 15]"),
    ] = None
    expire: Annotated[
        str, Option("--expire", metavar="DURATION", help="How long image URLs stay valid, for example 30s, 10m or 2h.")
    ] = "7d"
    keys: Annotated[
        list[str] | None,
        Option("--key", metavar="KEY", help="Accept only this API key; repeatable. [default: any key]"),
    ] = None
    webhook_hosts: Annotated[
        list[str] | None,
        Option(
            "--webhook-host",
            metavar="HOST",
            help="Also deliver webhooks to HOST; repeatable. [default: localhost only]",
        ),
    ] = None
    state: Annotated[
        Path | None,
        Option("--state", metavar="FILE", help="Keep tasks and uploads in FILE. [default: lost on exit]"),
    ] = None
