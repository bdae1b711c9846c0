"""`flux wait`: save the images of tasks that were submitted here or elsewhere."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Annotated

from ...batch.results import Results
from ...batch.runner import Run
from ...batch.task_ids import read_ids
from ...batch.task_matching import link_matching
from ...engine.outcome import Outcome, exit_code
from ...errors import ExitCode, FluxError, UsageError
from ...images.output_names import is_template
from ...journal.entries import Entry
from ...operations.parameters import Option
from ..common_options import ViewOptions
from ..found_tasks import TEMPLATE_HINT, Ids, expand_ids, find_entry, prepare_wait
from ..options import SaveOptions, WaitOptions
from ..registry import help_page
from ..session import Session

AnyOption = Annotated[
    bool,
    Option(
        "--any",
        short="Exit after the first image is saved.",
        help="Exit after the first image is saved; the other tasks keep running.",
    ),
]


@help_page(
    ("Choose the file name", "flux wait 1631d053-2352-4add-95cc-360fc52d5f89 -o fox.png"),
    ("Read IDs from a pipe", "flux gen --from prompts.txt --no-wait | flux wait -"),
    ("Stop after the first image", 'flux wait --any $(flux gen "a fox" --seed 1..3 --no-wait)'),
    texts=(("output", "File name or template; see flux help templates."),),
    hides=("skip_existing",),
)
def wait(
    session: Session,
    ids: Ids,
    save: SaveOptions,
    waiting: WaitOptions,
    view: ViewOptions,
    first: AnyOption = False,
) -> ExitCode:
    """Wait for tasks and save their images.

    The tasks may have been submitted elsewhere. IDs on stdin are read as they arrive: one per line, or in the objects
    of --json.
    """
    ids = expand_ids(session.journal, ids)
    coming = read_ids(ids, session.stdin.text)
    named = len({word for word in ids if word != "-"})
    if save.to_stdout:
        raise UsageError("-o - is for commands that make one image", hint="Save it, then: cat FILE")
    if named > 1 and _allows_one_task(save, first):
        raise UsageError(f"-o names one file, and there are {named} tasks", hint=TEMPLATE_HINT)
    session.require_key()
    session.journal.mark_dead_unknown()
    wrong = dict[ExitCode, FluxError]()
    with session.make_reporter() as reporter:
        results, items = Results(reporter), _find_entries(session, coming, save, wrong, first=first)
        # IDs from a pipe arrive at any time, so each has its own timeout.
        piped = "-" in ids
        total = 0 if piped else named
        run = Run(
            session.run_context,
            reporter,
            results,
            lambda _: items,
            total,
            stop_after_first=first,
            one_deadline=not piped,
        )
        try:
            code = run.finish()
        finally:
            session.journal.discard_unseen()
            if results.count > 1:
                # Other processes paid for tasks that were submitted meanwhile.
                reporter.show_summary(replace(results.summary(), spent=Decimal(0)))
    if first and results.saved:
        return code
    return exit_code([*results.errors.values(), *wrong.values()], stopped_by=run.halted)


def _allows_one_task(save: SaveOptions, first: bool) -> bool:
    """Return whether `-o` allows one task only: it names one file. `first` needs no more, unless it is overwritten."""
    return save.output is not None and not is_template(save.output) and (save.overwrite or not first)


async def _find_entries(
    session: Session,
    ids: AsyncIterator[str | UsageError],
    save: SaveOptions,
    wrong: dict[ExitCode, FluxError],
    *,
    first: bool,
) -> AsyncIterator[Entry | Outcome]:
    """Yield entries to run, and outcomes of entries that have ended, without duplicate tasks.

    Invalid IDs are reported, and one error per exit code is added to `wrong`.
    """
    seen = set[str]()
    async for word in ids:
        try:
            if isinstance(word, UsageError):
                raise word
            known = find_entry(session, word) or await link_matching(session.run_context, word)
            task = (known.task_id or known.id) if known else word
            if task in seen:
                continue
            seen.add(task)
            if len(seen) > 1 and _allows_one_task(save, first):
                raise UsageError(f"-o names one file, and task {task} needs another", hint=TEMPLATE_HINT)
            item = prepare_wait(session, word, known, save)
        except FluxError as error:
            session.output.print_error(error)
            wrong[error.exit_code] = error
        else:
            yield item
