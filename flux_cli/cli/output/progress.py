"""Progress of running tasks: a live view on a terminal, one plain line per change everywhere else."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TextIO

from ...engine.events import (
    Accepted,
    Ended,
    Event,
    Fetching,
    Noted,
    Polled,
    Queued,
    Slowed,
    Submitting,
    Trouble,
    Uploading,
    Waiting,
)
from ...text import byte_count, clean, counted, format_seconds, usd

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

ROWS = 10
"""The most rows of the live view: drawing hundreds would take longer than the tasks."""
PER_SECOND = 4
LABEL = 48
BESIDE = 52
"""Columns of the live view besides the label."""


def expectation(expected: tuple[float, float] | None) -> str:
    """Return an expected range in seconds as text: `usually 25-35 s`; empty if it is unknown."""
    if expected is None:
        return ""
    low, high = map(format_seconds, expected)
    return f"usually {high}" if low == high else f"usually {low.removesuffix(' s')}-{high}"


def _when(wait: float) -> str:
    """Return a wait in seconds as text: `in 1.0 s`, or `now` if it is too short to notice."""
    return "now" if wait < 0.05 else f"in {format_seconds(wait)}"


def name_task(label: str, seed: int | None, limit: int = LABEL) -> str:
    """Return what messages call a task: its label, and its seed where the prompts of several tasks are the same."""
    end = "" if seed is None else f", seed {seed}"
    return clean(label, limit - len(end)) + end


class _Labels(dict[str, str]):
    """The labels of running entries, by entry ID: the prompt, with the seed if `seeds`, because prompts repeat."""

    def __init__(self, limit: int, *, seeds: bool) -> None:
        super().__init__()
        self._limit, self._seeds = limit, seeds

    def give(self, event: Queued | Submitting | Accepted) -> str:
        """Return the label of the event's entry, which does not change while the entry runs."""
        if event.entry not in self:
            self[event.entry] = name_task(event.label, event.seed if self._seeds else None, self._limit)
        return self[event.entry]


class PlainProgress:
    """Progress for logs and pipes: one line per accepted task and per problem; with `verbose`, one per poll too."""

    def __init__(self, say: Callable[[str], None], *, verbose: bool, seeds: bool = False) -> None:
        self._say, self._verbose = say, verbose
        self._labels = _Labels(LABEL, seeds=seeds)
        self._status: dict[str, str] = {}
        self._queued = False
        self._slowest: int | None = None

    def __call__(self, event: Event) -> None:
        """Print an event, unless it is a detail or repeats the last one."""
        match event:
            case Queued():
                self._labels.give(event)
                if self._verbose or not self._queued:
                    self._queued = True
                    self._print(event.entry, f"queued; at most {counted(event.limit, 'task')} in parallel")
            case Submitting():
                self._labels.give(event)
            case Accepted():
                self._labels.give(event)
                if event.label != event.task_id:  # a task from elsewhere, of which nothing more is known
                    self._print(event.entry, _accepted(event))
            case Polled():
                if self._verbose:
                    self._print(event.entry, f"{event.status} after {format_seconds(event.elapsed)}")
            case Trouble():
                self._print(event.entry, f"{event.message}; trying again {_when(event.wait)}")
            case Slowed():
                self._print_slowed(event)
            case Noted():
                self._print(event.entry, event.message)
            case Waiting():
                if self._status.get(event.entry) != event.message:
                    self._status[event.entry] = event.message
                    self._print(event.entry, event.message)
            case Uploading():
                if self._verbose:
                    self._print(event.entry, f"uploading an image of {byte_count(event.size)}")
            case Fetching():
                if self._verbose:
                    self._print(event.entry, f"downloading {counted(event.images, 'image')}")
            case Ended():
                self._labels.pop(event.entry, None)
                self._status.pop(event.entry, None)

    def _print_slowed(self, event: Slowed) -> None:
        # The window changes continually, so it is printed only if it is smaller than ever before.
        if self._slowest is None or event.window < self._slowest:
            self._slowest = event.window
            fewer = f", with {event.window} tasks in parallel" if event.window > 1 else ""
            self._say(f"PiAPI is busy: {event.message}. Trying again {_when(event.wait)}{fewer}")
        elif self._verbose:
            self._print(event.entry, f"{event.message}; waiting for its turn")

    def _print(self, entry: str, what: str) -> None:
        self._say(f"{self._labels.get(entry, entry)}: {what}")

    def pause(self) -> None:
        """Do nothing, because printed lines need not be hidden."""

    def resume(self) -> None:
        """Do nothing."""


