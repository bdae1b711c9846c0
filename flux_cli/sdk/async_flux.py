"""The Python API: the same engine, journal and guarantees as the command line, without its messages.

    from flux_cli import Flux

    with Flux(sandbox=True) as flux:
        print(flux.generate("a red fox in the snow", model="schnell", output="fox.png").path)

`AsyncFlux` is the same with `await`. The API installs no signal handler, prints nothing and asks nothing.
"""

import asyncio
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from ..batch.batch import Batch, reopen
from ..batch.plan import Draft, Shard, make_plan
from ..batch.reconciliation import link_matching
from ..batch.resume import Policy, Step, begin
from ..batch.rows import OnePrompt
from ..batch.runner import Connections, feed_entries
from ..cli.common_options import CommonOptions
from ..cli.context import Session
from ..cli.found_tasks import to_wait_for
from ..config.settings import BY_NAME
from ..engine.events import Event, Listener
from ..engine.outcome import Outcome
from ..engine.scheduler import Scheduler
from ..errors import NotSavedError, UsageError
from ..journal.entries import UNFINISHED, Entry, State, busy_error, error_of
from ..piapi.task import is_task_id
from ..system.signals import Stop
from ..text import clean
from . import keywords as kw
from .keywords import Image, Many, Order

T = TypeVar("T")
Setting = str | int | float | Decimal | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Result:
    """A task and its images: one, or `batch_size` of them.

    entry: its ID in the journal. cost: USD, None if it is unknown. Paths are absolute.
    With `wait=False` there are no paths and no URLs yet.
    """

    entry: str
    task_id: str | None
    model: str | None
    seed: int | None
    cost: Decimal | None
    paths: tuple[Path, ...]
    urls: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The path of the first image. Raise NotSavedError if no image is saved yet."""
        return _first(self.paths, self.task_id)

    @property
    def url(self) -> str:
        """The URL of the first image at PiAPI. Raise NotSavedError if no URL is known yet."""
        return _first(self.urls, self.task_id)


class AsyncFlux:
    """A client for use in `async with`; any number of its calls can run concurrently, in one event loop.

    They share one connection pool, the slots of the plan and the pace. A canceled call submits nothing more. Its
    pending submission gets a few seconds for a response, and an accepted task stays in the journal: `wait(task_id)` or
    `flux resume` saves its images for free.

    profile, sandbox: as on the command line. key: replaces PIAPI_API_KEY. on_event: called with each event.
    settings: as `flux config list` shows them, for example plan="creator", timeout=120, output_dir="images". Other
    settings come from FLUX_* variables and the config file.
    Raise UsageError for an unknown setting.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        sandbox: bool = False,
        key: str | None = None,
        on_event: Callable[[Event], None] | None = None,
        **settings: Setting,
    ) -> None:
        environ = dict(os.environ) if key is None else {**os.environ, "PIAPI_API_KEY": key}
        nowhere = _Nowhere()
        self._session = Session(
            CommonOptions(profile=profile, sandbox=sandbox, quiet=True),
            _settings(settings),
            environ=environ,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
        )
        self._on_event = on_event
        self._connections: Connections | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        self._running: dict[asyncio.Task[None], str] = {}
        """The running tasks, each with the ID of its entry."""

    async def __aenter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(self._session)
            self._connections = await Connections(self._session.workspace).__aenter__()
            opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connections, self._connections = self._connections, None
        assert connections is not None
        with self._session:
            while self._running:  # of calls that were canceled twice: a submission's response must be recorded
                await asyncio.wait(self._running)
            await connections.__aexit__()

    async def _close(self) -> None:
        """Cancel every call of this object, wait until their state is recorded, and close the connections."""
        calls = self._calls - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls)
        if self._connections:
            await self.__aexit__(None, None, None)

    async def generate(self, prompt: str, **options: Unpack[kw.SizedKeywords]) -> Result:
        """Generate an image from a text prompt, as `flux gen` does. This and the other calls raise FluxError."""
        return await self._make("gen", options, prompt=prompt)

    async def edit(self, image: Image, prompt: str, **options: Unpack[kw.EditKeywords]) -> Result:
        """Edit an image with a text prompt, or with an instruction if `kontext=True`, as `flux edit` does."""
        return await self._make("edit", options, image=image, prompt=prompt)

    async def lora(self, prompt: str, lora: Many, **options: Unpack[kw.LoraKeywords]) -> Result:
        """Generate or edit an image with LoRAs, each `"NAME"` or `"NAME:STRENGTH"`, as `flux lora` does."""
        return await self._make("lora", options, prompt=prompt, lora=lora)

    async def controlnet(self, prompt: str, control: Many, **options: Unpack[kw.ControlnetKeywords]) -> Result:
        """Generate an image with the pose, depth or edges of others, as `flux controlnet` does.

        control: each `"TYPE=IMG"` or `"TYPE=IMG:STRENGTH"`.
        """
        return await self._make("controlnet", options, prompt=prompt, control=control)

    async def redux(self, image: Image, prompt: str | None = None, **options: Unpack[kw.ReduxKeywords]) -> Result:
        """Generate a variation of an image, as `flux redux` does."""
        return await self._make("redux", options, image=image, prompt=prompt)

    async def inpaint(self, image: Image, prompt: str, **options: Unpack[kw.InpaintKeywords]) -> Result:
        """Regenerate a region of an image, as `flux inpaint` does."""
        return await self._make("inpaint", options, image=image, prompt=prompt)

    async def outpaint(self, image: Image, prompt: str | None = None, **options: Unpack[kw.OutpaintKeywords]) -> Result:
        """Extend an image beyond its edges, as `flux outpaint` does."""
        return await self._make("outpaint", options, image=image, prompt=prompt)

    async def wait(self, task_id: str, *, output: Image | None = None, overwrite: bool = False) -> Result:
        """Save the images of an existing task for free, as `flux wait` does."""
        if not is_task_id(task_id):
            raise UsageError(f"{clean(str(task_id), 60)!r} is not a task ID")
        with self._call():
            session, save = self._session, kw.saving({"output": output, "overwrite": overwrite})
            session.require_key()
            session.journal.mark_dead_unknown()
            known = session.journal.find(task_id) or await link_matching(session.workspace, task_id)
            try:
                return _result(await self._finish(to_wait_for(session, task_id, known, save), wait=True, cache=False))
            finally:
                session.journal.discard_unseen()

    async def _make(self, op: str, options: Any, **own: object) -> Result:
        with self._call():
            session = self._session
            order = await asyncio.to_thread(kw.ordered, session, op, {**options, **own})
            step = await self._plan(order)
            item = begin(step, session.workspace, session.saving(order.save))
            return _result(await self._finish(item, order.wait, cache=not order.no_cache))

    async def _plan(self, order: Order) -> Step:
        """Return the step that processes an order: a batch of one task."""
        session, save = self._session, order.save
        draft = Draft(order.request, save.output, random_seed=order.random_seed, metadata=not save.no_metadata)
        prompt = OnePrompt(order.request.operation.prompt)
        plan = make_plan(prompt, lambda _: iter([draft]), source=None, price=session.price, shard=Shard())
        session.require_key()
        session.journal.mark_dead_unknown()
        policy, limits = Policy(no_cache=order.no_cache, wait=order.wait), session.limits(order.max_cost, yes=order.yes)
        batch = Batch(plan, session.workspace, session.saving(save), policy, limits, session.reporter())
        if expired := batch.find_expired():
            await reopen(session.workspace, expired)
        (step,) = batch.prepare()
        return step

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Register the current asyncio task, so that `_close` can cancel it, while the block runs."""
        if self._connections is None:
            raise RuntimeError("use it inside: async with AsyncFlux() as flux")
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            yield
        finally:
            self._calls.discard(task)

    async def _finish(self, item: Entry | Outcome, wait: bool, *, cache: bool) -> Outcome:
        """Process an entry until it ends. `cache`: whether an identical request can replace it."""
        assert self._connections is not None
        journal, entry = self._session.journal, item.entry if isinstance(item, Outcome) else item
        while others := [task for task, name in self._running.items() if name == entry.id]:
            await asyncio.wait(others)  # another call processes the entry: share its outcome
            entry = journal.get(entry.id) or entry
            if entry.state not in (State.PLANNED, *UNFINISHED):
                return Outcome(entry, None if entry.state is State.SAVED else error_of(entry), 0.0)
            item = journal.claim(entry) or Outcome(entry, busy_error(entry), 0.0)
        if isinstance(item, Outcome):
            return item
        stop, outcomes = Stop(), list[Outcome]()
        # Calls share the limits but not the errors: a full disk here must not end other calls.
        scheduler = self._connections.scheduler(_listener(self._on_event), stop, cache=cache, share_errors=False)
        running = asyncio.create_task(_run(scheduler, item, outcomes.append, wait))
        self._running[running] = item.id
        running.add_done_callback(self._running.pop)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            stop.request()
            await asyncio.shield(asyncio.wait({running}))
            raise
        if outcomes:
            return outcomes[0]
        entry = journal.get(item.id) or item
        return Outcome(entry, error_of(entry), 0.0)


class _Nowhere(io.TextIOWrapper):
    """A stream that drops everything, contains nothing, and is not a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def write(self, text: str) -> int:
        return len(text)


