"""Shell completion, for the scripts in `completions/`.

`flux --complete LINE` accepts the line up to the cursor, with POSIX quoting. It prints three lines: the kind of files
to offer (`file`, `folder`, `image`, or nothing), the part of the current word that is kept (`--model=`), and the rest
of the current word. Then it prints the candidates, one per line: the word, a tab, and a description. The shell selects
the ones that match.

Commands and options come from a file that `python -m flux_cli.cli.docs` generates, because building the program takes
too long for a press of TAB. Errors are ignored, because a message would appear in the middle of the command line.
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
"""The kind of files that complete a value, by its metavar."""
IDS = ("ID", "FILE|ID")
"""The metavars of IDs."""
TABLES = {"MODEL": "models", "PROFILE": "profiles"}
"""The table of the config file with more words for a value, by its metavar."""
NEWEST = 100
"""The most entries that are offered."""
STATES = {"show": ("saved",), "rerun": ("saved",), "resolve": ("unknown",), "wait": ("accepted", "ready", "expired")}
"""The states of the entries that are offered, by command. Other commands offer all."""
Words = dict[str, str]
"""Candidates with their descriptions."""
Answer = tuple[str, str, Words]
"""The kind of files to offer, the part of the current word that is kept, and the candidates."""


def complete(line: str) -> str:
    """Return the completion of a command line, in the format above."""
    *words, typed = _split(line)
    if "\n" in typed:  # it would end the row of the output
        return ""
    with open(DATA, encoding="ascii") as file:
        files, stays, found = _Line(json.load(file), words[1:]).follow(typed)
    rows = [files, stays, typed.removeprefix(stays), *(f"{word}\t{about}" for word, about in found.items())]
    return "".join(f"{row}\n" for row in rows)


def _split(line: str, ends: tuple[str, ...] = (".", ".'", '."')) -> list[str]:
    """Return the words of a line. The last one is incomplete: it may be empty, or have an open quote."""
    try:
        *words, last = shlex.split(line + ends[0])  # the period keeps an empty last word
    except ValueError:
        return _split(line, ends[1:])
    return [*words, last.removesuffix(".")]


class _Line:
    """The words of a command line between the program and the current word.

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
        else:  # -qm: the rest of the word is the value of the first option that has one
            name = next((f"-{letter}" for letter in word[1:] if self._value_of(f"-{letter}")), "")
            self.waiting = name if name and word.endswith(name[1]) else ""

    def _read_argument(self, word: str) -> None:
        below = f"{self.command} {word}".strip()
        if self._expected == ["COMMAND..."] and word in self.data["words"]["COMMAND"]:
            below = word  # the command that `flux cost` prices, whose options follow
        if below in self.data["commands"]:
            self.command, self.arguments = below, []
        else:
            self.arguments.append(word)

    @property
    def _expected(self) -> list[str]:
        """The metavars of the command's arguments."""
        names: list[str] = self.data["commands"][self.command]["arguments"]
        return names

    @property
    def _options(self) -> dict[str, tuple[str | None, str]]:
        """The options of the command, by name: the metavar (None for a switch) and the description."""
        rows = [self.data["options"][number] for number in self.data["commands"][self.command]["options"]]
        return {name: (value, about) for names, value, about in rows for name in names}

    def _value_of(self, option: str) -> str:
        return self._options.get(option, (None, ""))[0] or ""

    def follow(self, typed: str) -> Answer:
        """Return the completion of the current word."""
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
        """Return the completion of a value. name: its metavar, which determines the candidates."""
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
    except Exception:  # other commands report it, and other words can still be offered
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
    """Return task IDs, or entry IDs of entries without a task, newest first, for the profile of the command line."""
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
