"""`flux logout`: remove the stored key of a profile."""

from ...config.resolve import ACCOUNT
from ...errors import ExitCode
from ...json_value import object_at
from ..output.output import Items, Note
from ..profile import edit_profile, profile_name
from ..registry import help_page
from ..session import Session


@help_page(("Log out of another profile", "flux logout --profile work"), hides=("sandbox",))
def logout(session: Session) -> Items:
    """Remove the stored API key of a profile."""
    profile, file = profile_name(session), session.home.config_file
    if "api_key" in object_at(session.config_file, "profiles", profile):
        edit_profile(session, {"api_key": None, ACCOUNT: None})
        yield Note(f"Removed the key of profile {profile} from {file}")
    else:
        yield Note(f"No key is stored for profile {profile}")
    return ExitCode.OK
