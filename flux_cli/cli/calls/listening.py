"""`flux listen`: webhooks received, and the pictures of their tasks saved as `flux wait` would save them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from socket import socket

from ...batch.results import Results, TaskResult
from ...batch.runner import Run
from ...config.urls import is_loopback
from ...engine.backoff import backoff
from ...engine.outcome import Outcome
from ...engine.scheduler import Scheduler
from ...errors import ExitCode, FluxError, InterruptError, NetworkError, RefusedError, UsageError
from ...images.output_names import is_template
from ...journal.entries import UNFINISHED, Entry, State
from ...piapi.client import PiAPIClient
from ...text import clean
from ...webhooks.forwarder import Relay, command_words, forward_address
from ...webhooks.receiver import Delivery, Receiver
from ...webhooks.server import listening_socket, origin_of, serve
from ..buying.adopting import recognised
from ..context import Session
from ..options.arguments import ListenArguments
from ..options.options import SaveOptions
from ..output.output import Mode, Output
from ..output.render import show_outcome
from ..output.reporter import CommandReporter
from .following import TEMPLATE_HINT, look_at, to_wait_for
from .serving import log_of


class _Reporter(CommandReporter):
    """Shows the results of tasks, and starts what follows on their deliveries."""

    def __init__(self, output: Output, listening: "_Listening") -> None:
        super().__init__(output)
        self._listening = listening

    def result(self, result: TaskResult) -> None:
        """Show the result of a task, and start what follows."""
        assert result.outcome is not None
        self._listening.tell(result.outcome)


LOOKS = 3
"""How often the service is asked about a task that this machine knows nothing of."""


def listen(session: Session, options: ListenArguments, save: SaveOptions) -> ExitCode:
    """Receive deliveries until a signal comes or enough tasks are saved, which is how it ends well.

    Raises UsageError, ConfigError, JournalError.
    """
    if session.sandbox:
        hint = "flux sandbox serves one that does; and unset FLUX_SANDBOX"
        raise UsageError("the service inside the program delivers nothing", hint=hint, money="")
    if save.output is not None and not is_template(save.output):
        raise UsageError("-o names one file, and any number of pictures may come", hint=TEMPLATE_HINT, money="")
    relay = Relay(
        forward_address(options.forward) if options.forward else None,
        command_words(options.command) if options.command is not None else (),
        session.environ,
        session.output.warn,
        scale=session.scale,
    )
    session.key  # noqa: B018 - a missing key is told before anything is received
    receiver = Receiver(session.webhook_secret(), log_of(session))
    session.journal.settle_dead()
    with closing(listening_socket(options.host, options.port, usual="flux listen")) as at:
        listening = _Listening(session, options, save, receiver, relay, at)
        reporter = _Reporter(session.output, listening)
        run = Run(session.workspace, reporter, Results(reporter), listening.feed, 0, beside=listening.served)
        code = run.finish()
    listening.tell_left()
    return ExitCode.OK if listening.enough else code


@dataclass
class _Listening:
    """One `flux listen`.

    seen: tasks whose deliveries were believed in this run. followed: the deliveries of entries in the engine's hands.
    """

    session: Session
    options: ListenArguments
    save: SaveOptions
    receiver: Receiver
    relay: Relay
    at: socket
    followed: dict[str, Delivery] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    after: set[asyncio.Task[None]] = field(default_factory=set)
    saved: int = 0
    engine: Scheduler | None = None

    @property
    def enough(self) -> bool:
        """Whether as many tasks are saved as were asked for."""
        return self.options.count is not None and self.saved >= self.options.count

    @asynccontextmanager
    async def served(self, engine: Scheduler) -> AsyncIterator[None]:
        """While inside, deliveries are received. At the end, what follows on them is brought to its end too."""
        self.engine = engine
        self.receiver.closed = lambda: engine.stop.requested
        server = asyncio.create_task(serve(self.receiver, self.at, engine.stop, log_of(self.session)))
        server.add_done_callback(lambda _: engine.stop.request())  # without a server there is nothing to wait for
        try:
            self._announce()
            yield
            engine.stop.request()
            await server
            if self.after:
                self.session.output.note("what follows on the last deliveries is under way; Ctrl-C once more stops it")
            while self.after:
                await asyncio.wait(self.after)
        finally:
            for task in (server, *self.after):
                task.cancel()
            await asyncio.wait((server, *self.after))

    def _announce(self) -> None:
        output, host = self.session.output, self.options.host
        origin = origin_of(host, self.at)
        if output.mode is Mode.JSON:
            output.record("listening", {"url": f"{origin}/"})
        output.note(f"listening at {origin}/ ; Ctrl-C stops it")
        if self.receiver.secret is None:
            output.warn(
                "no webhook secret: whoever reaches this port can have flux ask the service about tasks; "
                "set FLUX_WEBHOOK_SECRET, or give --webhook-secret-file"
            )
        if not is_loopback(host):
            output.warn(
                f"{clean(host, 60)} can be reached by other machines, without TLS: the secret passes the network as it "
                "is; better listen on this machine only, behind a proxy or tunnel that speaks https"
            )

    async def feed(self, engine: Scheduler) -> AsyncIterator[Entry | Outcome]:
        """Entries to bring to their end, as deliveries arrive. What is wrong with one is told, and ends nothing."""
        while True:
            delivery = await self.receiver.arrived.get()
            try:
                entry = await self._entry(engine.poller.client, delivery)
            except FluxError as error:
                self.session.output.failure(error)
                if not isinstance(error, RefusedError):
                    self.session.output.note(f"fetch it at no cost, later: flux wait {delivery.task_id}")
                self.receiver.done(delivery)
                continue
            if entry:
                self.followed[entry.id] = delivery
                yield entry

    async def _entry(self, client: PiAPIClient, delivery: Delivery) -> Entry | None:
        """The entry to follow; None when nothing is left to be saved.

        Raises RefusedError for a task that is not this account's, NetworkError, ConfigError, DiskError, JournalError.
        """
        session, task_id = self.session, delivery.task_id
        known = session.find(task_id)
        if known is None:
            await self._believe(client, task_id)
            known = await recognised(session, task_id)
        if task_id in self.seen:
            session.output.note(f"task {task_id}: delivered once more")
            self.receiver.done(delivery)
            return None
        self.seen.add(task_id)
        if known and known.state not in (*UNFINISHED, State.EXPIRED):
            session.output.note(f"task {task_id}: {known.state} already")
        else:
            item = to_wait_for(session, task_id, known, self.save)
            if isinstance(item, Entry):
                return item
            if item.error:  # not an error here: whoever waits for it saves it
                session.output.note(f"task {task_id}: {item.error.message}")
        self._follow_up(delivery, None)
        return None

    async def _believe(self, client: PiAPIClient, task_id: str) -> None:
        """Ask the service whether there is such a task. Raises RefusedError, NetworkError, ConfigError."""
        for attempt in range(1, LOOKS + 1):
            try:
                await look_at(client, task_id)
                return
            except NetworkError:
                if attempt == LOOKS:
                    raise
                await asyncio.sleep(backoff(attempt, self.session.scale))

    def tell(self, outcome: Outcome) -> None:
        """Say how an entry ended, and have follow what is to follow."""
        show_outcome(self.session.output, outcome)
        delivery = self.followed.pop(outcome.entry.id, None)
        if delivery is None:
            return
        if isinstance(outcome.error, InterruptError):  # the loop may be no more
            self.receiver.done(delivery)
            return
        saved = outcome.entry.state is State.SAVED
        self._follow_up(delivery, outcome.entry if saved else None)
        self.saved += saved
        if self.enough and self.engine:
            self.engine.stop.request()

    def _follow_up(self, delivery: Delivery, saved: Entry | None) -> None:
        self._begin(self._pass_on(delivery))
        if saved:
            self._begin(self.relay.run(saved))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.after.add(task)
        task.add_done_callback(self.after.discard)

    async def _pass_on(self, delivery: Delivery) -> None:
        try:
            await self.relay.forward(delivery.task_id, delivery.body)
        finally:
            self.receiver.done(delivery)

    def tell_left(self) -> None:
        """Name the tasks whose deliveries were taken, and which nobody has got round to."""
        if ids := sorted(self.receiver.in_work - {delivery.task_id for delivery in self.followed.values()}):
            self.session.output.note(f"not looked at; fetch at no cost: flux wait {' '.join(ids)}")
