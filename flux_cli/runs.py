"""Requests into pictures: what every command that buys, waits or resumes has in common."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from .client import PiAPIClient
from .compose import name_values
from .downloads import Downloader
from .engine import Engine
from .entry import Entry, State
from .errors import DiskError, ExitCode, FluxError, InterruptError, UsageError
from .events import Listener
from .files import create, temporary_beside
from .formats import EXTENSIONS
from .interrupts import DetachedExecutor, Stop
from .json_value import strings_in
from .names import LATE, OutputPlan
from .options import SaveOptions, SubmitOptions
from .outcome import Outcome, exit_code
from .output import Mode, shown
from .replies import redacted
from .request import TaskRequest
from .saving import Saver
from .session import Session
from .submission import Submitter
from .text import counted, usd
from .uploads import Uploader
from .watching import Watcher
from .wire import encoded


def create_task(session: Session, request: TaskRequest, save: SaveOptions, submit: SubmitOptions) -> ExitCode:
    """Buy one request and save its pictures, or do as much of it as `submit` says."""
    if submit.dry_run or submit.price_only:
        return _dry_run(session, request, price_only=submit.price_only)
    session.key  # noqa: B018 - a missing key is told before anything is written
    encoded(session.body(request, {}))
    plan = _output_plan(session, request, save)
    there = [_as_saved(path) for path in plan.paths]
    if save.skip_existing and all(there):
        return _skipped(session, [path for path in there if path])
    entry = session.journal.plan(
        request, plan, service=session.service, profile=session.settings.profile, price=session.price(request)
    )
    return finish(session, [entry], wait=not submit.no_wait)


def _dry_run(session: Session, request: TaskRequest, *, price_only: bool) -> ExitCode:
    """Print what would be sent and what it would cost; local pictures stand for the addresses they would get."""
    uploads = {name: f"upload of {len(image.content)} bytes ({name})" for name, image in session.inputs.items()}
    body, price = redacted(session.body(request, uploads)), session.price(request)
    pictures = request.operation.batch_size
    if session.output.mode is Mode.JSON:
        kind = "price" if price_only else "dry_run"
        session.output.record(kind, {"request": body, "pictures": pictures, "cost_usd": str(price)})
    elif price_only:
        session.output.result(f"{price:f}")
        session.output.note(f"{usd(price)} for {counted(pictures, 'picture')} of {request.model}; nothing was sent")
    else:
        import json

        session.output.result(json.dumps(body, indent=2, ensure_ascii=False))
        session.output.note(f"would cost {usd(price)}; nothing was sent")
    return ExitCode.OK


def _output_plan(session: Session, request: TaskRequest, save: SaveOptions) -> OutputPlan:
    """Where the pictures go; refuses what could not be written, before anything is paid for."""
    count = request.operation.batch_size
    values = name_values(request, session.catalog.model(request.model).name, datetime.now())
    if save.to_stdout:
        _check_stdout(session, count)
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
        _probe(path.parent)
    return plan


def _probe(folder: Path) -> None:
    if LATE in str(folder):  # the task's id is part of the folder's name: what is above it has to do
        return _probe(folder.parent)
    probe = temporary_beside(folder / "probe")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(create(probe), "wb") as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise DiskError(f"cannot write into {shown(folder)}: {error.strerror}; nothing was sent") from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return None


def _as_saved(path: Path) -> Path | None:
    """The picture that stands at a planned place, whatever extension its bytes gave it."""
    candidates = (path, *(path.with_suffix(f".{extension}") for extension in EXTENSIONS))
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _skipped(session: Session, paths: Sequence[Path]) -> ExitCode:
    for path in paths:
        if session.output.mode is Mode.JSON:
            session.output.record("skipped", {"files": [str(path)], "reason": "exists", "cost_usd": None})
        else:
            session.output.note(f"{shown(path)} exists: nothing was bought")
            session.output.result(shown(path))
    return ExitCode.OK


def finish(session: Session, entries: Sequence[Entry], *, wait: bool = True) -> ExitCode:
    """Bring entries that this process owns as far as they will go, telling each outcome as it comes."""
    told: dict[str, FluxError | None] = {}

    def report(outcome: Outcome) -> None:
        told[outcome.entry.id] = outcome.error
        session.output.outcome(outcome)

    interrupted = asyncio.run(_run(session, entries, report, wait))
    untold = [session.journal.get(entry.id) or entry for entry in entries if entry.id not in told]
    unsent = [entry for entry in untold if entry.state is State.PLANNED]
    if unsent:
        session.output.note(f"not begun: {counted(len(unsent), 'task')}; nothing was sent for them")
    for entry in untold:
        if entry.state is not State.PLANNED:
            report(Outcome(entry, stopped_at_once(entry, interrupted), 0.0))
    return ExitCode(128 + interrupted) if interrupted else exit_code(told.values())


def stopped_at_once(entry: Entry, signal_number: int) -> InterruptError:
    """The error for an entry that a second signal cut off."""
    if entry.state in (State.SENDING, State.UNKNOWN):  # `sending` when the journal could not be written
        message = f"stopped at once; entry {entry.id} may have been charged"
    else:
        message = f"stopped at once; task {entry.task_id} is paid for and runs on"
    return InterruptError(message, signal_number=signal_number, hint="see: flux history; flux resume")


async def _run(session: Session, entries: Sequence[Entry], report: Callable[[Outcome], None], wait: bool) -> int:
    """Returns the number of the signal that ended the run, or 0."""
    stop = Stop()
    asyncio.get_running_loop().set_default_executor(DetachedExecutor())
    # First of all: a signal while the rest is being made must not look like one during a submission.
    with stop.on_signals():
        async with session.client() as client, session.downloader() as downloader:
            with session.output.progress(len(entries)) as listener:
                engine = _engine(session, client, downloader, listener, stop)
                try:
                    await engine.run(entries, report, wait=wait)
                except asyncio.CancelledError:
                    if not stop.requested:
                        raise
    return stop.signal_number or 0


def _engine(session: Session, client: PiAPIClient, downloader: Downloader, listener: Listener, stop: Stop) -> Engine:
    timeout, scale, journal = float(session.settings.text("timeout")), session.scale, session.journal
    clock, sleep = time.monotonic, asyncio.sleep
    profile = session.settings.profile
    uploader = Uploader(client, journal, listener, session.inputs, session.upload_service, profile, sleep, scale)

    async def body(entry: Entry) -> bytes:
        assert entry.request is not None
        # A dialect may leave a picture out: only those that stand in the body are uploaded.
        written = set(strings_in(session.body(entry.request, {})))
        needed = [image for image in entry.request.local_images if image in written]
        return encoded(session.body(entry.request, await uploader.addresses(entry, needed)))

    return Engine(
        submitter=Submitter(client, journal, listener, stop, body, clock, sleep, timeout, scale),
        watcher=Watcher(client, journal, listener, session.schedule, clock, sleep, timeout, scale),
        saver=Saver(client, downloader, journal, listener, sleep, scale),
        journal=journal,
        listener=listener,
        stop=stop,
        schedule=session.schedule,
        clock=clock,
        slots=session.slots,
    )
