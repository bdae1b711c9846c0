"""The Python API without `await`."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar, Unpack

from ..engine.events import Event
from ..system.signals import DetachedExecutor
from . import keywords as kw
from .async_flux import AsyncFlux, Result, Setting
from .keywords import Image, Many

T = TypeVar("T")


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

    def lora(self, prompt: str, lora: Many, **options: Unpack[kw.LoraKeywords]) -> Result:
        """Generate or edit an image with LoRA styles."""
        return self._call(self._flux.lora(prompt, lora, **options))

    def controlnet(self, prompt: str, control: Many, **options: Unpack[kw.ControlnetKeywords]) -> Result:
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


def _shut(flux: AsyncFlux, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not thread.is_alive():  # in a fork, which has no other threads: they, and what is open, belong to its parent
        return
    if threading.current_thread() is thread:  # the last reference was dropped in the loop itself, which cannot wait
        loop.create_task(flux._calls.cancel()).add_done_callback(lambda _: loop.stop())
        return
    asyncio.run_coroutine_threadsafe(flux._calls.cancel(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
