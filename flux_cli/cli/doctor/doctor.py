"""`flux doctor`: check this installation, the key, PiAPI and the journal, and print the next steps."""

from collections.abc import Callable, Iterable
from pathlib import Path

from ...errors import DiskError, ExitCode, FluxError, UsageError
from ..context import Session
from ..output.output import Mode
from . import checks
from .bundle import write_bundle
from .finding import Finding, Level
from .repair import repair

Check = Callable[[Session], Iterable[Finding]]
ALWAYS: tuple[Check, ...] = (checks.versions, checks.terminal)
"""The checks that need no settings."""
OF_JOURNAL: tuple[Check, ...] = (checks.unknown_outcomes, checks.images, checks.budgets)
"""The checks that need a readable journal."""


def examine_all(session: Session, *, offline: bool, fix: bool, bundle: Path | None, with_prompts: bool) -> ExitCode:
    """Print the result of every check. Return the exit code of the first problem, 0 if there is none.

    offline: do not contact PiAPI. fix: first repair what can be repaired.
    bundle: a file for a bug report, written last.
    """
    if with_prompts and bundle is None:
        raise UsageError("--with-prompts needs --bundle FILE")
    if bundle is not None and bundle.exists():
        raise DiskError(f"{bundle} exists", hint="choose another name for the bundle")
    if fix:
        repair(session)
    found = findings(session, offline=offline)
    for finding in found:
        _print(session, finding)
    if bundle is not None:
        write_bundle(session, bundle, found, with_prompts=with_prompts)
        session.output.note(f"written: {bundle}; read it before you send it to anyone")
    return next((finding.exit_code for finding in found if finding.level is Level.PROBLEM), ExitCode.OK)


def findings(session: Session, *, offline: bool) -> list[Finding]:
    """Return the findings of all checks; a problem comes before its consequences."""
    found = _run(checks.configuration, session)
    if not _has_problem(found):
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


def _print(session: Session, finding: Finding) -> None:
    hint = session.output.join_hint(finding.hint, finding.command)
    if session.output.mode is Mode.JSON:
        session.output.record("check", finding.to_json(hint))
    elif session.output.mode is Mode.TEXT or finding.level is not Level.OK:
        session.output.row(finding.line(hint), 24)
