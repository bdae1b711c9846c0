"""The config file: reading it, editing it without losing comments, and finding the line of a value."""

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..json_value import Json, JsonObject, object_at

LOCK_SECONDS = 10.0
"""The longest wait for another process that writes the file."""
Names = tuple[str, ...]
"""The tables and the key that lead to a value: `("profiles", "default", "budget", "day")`."""


def read_file(path: Path) -> JsonObject:
    """Return the content of the config file; an empty object if the file does not exist.

    Raise ConfigError, which shows the file and the line number but not the line: it may contain a key.
    """
    return _parse(path, _read(path))


def _read(path: Path) -> bytes:
    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # reading could block indefinitely
            raise ConfigError(f"{path} is a pipe, not a file", hint="Move it away")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _parse(path: Path, raw: bytes) -> JsonObject:
    if not raw:
        return {}
    hint = "fix that line, or move the file away"
    try:
        import tomllib  # needed only if there is a config file

        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1  # neither `object` nor `start` counts the BOM
        raise ConfigError(f"{path}, line {line}: not UTF-8", hint=hint) from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, huge numbers, deep nesting
        # Only the end is used, "(at line 3, column 8)" or "(at end of document)": the beginning may quote the file.
        position = re.search(r"at line (\d+), column \d+\)$", str(error))
        end = f", line {len(raw.splitlines())}" if str(error).endswith("(at end of document)") else ""
        where = f", line {position.group(1)}" if position else end
        raise ConfigError(f"{path}{where}: not valid TOML", hint=hint) from None


def place_of(path: Path, *names: str) -> str:
    """Return the file and line of a value, for messages: `/home/u/.config/flux/config.toml, line 3`.

    The line is found by parsing ever more lines of the file until the value appears: `tomllib` gives no positions.
    """
    import tomllib

    with suppress(OSError, UnicodeError):
        lines = path.read_text("utf-8-sig").split("\n")
        for number in range(1, len(lines) + 1):
            with suppress(ValueError, RecursionError):
                if names[-1] in object_at(tomllib.loads("\n".join(lines[:number])), *names[:-1]):
                    return f"{path}, line {number}"
    return str(path)


def permissions_warning(path: Path) -> str | None:
    """Return a warning if other users of the machine can read the config file, else None."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if os.name == "nt" or not mode & 0o077:
        return None
    import shlex

    return f"{path} can be read by other users; restrict it with: chmod 600 {shlex.quote(str(path))}"


def edit_file(path: Path, changes: Mapping[Names, Json]) -> None:
    """Set values in the config file; None removes one. Comments, order and other values are kept.

    The file is read and replaced under a lock, so that concurrent commands keep each other's changes. Only its owner
    can read the new file. Raise ConfigError if it cannot be written.
    """
    from ..system.atomic_files import make_private_directory, write_atomic

    try:
        make_private_directory(path.parent)
        with _locked(path):
            raw = _read(path)
            before = _parse(path, raw)
            after = _changed(before, changes)
            if after != _changed(before, {}):
                write_atomic(path.resolve(), _edited(path, raw, changes, after).encode())
    except OSError as error:
        hint = f"change who may write to {path.parent}, or set FLUX_HOME to a directory that you can write to"
        raise ConfigError(f"cannot write {path}: {error.strerror or error}", hint=hint) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock on the config file. It is a separate file, because the config file itself is replaced."""
    from ..system.file_locks import UnsupportedError, try_lock

    ends, descriptor = time.monotonic() + LOCK_SECONDS, None
    with suppress(UnsupportedError):  # some network file systems have no locks
        while (descriptor := try_lock(path.with_name("config.lock"))) is None:
            if time.monotonic() > ends:
                raise TimeoutError(f"another process has been writing it for {LOCK_SECONDS:.0f} s")
            time.sleep(0.01)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _changed(content: JsonObject, changes: Mapping[Names, Json]) -> JsonObject:
    """Return the content with the changes made, and without empty tables."""
    for names, value in changes.items():
        content = _with_value(content, list(names), value)
    return _without_empty_tables(content)


def _with_value(table: JsonObject, names: list[str], value: Json) -> JsonObject:
    name, *rest = names
    changed = {**table, name: _with_value(object_at(table, name), rest, value) if rest else value}
    return {word: stored for word, stored in changed.items() if stored is not None}


def _without_empty_tables(table: JsonObject) -> JsonObject:
    inner = {name: _without_empty_tables(value) if isinstance(value, dict) else value for name, value in table.items()}
    return {name: value for name, value in inner.items() if value != {}}


def _edited(path: Path, raw: bytes, changes: Mapping[Names, Json], expected: JsonObject) -> str:
    """Return the new text of the file. An existing file keeps its style. Raise ConfigError if that is impossible."""
    if not raw.strip():
        import tomli_w

        return tomli_w.dumps(expected)
    import tomllib

    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    # tomlkit mishandles some files whose tables are split, so its text is parsed again and compared.
    with suppress(TOMLKitError, ValueError, KeyError, TypeError):
        document = tomlkit.parse(raw.decode("utf-8-sig"))
        for names, value in changes.items():
            _edit(document, names, value)
        text = document.as_string()
        if _changed(tomllib.loads(text), {}) == expected:
            return text
    raise ConfigError(f"cannot edit {path}: its tables are in an unusual order", hint="use a text editor")


def _edit(table: MutableMapping[str, Any], names: Names, value: Json) -> None:
    import tomlkit

    name, *rest = names
    if value is None and name not in table:
        return
    if rest:
        if name not in table:
            table[name] = tomlkit.table()
        _edit(table[name], tuple(rest), value)
    elif value is None:
        del table[name]
    else:
        table[name] = value
