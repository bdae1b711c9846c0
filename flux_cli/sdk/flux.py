"""The Python API: the same engine, journal and guarantees as the command line, without its messages.

    from flux_cli import Flux

    with Flux(sandbox=True) as flux:
        print(flux.generate("a red fox in the snow", model="schnell", output="fox.png").path)

`AsyncFlux` is the same with `await`. The API installs no signal handler, prints nothing and asks nothing.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

from ..cli.common_options import CommonOptions
from ..config.settings import BY_NAME
from ..engine.events import Event
from ..engine.outcome import Outcome
from ..errors import NotSavedError, UsageError
from ..journal.entries import State
from ..piapi.task import is_task_id
from ..system.signals import DetachedExecutor
from ..text import parse_usd, quoted
from . import keywords as kw
from .calls import CallOptions, Calls, open_session
from .keywords import Image, Strings

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
        """The URL of the first image at PiAPI. Raise NotSavedError if it is not known yet."""
        return _first(self.urls, self.task_id)


class AsyncFlux:
    """A client for use in `async with`; any number of its calls can run concurrently, in one event loop.

    They share one connection pool, the slots of the plan and the rate limiter. A canceled call submits nothing more.
    Its pending submission gets a few seconds for a response, and an accepted task stays in the journal:
    `wait(task_id)` or `flux resume` saves its images for free.

    profile, sandbox: as on the command line. key: replaces PIAPI_API_KEY. on_event: called with each event.
    budget: USD that all calls of this object together may cost.
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
        budget: Setting = None,
        **settings: Setting,
    ) -> None:
        environ = dict(os.environ) if key is None else {**os.environ, "PIAPI_API_KEY": key}
        common = CommonOptions(profile=profile, sandbox=sandbox, quiet=True)
        session = open_session(common, environ, _settings(settings))
        self._calls = Calls(session, None if budget is None else parse_usd(str(budget), "budget"))
        self._options = CallOptions(on_event)

    async def __aenter__(self) -> Self:
        await self._calls.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._calls.close()

    async def generate(self, prompt: str, **options: Unpack[kw.SizedKeywords]) -> Result:
        """Generate an image from a text prompt, as `flux gen` does. This and the other calls raise FluxError."""
        return await self._make("gen", options, prompt=prompt)

    async def edit(self, image: Image, prompt: str, **options: Unpack[kw.EditKeywords]) -> Result:
        """Edit an image with a text prompt, or with an instruction if `kontext=True`, as `flux edit` does."""
        return await self._make("edit", options, image=image, prompt=prompt)

    async def lora(self, prompt: str, lora: Strings, **options: Unpack[kw.LoraKeywords]) -> Result:
        """Generate or edit an image with LoRAs, each `"NAME"` or `"NAME:STRENGTH"`, as `flux lora` does."""
        return await self._make("lora", options, prompt=prompt, lora=lora)

    async def controlnet(self, prompt: str, control: Strings, **options: Unpack[kw.ControlnetKeywords]) -> Result:
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
            raise UsageError(f"{quoted(str(task_id), 60)} is not a task ID")
        save = kw.read_saving({"output": output, "overwrite": overwrite})
        return _result((await self._calls.wait(task_id, save, self._options)).outcome)

    async def _make(self, op: str, options: Any, **own: object) -> Result:
        return _result((await self._calls.make(op, {**options, **own}, self._options)).outcome)


class Flux:
    """`AsyncFlux` without `await`: its event loop runs in its own thread.

    May be used from several threads, and where a loop runs already, as in a notebook. Takes what `AsyncFlux` takes.
    `close`, or the end of `with` or of the program, ends the thread.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        sandbox: bool = False,
        key: str | None = None,
        on_event: Callable[[Event], None] | None = None,
        budget: Setting = None,
        **settings: Setting,
    ) -> None:
        self._flux = AsyncFlux(profile=profile, sandbox=sandbox, key=key, on_event=on_event, budget=budget, **settings)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(DetachedExecutor())
        thread = threading.Thread(target=self._loop.run_forever, name="flux", daemon=True)
        thread.start()
        self.close = weakref.finalize(self, _shut, self._flux, self._loop, thread)
        """End the thread, after running calls have recorded their state. A second call does nothing."""
        try:
            self._call(self._flux.__aenter__())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def generate(self, prompt: str, **options: Unpack[kw.SizedKeywords]) -> Result:
        """Generate an image from a text prompt. This and the other calls raise FluxError; see `AsyncFlux`."""
        return self._call(self._flux.generate(prompt, **options))

    def edit(self, image: Image, prompt: str, **options: Unpack[kw.EditKeywords]) -> Result:
        """Edit an image with a text prompt, or with an instruction if `kontext=True`."""
        return self._call(self._flux.edit(image, prompt, **options))

    def lora(self, prompt: str, lora: Strings, **options: Unpack[kw.LoraKeywords]) -> Result:
        """Generate or edit an image with LoRA styles."""
        return self._call(self._flux.lora(prompt, lora, **options))

    def controlnet(self, prompt: str, control: Strings, **options: Unpack[kw.ControlnetKeywords]) -> Result:
        """Generate an image with the pose, depth or edges of others."""
        return self._call(self._flux.controlnet(prompt, control, **options))

    def redux(self, image: Image, prompt: str | None = None, **options: Unpack[kw.ReduxKeywords]) -> Result:
        """Generate a variation of an image."""
        return self._call(self._flux.redux(image, prompt, **options))

    def inpaint(self, image: Image, prompt: str, **options: Unpack[kw.InpaintKeywords]) -> Result:
        """Regenerate a region of an image."""
        return self._call(self._flux.inpaint(image, prompt, **options))

    def outpaint(self, image: Image, prompt: str | None = None, **options: Unpack[kw.OutpaintKeywords]) -> Result:
        """Extend an image beyond its edges."""
        return self._call(self._flux.outpaint(image, prompt, **options))

    def wait(self, task_id: str, *, output: Image | None = None, overwrite: bool = False) -> Result:
        """Save the images of an existing task, for free."""
        return self._call(self._flux.wait(task_id, output=output, overwrite=overwrite))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            self._flux._calls.require_same_process()
            if not self.close.alive:
                raise RuntimeError("this Flux is closed")
        except RuntimeError:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()  # after Ctrl-C; a finished future ignores this


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
        raise UsageError(
            f"unknown setting {quoted(unknown[0], 40)}", hint="List the settings", command=("config", "list")
        )
    texts = {name: None if value is None else str(value) for name, value in given.items()}
    return {names[name]: text for name, text in texts.items()}


def _shut(flux: AsyncFlux, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not thread.is_alive():  # in a fork, which has no other threads: all resources belong to its parent
        return
    if threading.current_thread() is thread:  # finalized in the loop, which cannot wait for itself
        loop.create_task(flux._calls.cancel()).add_done_callback(lambda _: loop.stop())
        return
    asyncio.run_coroutine_threadsafe(flux._calls.cancel(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
