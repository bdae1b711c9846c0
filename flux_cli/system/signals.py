"""SIGINT and SIGTERM: the first requests an orderly stop, the second stops immediately.

Only this module names the signals that Windows lacks (SIGHUP), and the one that only Windows has (SIGBREAK).
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

STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM]
"""The signals that request a stop. All but SIGINT are treated as SIGTERM."""
if sys.platform == "win32":
    STOP_SIGNALS.append(
        signal.SIGBREAK
    )  # Ctrl-Break, which reaches a separate process group too; or the console was closed
else:
    STOP_SIGNALS.append(signal.SIGHUP)  # the terminal was closed


class StoppedError(Exception):
    """The user requested a stop, so the wait was canceled."""


class Stop:
    """A requested stop, and waits that it ends."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._event = asyncio.Event()
        self._main: asyncio.Task[Any] | None = None

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._event.is_set()

    def request(self, signal_number: int | None = None) -> None:
        """Request an orderly stop; without a signal if the goal is reached. Only the first request counts."""
        if not self.requested:
            self.signal_number = signal_number
            self._event.set()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`; a stop cancels it and raises StoppedError."""
        return await self.shield(work, 0.0)

    async def shield(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Return the result of `work`; after a stop it has `seconds` left, then it is canceled. Raise StoppedError."""
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
                return task.result()  # it was done at the same moment, and may be the response to a paid request
            raise
        finally:
            stopping.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def run(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run `work` like `asyncio.run`. The first signal requests a stop; the second cancels it: return None."""

        async def tracked() -> T | None:
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
            return asyncio.run(tracked())

    @contextmanager
    def _on_signals(self) -> Iterator[None]:
        # Installed outside the loop too: Ctrl-C must not interrupt its creation or its end.
        def handler(number: int, frame: FrameType | None) -> None:
            received = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
            if main := self._main:
                main.get_loop().call_soon_threadsafe(
                    lambda: main.cancel() if self.requested else self.request(received)
                )
            else:
                self.request(received)

        previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        try:
            for number in STOP_SIGNALS:
                # A signal that the caller ignores (nohup, `sh -c '... &'`) stays ignored.
                if previous[number] != signal.SIG_IGN:
                    signal.signal(number, handler)
            yield
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, previous[number])


class DetachedExecutor(ThreadPoolExecutor):
    """Runs each call in a daemon thread, and waits for none of them.

    The event loop resolves host names in its executor, and a resolver that hangs must not delay the exit.
    """

    def submit(self, function: Callable[..., T], /, *args: Any, **options: Any) -> "Future[T]":
        """Start a call in its own thread, and return its future."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # from now on it cannot be canceled while the thread runs it

        def work() -> None:
            try:
                future.set_result(function(*args, **options))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: threads are not awaited."""
