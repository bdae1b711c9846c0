"""The interface for Python: the same engine, journal and promises as the command line, without its words.

    from flux_cli import Flux

    with Flux(sandbox=True) as flux:
        print(flux.generate("a red fox in the snow", model="schnell", output="fox.png").path)

`AsyncFlux` is the same with `await`. No signal handler is installed, nothing is printed, and nobody is asked.
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

from ..batch.batch import Batch
from ..batch.plan import Draft, Shard, make_plan
from ..batch.reconciliation import link_matching
from ..batch.resume import Policy, Step, begin
from ..batch.rows import OnePrompt
from ..batch.runner import Connections, feed_entries
from ..cli.calls.following import to_wait_for
from ..cli.context import Session
from ..cli.options.common import CommonOptions
from ..config.settings import BY_NAME
from ..engine.events import Event, Listener
from ..engine.outcome import Outcome
from ..engine.scheduler import Scheduler
from ..errors import NotSavedError, UsageError
from ..journal.entries import UNFINISHED, Entry, State
from ..journal.entry_errors import error_of
from ..piapi.task import is_task_id
from ..system.signals import Stop
from ..text import clean
from . import keywords as kw
from .keywords import Image, Many, Order

T = TypeVar("T")
Setting = str | int | float | Decimal | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Result:
    """A task and its images: one, or as many as `batch_size` ordered.

    entry: its ID in the journal. cost: USD, None when it is not known. Paths are absolute.
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
        """The first picture's file. Raises NotSavedError when none is there yet."""
        return _first(self.paths, self.task_id)

    @property
    def url(self) -> str:
        """The first picture's address at the service. Raises NotSavedError when none is known."""
        return _first(self.urls, self.task_id)


class AsyncFlux:
    """A client to be used in `async with`; any number of its calls may run at once, in one event loop.

    They share one connection pool, the slots of the plan and the pace. A call that is cancelled submits nothing more;
    a submission that is on its way gets a few seconds for its answer, and a task that was accepted stays in the
    journal: `wait(task_id)` or `flux resume` fetches it at no cost.

    profile, sandbox: as on the command line. key: in place of PIAPI_API_KEY. on_event: hears what happens.
    settings: as `flux config list` shows them, such as plan="creator", timeout=120, output_dir="pictures"; what is not
    given comes from FLUX_* variables and the config file.
    Raises UsageError for a setting that does not exist.
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
        self._running: set[asyncio.Task[None]] = set()

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
            while self._running:  # of calls that were cancelled twice: a submission's response must be recorded
                await asyncio.wait(self._running)
            await connections.__aexit__()

    async def _close(self) -> None:
        """End every call of this object, and what is under way in order, before the end of `async with` comes."""
        calls = self._calls - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls)
        if self._connections:
            await self.__aexit__(None, None, None)

    async def generate(self, prompt: str, **options: Unpack[kw.SizedKeywords]) -> Result:
        """A picture from words: `flux gen`. This and the other calls raise FluxError."""
        return await self._make("gen", options, prompt=prompt)

    async def edit(self, image: Image, prompt: str, **options: Unpack[kw.EditKeywords]) -> Result:
        """A picture redrawn, or changed by an instruction with `kontext=True`: `flux edit`."""
        return await self._make("edit", options, image=image, prompt=prompt)

    async def lora(self, prompt: str, lora: Many, **options: Unpack[kw.LoraKeywords]) -> Result:
        """A picture in one or more styles, each `"NAME"` or `"NAME:STRENGTH"`: `flux lora`."""
        return await self._make("lora", options, prompt=prompt, lora=lora)

    async def controlnet(self, prompt: str, control: Many, **options: Unpack[kw.ControlnetKeywords]) -> Result:
        """A picture with the structure of others, each `"TYPE=IMG"` or `"TYPE=IMG:STRENGTH"`: `flux controlnet`."""
        return await self._make("controlnet", options, prompt=prompt, control=control)

    async def redux(self, image: Image, prompt: str | None = None, **options: Unpack[kw.ReduxKeywords]) -> Result:
        """A variation of a picture: `flux redux`."""
        return await self._make("redux", options, image=image, prompt=prompt)

    async def inpaint(self, image: Image, prompt: str, **options: Unpack[kw.InpaintKeywords]) -> Result:
        """A picture with a part painted anew: `flux inpaint`."""
        return await self._make("inpaint", options, image=image, prompt=prompt)

    async def outpaint(self, image: Image, prompt: str | None = None, **options: Unpack[kw.OutpaintKeywords]) -> Result:
        """A picture continued beyond its edges: `flux outpaint`."""
        return await self._make("outpaint", options, image=image, prompt=prompt)

    async def wait(self, task_id: str, *, output: Image | None = None, overwrite: bool = False) -> Result:
        """Download the images of a task that exists already, whoever submitted it, at no cost: `flux wait`."""
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
            item = begin(self._plan(order), session.workspace, session.saving(order.save))
            return _result(await self._finish(item, order.wait, cache=not order.no_cache))

    def _plan(self, order: Order) -> Step:
        """Return what is to be done for an order: one task is a batch of one."""
        session, save = self._session, order.save
        draft = Draft(order.request, save.output, random_seed=order.random_seed, metadata=not save.no_metadata)
        prompt = OnePrompt(order.request.operation.prompt)
        plan = make_plan(prompt, lambda _: iter([draft]), source=None, price=session.price, shard=Shard())
        session.require_key()
        session.journal.mark_dead_unknown()
        policy, limits = Policy(no_cache=order.no_cache, wait=order.wait), session.limits(order.max_cost, yes=order.yes)
        batch = Batch(plan, session.workspace, session.saving(save), policy, limits, session.reporter())
        (step,) = batch.prepare()
        return step

    @contextmanager
    def _call(self) -> Iterator[None]:
        """While inside, the current task is a call of this object, which `_close` may cancel."""
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
        """Bring an entry as far as it will go. `cache`: whether an identical request stands for it."""
        if isinstance(item, Outcome):
            return item
        assert self._connections is not None
        session, stop, outcomes = self._session, Stop(), list[Outcome]()
        # Calls share the limits, but each has an error of its own: a full disk here is no reason to end others.
        scheduler = self._connections.scheduler(_listener(self._on_event), stop, cache=cache, share_errors=False)
        running = asyncio.create_task(_run(scheduler, item, outcomes.append, wait))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            stop.request()
            await asyncio.shield(asyncio.wait({running}))
            raise
        if outcomes:
            return outcomes[0]
        entry = session.journal.get(item.id) or item
        return Outcome(entry, error_of(entry), 0.0)


class _Nowhere(io.TextIOWrapper):
    """A stream that swallows everything, has nothing to say, and is no terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def write(self, text: str) -> int:
        return len(text)


async def _run(scheduler: Scheduler, entry: Entry, report: Callable[[Outcome], None], wait: bool) -> None:
    try:
        await scheduler.run(feed_entries([entry]), report, wait=wait)
    finally:
        # This process may live long: release the entry, so that another process can fetch the task.
        left = scheduler.journal.get(entry.id)
        if left and left.state in UNFINISHED and left.owner:
            scheduler.journal.move(left, replace(left, owner=None))


def _listener(on_event: Callable[[Event], None] | None) -> Listener:
    """A listener whose errors are told to the loop: they must not come between a payment and the journal."""

    def hear(event: Event) -> None:
        if on_event:
            try:
                on_event(event)
            except Exception as error:
                context = {"message": "on_event raised an error", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    return hear


def _result(outcome: Outcome) -> Result:
    """What a call returns. Raises the outcome's error, with what is known of its task."""
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
