"""Completion: what can follow a command line, for the scripts in `completions/`.

`flux --complete LINE` takes the line up to the cursor, in the quotes of a POSIX shell. It prints three lines: the files
that the shell is to offer (`file`, `folder`, `image`, or nothing), what is typed of the next word and stays as it is
(`--model=`), and the rest of what is typed. Then come the words that are offered, one per line: the word, a tab, and
what it is. The shell chooses those that match.

The commands and options come from a file that `python -m flux_cli.cli.docs` generates, because building the program
takes too long for a press of TAB. Nothing is written, and what cannot be read is not offered, because an error would
appear in the middle of the command line.
"""

import json
import os
import shlex
from collections.abc import Callable
from contextlib import closing
from typing import Any

from .fast_path import PACKAGE

DATA = os.path.join(PACKAGE, "help", "completion.json")
FILES = {"FILE": "file", "REPORT": "file", "DIR": "folder", "IMG": "image", "FILE|ID": "image"}
"""The files that complete a value, by its name in help."""
IDS = ("ID", "FILE|ID")
"""Names of values that are IDs."""
TABLES = {"MODEL": "models", "PROFILE": "profiles"}
"""The table of the config file with more words for a value, by its name in help."""
NEWEST = 100
"""Entries that are offered, at most."""
STATES = {"show": ("saved",), "rerun": ("saved",), "resolve": ("unknown",), "wait": ("accepted", "ready", "expired")}
"""The states of the entries that a command accepts; the others accept all."""
Words = dict[str, str]
"""The words that are offered, each with what it is."""
Answer = tuple[str, str, Words]
"""The files that are offered, what stays in front of the words, and the words."""


def complete(line: str) -> str:
    """Return what can follow a command line, as the shells read it."""
    *words, typed = _split(line)
    if "\n" in typed:  # the rest would look like the next row
        return ""
    with open(DATA, encoding="ascii") as file:
        files, stays, found = _Line(json.load(file), words[1:]).follow(typed)
    rows = [files, stays, typed.removeprefix(stays), *(f"{word}\t{about}" for word, about in found.items())]
    return "".join(f"{row}\n" for row in rows)


def _split(line: str, ends: tuple[str, ...] = (".", ".'", '."')) -> list[str]:
    """Return the words of a line. The last one is being typed: it may be empty, and its quotes open."""
    try:
        *words, last = shlex.split(line + ends[0])  # the point is part of the last word, and keeps an empty one
    except ValueError:
        return _split(line, ends[1:])
    return [*words, last.removesuffix(".")]


