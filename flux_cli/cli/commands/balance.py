"""`flux balance`: the balance and the plan of the account."""

import asyncio

from ...config.urls import is_local
from ...errors import ExitCode
from ...json_value import JsonObject
from ...text import counted, usd
from ..output.output import Items, Note, Record
from ..profile import account_difference, remember_account
from ..registry import help_page
from ..session import Session


@help_page(("Use the balance in a script", "flux balance --json | jq -r .balance_usd"))
def balance(session: Session) -> Items:
    """Show the balance and the plan of your PiAPI account."""
    session.require_key()
    account = asyncio.run(session.fetch_account())
    if problem := remember_account(session, account):
        yield Note(problem)
    amount = account.balance
    content: JsonObject = {"balance_usd": None if amount is None else str(amount)}
    content |= {"plan": account.plan, "concurrency": account.concurrency}
    shown = "unknown" if amount is None else usd(amount)
    parallel = f" ({counted(account.concurrency, 'task')} in parallel)" if account.concurrency else ""
    lines = [f"Balance: {shown}{' simulated' if is_local(session.service) else ''}"]
    lines += [f"Plan: {account.plan or 'unknown'}{parallel}"] if account.plan or parallel else []
    yield Record("balance", content, "\n".join(lines), quiet=shown.removeprefix("$"))
    if difference := account_difference(session, account):
        yield Note(difference)
    return ExitCode.OK