def _accepted(event: Accepted) -> str:
    """Return the text for an accepted task: `task ID ($0.015, usually 25-35 s)`, or `reusing task ID (no charge)`."""
    if event.cost == 0 and not event.earlier:
        return f"reusing task {event.task_id} (no charge)"
    facts = ["no new charge"] if event.earlier else [usd(event.cost)] if event.cost is not None else []
    facts += [expectation(event.expected)] if event.expected else []
    return f"task {event.task_id}" + (f" ({', '.join(facts)})" if facts else "")


@dataclass(slots=True)
class _Row:
    label: str
    state: str = "submitting"
    since: float = 0.0
    expected: str = ""


class LiveProgress:
    """A live view with a row per running task, and a total. total: the number of tasks of the run."""

    def __init__(self, stream: TextIO, *, total: int, seeds: bool = False) -> None:
        from rich.console import Console

        self._rows: dict[str, _Row] = {}
        self._total, self._done, self._cost = total, 0, Decimal(0)
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._width = max(LABEL, self._console.width - BESIDE)
        self._labels = _Labels(self._width, seeds=seeds)
        self._live: Live | None = None

    def __call__(self, event: Event) -> None:
        """Update the view from an event."""
        if isinstance(event, Ended):
            self._rows.pop(event.entry, None)
            self._labels.pop(event.entry, None)
            self._done += 1
            return
        row = self._rows.setdefault(event.entry, _Row(event.entry, since=time.monotonic()))
        match event:
            case Queued():
                row.label, row.state = self._labels.give(event), "queued"
            case Submitting():
                row.label, row.state = self._labels.give(event), "submitting"
            case Accepted():
                row.label, row.state, row.since = self._labels.give(event), "accepted", time.monotonic()
                row.expected = expectation(event.expected)
                self._cost += 0 if event.earlier else event.cost or 0
            case Polled():
                row.state = event.status
            case Trouble():
                row.state = event.message
            case Slowed():
                row.state = "PiAPI is busy"
            case Uploading():
                row.state = "uploading"
            case Fetching():
                row.state = "downloading"
            case Noted() | Waiting():
                row.state = event.message

    def _view(self) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        # Rich narrows only columns that may wrap. This one may, but its cells have no_wrap.
        table.add_column(max_width=self._width)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=20, style="magenta")  # legible on white and black
        table.add_column(no_wrap=True, min_width=26)
        for row in list(self._rows.values())[:ROWS]:
            elapsed = time.monotonic() - row.since
            about = format_seconds(elapsed) + (f", {row.expected}" if row.expected else "")
            spinner = Spinner("dots")
            spinner.start_time = 0.0
            label = Text(row.label, no_wrap=True, overflow="ellipsis")
            table.add_row(spinner, label, Text(row.state), Text(about, style="dim"))
        if self._total > 1:
            bar = ProgressBar(total=self._total, completed=self._done, width=24)
            table.add_row(
                "", bar, Text(f"{self._done} of {self._total}"), Text(f"{usd(self._cost)} so far", style="dim")
            )
        return table

    def pause(self) -> None:
        """Hide the view."""
        if self._live:
            with contextlib.suppress(OSError):  # a closed terminal must not stop the run
                self._live.stop()

    def resume(self) -> None:
        """Show the view again, below the lines that were printed meanwhile."""
        from rich.live import Live

        # A new object each time, because a restarted one would erase lines that were printed meanwhile.
        self._live = Live(
            console=self._console,
            get_renderable=self._view,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with contextlib.suppress(OSError):
            self._live.start()


Progress = PlainProgress | LiveProgress
