"""Requests into pictures: what every command that buys, waits or resumes has in common."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from .engine import Engine
from .entry import Entry, State
from .errors import DiskError, ExitCode, FluxError, InterruptError, UsageError
from .files import create, temporary_beside
from .interrupts import Stop
from .names import LATE, OutputPlan
from .operations import TaskRequest
from .options import SaveOptions, SubmitOptions, name_values
from .outcome import Outcome, exit_code
from .output import Mode, shown
from .saving import Saver
from .session import Session
from .submission import Submitter
from .text import counted, usd
from .watching import Watcher
from .wire import redacted


def create_task(session: Session, request: TaskRequest, save: SaveOptions, submit: SubmitOptions) -> ExitCode:
    """Buy one request and save its pictures, or do as much of it as `submit` says."""
    if submit.dry_run:
        return _dry_run(session, request)
    plan = _output_plan(session, request, save)
    if save.skip_existing and all(path.exists() for path in plan.paths):
        return _skipped(session, plan)
    session.key  # noqa: B018 - a missing key is told before anything is written
    session.body(request)
    entry = session.journal.plan(
        request, plan, service=session.service, profile=session.settings.profile, price=session.price(request)
    )
    return finish(session, [entry], wait=not submit.no_wait)


def _dry_run(session: Session, request: TaskRequest) -> ExitCode:
    body = redacted(session.body(request))
    price = session.price(request)
    if session.output.mode is Mode.JSON:
        session.output.record("dry_run", {"request": body, "cost_usd": str(price)})
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
        return replace(probed(piped.plan(values, count, session.paths.pictures), piped), stdout=True)
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(folder / "probe")
        with open(create(probe), "wb") as file:
            file.write(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        raise DiskError(f"cannot write into {shown(folder)}: {error.strerror}; nothing was sent") from error


def _skipped(session: Session, plan: OutputPlan) -> ExitCode:
    for path in plan.paths:
        if session.output.mode is Mode.JSON:
            session.output.record("skipped", {"files": [str(path)], "reason": "exists", "cost_usd": None})
        else:
            session.output.note(f"{shown(path)} exists: nothing was bought")
            session.output.result(shown(path))
    return ExitCode.OK


def finish(session: Session, entries: Sequence[Entry], *, wait: bool = True) -> ExitCode:
    """Bring entries that this process owns as far as they will go, telling each outcome as it comes."""
    errors: list[FluxError | None] = []

    def report(outcome: Outcome) -> None:
        errors.append(outcome.error)
        session.output.outcome(outcome)

    interrupted = asyncio.run(_run(session, entries, report, wait))
    if unsent := len(entries) - len(errors):
        session.output.note(
            f"{counted(unsent, 'entry').replace('entrys', 'entries')} not begun; nothing was sent for them"
        )
    if interrupted:
        return ExitCode(128 + interrupted)
    return exit_code(errors)


async def _run(session: Session, entries: Sequence[Entry], report: Callable[[Outcome], None], wait: bool) -> int:
    """Returns the number of the signal that ended the run, or 0."""
    stop = Stop()
    timeout, scale = float(session.settings.text("timeout")), session.scale
    async with session.client() as client, session.downloader() as downloader:
        with session.output.progress(len(entries)) as listener, stop.on_signals():
            engine = Engine(
                submitter=Submitter(
                    client, session.journal, listener, stop, session.body, time.monotonic, asyncio.sleep, timeout, scale
                ),
                watcher=Watcher(
                    client, session.journal, listener, session.schedule, time.monotonic, asyncio.sleep, timeout, scale
                ),
                saver=Saver(client, downloader, session.journal, listener, asyncio.sleep, scale),
                journal=session.journal,
                listener=listener,
                stop=stop,
                schedule=session.schedule,
                clock=time.monotonic,
                concurrency=session.concurrency,
            )
            try:
                await engine.run(entries, report, wait=wait)
            except asyncio.CancelledError:
                if not stop.requested:
                    raise
                _tell_what_is_left(session, entries, stop.signal_number or 0)
    return stop.signal_number or 0


def _tell_what_is_left(session: Session, entries: Sequence[Entry], signal_number: int) -> None:
    """After a second signal, which left no time for outcomes: what the journal says."""
    for entry in entries:
        known = session.journal.find(entry.id) or entry
        if known.state is State.UNKNOWN:
            message = f"stopped at once; entry {known.id} may have been charged"
        elif known.task_id and known.state is not State.SAVED:
            message = f"stopped at once; task {known.task_id} is paid for and runs on"
        else:
            continue
        session.output.error(
            InterruptError(message, signal_number=signal_number, hint="see: flux history; flux resume")
        )