async def _run(scheduler: Scheduler, entry: Entry, report: Callable[[Outcome], None], wait: bool) -> None:
    try:
        await scheduler.run(feed_entries([entry]), report, wait=wait)
    finally:
        # This process may run for a long time: release the entry, so that another process can save the images.
        left = scheduler.journal.get(entry.id)
        if left and left.state in UNFINISHED and left.owner == scheduler.journal.owner:
            scheduler.journal.move(left, replace(left, owner=None))


def _listener(on_event: Callable[[Event], None] | None) -> Listener:
    """Return a listener whose errors go to the loop's handler: they must not keep a charge out of the journal."""

    def hear(event: Event) -> None:
        if on_event:
            try:
                on_event(event)
            except Exception as error:
                context = {"message": "on_event raised an error", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    return hear


def _result(outcome: Outcome) -> Result:
    """Return the result of a call. Raise the outcome's error, with the known facts about its task."""
    entry, request = outcome.entry, outcome.entry.request
    if outcome.error:
        outcome.error.entry, outcome.error.task_id = entry.id, entry.task_id
        outcome.error.paths = tuple(file.path for file in entry.files)
        raise outcome.error
    paths = tuple(file.path for file in entry.files) if entry.state is State.SAVED else ()
    model, seed = (request.model, request.seed) if request else (None, None)
    return Result(entry.id, entry.task_id, model, seed, entry.price, paths, entry.urls)


def _first(found: Sequence[T], task_id: str | None) -> T:
    if not found:
        raise NotSavedError(
            f"the images of task {task_id} were not waited for", hint=f"Download them: wait({task_id!r})"
        )
    return found[0]


def _settings(given: dict[str, Setting]) -> dict[str, str | None]:
    names = {name.replace(".", "_"): name for name in BY_NAME}
    if unknown := [name for name in given if name not in names]:
        raise UsageError(f"unknown setting {clean(unknown[0], 40)!r}", hint="List them", command=("config", "list"))
    texts = {name: None if value is None else str(value) for name, value in given.items()}
    return {names[name]: text for name, text in texts.items()}
