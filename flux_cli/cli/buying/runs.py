"""Entries brought to their end: what every command that buys, waits or resumes has in common."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from ...engine.durations import Durations
from ...engine.events import Listener
from ...engine.outcome import Outcome, exit_code
from ...engine.poller import Watcher
from ...engine.rate_limiter import Pace
from ...engine.saver import Saver
from ...engine.scheduler import Engine
from ...engine.submitter import Submitter
from ...engine.uploader import Uploader
from ...errors import ExitCode, FluxError, InterruptError
from ...journal.entries import Entry, State
from ...json_value import strings_in
from ...operations.request import TaskRequest
from ...piapi.client import PiAPIClient
from ...piapi.image_download import Downloader
from ...piapi.requests import encoded
from ...system.signals import DetachedExecutor, Stop
from ...text import counted
from ..context import Session
from ..output.render import tell_outcome

NAMED = 5
"""Tasks that are left running and named one by one."""

Feed = Callable[[Engine], AsyncIterator[Entry | Outcome]]
"""Gives the entries of a run one by one, and outcomes that are known already; may ask the engine whether it halted."""
Beside = Callable[[Engine], AbstractAsyncContextManager[None]]
"""What goes on for as long as the engine runs."""


def finish(
    session: Session,
    entries: Sequence[Entry | Outcome],
    *,
    wait: bool = True,
    new: bool = False,
    tell: Callable[[Outcome], None] | None = None,
) -> ExitCode:
    """Bring entries that this process owns as far as they will go, telling each outcome as it comes."""

    async def feed(engine: Engine) -> AsyncIterator[Entry | Outcome]:
        for entry in entries:
            yield entry

    return Run(session, feed, len(entries), wait=wait, new=new, tell=tell).to_its_end()


@dataclass(slots=True)
class Run:
    """The entries of a feed, brought as far as they will go.

    total: how many there will be, 0 when nobody knows. tell: shows an outcome in place of the usual way.
    new: buy also what is identical to what was bought before.
    first: the first picture that is saved ends the run well, and what else is followed runs on.
    beside: a server that feeds the run, which a signal ends well when nothing is in flight.
    """

    session: Session
    feed: Feed
    total: int
    wait: bool = True
    fail_fast: bool = False
    new: bool = False
    first: bool = False
    tell: Callable[[Outcome], None] | None = None
    beside: Beside | None = None
    _stop: Stop = field(default_factory=Stop)
    _begun: dict[str, Entry] = field(default_factory=dict)
    _errors: dict[ExitCode, FluxError | None] = field(default_factory=dict)
    """One of each kind decides the exit code: memory does not grow with the number of tasks."""
    _won: list[FluxError | None] = field(default_factory=list)

    def to_its_end(self) -> ExitCode:
        """Run, and tell what is left when a signal has ended it. Raises FluxError when nothing can go on."""
        self.session.begun = True
        self._stop.run(self._run())
        untold = [self.session.journal.get(name) or entry for name, entry in self._begun.items()]
        if unsent := sum(entry.state is State.PLANNED for entry in untold):
            self.session.output.note(f"not begun: {counted(unsent, 'task')}; nothing was sent for them")
        running = [entry for entry in untold if entry.state is not State.PLANNED]
        if self._stop.signal_number is None:
            _tell_running(self.session, running)
            return exit_code(self._won or self._errors.values())
        for entry in running:
            self._report(Outcome(entry, stopped_at_once(entry, self._stop.signal_number), 0.0))
        return self._interrupted(self._stop.signal_number, quietly=bool(untold))

    def _interrupted(self, signal_number: int, *, quietly: bool) -> ExitCode:
        """What a signal ends the run with. quietly: what it cut off has been told."""
        code = ExitCode(128 + signal_number)
        if quietly or code in self._errors:
            return code
        if self.beside:
            return ExitCode.OK
        self.session.output.failure(InterruptError("interrupted", signal_number=signal_number))
        return code

    async def _run(self) -> None:
        asyncio.get_running_loop().set_default_executor(DetachedExecutor())
        session, life = self.session, 0.0 if self.new else self.session.cache_seconds
        async with session.client() as client, session.downloader() as downloader:
            with session.output.progress(self.total) as listener:
                engine = new_engine(session, client, downloader, listener, self._stop, life)
                engine.fail_fast = self.fail_fast
                async with self.beside(engine) if self.beside else nullcontext():
                    await engine.run(self._fed(engine), self._report, wait=self.wait)

    async def _fed(self, engine: Engine) -> AsyncIterator[Entry | Outcome]:
        async for item in self.feed(engine):
            if isinstance(item, Entry):
                self._begun[item.id] = item
            yield item

    def _report(self, outcome: Outcome) -> None:
        self._begun.pop(outcome.entry.id, None)
        self._errors.setdefault(outcome.error.exit_code if outcome.error else ExitCode.OK, outcome.error)
        self.tell(outcome) if self.tell else tell_outcome(self.session.output, outcome)
        if self.first and outcome.entry.state is State.SAVED:
            self._won.append(outcome.error)
            self._stop.request()


def _tell_running(session: Session, entries: Sequence[Entry]) -> None:
    """Tell how to fetch tasks that run on."""
    if entries:
        ids = " ".join(entry.task_id or entry.id for entry in entries)
        where = f"wait {ids}" if len(entries) <= NAMED else "resume"
        session.output.note(f"{counted(len(entries), 'task')} left running; fetch them at no cost: flux {where}")


def stopped_at_once(entry: Entry, signal_number: int) -> InterruptError:
    """The error for an entry that a second signal cut off."""
    if entry.state in (State.SENDING, State.UNKNOWN):  # `sending` when the journal could not be written
        message = f"stopped at once; entry {entry.id} may have been charged"
        hint = f"see what to do: flux settle {entry.id}"
    else:
        message = f"stopped at once; task {entry.task_id} is paid for and runs on"
        hint = "fetch it at no cost: flux resume"
    return InterruptError(message, signal_number=signal_number, hint=hint)


def pictures_sent(session: Session, request: TaskRequest) -> list[str]:
    """The references to local pictures that stand in a request as it is sent: a dialect may leave one out."""
    written = set(strings_in(session.body(request, {})))
    return [image for image in request.local_images if image in written]


def new_pace(session: Session) -> Pace:
    """How many tasks this process sends at once: at first as many as the plan allows."""
    timeout = float(session.settings.text("timeout"))
    return Pace(session.concurrency, patience=timeout, clock=time.monotonic, sleep=asyncio.sleep, scale=session.scale)


def new_engine(
    session: Session, client: PiAPIClient, downloader: Downloader, listener: Listener, stop: Stop, life: float
) -> Engine:
    """An engine for the running loop. `life`: seconds for which an identical request is not bought again."""
    timeout, scale, journal = float(session.settings.text("timeout")), session.scale, session.journal
    clock, sleep = time.monotonic, asyncio.sleep
    profile = session.settings.profile
    uploader = Uploader(client, journal, listener, session.inputs, session.upload_service, profile, sleep, scale)

    async def body(entry: Entry) -> bytes:
        assert entry.request is not None
        needed = pictures_sent(session, entry.request)
        return encoded(session.body(entry.request, await uploader.addresses(entry, needed)))

    durations = Durations(session.catalog, journal, session.service, scale)
    return Engine(
        submitter=Submitter(client, journal, listener, stop, body, clock, sleep, timeout, scale, session.budgets, life),
        watcher=Watcher(client, journal, listener, durations, clock, sleep, timeout, scale),
        saver=Saver(client, downloader, journal, listener, sleep, scale),
        journal=journal,
        listener=listener,
        stop=stop,
        schedule=durations.schedule,
        clock=clock,
        slots=session.slots,
        pace=new_pace(session),
    )
