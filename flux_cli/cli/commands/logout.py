"""`flux logout`: remove the stored key of a profile."""

from typing import TYPE_CHECKING

from ...config.resolve import ACCOUNT
from ...errors import ExitCode
from ...json_value import object_at
from ..context import Session
from ..profile import edit_profile, profile_name

if TYPE_CHECKING:
    pass


def logout(session: Session) -> ExitCode:
    """Remove the stored API key of a profile."""
    profile, file = profile_name(session), session.home.config_file
    if "api_key" not in object_at(session.config_file, "profiles", profile):
        session.output.note(f"no key is stored for profile {profile}")
        return ExitCode.OK
    edit_profile(session, {"api_key": None, ACCOUNT: None})
    session.output.note(f"key of profile {profile} removed from {file}")
    return ExitCode.OK
