"""`flux doctor`: check the installation, the key, PiAPI, the journal and the images."""

from pathlib import Path
from typing import Annotated

from ...errors import ExitCode
from ...operations.parameters import Option
from ..context import Session

Offline = Annotated[bool, Option("--offline", help="Do not contact PiAPI.")]
Fix = Annotated[bool, Option("--fix", help="Repair what can be repaired; print each change before making it.")]
Bundle = Annotated[
    Path | None,
    Option("--bundle", metavar="FILE", help="Write a ZIP file for a bug report, without keys and prompts."),
]
WithPrompts = Annotated[bool, Option("--with-prompts", help="Include prompts and API responses in the bundle.")]


def doctor(
    session: Session,
    offline: Offline = False,
    fix: Fix = False,
    bundle: Bundle = None,
    with_prompts: WithPrompts = False,
) -> ExitCode:
    """Check the installation, key, PiAPI, journal and images.

    Prints one line per check: ok, warning or problem. The exit code is that of the first problem, or 0.

    flux doctor --fix

    flux doctor --offline --json

    flux doctor --bundle report.zip
    """
    from ..doctor.doctor import examine_all

    return examine_all(session, offline=offline, fix=fix, bundle=bundle, with_prompts=with_prompts)
