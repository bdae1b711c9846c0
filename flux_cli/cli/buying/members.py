"""The tasks of a source: each row's sweep, one by one, in their order and with what makes each known again.

The source is passed over twice, once to check, count and price all of it, once to buy; so that memory does not grow
with the number of prompts.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal

from ...batch.rows import OnePrompt, Row, Rows
from ...batch.sweeps import Variant, count, expand
from ...engine.counting import Occurrences
from ...errors import UsageError
from ...frozen import frozen
from ...images.output_names import LATE, image_paths, is_template
from ...operations.request import TaskRequest
from ...text import clean, counted
from ..context import Session
from ..options.compose import Choices, Wanted, axes_of, name_values
from ..options.options import SaveOptions
from ..options.overrides import read_body
from .asks import Ask
from .purchase import too_expensive

SWEEP_LIMIT = 100_000
"""Tasks of one prompt: groups multiply quickly to more than anybody would wait to see counted."""
_GROUP = re.compile(r"\{[^{}]*\|[^{}]*\}")


@frozen
class Member:
    """One task of a source.

    index: its place in the whole source, from 1, whatever share of it is asked for.
    row: how it is known when the command is run again.
    save: where its pictures go; variables: what the placeholders of their names stand for beside the usual.
    line: of the source, 0 for a prompt from the command line; id: what its row calls itself.
    by_chance: nobody asked for its seed.
    """

    index: int
    request: TaskRequest
    row: str
    save: SaveOptions
    variables: Mapping[str, str]
    line: int
    id: str | None
    by_chance: bool

    def values(self, session: Session, tasks: int) -> dict[str, str]:
        """What the placeholders of a name stand for; the index is as wide as the last of `tasks`."""
        values = name_values(self.request, session.catalog.model(self.request.model).name, datetime.now())
        index = str(self.index).zfill(len(str(tasks)))
        return values | {"index": index, "id": self.id or index, **self.variables}


@frozen
class Shard:
    """Share `part` of `of`: every `of`-th task, so that all shares are equally large."""

    part: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """`K/N`. Raises UsageError."""
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", text, re.ASCII)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard {clean(text, 40)!r} is not K/N, such as 1/4, with K from 1 to N")
        return cls(int(match[1]), int(match[2]))

    def has(self, member: Member) -> bool:
        """Whether a task belongs to this share."""
        return (member.index - 1) % self.of == self.part - 1


@frozen
class Source:
    """Where tasks come from.

    name: of the file, None for the command line. rows: opens it anew for each pass; ask: reads a row. Both raise
    UsageError.
    """

    name: str | None
    rows: Callable[[], Rows | OnePrompt]
    ask: Callable[[Row], Ask]


@frozen
class Totals:
    """What a source comes to.

    tasks: of the whole source; mine: of the share that is asked for; pictures and price (USD): of this share.
    missing: the price of what is still to be bought of it, USD.
    """

    tasks: int
    mine: int
    pictures: int
    price: Decimal
    missing: Decimal


class Members:
    """The tasks of a source.

    output: the name that all of them have, unless their row has its own.
    late: what could not be done any more in the second pass, with its line: a picture may have been deleted.
    """

    def __init__(self, session: Session, source: Source, shard: Shard, output: str | None) -> None:
        self._session, self._source, self._shard, self._output = session, source, shard, output
        self.late: list[tuple[int, UsageError]] = []

    def __iter__(self) -> Iterator[Member]:
        """Every task of the share, in the order of the source."""
        members = self._all(self._source.rows(), self._note_late, known_again=True)
        return (member for member in members if self._shard.has(member))

    def _note_late(self, line: int, error: UsageError) -> None:
        self.late.append((line, error))

    def survey(self, *, bought: Callable[[Member], bool] | None, limit: Decimal | None) -> Totals:
        """Read and check everything, up to a price above `limit`.

        bought: whether a task needs no money any more; None when none is known to the journal.
        Raises UsageError with every problem of the source, file and line.
        """
        tasks = mine = pictures = line = 0
        price = missing = Decimal(0)
        rows = self._source.rows()
        with closing(Occurrences()) as names, closing(Occurrences()) as ids:
            for member in self._all(rows, rows.refuse, known_again=bought is not None):
                tasks += 1
                if tasks == 2 and member.save.output == self._output is not None and not is_template(self._output):
                    hint = "use a template: -o '{index}-{slug}.png'"
                    raise UsageError("-o names one file, and this makes several tasks", hint=hint)
                try:
                    if member.id is not None and member.line != line and ids.count(member.id) > 1:
                        raise UsageError(f"another row has the id {clean(member.id, 40)}")
                    line = member.line
                    self._check_names(member, names)
                except UsageError as error:
                    rows.refuse(member.line, error)
                    continue
                if not self._shard.has(member):
                    continue
                mine, pictures = mine + 1, pictures + member.request.operation.batch_size
                own = self._session.price(member.request)
                price += own
                missing += 0 if bought and bought(member) else own
                if limit is not None and missing > limit:  # a sweep can be longer than anybody waits
                    raise too_expensive(missing, limit, more=True)
        if rows.blank:
            self._session.output.note(f"{counted(rows.blank, 'blank line')} skipped")
        return Totals(tasks, mine, pictures, price, missing)

    def _all(
        self, rows: Rows | OnePrompt, refuse: Callable[[int, UsageError], None], *, known_again: bool
    ) -> Iterator[Member]:
        index, inputs = 0, self._session.inputs
        with closing(Occurrences()) as equal:
            for row in rows:
                pictures: list[str] = []
                try:
                    ask = self._source.ask(row)
                    by_hand = [ask.task.overrides or [], read_body(ask.task.body) if ask.task.body else {}]
                    for request, variables in _requests(ask):
                        index += 1
                        key = self._key(ask, request, by_hand, equal) if known_again else ""
                        if not pictures:  # the tasks of a row have the same ones
                            pictures = request.local_images
                            inputs.keep(pictures)
                        by_chance = ask.task.seed is None
                        yield Member(index, request, key, ask.save, variables, row.line, ask.id, by_chance)
                except UsageError as error:
                    refuse(row.line, error)
                finally:
                    inputs.drop(pictures)

    def _key(self, ask: Ask, request: TaskRequest, by_hand: Sequence[object], equal: Occurrences) -> str:
        """What a task asks for and where it goes, and its place among equal ones, hashed.

        A seed that chance chose is no part of it, nor who is told of its end; and a picture is its content, whether
        it is uploaded or passed by an address that works for some days only.
        """
        asked = {name: value for name, value in request.to_json().items() if name != "webhook"}
        if ask.task.seed is None:
            del asked["seed"]
        parts = [asked, by_hand, ask.save.output, str(self._session.folder), *([ask.id] if ask.id else [])]
        text = json.dumps(parts, sort_keys=True)
        for address, reference in self._session.passed.items():
            text = text.replace(json.dumps(address), json.dumps(reference))
        content = hashlib.sha256(text.encode()).hexdigest()
        return hashlib.sha256(f"{content} {equal.count(content)}".encode()).hexdigest()

    def _check_names(self, member: Member, names: Occurrences) -> None:
        """Names that cannot be, and two pictures with one name."""
        template = member.save.output
        if template is None or template == "-":
            return
        ordered, folder = member.request.operation.batch_size, self._session.folder
        paths = image_paths(template, member.values(self._session, member.index), ordered, folder)
        # A name from a template gets a number when it is taken, unless an existing file is replaced or kept.
        numbered = is_template(template) and not (member.save.overwrite or member.save.skip_existing)
        if numbered or LATE in str(paths[0]):
            return
        if any(names.count(str(path)) > 1 for path in paths):
            raise UsageError(f"two pictures would be called {paths[0].name}", hint="add {index} to the name")


def _requests(ask: Ask) -> Iterator[tuple[TaskRequest, Mapping[str, str]]]:
    for variant in _variants(ask):
        chosen = Choices(**variant.options)  # type: ignore[arg-type]  # `axes_of` gave each its kind
        yield ask.make(Wanted(variant.prompt, chosen)), variant.variables


def _variants(ask: Ask) -> Iterator[Variant]:
    """A prompt is a template only when it says so: braces without alternatives are braces."""
    prompt, axes = ask.prompt, axes_of(ask.task)
    template = bool(ask.variables) or _GROUP.search(prompt) is not None
    text = prompt if template else prompt.replace("{", "{{").replace("}", "}}")
    number = count(text, ask.variables, axes)
    if number > SWEEP_LIMIT:
        raise UsageError(f"one prompt with its sweeps makes {number} tasks, up to {SWEEP_LIMIT} are allowed")
    return expand(text, ask.variables, axes)
