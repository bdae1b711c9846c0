"""`flux balance`: the balance and the plan of the account."""

import asyncio

from ...errors import ExitCode
from ...json_value import JsonObject
from ...text import counted, usd
from ..context import Session
from ..output.output import Mode
from ..profile import account_difference, remember_account


def balance(session: Session) -> ExitCode:
    """Show the balance and the plan of your PiAPI account."""
    account = asyncio.run(session.account())
    remember_account(session, account)
    if session.output.mode is Mode.JSON:
        balance = None if account.balance is None else str(account.balance)
        content: JsonObject = {"balance_usd": balance, "plan": account.plan, "concurrency": account.concurrency}
        session.output.record("balance", content)
    else:
        session.output.result(usd(account.balance) if account.balance is not None else "unknown")
        facts = [f"plan {account.plan}"] if account.plan else []
        facts += [f"{counted(account.concurrency, 'task')} in parallel"] if account.concurrency else []
        if facts:
            session.output.note(", ".join(facts))
    if difference := account_difference(session, account):
        session.output.note(difference)
    return ExitCode.OK
