"""`flux resume`: download the paid images that are not saved."""

import time
from typing import Annotated

from ...batch.results import Results
from ...batch.runner import Run, feed_entries, report_entries
from ...batch.task_matching import link_seen
from ...engine.outcome import claim, exit_code
from ...errors import ExitCode
from ...journal.entries import UNFINISHED, State
from ...journal.expiry import expires_soon
from ...operations.parameters import Option
from ..found_tasks import resolve_reported
from ..options import WaitOptions
from ..registry import help_page
from ..session import Session

ExpiringOption = Annotated[
    bool, Option("--expiring", help="Only images that PiAPI will delete within a day (it keeps them for 7).")
]


@help_page(
    ("Download all unsaved images", "flux resume"),
    ("Download only images that PiAPI deletes within a day", "flux resume --expiring --timeout 60"),
)
def resume(session: Session, waiting: WaitOptions, expiring: ExpiringOption = False) -> ExitCode:
    """Download all paid images that are not saved yet (no charge)."""
    session.journal.mark_dead_unknown()
    link_seen(session.run_context)
    resolve_reported(session)
    now = time.time()
    left = session.journal.entries(*UNFINISHED)
    if expiring:
        left = [entry for entry in left if expires_soon(entry, now)]
    items = [claim(session.journal, entry) for entry in left]
    unknown = session.journal.entries(State.UNKNOWN)
    with session.make_reporter(many=len(items) + len(unknown) > 1) as reporter:
        results = Results(reporter)
        feed = feed_entries(items)
        run = Run(session.run_context, reporter, results, lambda _: feed, len(items), one_deadline=True)
        if items:
            run.finish()
            session.journal.discard_unseen()
        else:
            session.output.note("No images expire within a day." if expiring else "No images left to download.")
            elsewhere = session.journal.newest(*UNFINISHED, profile=session.settings.profile)
            for service in sorted({entry.service for entry in elsewhere} - {session.service}):
                session.output.note(f"Images of tasks at {service} are not saved: set FLUX_BASE_URL to that URL")
        report_entries(results, session.journal.entries(State.UNKNOWN))
        if len(items) > 1:
            reporter.show_summary(results.summary())
        return exit_code(results.errors.values(), stopped_by=run.halted)
