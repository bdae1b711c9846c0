"""What tasks that run at the same time share."""

from contextlib import AsyncExitStack
from typing import Self

from ..engine.events import Listener
from ..engine.poll_schedule import Durations, PollLimiter
from ..engine.poller import Poller
from ..engine.rate_limiter import RateLimiter
from ..engine.saver import Saver
from ..engine.scheduler import HALTING, Scheduler
from ..engine.slots import Slots
from ..engine.submitter import Submitter
from ..engine.uploader import Uploader
from ..journal.entries import Entry
from ..operations.request import encode_body
from ..piapi.client import PiAPIClient
from ..piapi.image_download import Downloader
from ..system.signals import Stop
from .run_context import RunContext


class Connections:
    """The clients, the limit on tasks and the uploads of one event loop."""

    def __init__(self, run_context: RunContext) -> None:
        self.run_context = run_context
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        run_context = self.run_context
        async with AsyncExitStack() as opening:
            self.client: PiAPIClient = await opening.enter_async_context(run_context.make_client())
            self.downloader: Downloader = await opening.enter_async_context(run_context.make_downloader())
            self._exits = opening.pop_all()
        clock = run_context.clock
        self._slots = Slots(
            run_context.slots_directory, run_context.concurrency, warn=run_context.warn, sleep=clock.sleep
        )
        self._rate_limiter = RateLimiter(run_context.concurrency, run_context.timeout, clock)
        self._uploader = Uploader(
            self.client, run_context.journal, run_context.images, upload_service=run_context.upload_service, clock=clock
        )
        self._poll_limiter = PollLimiter(clock)
        self._durations = Durations(run_context.catalog, run_context.journal, clock.scale)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    def make_scheduler(
        self,
        listener: Listener,
        stop: Stop,
        *,
        use_cache: bool,
        share_errors: bool = True,
        deadline: float | None = None,
    ) -> Scheduler:
        """Return a scheduler.

        use_cache: whether an identical request, submitted within the cache time, is used again.
        share_errors: whether an error that the next submission would meet too stops all of them.
        deadline: on the monotonic clock, when waiting ends for all tasks; None: each has the timeout.
        """
        run_context, clock = self.run_context, self.run_context.clock

        async def make_body(entry: Entry) -> bytes:
            assert entry.request is not None
            needed = run_context.images_sent(entry.request)
            urls = await self._uploader.find_urls(entry, needed, listener)
            return encode_body(run_context.make_body(entry.request, urls))

        return Scheduler(
            submitter=Submitter(
                client=self.client,
                journal=run_context.journal,
                listener=listener,
                stop=stop,
                make_body=make_body,
                clock=clock,
                timeout=run_context.timeout,
                budgets=run_context.budgets,
                cache_seconds=run_context.cache_seconds if use_cache else 0.0,
            ),
            poller=Poller(
                client=self.client,
                journal=run_context.journal,
                listener=listener,
                durations=self._durations,
                poll_limiter=self._poll_limiter,
                clock=clock,
                timeout=run_context.timeout,
                deadline=deadline,
            ),
            saver=Saver(
                client=self.client,
                downloader=self.downloader,
                journal=run_context.journal,
                listener=listener,
                poll_limiter=self._poll_limiter,
                clock=clock,
                deadline=deadline,
            ),
            journal=run_context.journal,
            listener=listener,
            stop=stop,
            schedule=self._durations.schedule,
            clock=clock,
            slots=self._slots,
            rate_limiter=self._rate_limiter,
            halting=HALTING if share_errors else (),
        )
