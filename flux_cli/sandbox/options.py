"""The options of the miniature when it is served. Light: the command line reads this at every start."""

from pathlib import Path
from typing import Annotated

from ..frozen import frozen
from ..operations.parameters import Group, Option

PORT = 8517


@frozen
class ServerOptions(Group):
    """What the sandbox is like."""

    title = "Server"

    port: Annotated[int, Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one.")] = PORT
    host: Annotated[str, Option("--host", metavar="ADDRESS", help="Another address to listen at.")] = "127.0.0.1"
    faults: Annotated[list[str] | None, Option("--fault", metavar="FAULT", help="What goes wrong; repeatable.")] = None
    list_faults: Annotated[bool, Option("--list-faults", help="Print all that can go wrong, and leave.")] = False
    seed: Annotated[int, Option("--seed", metavar="N", help="Of the faults' chances.")] = 0
    replies: Annotated[str, Option("--replies", metavar="sop|live", help="As specified, or as the live service.")] = (
        "sop"
    )
    plan: Annotated[str, Option("--plan", metavar="free|creator|pro", help="Tasks at once, operations.")] = "pro"
    credits: Annotated[str | None, Option("--credits", metavar="USD", help="The balance. [no end]")] = None
    speed: Annotated[
        str | None, Option("--speed", metavar="X", help="Times faster than documented; 1: real time. [15]")
    ] = None
    expire: Annotated[str, Option("--expire", metavar="DURATION", help="How long links live: 30s, 10m, 2h.")] = "7d"
    keys: Annotated[
        list[str] | None, Option("--key", metavar="KEY", help="Accept this key only; repeatable. [any]")
    ] = None
    webhook_hosts: Annotated[
        list[str] | None,
        Option("--webhook-host", metavar="HOST", help="Deliver there too; repeatable. [this machine only]"),
    ] = None
    state: Annotated[
        Path | None, Option("--state", metavar="FILE", help="Keep the tasks here. [forgotten at the end]")
    ] = None
