"""SIGINT and SIGTERM: the first asks to stop in order, the second stops at once.

The one seam for signals; it uses nothing that Windows lacks.
"""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
Sleep = Callable[[float], Coroutine[Any, Any, None]]
"""Waits for a number of seconds; `asyncio.sleep`, or a test's own."""

SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform != "win32":
    SIGNALS.append(signal.SIGHUP)  # the terminal was closed: the same as SIGTERM


class StoppedError(Exception):
    """The user asked to stop, and what was waited for has been given up."""


class Stop:
    """Whether somebody has asked to stop, and ways to wait that heed it."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._event = asyncio.Event()
        self._main: asyncio.Task[Any] | None = None

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def request(self, signal_number: int | None = None) -> None:
        """Ask for an orderly stop; without a signal when what was wanted is there. The first one to ask counts."""
        if not self.requested:
            self.signal_number = signal_number
            self._event.set()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; a stop cancels it and raises StoppedError."""
        return await self.grace(work, 0.0)

    async def grace(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """The result of `work`, which a stop leaves `seconds` more; then it is cancelled: StoppedError."""
        if self.requested and seconds == 0:
            work.close()
            raise StoppedError
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and seconds > 0:
                await asyncio.wait({task}, timeout=seconds)
            if task.done():
                return task.result()
            raise StoppedError
        except asyncio.CancelledError:
            if task.done() and not task.cancelled():
                return task.result()  # it came in the same moment, and may be the answer to a paid request
            raise
        finally:
            stopping.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def run(self, work: Coroutine[Any, Any, T]) -> T | None:
        """As `asyncio.run`: the first signal meanwhile requests a stop, the second cancels `work`; then None."""

        async def led() -> T | None:
            self._main = asyncio.current_task()
            try:
                return await work
            except asyncio.CancelledError:
                if not self.requested:
                    raise
                return None
            finally:
                self._main = None

        with self._on_signals():
            return asyncio.run(led())

    @contextmanager
    def _on_signals(self) -> Iterator[None]:
        # Around the making and the closing of the loop too: Ctrl-C would tear them apart.
        def handler(number: int, frame: FrameType | None) -> None:
            told = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
            if main := self._main:
                main.get_loop().call_soon_threadsafe(lambda: main.cancel() if self.requested else self.request(told))
            else:
                self.request(told)

        previous = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            for number in SIGNALS:
                # A signal that the caller ignores (nohup, `sh -c '... &'`) stays ignored.
                if previous[number] != signal.SIG_IGN:
                    signal.signal(number, handler)
            yield
        finally:
            for number in SIGNALS:
                signal.signal(number, previous[number])


class DetachedExecutor(ThreadPoolExecutor):
    """Runs each call in a daemon thread, and waits for none of them.

    The event loop resolves names in its executor, and a resolver that hangs must not hold the exit.
    """

    def submit(self, function: Callable[..., T], /, *args: Any, **options: Any) -> "Future[T]":
        """As the base class, in a thread of its own."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # who gives it up must not have it cancelled under the thread's hands

        def work() -> None:
            try:
                future.set_result(function(*args, **options))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing to wait for."""
