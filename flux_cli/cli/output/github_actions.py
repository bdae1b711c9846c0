"""GitHub's workflow commands: lines of a step's log that its runner obeys.

The runner reads stdout and stderr of a step alike (`ScriptHandler.cs` of actions/runner), and takes two forms
(`ActionCommand.cs`): a line whose first characters besides white space are `::`, and `##[name]` anywhere in a line.
"""

import re
from collections.abc import Mapping

# Variation selectors are no white space, and still nothing to a comparison of strings that heeds a language.
_IGNORED = "[\ufe00-\ufe0f]*"
# In words, for `re` to make on GitHub Actions only.
_FIRST = rf"(?m)((?:^|\r)[^!-~\w\r\n]*:{_IGNORED})(?=:)"
_ANYWHERE = rf"(#{_IGNORED})(?=#{_IGNORED}\[)"


def on_actions(environ: Mapping[str, str]) -> bool:
    """Whether a runner of GitHub Actions reads what this process writes."""
    return environ.get("GITHUB_ACTIONS") == "true"


def inert(text: str) -> str:
    """`text` without a workflow command in any of its lines: a space parts what would begin one."""
    return re.sub(_FIRST, r"\1 ", re.sub(_ANYWHERE, r"\1 ", text))


def inert_json(text: str) -> str:
    """JSON without a workflow command; what it means stays the same."""
    return text.replace("##[", "#\\u0023[")


def inert_path(name: str) -> str:
    """The name of a file, without a workflow command; one that only begins like a command still names its file."""
    return inert(f"./{name}" if name.lstrip().startswith("::") else name)


def annotation(title: str, text: str) -> str:
    """The command that puts an error above a step's log and beside its run; `text` may have several lines."""
    return f"::error title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return re.sub(_ANYWHERE, r"\1 ", text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
