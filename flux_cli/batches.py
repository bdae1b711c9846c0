"""Many pictures from one command: prompts from a file, sweeps, and the same command run again.

The whole source is read, checked and priced before anything is sent; it is read a second time as places become free,
so that memory does not grow with the number of prompts.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import BinaryIO, TextIO

from .buying import amount, budget_checked, create_task, preview, probe_folder, probed, skip_known, too_expensive
from .compose import Choices, Wanted, axes_of, name_values
from .counting import Occurrences, Tally
from .engine import Engine
from .entry import UNFINISHED, Entry, State
from .errors import CreditsError, ExitCode, KeyRefusedError, UsageError
from .following import busy, past_error
from .inputs import local_path
from .making import Maker
from .names import LATE, is_template, picture_paths
from .options import ManyOptions, SaveOptions, SubmitOptions, TaskOptions
from .outcome import Outcome
from .overrides import read_body
from .request import TaskRequest
from .runs import run_feed
from .session import Session
from .sources import Row, Rows, read_prompts
from .sweeps import Variant, count, expand, parse_vary
from .text import clean, counted
from .wire import encoded

TEMPLATE = "{index}-{slug}-{seed}"
"""The name of a batch's pictures when none is asked for: in the order of the source."""
SWEEP_LIMIT = 100_000
"""Tasks of one prompt: groups multiply quickly to more than anybody would wait to see counted."""
_GROUP = re.compile(r"\{[^{}]*\|[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Totals:
    """What a batch comes to: tasks, pictures, USD."""

    tasks: int
    pictures: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Member:
    """One task of a batch. index counts from 1; row is how it is known when the command is run again."""

    index: int
    request: TaskRequest
    variables: dict[str, str]
    row: str


def create_tasks(
    session: Session,
    prompt: str | None,
    make: Maker,
    task: TaskOptions,
    many: ManyOptions,
    save: SaveOptions,
    submit: SubmitOptions,
) -> ExitCode:
    """Buy every picture that a command line asks for: one, or as many as its prompts and sweeps multiply to."""
    if prompt is None and many.prompts is None:
        raise UsageError("a prompt is missing", hint="give one, or a file with one a line: --from FILE")
    if prompt is not None and many.prompts is not None:
        raise UsageError("give a prompt or --from, not both", hint="to put the same words around each: --vary")
    with closing(Batch(session, prompt, make, task, many, save)) as batch:
        totals = batch.totals()
        budget_checked(session, totals.price, many.max_cost, yes=many.yes or submit.dry_run or submit.price_only)
        if many.prompts is None and totals.tasks == 1:
            return create_task(session, next(batch.members()).request, save, submit)
        if submit.dry_run or submit.price_only:
            return batch.preview(totals, submit)
        return batch.run(totals, wait=not submit.no_wait)


class Batch:
    """The tasks of one command. Raises UsageError for what cannot be, before anything is sent."""

    def __init__(
        self,
        session: Session,
        prompt: str | None,
        make: Maker,
        task: TaskOptions,
        many: ManyOptions,
        save: SaveOptions,
    ) -> None:
        self._session, self._make, self._many, self._save = session, make, many, save
        self._prompt = prompt
        self._axes = axes_of(task)
        self._by_hand = [task.overrides or [], read_body(task.body) if task.body else {}]
        self._variables = dict(parse_vary(text) for text in many.vary or [])
        # Two passes must see the same: a file may change, and stdin cannot be read twice.
        self._copy: BinaryIO | None = self._copied(many.prompts) if many.prompts is not None else None
        self._named = Occurrences()

    def close(self) -> None:
        """Let go of the copy of the source."""
        self._named.close()
        if self._copy:
            self._copy.close()

    def _copied(self, name: str) -> BinaryIO:
        try:
            with self._opened(name) as source:
                copy = tempfile.TemporaryFile()  # noqa: SIM115 - kept open until `close`
                shutil.copyfileobj(source, copy)
        except OSError as error:
            raise UsageError(f"cannot read --from {clean(name, 120)}: {error.strerror}") from error
        return copy

    def _opened(self, name: str) -> AbstractContextManager[BinaryIO]:
        return nullcontext(self._stdin().buffer) if name == "-" else local_path(name).open("rb")

    def _stdin(self) -> TextIO:
        session = self._session
        if session.stdin_read:
            raise UsageError("stdin can be read only once: the picture or the prompts can be -")
        if session.stdin.isatty():
            raise UsageError("--from - reads prompts from stdin, and stdin is a terminal", hint="pipe them in")
        session.stdin_read = True
        return session.stdin

    # --- what is asked for -----------------------------------------------------------------------------------

    def _rows(self) -> Rows | None:
        if self._copy is None:
            return None
        self._copy.seek(0)
        return read_prompts(self._copy, "stdin" if self._many.prompts == "-" else self._many.prompts or "")

    def _variants(self, prompt: str) -> Iterator[Variant]:
        """A prompt is a template only when it says so: braces without alternatives are braces."""
        template = bool(self._variables) or _GROUP.search(prompt) is not None
        text = prompt if template else prompt.replace("{", "{{").replace("}", "}}")
        number = count(text, self._variables, self._axes)
        if number > SWEEP_LIMIT:
            raise UsageError(f"one prompt with its sweeps makes {number} tasks, up to {SWEEP_LIMIT} are allowed")
        return expand(text, self._variables, self._axes)

    def _requests(self, prompt: str) -> Iterator[tuple[TaskRequest, dict[str, str]]]:
        for variant in self._variants(prompt):
            chosen = Choices(**variant.options)  # type: ignore[arg-type]  # `axes_of` gave each its kind
            yield self._make(Wanted(variant.prompt, chosen)), dict(variant.variables)

    def totals(self) -> Totals:
        """Read and check everything. Raises UsageError with every problem of the source, file and line."""
        tasks = pictures = 0
        price = Decimal(0)
        rows = self._rows()
        limit = amount(self._many.max_cost, "--max-cost") if self._many.max_cost is not None else None
        self._check_output()
        for row in rows if rows is not None else (Row(0, self._prompt or ""),):
            try:
                for request, variables in self._requests(row.prompt):
                    tasks, pictures = tasks + 1, pictures + request.operation.batch_size
                    price += self._session.price(request)
                    if limit is not None and price > limit:  # a sweep can be longer than anybody waits
                        raise too_expensive(price, limit, more=True)
                    self._check_names(tasks, request, variables)
            except UsageError as error:
                if rows is None or error.code == "too_expensive":
                    raise
                rows.refuse(row, error)
        if tasks > 1 and self._save.output is not None and not is_template(self._save.output):
            hint = "use a template: -o '{index}-{slug}.png'"
            raise UsageError(f"-o names one file, and this makes {counted(tasks, 'task')}", hint=hint)
        if rows is not None and rows.blank:
            self._session.output.note(f"{counted(rows.blank, 'blank line')} skipped")
        return Totals(tasks, pictures, price)

    def _check_output(self) -> None:
        if self._save.output == "-" and (self._many.prompts is not None or self._variables):
            raise UsageError("-o - is for a command that makes one picture")

    def _check_names(self, index: int, request: TaskRequest, variables: dict[str, str]) -> None:
        """Names that cannot be, and two pictures with one name where an existing file would not be kept."""
        template = self._save.output
        if template is None or template == "-":
            return
        values = self._values(index, index, request, variables)
        paths = picture_paths(template, values, request.operation.batch_size, self._session.folder)
        if not (self._save.overwrite or self._save.skip_existing) or LATE in str(paths[0]):
            return
        if any(self._named.count(str(path)) > 1 for path in paths):
            raise UsageError(f"two pictures would be called {paths[0].name}", hint="add {index} to the name")

    def members(self) -> Iterator[Member]:
        """Every task, in the order of the source."""
        rows = self._rows()
        prompts = (self._prompt or "",) if rows is None else (row.prompt for row in rows)
        index = 0
        with closing(Occurrences()) as occurrences:
            for prompt in prompts:
                for request, variables in self._requests(prompt):
                    index += 1
                    content = self._content(request)
                    row = hashlib.sha256(f"{content} {occurrences.count(content)}".encode()).hexdigest()
                    yield Member(index, request, variables, row)

    def _content(self, request: TaskRequest) -> str:
        """What a task asks for and where it goes, hashed.

        A seed that chance chose is no part of it, nor who is told of its end; and a picture is its content, whether
        it is uploaded or passed by an address that works for some days only.
        """
        asked = {name: value for name, value in request.to_json().items() if name != "webhook"}
        if "seed" not in self._axes:
            del asked["seed"]
        text = json.dumps([asked, self._by_hand, self._save.output, str(self._session.folder)], sort_keys=True)
        for address, reference in self._session.passed.items():
            text = text.replace(json.dumps(address), json.dumps(reference))
        return hashlib.sha256(text.encode()).hexdigest()

    # --- what is done ----------------------------------------------------------------------------------------

    def preview(self, totals: Totals, submit: SubmitOptions) -> ExitCode:
        """Print what would be sent, a line each, or the price alone."""
        if not submit.price_only:
            for member in self.members():
                preview(self._session, member.request)
        self._session.output.price(totals.price, totals.pictures, price_only=submit.price_only)
        return ExitCode.OK

    def run(self, totals: Totals, *, wait: bool) -> ExitCode:
        """Buy what was not bought before, fetch what was, and tell how it went."""
        session = self._session
        session.key  # noqa: B018 - a missing key is told before anything is written
        encoded(session.body(next(self.members()).request, {}))  # what every one of them would stumble over
        probe_folder(session.folder)
        session.journal.settle_dead()
        tally = Tally()

        def feed(engine: Engine) -> Iterator[Entry | Outcome]:
            for member in self.members():
                if item := self._entry(member, totals, engine, tally):
                    yield item

        code = run_feed(session, feed, totals.tasks, wait=wait, fail_fast=self._many.fail_fast, told=tally.hear)
        session.output.summary(tally.counts(totals.tasks), tally.spent, tally.seconds)
        return code

    def _entry(self, member: Member, totals: Totals, engine: Engine, tally: Tally) -> Entry | Outcome | None:
        """An entry to bring to its end, an outcome that is known already, or None for what is not begun."""
        session, request = self._session, member.request
        while True:
            known = session.find_row(member.row)
            if known is not None and not self._many.new and (item := self._from_before(known, member, tally)):
                return item
            if engine.halted:
                return None
            ordered = request.operation.batch_size
            values = self._values(member.index, totals.tasks, request, member.variables)
            plan = probed(self._save.plan(values, ordered, session.folder, template=TEMPLATE), self._save)
            if self._save.skip_existing and skip_known(session, plan):
                tally.existing += 1
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

    def _values(self, index: int, tasks: int, request: TaskRequest, variables: dict[str, str]) -> dict[str, str]:
        """What the placeholders of a name stand for; the index is as wide as the last one."""
        values = name_values(request, self._session.catalog.model(request.model).name, datetime.now())
        return values | {"index": str(index).zfill(len(str(tasks))), **variables}

    def _from_before(self, known: Entry, member: Member, tally: Tally) -> Entry | Outcome | None:
        """What an earlier run left of a task; None when it is to be bought (again)."""
        journal = self._session.journal
        if known.state is State.SAVED:
            if all(file.is_whole() for file in known.files):
                tally.before += 1
                return Outcome(known, None, 0.0)
            return self._fetched_again(known)
        if known.state in UNFINISHED:
            return journal.claim(known) or Outcome(known, busy(known), 0.0)
        if known.state is State.PLANNED:
            return self._begun_before(known, member) or Outcome(known, busy(known), 0.0)
        if known.state in (State.UNKNOWN, State.SENDING):
            return Outcome(known, past_error(known), 0.0)
        for_now = known.problem is not None and known.problem.code in (CreditsError.code, KeyRefusedError.code)
        return None if for_now or self._many.retry_failed else Outcome(known, past_error(known), 0.0)

    def _begun_before(self, known: Entry, member: Member) -> Entry | None:
        """A task that was planned and never sent, as it is asked for now, with the seed that its name tells."""
        claimed = self._session.journal.claim(known)
        if claimed is None or claimed.request is None:
            return claimed
        return self._session.journal.move(claimed, request=replace(member.request, seed=claimed.request.seed))

    def _fetched_again(self, known: Entry) -> Entry:
        """An entry for a picture that was bought and is not there any more: it costs nothing to ask for it.

        What stands in its place by now is somebody else's, and is kept unless `--overwrite` says otherwise.
        """
        output, session = replace(known.output, overwrite=self._save.overwrite), self._session
        return session.journal.adopt(
            known.task_id or "",
            output,
            service=session.service,
            profile=session.settings.profile,
            request=known.request,
            row=known.row,
        )
