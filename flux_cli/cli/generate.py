"""The common part of all commands that generate images: from options to a plan, and from a plan to images."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..batch.outputs import Saving
from ..batch.plan import CostLimits, Draft, Plan, Shard, check_single_name, make_plan
from ..batch.prompts import LINE_LIMIT, OnePrompt, Row, Rows, StandardInput, read_prompts
from ..batch.request_builder import read_input_file
from ..batch.sweeps import parse_vary
from ..batch.tables import has_rows, kind_of, read_rows
from ..errors import ExitCode, UsageError
from ..images.formats import EXTENSIONS
from ..images.output_names import expand_path
from ..json_value import JsonObject
from ..operations.base import Parameters
from ..operations.options import SharedOptions
from ..operations.request import TaskRequest
from ..piapi.responses import hide_webhook_secrets
from ..text import argument_text, byte_count, clean, counted, file_name, usd
from .drafts import check_column, make_drafts, make_request_builder, read_row
from .options import ManyOptions, RunOptions, SaveOptions, SubmitOptions
from .output.output import Items, Mode, Note, Output, Record
from .output.render import format_sum
from .session import Session

if TYPE_CHECKING:
    from ..batch.resume import PlanParts, Policy

Drafts = Callable[[Row], Iterator[Draft]]
"""Yields the tasks of a row. Raises UsageError with all errors of the row."""


def generate(session: Session, own: Parameters, shared: SharedOptions, run: RunOptions) -> ExitCode:
    """Generate the images of a command line, one task per combination of its prompts and sweeps."""
    prompt, prompts = None if own.prompt is None else argument_text(own.prompt), run.source.prompts
    if shared.task.negative_prompt is not None:
        shared = shared.with_groups(replace(shared.task, negative_prompt=argument_text(shared.task.negative_prompt)))
    if prompt is None and prompts is None:
        prompt = own.default_prompt
        if prompt is None:
            raise UsageError(
                "no prompt", hint="Add it in quotes, or read prompts from a file, one per line: --from FILE"
            )
    if prompt is not None:
        _check_prompt(prompt, own.name)
    if prompts is not None and has_rows(prompts):
        raise UsageError(
            f"{clean(prompts, 80)} contains rows, not prompts",
            hint="Run it with",
            command=("batch", prompts),
        )
    if prompt is not None and prompts is not None:
        hint = "To put each line into a longer prompt, use --vary line=@FILE with {line} in the prompt"
        raise UsageError("a prompt and --from cannot be used together", hint=hint)
    if run.save.output == "-" and (prompts is not None or run.source.vary):
        raise UsageError("-o - is for a command that makes one image")
    builder = make_request_builder(session, own, shared, read_input_file(shared.task.input_file))
    variables: dict[str, list[str]] = {}
    for text in run.source.vary or []:
        name, values = parse_vary(argument_text(text))
        variables.setdefault(name, []).extend(values)

    def drafts(row: Row) -> Iterator[Draft]:
        return make_drafts(str(row.fields["prompt"]), builder, run.save, variables)

    if prompts is None:
        assert prompt is not None
        return _run(session, OnePrompt(prompt), None, drafts, run.many, run.save, run.submit)
    with _open(session.stdin, prompts, "prompts") as stream:
        name = _name(prompts)
        return _run(session, read_prompts(stream, name), name, drafts, run.many, run.save, run.submit)


def _check_prompt(prompt: str, command: str) -> None:
    """Raise UsageError for an argument that was not meant as a prompt."""
    if prompt == "-":
        raise UsageError('the prompt is "-"', hint="Read prompts from stdin", command=(command, "--from", "-"))
    if prompt == "help":
        raise UsageError('the prompt is "help"', hint="For help", command=(command, "--help"))
    kind = Path(prompt).suffix[1:].lower()
    if kind and os.path.isfile(prompt):
        error = f"{file_name(prompt, 80)} is a file, not a prompt"
        if kind not in (*EXTENSIONS, "jpeg"):
            raise UsageError(error, hint="Read prompts from it", command=(command, "--from", prompt))
        hint, words = {
            "gen": ("Use it with", ("edit", prompt, "as a watercolor")),
            "lora": ("Pass the prompt, then", ("lora", "a fox", "--lora", "anime", "--image", prompt)),
            "controlnet": ("Pass the prompt, then", ("controlnet", "a fox", "--control", f"depth={prompt}")),
        }.get(command, ("Pass one image, then the prompt", (command, prompt, "as a watercolor")))
        raise UsageError(error, hint=hint, command=words)


def generate_rows(
    session: Session, file: str, shared: SharedOptions, many: ManyOptions, save: SaveOptions, submit: SubmitOptions
) -> ExitCode:
    """Run the tasks of the rows of a batch file."""
    if save.output == "-":
        raise UsageError("-o - is for a command that makes one image")
    with _open(session.stdin, file, "rows") as stream:
        content = BytesIO(stream.read())  # the format may depend on the first bytes
        kind = kind_of(file, content.read(LINE_LIMIT))
        content.seek(0)
        name = _name(file)
        drafts = partial(read_row, session, shared, read_input_file(shared.task.input_file), save)
        return _run(session, read_rows(content, name, kind, check_column), name, drafts, many, save, submit)


def generate_drafts(
    session: Session, drafts: Iterator[Draft], many: ManyOptions, save: SaveOptions, submit: SubmitOptions
) -> ExitCode:
    """Generate the images of an earlier request with changes."""
    return _run(session, OnePrompt(""), None, lambda _: drafts, many, save, submit)


def _name(file: str) -> str:
    return "stdin" if file == "-" else file


def _open(stdin: StandardInput, name: str, what: str) -> AbstractContextManager[BinaryIO]:
    if name == "-":
        return nullcontext(stdin.take(what))
    try:
        return expand_path(name).open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {what} from {clean(name, 120)}: {error.strerror}") from error


# --- a plan, priced and run -------------------------------------------------------------------------------------------


def _run(
    session: Session,
    rows: Rows | OnePrompt,
    source: str | None,
    drafts: Drafts,
    many: ManyOptions,
    save: SaveOptions,
    submit: SubmitOptions,
) -> ExitCode:
    if save.overwrite and save.skip_existing:
        raise UsageError("--overwrite and --skip-existing cannot be used together")
    if session.options.get("webhook_secret_file") and session.settings.get("webhook") is None:
        raise UsageError("--webhook-secret-file has no effect without --webhook")
    saving = session.saving(save)
    shard = Shard.parse(many.shard or "1/1")
    limits = session.cost_limits(many.max_cost, yes=many.yes)
    plan = make_plan(rows, drafts, source=source, price=session.catalog.price, shard=shard)
    check_single_name(plan, save.output)
    if save.skip_existing and save.output is None and any(task.draft.random_seed for task in plan.tasks):
        session.output.note("--skip-existing has no effect on names with a random seed; pass a name with -o, or --seed")
    if rows.skipped:
        session.output.note(f"{', '.join(counted(number, what) for what, number in rows.skipped.items())} skipped")
    if submit.price_only:
        return session.output.print_all(_show_price(session.output, plan, limits))
    if submit.dry_run:
        parts = _divide(session, plan, saving, _make_policy(many, submit))
        return session.output.print_all(_show_requests(session, plan, parts, limits))
    if not plan.tasks:
        session.output.note(f"this shard has none of the {counted(plan.total, 'task')}")
        return ExitCode.OK
    return _pay(session, plan, source, saving, limits, many, save, submit)


def _pay(
    session: Session,
    plan: Plan,
    source: str | None,
    saving: Saving,
    limits: CostLimits,
    many: ManyOptions,
    save: SaveOptions,
    submit: SubmitOptions,
) -> ExitCode:
    """Run a plan, from the review of what is paid for already to the report."""
    from ..batch.batch import Batch  # slow to import, and not needed for a price
    from ..batch.task_matching import link_seen
    from .output.reporter import CommandReporter

    session.require_key(offer_sandbox=True)
    if save.to_stdout:
        saving = _check_stdout(session, plan, saving)
    session.journal.mark_dead_unknown()
    link_seen(session.run_context)
    report = None
    if many.report is not None:
        from .output.reports import open_report

        report = open_report(many.report.expanduser(), "flux" if source is None else f"flux: {source}", session.output)
    with CommandReporter(
        session.output,
        report=report,
        source=source,
        ids=submit.no_wait,
        images=save.to_stdout,
        no_cache=many.no_cache,
        seeds=len({task.request.operation.prompt for task in plan.tasks}) < len(plan.tasks),
    ) as reporter:
        policy = _make_policy(many, submit)
        batch = Batch(plan, session.run_context, saving, policy, limits, reporter, fail_fast=many.fail_fast)
        code = batch.run()
    return code or (ExitCode.DISK if reporter.report_failed else ExitCode.OK)


def _check_stdout(session: Session, plan: Plan, saving: Saving) -> Saving:
    """Return how an image is saved on its way to stdout. Raise UsageError."""
    count = plan.images
    if session.output.mode is Mode.JSON:
        raise UsageError("-o - and --json cannot be used together: both write to stdout")
    if session.output.to_terminal:
        raise UsageError("-o - writes an image to stdout, and stdout is a terminal", hint="Redirect it: > image.png")
    if count > 1:
        raise UsageError(f"-o - writes one image, but this command makes {count}")
    return Saving(session.run_context.private_directory, metadata=saving.metadata, chosen_by_user=True)


def _show_price(output: Output, plan: Plan, limits: CostLimits) -> Items:
    """Yield the price of a plan."""
    _check_price(plan, limits)
    about = f"{format_sum(plan.price, limits.simulated)} for {counted(plan.images, 'image')}"
    price = usd(plan.price).removeprefix("$")
    content: JsonObject = {"images": plan.images, "cost_usd": str(plan.price)}
    yield Record("price", content, about if output.shows_all else price, quiet=price)
    if not output.shows_all:
        yield Note(about)
    return ExitCode.OK


def _show_requests(session: Session, plan: Plan, parts: "PlanParts", limits: CostLimits) -> Items:
    """Yield each request of a plan, and the price of those that a run would send now."""
    unpaid = replace(plan, tasks=parts.unpaid)
    _check_price(unpaid, limits)
    some = plan.tasks[:1] if session.output.mode is Mode.TEXT and session.output.to_terminal else plan.tasks
    for task in some:
        yield _describe_request(session, task.request)
    if more := len(plan.tasks) - len(some):
        yield Note(f"... and {counted(more, 'more request')}. To print all, add --json")
    cost = f"{format_sum(unpaid.price, limits.simulated)} for {counted(unpaid.images, 'image')}"
    lines = [f"Would cost {cost if unpaid.tasks else 'nothing'}."]
    if parts.reused:
        lines.append(f"{counted(replace(plan, tasks=parts.reused).images, 'image')} would be reused (no charge).")
    if parts.ended:
        lines.append(f"{counted(len(parts.ended), 'earlier task')} without an image would not be submitted again.")
    yield Note(" ".join([*lines, "Nothing was sent."]))
    return ExitCode.OK


def _check_price(plan: Plan, limits: CostLimits) -> None:
    if limits.max_cost is not None:
        limits.check(plan.price, plan.images)


def _make_policy(many: ManyOptions, submit: SubmitOptions) -> "Policy":
    from ..batch.resume import Policy

    return Policy(no_cache=many.no_cache, any_seed=many.cache, retry_failed=many.retry_failed, wait=not submit.no_wait)


def _divide(session: Session, plan: Plan, saving: Saving, policy: "Policy") -> "PlanParts":
    """Return the parts of a plan, by what a run would do now. Nothing is created if there is no journal yet."""
    from ..batch.resume import PlanParts, divide

    if not session.paths.journal.exists():
        return PlanParts(plan.tasks)
    return divide(plan, session.run_context, saving, policy)


def _describe_request(session: Session, request: TaskRequest) -> Record:
    """Return the request as it would be sent; local images replace the URLs they would get."""
    images = session.images
    uploads = {
        name: f"upload of {byte_count(images.size(name))} ({name})" for name in request.local_images if name in images
    }
    body = hide_webhook_secrets(session.make_body(request, uploads))
    content: JsonObject = {"request": body, "images": request.operation.batch_size}
    return Record("dry_run", {**content, "cost_usd": str(session.catalog.price(request))}, document=body)
