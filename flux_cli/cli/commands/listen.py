"""`flux listen`: receive webhooks and save the images of their tasks, as `flux wait` does."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from socket import socket
from typing import Annotated

from ...batch.results import Results, TaskResult
from ...batch.runner import Run
from ...config.urls import is_loopback
from ...engine.outcome import Outcome
from ...engine.scheduler import Scheduler
from ...errors import ExitCode, FluxError, InterruptError, NetworkError, UsageError
from ...frozen import frozen
from ...images.output_names import is_template
from ...journal.entries import UNFINISHED, Entry, State
from ...operations.parameters import Group, Option
from ...piapi.client import PiAPIClient
from ...text import clean, counted
from ...webhooks.forwarder import Forwarder, find_command, forward_url
from ...webhooks.receiver import Delivery, Receiver
from ...webhooks.server import open_listening_socket, origin_of, serve
from ..found_tasks import AT_ONCE, TEMPLATE_HINT, prepare_wait, record_delivery, resolve_delivery
from ..options import Host, Port, SaveOptions
from ..output.output import Mode
from ..output.render import show_outcome
from ..output.reporter import CommandReporter
from ..registry import help_page
from ..session import Session


@frozen
class ListenOptions(Group):
    """Options of the webhook receiver."""

    title = "Server"
    sets = ("webhook_secret_file",)

    port: Port = 8518
    host: Host = "127.0.0.1"
    webhook_secret_file: Annotated[
        Path | None,
        Option(
            "--webhook-secret-file",
            short="File that contains the webhook secret.",
            metavar="FILE",
            help="File that contains the secret that every webhook must carry; or set FLUX_WEBHOOK_SECRET.",
        ),
    ] = None
    forward: Annotated[
        str | None,
        Option(
            "--forward",
            short="Forward each webhook to URL.",
            title="Actions",
            metavar="URL",
            help="Forward the body of each webhook to URL.",
        ),
    ] = None
    command: Annotated[
        str | None,
        Option(
            "--exec",
            short="Run CMD for each saved image.",
            title="Actions",
            metavar="CMD",
            help="Run CMD for each saved image, with the image's path as the last argument. No shell is used.",
        ),
    ] = None
    count: Annotated[
        int | None,
        Option(
            "--count",
            short="Exit after N tasks are saved.",
            title="Actions",
            metavar="N",
            min=1,
            help="Exit after N tasks are saved.",
        ),
    ] = None


@help_page(
    ("Save images as webhooks arrive", "flux listen -d images --webhook-secret-file secret"),
    ("Resize each image in place", 'flux listen --exec "mogrify -resize 50%"'),
    texts=(("output", "Template for file names; see flux help templates."),),
    hides=("skip_existing", "sandbox"),
)
def listen(session: Session, options: ListenOptions, save: SaveOptions) -> ExitCode:
    """Receive PiAPI's webhooks and save the images.

    A webhook is only a trigger: flux checks the task's status with PiAPI, and saves its images as flux wait does. The
    --exec command runs without a shell, with FLUX_TASK_ID, FLUX_ENTRY and FLUX_PROMPT in its environment.
    """
    if session.sandbox:
        unset = "Unset FLUX_SANDBOX, and start" if session.environ.get("FLUX_SANDBOX") else "Start"
        hint = f"{unset} a mock server that sends them: flux sandbox"
        raise UsageError("--sandbox does not send webhooks", hint=hint)
    if save.output is not None and not is_template(save.output):
        message = f"-o {clean(save.output, 60)} names one file, but listen saves many images"
        raise UsageError(message, hint=TEMPLATE_HINT)
    forwarder = Forwarder(
        forward_url(options.forward) if options.forward else None,
        find_command(options.command) if options.command is not None else (),
        session.environ,
        session.output.warn,
        session.run_context.clock,
    )
    session.require_key()  # a missing key is an error before anything is received
    receiver = Receiver(
        session.webhook_secret(), lambda task_id: record_delivery(session, task_id, save), session.output.log
    )
    session.journal.mark_dead_unknown()
    with closing(open_listening_socket(options.host, options.port, command="flux listen")) as at:
        listening = _Listening(session, options, save, receiver, forwarder, at)
        run = Run(session.run_context, listening, Results(listening), listening.feed, 0, server=listening.serve)
        code = run.finish()
    if left := len(receiver.in_progress - {delivery.task_id for delivery in listening.followed.values()}):
        session.output.note(
            f"{counted(left, 'webhook')} recorded but not processed; download the images with",
            ("resume",),
        )
    return ExitCode.OK if listening.enough else code


class _Listening(CommandReporter):
    """A run of `flux listen`: shows the results of tasks, and starts forwarding and `--exec` commands.

    seen: the IDs of tasks that were delivered in this run. found: the queue of entries to save, or an error that ends
    the run. followed: the deliveries of the entries that the scheduler runs, by entry ID. after: running follow-ups.
    """

    def __init__(
        self,
        session: Session,
        options: ListenOptions,
        save: SaveOptions,
        receiver: Receiver,
        forwarder: Forwarder,
        at: socket,
    ) -> None:
        super().__init__(session.output)
        self.session, self.options, self.save = session, options, save
        self.receiver, self.forwarder, self.at = receiver, forwarder, at
        self.found: asyncio.Queue[tuple[Entry, Delivery] | Exception] = asyncio.Queue()
        self.followed: dict[str, Delivery] = {}
        self.seen: set[str] = set()
        self.after: set[asyncio.Task[None]] = set()
        self.saved = 0
        self.scheduler: Scheduler | None = None

    @property
    def enough(self) -> bool:
        """Whether `--count` tasks are saved."""
        return self.options.count is not None and self.saved >= self.options.count

    @asynccontextmanager
    async def serve(self, scheduler: Scheduler) -> AsyncIterator[None]:
        """Receive deliveries inside the context. On exit, wait for forwarding and commands."""
        self.scheduler = scheduler
        self.receiver.closed = lambda: scheduler.stop.requested
        server = asyncio.create_task(serve(self.receiver, self.at, scheduler.stop, self.session.output.log))
        server.add_done_callback(lambda _: scheduler.stop.request())  # without a server, no more deliveries arrive
        workers = [asyncio.create_task(self._work(scheduler.poller.client)) for _ in range(AT_ONCE)]
        try:
            self._announce()
            yield
            scheduler.stop.request()
            for worker in workers:
                worker.cancel()
            await server
            if self.after:
                self.session.output.note("waiting for --exec and --forward to end; press Ctrl-C again to stop them")
            while self.after:
                await asyncio.wait(self.after)
        finally:
            for task in (server, *workers, *self.after):
                task.cancel()
            await asyncio.wait((server, *workers, *self.after))

    def _announce(self) -> None:
        output, host = self.session.output, self.options.host
        origin = origin_of(host, self.at)
        if output.mode is Mode.JSON:
            output.print_json("listening", {"url": f"{origin}/"})
        output.note(f"Listening on {origin}/ (Ctrl-C stops it)")
        if self.receiver.secret is None:
            output.warn(
                "no webhook secret: anyone who can reach this port can make flux send requests to PiAPI. "
                "Set FLUX_WEBHOOK_SECRET, or pass --webhook-secret-file."
            )
        if not is_loopback(host):
            output.warn(
                f"{clean(host, 60)} can be reached from other machines without TLS: the secret crosses the network "
                "unencrypted. Better listen on localhost, behind a proxy or tunnel that speaks HTTPS."
            )

    async def feed(self, scheduler: Scheduler) -> AsyncIterator[Entry | Outcome]:
        """Yield entries to save, as deliveries arrive."""
        while True:
            item = await self.found.get()
            if isinstance(item, Exception):
                raise item
            entry, delivery = item
            self.followed[entry.id] = delivery
            yield entry

    async def _work(self, client: PiAPIClient) -> None:
        """Find the entries of deliveries, one after another. An error is printed, and does not affect others."""
        while True:
            delivery = await self.receiver.arrived.get()
            try:
                if entry := await self._find_entry(client, delivery):
                    self.found.put_nowait((entry, delivery))
            except FluxError as error:
                self.session.output.print_error(error)
                if isinstance(error, NetworkError):
                    self.session.output.note(
                        f"task {delivery.task_id} is recorded; download its images later with", ("resume",)
                    )
                self.receiver.mark_done(delivery)
            except Exception as error:
                self.found.put_nowait(error)

    async def _find_entry(self, client: PiAPIClient, delivery: Delivery) -> Entry | None:
        """Return the entry to save; None if nothing is left to save.

        Raise RefusedError for a task of another account, NetworkError, ConfigError, DiskError or JournalError.
        """
        session, task_id = self.session, delivery.task_id
        known = await resolve_delivery(session, client, task_id)
        if task_id in self.seen:
            session.output.note(f"task {task_id}: delivered again")
            self.receiver.mark_done(delivery)
            return None
        self.seen.add(task_id)
        if known and known.state not in (*UNFINISHED, State.EXPIRED):
            session.output.note(f"task {task_id}: {known.state} already")
        else:
            item = prepare_wait(session, task_id, known, self.save)
            if isinstance(item, Entry):
                return item
            if item.error:  # not an error here: another process saves it
                session.output.note(f"task {task_id}: {item.error.message}")
        self._follow_up(delivery, None)
        return None

    def show_result(self, result: TaskResult) -> None:
        """Show the result of a task, and start its follow-ups."""
        outcome = result.outcome
        assert outcome is not None
        show_outcome(self.session.output, outcome)
        delivery = self.followed.pop(outcome.entry.id, None)
        if delivery is None:
            return
        if isinstance(outcome.error, InterruptError):  # the event loop may have ended
            self.receiver.mark_done(delivery)
            return
        saved = outcome.entry.state is State.SAVED
        self._follow_up(delivery, outcome.entry if saved else None)
        self.saved += saved
        if self.enough and self.scheduler:
            self.scheduler.stop.request()

    def _follow_up(self, delivery: Delivery, saved: Entry | None) -> None:
        self._start(self._forward(delivery))
        if saved:
            self._start(self.forwarder.run(saved))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.after.add(task)
        task.add_done_callback(self.after.discard)

    async def _forward(self, delivery: Delivery) -> None:
        try:
            await self.forwarder.forward(delivery.task_id, delivery.body)
        finally:
            self.receiver.mark_done(delivery)
