"""`flux balance`: the balance and the plan of the account."""

import asyncio

from ...errors import ExitCode
from ...json_value import JsonObject
from ...text import counted, usd
from ..context import Session
from ..output.records import Items, Note, Record
from ..profile import account_difference, remember_account


def balance(session: Session) -> Items:
    """Show the balance and the plan of your PiAPI account."""
    account = asyncio.run(session.account())
    if problem := remember_account(session, account):
        yield Note(problem)
    amount = account.balance
    content: JsonObject = {"balance_usd": None if amount is None else str(amount)}
    content |= {"plan": account.plan, "concurrency": account.concurrency}
    yield Record("balance", content, "unknown" if amount is None else usd(amount))
    facts = [f"plan {account.plan}"] if account.plan else []
    facts += [f"{counted(account.concurrency, 'task')} in parallel"] if account.concurrency else []
    if facts:
        yield Note(", ".join(facts))
    if difference := account_difference(session, account):
        yield Note(difference)
    return ExitCode.OK