class _Line:
    """The words of a command line between the program and the word that is being typed.

    arguments: those of the command. options: the long ones, with their values.
    waiting: the option whose value comes next, if any. ended: whether `--` has ended the options.
    """

    def __init__(self, data: dict[str, Any], words: list[str]) -> None:
        self.data, self.command = data, ""
        self.arguments: list[str] = []
        self.options: dict[str, str] = {}
        self.waiting, self.ended = "", False
        for word in words:
            self._read(word)

    def _read(self, word: str) -> None:
        if self.waiting:
            self.options[self.waiting], self.waiting = word, ""
        elif self.ended or word == "-" or not word.startswith("-"):
            self._read_argument(word)
        elif word == "--":
            self.ended = True
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            self.options[name] = value
            self.waiting = name if self._value_of(name) and not equals else ""
        else:  # -qm: the first option that takes a value takes the rest of the word, if there is any
            name = next((f"-{letter}" for letter in word[1:] if self._value_of(f"-{letter}")), "")
            self.waiting = name if name and word.endswith(name[1]) else ""

    def _read_argument(self, word: str) -> None:
        below = f"{self.command} {word}".strip()
        if self._expected == ["COMMAND..."] and word in self.data["words"]["COMMAND"]:
            below = word  # what `flux cost` is to price: its options follow
        if below in self.data["commands"]:
            self.command, self.arguments = below, []
        else:
            self.arguments.append(word)

    @property
    def _expected(self) -> list[str]:
        """The names of the command's arguments in help."""
        names: list[str] = self.data["commands"][self.command]["arguments"]
        return names

    @property
    def _options(self) -> dict[str, tuple[str | None, str]]:
        """The options of the command: the name of the value in help, None for a switch, and what the option does."""
        rows = [self.data["options"][number] for number in self.data["commands"][self.command]["options"]]
        return {name: (value, about) for names, value, about in rows for name in names}

    def _value_of(self, option: str) -> str:
        return self._options.get(option, (None, ""))[0] or ""

    def follow(self, typed: str) -> Answer:
        """Return what can come next."""
        if self.waiting:
            return self._values(self._value_of(self.waiting), "", typed)
        name, equals, value = typed.partition("=")
        if typed.startswith("--") and equals and not self.ended:
            return self._values(self._value_of(name), f"{name}=", value)
        commands = self._below(self.command)
        left = self._expected[len(self.arguments) :] or [name for name in self._expected if name.endswith("...")]
        if not self.ended and (typed.startswith("-") or not (commands or left)):
            return "", "", {name: about for name, (_, about) in self._options.items()}
        return self._values(left[0].removesuffix("..."), "", typed) if left else ("", "", commands)

    def _below(self, command: str) -> Words:
        """Return the commands below a command, or below the program."""
        rows = [(name.rpartition(" "), row["about"]) for name, row in self.data["commands"].items() if name]
        return {word: about for (above, _, word), about in rows if above == command}

    def _values(self, name: str, stays: str, typed: str) -> Answer:
        """Return what completes a value: its name in help says what it is."""
        if name.startswith("TYPE=IMG"):
            control, equals, typed = typed.partition("=")
            if not equals:
                return "", stays, {f"{word}=": about for word, about in self.data["words"]["TYPE"].items()}
            name, stays = "IMG", f"{stays}{control}="
        if name in ("IMG", "FILE|ID") and typed.startswith("@"):
            return "", stays, {"@last": "the last image", **{f"@{word}": about for word, about in self._ids().items()}}
        if name == "COMMAND|TOPIC":
            topics = {} if self.arguments else self.data["words"][name]
            return "", stays, {**self._below(" ".join(self.arguments)), **topics}
        words = dict.fromkeys(name.split("|"), "") if name.islower() else self.data["words"].get(name, {})
        return FILES.get(name, ""), stays, {**words, **self._own(name)}

    def _own(self, name: str) -> Words:
        """Return the words that depend on the user's tasks and config file."""
        if name in IDS:
            return self._ids()
        return _unless_unreadable(lambda: _names(TABLES[name])) if name in TABLES else {}

    def _ids(self) -> Words:
        options = {"profile": self.options.get("--profile"), "sandbox": "true" if "--sandbox" in self.options else None}
        return _unless_unreadable(lambda: _entries(options, STATES.get(self.command, ())))


def _unless_unreadable(find: Callable[[], Words]) -> Words:
    try:
        return find()
    except Exception:  # of whatever kind: the other commands report it, and files and fixed words are still offered
        return {}


def _names(table: str) -> Words:
    """Return the names in a table of the config file."""
    from ..config.config_file import read_file
    from ..config.paths import Paths
    from ..json_value import object_at
    from ..text import clean

    file = Paths.find(os.environ).config_file
    return {clean(name): "in your config file" for name in object_at(read_file(file), table)}


def _entries(options: dict[str, str | None], states: tuple[str, ...]) -> Words:
    """Return task IDs, or entry IDs where there is no task, newest first, for the profile of the command line."""
    import sqlite3

    from ..config.config_file import read_file
    from ..config.paths import Paths
    from ..config.resolve import resolve
    from ..json_value import text_at
    from ..text import clean

    paths = Paths.find(os.environ)
    settings = resolve(read_file(paths.config_file), os.environ, options, path=paths.config_file)
    journal = (paths.sandbox if settings.sandbox else paths).journal
    sql = f"""
        SELECT coalesce(task_id, id) AS word, state, request, max(number) FROM entries
        WHERE profile = ? AND (service = ? OR ?) AND (state IN ({", ".join("?" * len(states))}) OR ?)
        GROUP BY word ORDER BY max(number) DESC LIMIT {NEWEST}
    """
    values = (settings.profile, settings.text("base_url"), settings.sandbox, *states, not states)
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute(sql, values).fetchall()
    prompts = [text_at(json.loads(request), "prompt") if request else "" for _, _, request, _ in rows]
    return {clean(row[0]): clean(f"{row[1]}: {prompt}", 60) for row, prompt in zip(rows, prompts, strict=True)}
