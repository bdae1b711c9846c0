"""Workflow commands of GitHub Actions: lines in the log of a step that its runner executes.

The runner reads stdout and stderr of a step (`ScriptHandler.cs` of actions/runner), and accepts two forms
(`ActionCommand.cs`): a line whose first characters besides white space are `::`, and `##[name]` anywhere in a line.
"""

import re
from collections.abc import Mapping

# Variation selectors are not white space, but a culture-sensitive comparison of strings ignores them.
_IGNORED = "[\ufe00-\ufe0f]*"
# Strings, because `re` compiles them on GitHub Actions only.
_FIRST = rf"(?m)((?:^|\r)[^!-~\w\r\n]*:{_IGNORED})(?=:)"
_ANYWHERE = rf"(#{_IGNORED})(?=#{_IGNORED}\[)"


def on_actions(environ: Mapping[str, str]) -> bool:
    """Return whether a runner of GitHub Actions reads the output of this process."""
    return environ.get("GITHUB_ACTIONS") == "true"


def inert(text: str) -> str:
    """Return `text` without workflow commands: a space is inserted into the characters that begin one."""
    return re.sub(_FIRST, r"\1 ", re.sub(_ANYWHERE, r"\1 ", text))


def inert_json(text: str) -> str:
    """Return equivalent JSON without workflow commands."""
    return text.replace("##[", "#\\u0023[")


def inert_path(name: str) -> str:
    """Return a file name without workflow commands. One that only begins like a command remains a valid path."""
    return inert(f"./{name}" if name.lstrip().startswith("::") else name)


def annotation(title: str, text: str) -> str:
    """Return the workflow command that shows an error as an annotation. text: may have several lines."""
    return f"::error title={_escape(title).replace(':', '%3A').replace(',', '%2C')}::{_escape(text)}"


def _escape(text: str) -> str:
    return re.sub(_ANYWHERE, r"\1 ", text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
