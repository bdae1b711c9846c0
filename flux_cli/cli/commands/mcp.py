"""`flux mcp`: the tools of flux for agents, over the Model Context Protocol."""

from importlib.util import find_spec
from typing import Annotated

from ...errors import ExitCode, UsageError
from ...frozen import frozen
from ...operations.parameters import Group, Option
from ...text import parse_usd
from ..registry import help_page
from ..session import Session


@frozen
class McpOptions(Group):
    """Options for the spending limits and the output directory of the server."""

    title = "Server"
    sets = ("output_dir",)

    max_cost: Annotated[str, Option("--max-cost", metavar="USD", help="Maximum price of one tool call.")] = "0.10"
    budget: Annotated[
        str, Option("--budget", metavar="USD", help="Maximum total price of all tool calls until the server exits.")
    ] = "1.00"
    output_dir: Annotated[str | None, Option("-d, --output-dir", metavar="DIR", help="Directory for images.")] = None


@help_page(
    ("Try it for free", "flux mcp --sandbox"),
    ("Spend at most $0.05 per call, $0.50 in total", "flux mcp --max-cost 0.05 --budget 0.50 -d images"),
    hides=("json", "quiet", "verbose", "debug"),
)
def mcp(session: Session, options: McpOptions) -> ExitCode:
    """Serve tools for agents over the Model Context Protocol (MCP).

    Your agent program starts this server, and uses it over stdin and stdout. Tools: generate, price, status, history,
    models. None of them accepts a key.
    """
    max_cost, budget = parse_usd(options.max_cost, "--max-cost"), parse_usd(options.budget, "--budget")
    if find_spec("mcp") is None:
        raise UsageError(
            "flux mcp needs the package mcp, which is not installed",
            hint="In your clone of flux, run: uv tool install '.[mcp]' (or: pip install '.[mcp]')",
            code="missing_package",
        )
    from ...mcp.server import serve
    from ...mcp.tool_schemas import SpendingLimits

    serve(session.common, session.options, SpendingLimits(max_cost, budget), sandbox=session.sandbox)
    return ExitCode.OK
