"""`flux doctor`: check the installation, the key, PiAPI, the journal and the images."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from ....config.config_file import permissions_warning
from ....errors import DiskError, ExitCode, FluxError, UsageError
from ....journal.recovery import examine, rebuild
from ....operations.parameters import Option
from ....text import clean, counted
from ...output.output import Failure, Item, Items, Note, Record, WarningLine
from ...registry import help_page
from ...session import Session
from . import checks
from .checks import Finding, Level

Offline = Annotated[bool, Option("--offline", help="Do not contact PiAPI.")]
Fix = Annotated[bool, Option("--fix", help="Repair what can be repaired; print each change before making it.")]
Bundle = Annotated[
    Path | None,
    Option("--bundle", metavar="FILE", help="Write a ZIP file for a bug report, without keys and prompts."),
]
WithPrompts = Annotated[bool, Option("--with-prompts", help="Include prompts and API responses in the bundle.")]

Check = Callable[[Session], Iterable[Finding]]
ALWAYS: tuple[Check, ...] = (checks.versions, checks.terminal)
"""The checks that need no settings."""
OF_JOURNAL: tuple[Check, ...] = (checks.unknown_outcomes, checks.images, checks.budgets)
"""The checks that need a readable journal."""


@help_page(
    ("Repair what can be repaired", "flux doctor --fix"),
    ("Check without contacting PiAPI", "flux doctor --offline"),
    ("Collect files for a bug report", "flux doctor --bundle report.zip"),
)
def doctor(
    session: Session,
    offline: Offline = False,
    fix: Fix = False,
    bundle: Bundle = None,
    with_prompts: WithPrompts = False,
) -> Items:
    """Check the installation, key, PiAPI, journal and images.

    Prints one line per check: ok, warning or problem. The exit code is that of the first problem, or 0.
    """
    if with_prompts and bundle is None:
        raise UsageError("--with-prompts needs --bundle FILE")
    if bundle is not None and bundle.exists():
        raise DiskError(f"{bundle} exists", hint="choose another name for the bundle")
    if fix:
        yield from repair(session)
    found = run_checks(session, offline=offline)
    for finding in found:
        hint = session.output.join_hint(finding.hint, finding.command)
        quiet = "" if finding.level is Level.OK else None
        yield Record("check", finding.to_json(hint), finding.line(hint), quiet, indent=24)
    if bundle is not None:
        from .bundle import write_bundle

        write_bundle(session, bundle, found, with_prompts=with_prompts)
        yield Note(f"Wrote {bundle}. Review it before you share it.")
    return next((finding.exit_code for finding in found if finding.level is Level.PROBLEM), ExitCode.OK)


def run_checks(session: Session, *, offline: bool) -> list[Finding]:
    """Return the findings of all checks. A problem comes before its consequences."""
    found = _run(checks.configuration, session)
    if _has_problem(found):
        found.append(checks.warning("skipped", "the key, PiAPI, the directories and the journal were not checked"))
    else:
        found += _run(checks.key if offline else checks.service, session, "key")
        found += _run(checks.output_directory, session)
        found += _run(checks.data_directory, session)
        journal = _run(checks.journal, session)
        found += journal
        if not _has_problem(journal) and session.paths.journal.exists():
            for check in OF_JOURNAL:
                found += _run(check, session, "journal")
    for check in ALWAYS:
        found += _run(check, session)
    return found


def _run(check: Check, session: Session, name: str | None = None) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(session))
    except FluxError as error:
        found.append(Finding.of(name or check.__name__, error))
    return found


def _has_problem(found: Iterable[Finding]) -> bool:
    return any(finding.level is Level.PROBLEM for finding in found)


# --- --fix ------------------------------------------------------------------------------------------------------------


def repair(session: Session) -> Iterator[Item]:
    """Make all possible repairs. Yield each change before it is made, and an error for each that fails.

    Only files that are no longer needed are removed.
    """
    file = session.home.config_file
    if permissions_warning(file):
        yield Note(f"fix: chmod 600 {file}")
        with suppress(OSError):  # the check below reports a failure
            file.chmod(0o600)
    try:
        _ = session.settings  # needed by all other repairs; the check reports their problems
    except FluxError:
        return
    for step in (_remove_left_over, _rebuild_journal, _end_sending):
        try:
            yield from step(session)
        except FluxError as error:
            yield Failure(error)


def _remove_left_over(session: Session) -> Iterator[Item]:
    for path in [*checks.stale(session.directory, ".flux-*.part"), *checks.stale_locks(session)]:
        yield Note(f"fix: remove {clean(str(path), 300)}")
        with suppress(OSError):  # the check below reports a failure
            path.unlink()


def _rebuild_journal(session: Session) -> Iterator[Item]:
    path = session.paths.journal
    state = examine(path)
    if state is None or not state.damaged:
        return
    stamp = time.strftime("%Y%m%d-%H%M%S")
    yield Note(f"fix: copy {path} to {path.name}.damaged-{stamp}, and rebuild the journal from its readable part")
    done = rebuild(path, stamp)
    yield Note(f"     recovered {done.read} of {done.known} entries; the damaged file is {done.kept.name}")
    lost = done.known - done.read
    if lost or not done.read:
        entries = f"{counted(lost, 'entry', 'entries')} could not be read" if done.read else "the new journal is empty"
        yield WarningLine(f"{entries}. Tasks may have been charged: look for them at https://piapi.ai/workspace")
        yield Note("Download the image of a task that you find (no charge)", ("wait", "TASK_ID"))


def _end_sending(session: Session) -> Iterator[Item]:
    if not session.paths.journal.exists():
        return
    if dead := session.journal.find_dead():
        for entry in dead:
            yield Note(f"fix: entry {entry.id} from sending to unknown: its process died")
    if lost := session.journal.find_lost():
        yield Note(f"fix: forget {counted(len(lost), 'entry', 'entries')} that the journal has lost: {', '.join(lost)}")
    session.journal.mark_dead_unknown(forget_lost=True)
