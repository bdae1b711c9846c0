"""What a batch counts: how its tasks ended, and which of its rows are equal."""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

from ..frozen import frozen
from ..journal.entries import CHARGED, State
from .outcome import Outcome

FAILURES = (State.FAILED, State.REJECTED, State.EXPIRED, State.FORGOTTEN)


@frozen
class Summary:
    """How a batch went: how many ended how, what this run paid (USD), how long it took (seconds)."""

    counts: Mapping[str, int]
    spent: Decimal
    duration: float


class Tally:
    """How many ended how, and what it cost."""

    def __init__(self) -> None:
        self.before = self.existing = 0
        self.states: Counter[State] = Counter()
        self.spent = Decimal(0)
        self._started, self._clock = time.time(), time.monotonic()

    def hear(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        entry = outcome.entry
        self.states[entry.state] += 1
        if entry.state in CHARGED and entry.submitted and entry.submitted >= self._started:
            self.spent += entry.price or 0

    def summary(self, total: int) -> Summary:
        """How the batch of `total` tasks went, without what did not happen."""
        states = self.states
        found = {
            "saved": states[State.SAVED] - self.before,
            "bought before": self.before + self.existing,
            "running": states[State.ACCEPTED] + states[State.READY],
            "failed": sum(states[state] for state in FAILURES),
            "unknown": states[State.UNKNOWN] + states[State.SENDING],
            "not begun": total - self.existing - states.total() + states[State.PLANNED],
        }
        counts = {name: number for name, number in found.items() if number}
        return Summary(counts, self.spent, time.monotonic() - self._clock)


class Occurrences:
    """Counts equal rows on disk, so that a million different ones take no memory."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # a private file that vanishes with the connection
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("CREATE TABLE seen (content BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def count(self, content: str) -> int:
        """How often this content has come, this time included. A path may have bytes in it that are no UTF-8."""
        sql = "INSERT INTO seen VALUES (?, 1) ON CONFLICT (content) DO UPDATE SET times = times + 1 RETURNING times"
        times: int = self._db.execute(sql, (content.encode("utf-8", "surrogatepass"),)).fetchone()[0]
        return times

    def close(self) -> None:
        """Forget them."""
        self._db.close()
