"""Completion of task IDs and profile names; everything else is in the completion script of the shell.

`flux --complete WHAT WORD...` prints the candidates; the words are those of the command line so far. It writes no file
and prints no errors, because they would appear in the middle of the command line.
"""

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise

from ..config.config_file import read_file
from ..config.paths import Paths
from ..config.resolve import resolve
from ..errors import FluxError
from ..json_value import object_at, text_at
from ..text import clean

NEWEST = 100
"""Entries that are offered, at most."""
STATES = {"show": ("saved",), "rerun": ("saved",), "resolve": ("unknown",), "wait": ("accepted", "ready", "expired")}
"""What a command is for; the others take every entry."""


def complete(what: str, words: Sequence[str]) -> str:
    """Return the candidates for the next word, one per line: the word, a tab, and a description."""
    try:
        found = _ids(words) if what == "id" else _profiles()
    except (FluxError, sqlite3.Error, OSError, ValueError):
        return ""
    return "".join(f"{word}\t{about}\n" for word, about in found.items())


def _profiles() -> dict[str, str]:
    file = Paths.find(os.environ).config_file
    return {clean(name): "profile" for name in object_at(read_file(file), "profiles")}


def _ids(words: Sequence[str]) -> dict[str, str]:
    """Return task IDs, or entry IDs where there is no task, newest first, for the profile of the command line."""
    paths = Paths.find(os.environ)
    profile = next((word for before, word in pairwise(words) if before == "--profile"), None)
    options = {"profile": profile, "sandbox": "true" if "--sandbox" in words else None}
    settings = resolve(read_file(paths.config_file), os.environ, options, path=paths.config_file)
    sandbox = settings.flag("sandbox")
    journal = (paths.sandbox if sandbox else paths).journal
    states = STATES.get(words[0] if words else "", ())
    sql = f"""
        SELECT coalesce(task_id, id) AS word, state, request, max(number) FROM entries
        WHERE profile = ? AND (service = ? OR ?) AND (state IN ({", ".join("?" * len(states))}) OR ?)
        GROUP BY word ORDER BY max(number) DESC LIMIT {NEWEST}
    """
    values = (settings.profile, settings.text("base_url"), sandbox, *states, not states)
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as db:
        return {word: clean(f"{state}: {_prompt(request)}", 60) for word, state, request, _ in db.execute(sql, values)}


def _prompt(request: str | None) -> str:
    return text_at(json.loads(request), "prompt") if request else ""
