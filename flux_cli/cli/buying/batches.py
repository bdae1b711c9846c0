"""Many pictures from one command: prompts and rows from a file, sweeps, and the same command run again.

The whole source is read, checked and priced before anything is sent.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...batch.prompts import LINE_LIMIT, read_prompts
from ...batch.rows import OnePrompt
from ...batch.sweeps import parse_vary
from ...batch.tables import kind_of, read_rows
from ...engine.outcome import Outcome, worse
from ...errors import ExitCode, UsageError
from ...journal.entries import Entry
from ...piapi.requests import encoded
from ...text import counted
from ..context import Session
from ..options.options import BuyOptions, ManyOptions, SaveOptions, SubmitOptions
from ..options.request_options import Given
from ..output.render import tell_summary
from .asks import ask_rows, ask_words
from .earlier import Left, left_of, take_up
from .ledger import Ledger
from .making import KINDS
from .members import Member, Members, Shard, Source, Totals
from .purchase import (
    amount,
    check_budgets,
    confirm_price,
    create_task,
    preview,
    probe_folder,
    probed,
    reseeded,
    skip_known,
)
from .sourcing import copied, from_start

if TYPE_CHECKING:
    from ...engine.scheduler import Engine

TEMPLATE = "{index}-{slug}-{seed}"
"""The name of a batch's pictures when none is asked for: in the order of the source."""


def create_tasks(session: Session, op: str, own: Any, given: Given, buy: BuyOptions) -> ExitCode:
    """Buy every picture that a command line asks for: one, or as many as its prompts and sweeps multiply to.

    own: the command's own arguments, as `making.KINDS` has them for `op`.
    """
    kind, prompt, prompts = KINDS[op], own.prompt, buy.source.prompts
    if prompt is None and prompts is None:
        prompt = kind.prompt
    if prompt is None and prompts is None:
        raise UsageError("a prompt is missing", hint="give one, or a file with one a line: --from FILE")
    if prompt is not None and prompts is not None:
        raise UsageError("give a prompt or --from, not both", hint="to put the same words around each: --vary")
    if buy.save.output == "-" and (prompts is not None or buy.source.vary):
        raise UsageError("-o - is for a command that makes one picture")
    make = kind.make(session, own, given)
    session.inputs.keep(list(session.inputs))  # all tasks have the same
    ask = ask_words(make, given.task, buy.save, dict(parse_vary(text) for text in buy.source.vary or []))
    if prompts is None:
        assert prompt is not None
        return _create(session, Source(None, lambda: OnePrompt(prompt), ask), buy.many, buy.save, buy.submit)
    with copied(session, prompts, "--from") as copy:
        name = _name(prompts)
        source = Source(name, lambda: read_prompts(from_start(copy), name), ask)
        return _create(session, source, buy.many, buy.save, buy.submit)


def create_rows(
    session: Session, file: str, given: Given, many: ManyOptions, save: SaveOptions, submit: SubmitOptions
) -> ExitCode:
    """Buy what the rows of a batch file ask for."""
    if save.output == "-":
        raise UsageError("-o - is for a command that makes one picture")
    with copied(session, file, "the rows of") as copy:
        kind = kind_of(file, from_start(copy).read(LINE_LIMIT))
        ask = ask_rows(session, given, save)
        name = _name(file)
        source = Source(name, lambda: read_rows(from_start(copy), name, kind), ask)
        return _create(session, source, many, save, submit)


def _name(file: str) -> str:
    return "stdin" if file == "-" else file


def _create(session: Session, source: Source, many: ManyOptions, save: SaveOptions, submit: SubmitOptions) -> ExitCode:
    only_told = submit.dry_run or submit.price_only
    members = Members(session, source, Shard.parse(many.shard or "1/1"), save.output)
    batch = Batch(session, members, many)
    totals = batch.survey(only_told=only_told)
    single = totals.mine == totals.tasks == 1 and isinstance(source.rows(), OnePrompt)
    cost = totals.price if single else totals.missing
    if not (only_told or single or save.skip_existing):  # a file that exists spares what it would cost
        check_budgets(session, cost)
    confirm_price(session, cost, many.max_cost, yes=many.yes or only_told)
    if only_told and not single:
        return batch.preview(totals, price_only=submit.price_only)
    with Ledger(session, source.name, None if only_told else many.report) as ledger:
        if single:
            member = next(iter(members))
            request = reseeded(session, member.request) if many.cache and member.by_chance else member.request
            return ledger.close(create_task(session, request, save, submit, new=many.new, tell=ledger.tell))
        return batch.run(totals, ledger, wait=not submit.no_wait)


