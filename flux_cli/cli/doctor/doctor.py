"""`flux doctor`: is everything as it should be, and if not, what to type next."""

from collections.abc import Callable, Iterable
from pathlib import Path

from ...errors import DiskError, ExitCode, FluxError, UsageError
from ..context import Session
from ..output.output import Mode
from . import checks
from .bundle import write_bundle
from .finding import Finding, Level
from .mending import mend

Check = Callable[[Session], Iterable[Finding]]
ANYHOW: tuple[Check, ...] = (checks.versions, checks.terminal)
"""Those that need no settings."""
ON_JOURNAL: tuple[Check, ...] = (checks.unknown_outcomes, checks.pictures, checks.budgets)
"""Those that need a journal that can be read."""


def examine_all(session: Session, *, offline: bool, fix: bool, bundle: Path | None, with_prompts: bool) -> ExitCode:
    """Tell of every check. The exit code is that of the first problem, 0 when there is none.

    offline: do not ask the service. fix: mend first what can be mended. bundle: a file for a bug report, written last.
    """
    if with_prompts and bundle is None:
        raise UsageError("--with-prompts is for --bundle FILE", money="")
    if bundle is not None and bundle.exists():
        raise DiskError(f"{bundle} exists", hint="choose another name for the bundle")
    if fix:
        mend(session)
    found = findings(session, offline=offline)
    for finding in found:
        _tell(session, finding)
    if bundle is not None:
        write_bundle(session, bundle, found, with_prompts=with_prompts)
        session.output.note(f"written: {bundle}; look through it before you send it to anybody")
    return next((finding.exit_code for finding in found if finding.level is Level.PROBLEM), ExitCode.OK)


def findings(session: Session, *, offline: bool) -> list[Finding]:
    """What all checks say, in the order in which problems lead to one another."""
    found = _run(checks.configuration, session)
    if not _stuck(found):
        found += _run(checks.key if offline else checks.service, session, "key")
        found += _run(checks.disk, session)
        journal = _run(checks.journal, session)
        found += journal
        if not _stuck(journal) and session.paths.journal.exists():
            for check in ON_JOURNAL:
                found += _run(check, session, "journal")
    for check in ANYHOW:
        found += _run(check, session)
    return found


def _run(check: Check, session: Session, name: str | None = None) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(session))
    except FluxError as error:
        found.append(Finding.of(name or check.__name__, error))
    return found


def _stuck(found: Iterable[Finding]) -> bool:
    return any(finding.level is Level.PROBLEM for finding in found)


def _tell(session: Session, finding: Finding) -> None:
    if session.output.mode is Mode.JSON:
        session.output.record("check", finding.as_json)
    elif session.output.mode is Mode.TEXT or finding.level is not Level.OK:
        session.output.row(finding.line, 24)
