"""A request into a paid picture: where it goes, what it would cost, and that nothing can go wrong beforehand."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ...engine.outcome import Outcome
from ...errors import DiskError, ExitCode, UsageError
from ...images.formats import EXTENSIONS
from ...images.output_names import LATE, OutputPlan
from ...journal.entries import Entry, State
from ...json_value import JsonObject
from ...operations.request import TaskRequest
from ...piapi.requests import encoded
from ...piapi.responses import hide_webhook_secrets
from ...system.atomic_files import probe
from ...text import clean, seconds, usd
from ..context import Session
from ..options.compose import name_values
from ..options.options import SaveOptions, SubmitOptions
from ..output.output import Mode, shown
from ..output.render import tell_outcome
from ..output.viewer import look


def create_task(
    session: Session,
    request: TaskRequest,
    save: SaveOptions,
    submit: SubmitOptions,
    *,
    new: bool = False,
    tell: Callable[[Outcome], None] | None = None,
) -> ExitCode:
    """Buy one request and save its pictures, or do as much of it as `submit` says.

    new: also when the same was bought before. tell: shows how it ended, in place of the usual way.
    """
    if submit.dry_run or submit.price_only:
        if not submit.price_only:
            preview(session, request)
        pictures = request.operation.batch_size
        session.output.price(session.price(request), pictures, price_only=submit.price_only)
        return ExitCode.OK
    from .runs import finish  # with it comes all of HTTP

    session.output.names_tasks = submit.no_wait
    begun = begin(session, request, save, submit, new=new)
    if isinstance(begun, Entry):
        return finish(session, [begun], wait=not submit.no_wait, new=new, tell=tell)
    if begun:
        tell(begun) if tell else tell_outcome(session.output, begun)
    return ExitCode.OK


def begin(
    session: Session, request: TaskRequest, save: SaveOptions, submit: SubmitOptions, *, new: bool = False
) -> Entry | Outcome | None:
    """The entry that is to buy a request, once nothing stands in its way.

    Or the outcome of an identical one whose pictures are on disk; or None when the files are there (`skip_existing`).
    Raises ConfigError, UsageError, BudgetError, DiskError, JournalError.
    """
    session.key  # noqa: B018 - a missing key is told before anything is written
    encoded(session.body(request, {}))
    if not (new or save.given or submit.no_wait) and (known := _made_before(session, request)):
        return Outcome(known, None, 0.0)
    plan = _output_plan(session, request, save)
    if save.skip_existing and skip_known(session, plan):
        return None
    if new or session.twin(request) is None:  # an identical request is joined, at no price
        check_budgets(session, session.price(request))
    return session.journal.plan(
        request, plan, service=session.service, profile=session.settings.profile, price=session.price(request)
    )


def _made_before(session: Session, request: TaskRequest) -> Entry | None:
    """The entry of an identical request whose pictures are on disk."""
    known = session.twin(request)
    if known is None or known.state is not State.SAVED or not all(file.is_whole() for file in known.files):
        return None
    ago = seconds(max(0.0, time.time() - (known.submitted or 0)))
    session.output.note(f"the same was made {ago} ago: nothing is bought; buy it again with --new")
    return known


def reseeded(session: Session, request: TaskRequest) -> TaskRequest:
    """The request with the seed of the newest one that is otherwise identical, when there is one."""
    seed = session.seed_of(request)
    return request if seed is None else replace(request, seed=seed)


def preview(session: Session, request: TaskRequest) -> None:
    """Print what would be sent; local pictures stand for the addresses they would get."""
    uploads = {name: f"upload of {len(image.content)} bytes ({name})" for name, image in session.inputs.items()}
    body = hide_webhook_secrets(session.body(request, uploads))
    if session.output.mode is Mode.JSON:
        content: JsonObject = {"request": body, "pictures": request.operation.batch_size}
        session.output.record("dry_run", {**content, "cost_usd": str(session.price(request))})
    else:
        session.output.document(body)


def confirm_price(session: Session, price: Decimal, max_cost: str | None, *, yes: bool) -> None:
    """Ask, or refuse, when a command costs more than the user has allowed. Raises UsageError."""
    if max_cost is not None:
        limit = amount(max_cost, "--max-cost")
        if price > limit:
            raise too_expensive(price, limit)
        return
    above = amount(session.settings.text("confirm_above"), "confirm_above")
    if yes or session.sandbox or price <= above or session.confirmed(f"This costs {usd(price)}. Go on?"):
        return
    hint = "allow it with -y, or with --max-cost USD; the limit is the setting confirm_above"
    raise UsageError(f"this would cost {usd(price)}, more than {usd(above)}", hint=hint, code="too_expensive")


def check_budgets(session: Session, price: Decimal) -> None:
    """Refuse what does not fit into the rest of a budget. Raises BudgetError."""
    if session.budgets:
        session.key  # noqa: B018 - a missing key is told before a journal is made
    for allowance in session.allowances():
        allowance.check(price)


def too_expensive(price: Decimal, limit: Decimal, *, more: bool = False) -> UsageError:
    """The error for a command that costs more than `--max-cost`; `more`: and the end was not reached."""
    least = "at least " if more else ""
    message = f"this would cost {least}{usd(price)}, more than --max-cost {usd(limit)}"
    return UsageError(message, code="too_expensive")


def amount(text: str, name: str) -> Decimal:
    """An amount in USD that a user wrote. Raises UsageError."""
    try:
        found = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or found < 0:
        raise UsageError(f"{name} {clean(text, 40)!r} is not an amount in USD, such as 2.50")
    return found


def _output_plan(session: Session, request: TaskRequest, save: SaveOptions) -> OutputPlan:
    """Where the pictures go; refuses what could not be written, before anything is paid for."""
    count = request.operation.batch_size
    values = name_values(request, session.catalog.model(request.model).name, datetime.now())
    if save.to_stdout:
        _check_stdout(session, count)
        session.journal  # noqa: B018 - makes the folder that the pictures' stands in, for its owner alone
        piped = replace(save, output=None)
        session.output.pipes_pictures = True
        return probed(piped.plan(values, count, session.paths.pictures), piped)
    return probed(save.plan(values, count, session.folder), save)


def _check_stdout(session: Session, count: int) -> None:
    if session.output.mode is Mode.JSON:
        raise UsageError("-o - and --json both want stdout")
    if session.output.to_terminal:
        raise UsageError("-o - writes a picture's bytes, and stdout is a terminal", hint="redirect it: > picture.png")
    if count > 1:
        raise UsageError(f"-o - takes one picture, and -b {count} orders {count}")


def probed(plan: OutputPlan, save: SaveOptions) -> OutputPlan:
    """The plan, once the disk has shown that it takes it. Raises DiskError."""
    for path in plan.paths:
        if path.is_dir():
            raise DiskError(f"{shown(path)} is a folder; nothing was sent")
        if (path.exists() or path.is_symlink()) and not (save.overwrite or save.skip_existing):
            raise DiskError(
                f"{shown(path)} exists; nothing was sent",
                hint="replace it with --overwrite, keep it with --skip-existing, or give another -o",
                code="exists",
            )
        probe_folder(path.parent)
    return plan


def probe_folder(folder: Path) -> None:
    """Make a folder and write into it, once, before anything is paid for. Raises DiskError."""
    if LATE in str(folder):  # the task's id is part of the folder's name: what is above it has to do
        return probe_folder(folder.parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe(folder)
    except OSError as error:
        raise DiskError(f"cannot write into {shown(folder)}: {error.strerror}; nothing was sent") from error
    return None


def as_saved(path: Path) -> Path | None:
    """The picture that stands at a planned place, whatever extension its bytes gave it."""
    candidates = (path, *(path.with_suffix(f".{extension}") for extension in EXTENSIONS))
    return next((candidate for candidate in candidates if candidate.exists()), None)


def skip_known(session: Session, plan: OutputPlan) -> bool:
    """Whether every picture of a plan stands there already; then it is told, and nothing is bought."""
    there = [path for planned in plan.paths if (path := as_saved(planned))]
    if len(there) < len(plan.paths):
        return False
    for path in there:
        if session.output.mode is Mode.JSON:
            session.output.record("skipped", {"files": [str(path)], "reason": "exists", "cost_usd": None})
        else:
            session.output.note(f"{shown(path)} exists: nothing was bought")
            if not session.output.names_tasks:
                session.output.path(shown(path))
    look(session.output, there)
    return True