class Batch:
    """The tasks of a source, bought and brought to their ends."""

    def __init__(self, session: Session, members: Members, many: ManyOptions) -> None:
        self._session, self._members, self._many = session, members, many

    def survey(self, *, only_told: bool) -> Totals:
        """Check everything. Raises UsageError for what cannot be, and for what costs more than `--max-cost`.

        only_told: nothing is going to be bought, so that all of it counts.
        """
        limit = amount(self._many.max_cost, "--max-cost") if self._many.max_cost is not None else None
        looks = not only_told and self._session.paths.journal.exists()
        return self._members.survey(bought=self._is_bought if looks else None, limit=limit)

    def _is_bought(self, member: Member) -> bool:
        return left_of(self._session.find_row(member.row), self._many) in (Left.FETCH, Left.TELL)

    def preview(self, totals: Totals, *, price_only: bool) -> ExitCode:
        """Print what would be sent, a line each, or the price alone."""
        if not price_only:
            for member in self._members:
                preview(self._session, member.request)
        self._session.output.price(totals.price, totals.pictures, price_only=price_only)
        return ExitCode.OK

    def run(self, totals: Totals, ledger: Ledger, *, wait: bool) -> ExitCode:
        """Buy what was not bought before, fetch what was, and tell how it went."""
        from .adopting import adopt_seen
        from .runs import Run  # with it comes all of HTTP

        session, many = self._session, self._many
        if not totals.mine:
            session.output.note(f"this share has none of the {counted(totals.tasks, 'task')}")
            return ExitCode.OK
        session.key  # noqa: B018 - a missing key is told before anything is written
        encoded(session.body(next(iter(self._members)).request, {}))  # what every one of them would stumble over
        probe_folder(session.folder)
        session.journal.settle_dead()
        adopt_seen(session)
        session.output.names_tasks = not wait

        async def feed(engine: "Engine") -> AsyncIterator[Entry | Outcome]:
            for member in self._members:
                if item := self._entry(member, totals, engine, ledger):
                    ledger.begin(member, item)
                    yield item

        code = Run(
            session, feed, totals.mine, wait=wait, fail_fast=many.fail_fast, new=many.new, tell=ledger.tell
        ).to_its_end()
        for line, error in self._members.late:
            told = UsageError(f"line {line}: {error.message}", hint=error.hint, money="it was not sent")
            session.output.failure(told)
            code = worse(code, ExitCode.PARTIAL)
        summary = ledger.tally.summary(totals.mine)
        tell_summary(session.output, summary)
        return ledger.close(code, summary)

    def _entry(self, member: Member, totals: Totals, engine: "Engine", ledger: Ledger) -> Entry | Outcome | None:
        """An entry to bring to its end, an outcome that is known already, or None for what is not begun."""
        session, save, many = self._session, member.save, self._many
        if many.cache and member.by_chance:
            member = replace(member, request=reseeded(session, member.request))
        request = member.request
        while True:
            known = session.find_row(member.row)
            if known is not None and left_of(known, many) is not Left.BUY:
                return self._taken_up(known, member, ledger)
            if engine.halted:
                ledger.leave_out(member, "not begun")
                return None
            values, ordered = member.values(session, totals.tasks), request.operation.batch_size
            plan = probed(save.plan(values, ordered, session.folder, template=TEMPLATE), save)
            if save.skip_existing and skip_known(session, plan):
                ledger.tally.existing += 1
                ledger.leave_out(member, "exists")
                return None
            entry = session.journal.plan_row(
                member.row,
                known,
                request,
                plan,
                service=session.service,
                profile=session.settings.profile,
                price=session.price(request),
            )
            if entry:
                return entry

    def _taken_up(self, known: Entry, member: Member, ledger: Ledger) -> Entry | Outcome:
        item = take_up(self._session, known, member.request, overwrite=member.save.overwrite)
        if isinstance(item, Outcome) and item.error is None:
            ledger.tally.before += 1
        return item
