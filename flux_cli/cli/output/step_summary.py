"""The step summary on GitHub Actions: a table of the outcomes of a run."""

import os
import time
from collections.abc import Collection
from decimal import Decimal
from html import escape

from ...config.paths import display_path
from ...engine.outcome import Outcome
from ...journal.entries import CHARGED, POSSIBLY_CHARGED, Entry, State
from ...json_value import JsonObject, text_at
from ...text import clean, counted, format_seconds, redact, usd

ROWS = 100
"""The most rows of successes, and of failures. Others are only counted, to limit memory."""
THUMBNAILS = 20
ROOM = 1024 * 1024
"""The most bytes of all summaries of a step. GitHub shows nothing of a longer file."""
TAIL = 2048
"""Bytes reserved for the text below the rows."""
HEAD = "<tr><th></th><th>prompt</th><th>model</th><th>outcome</th><th>cost</th><th>time</th><th>file</th></tr>\n"
WORDS = {
    State.PLANNED: "not sent",
    State.REJECTED: "refused",
    State.ACCEPTED: "running",
    State.READY: "paid, not saved",
    State.UNKNOWN: "unknown: may have been charged",
    State.SENDING: "unknown: may have been charged",
}
"""The words for states that are shown differently from the journal."""


class StepSummary:
    """An HTML table of outcomes, which is appended to GitHub's file at `path`.

    Inside a table, GitHub ignores Markdown as long as no line is empty. External text is in `<code>`, where GitHub does
    not turn URLs, mentions and issue numbers into links.
    """

    def __init__(self, path: str, secrets: Collection[str]) -> None:
        self.outcomes = 0
        self._path, self._secrets = path, secrets
        self._good: list[str] = []
        self._bad: list[str] = []
        self._thumbnails = 0
        self._spent = self._possibly = Decimal(0)
        self._begun = time.time()

    def write(self) -> None:
        """Append the table to the file, if there is one and there are outcomes. Raise OSError."""
        if self.outcomes and os.path.isfile(self._path):  # unlike Path.is_file, False in an unreadable directory
            with open(self._path, "ab") as file:
                file.write(self._encode(ROOM - os.fstat(file.fileno()).st_size))

    def add(self, outcome: Outcome, error: JsonObject | None) -> None:
        """Add an outcome. error: its error as in `--json`."""
        self.outcomes += 1
        entry = outcome.entry
        if self._is_new(entry):
            self._spent += (entry.price or 0) if entry.state in CHARGED else 0
            self._possibly += (entry.price or 0) if entry.state in POSSIBLY_CHARGED else 0
        rows = self._bad if outcome.error else self._good
        if len(rows) < ROWS:
            rows.append(self._row(outcome, error))

    def _is_new(self, entry: Entry) -> bool:
        return entry.submitted is not None and entry.submitted >= self._begun

    def _row(self, outcome: Outcome, error: JsonObject | None) -> str:
        entry = outcome.entry
        cost = ""
        if entry.price is not None and entry.state in CHARGED:
            cost = usd(entry.price) if self._is_new(entry) else "already paid"
        elif entry.price is not None and entry.state in POSSIBLY_CHARGED:
            cost = f"{usd(entry.price)} possibly charged"
        cells = (
            self._thumbnail(outcome),
            self._code(entry.label, 80),
            self._code(entry.request.model, 40) if entry.request else "",
            self._ending(outcome, error),
            cost,
            format_seconds(outcome.seconds),
            "<br>".join(self._code(display_path(file.path), 200) for file in entry.files),
        )
        return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"

    def _ending(self, outcome: Outcome, error: JsonObject | None) -> str:
        text = WORDS.get(outcome.entry.state, str(outcome.entry.state))
        if error:
            text += f"<br>{self._code(text_at(error, 'message'), 300)}"
            if hint := text_at(error, "hint"):
                text += f"<br>{self._code(hint, 300)}"
        return text

    def _thumbnail(self, outcome: Outcome) -> str:
        """Return an HTML image with PiAPI's URL, because GitHub shows no embedded images; empty without a URL."""
        urls = outcome.entry.urls
        if self._thumbnails == THUMBNAILS or not urls or len(urls[0]) > 1000 or not urls[0].startswith("https://"):
            return ""
        self._thumbnails += 1
        return f'<img src="{escape(redact(clean(urls[0], 2000), self._secrets))}" width="96" alt="">'

    def _code(self, text: str, limit: int) -> str:
        return f"<code>{escape(clean(redact(text, self._secrets), limit))}</code>" if text else ""

    def _encode(self, room: int) -> bytes:
        """Return the summary in UTF-8, at most `room` bytes; empty if a table does not fit."""
        costs = [f"{usd(self._spent)} spent"]
        if self._possibly:
            costs.append(f"{usd(self._possibly)} possibly charged")
        head = f"\n\n**flux**: {counted(self.outcomes, 'task')}, {', '.join(costs)}\n\n<table>\n{HEAD}"
        room -= len(head.encode()) + TAIL
        if room < 0:
            return b""
        rows = []
        for row in [*self._bad, *self._good]:
            if (room := room - len(row.encode())) < 0:
                break
            rows.append(row)
        tail = "</table>\n"
        if left := self.outcomes - len(rows):
            tail += f"\n{counted(left, 'more task')} not shown; all of them: `flux history`, or `--report FILE`\n"
        if self._thumbnails:
            tail += "\nPiAPI keeps images for 7 days; after that, the thumbnails are missing here.\n"
        return f"{head}{''.join(rows)}{tail}\n".encode()
