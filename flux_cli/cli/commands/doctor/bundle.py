"""`flux doctor --bundle`: a ZIP file for a bug report, without keys, and without prompts unless requested."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from ....config.paths import expand_user
from ....config.resolve import Settings
from ....errors import DiskError, FluxError
from ....journal.entries import Entry
from ....journal.migrations import MIGRATIONS
from ....journal.recovery import examine
from ....json_value import Json, JsonObject, change_strings, object_at, text_at
from ....system.atomic_files import write_atomic
from ....text import SHORTEST_REDACTED, redact
from ...session import Session
from .checks import Finding, version_numbers

NEWEST = 20
"""The number of journal entries in the bundle."""
PRIVATE_SETTINGS = ("webhook", "webhook_secret_file", "api_key_command")
"""Settings whose values may contain a secret, or the path to one."""


def write_bundle(session: Session, path: Path, found: Sequence[Finding], *, with_prompts: bool) -> None:
    """Write the ZIP file. Raise DiskError, or FluxError, without writing, if it would still contain a secret."""
    content: dict[str, Json] = {
        "checks.json": [finding.to_json(session.output.join_hint(finding.hint, finding.command)) for finding in found],
        "versions.json": dict(version_numbers()),
        "config.json": _attempt(lambda: _config(session.settings)),
        "journal.json": _attempt(lambda: _journal(session)),
        "entries.json": _attempt(lambda: _entries(session, with_prompts=with_prompts)),
    }
    secrets = _secrets(session)
    hidden = [*secrets]
    with suppress(FluxError):
        hidden += [
            value for name in PRIVATE_SETTINGS if len(value := session.settings.get(name) or "") >= SHORTEST_REDACTED
        ]
    home = os.path.expanduser("~")

    def hide(text: str) -> str:
        text = redact(text, hidden)
        return text.replace(home, "~") if len(home) > 1 else text

    texts = {name: json.dumps(change_strings(value, hide), indent=1) for name, value in content.items()}
    forms = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""))}
    for name, text in texts.items():
        if any(form in text for form in forms):
            raise FluxError(f"the bundle was not written: {name} in it would contain a secret", code="secret")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in texts.items():
            bundle.writestr(name, text)
    try:
        write_atomic(path, packed.getvalue())
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror}") from error


def _attempt(section: Callable[[], JsonObject | list[Json]]) -> Json:
    """Return a section, or the error that it raised, because a bundle is needed when something is broken."""
    try:
        return section()
    except FluxError as error:
        return {"error": error.message}


def _config(settings: Settings) -> JsonObject:
    values: JsonObject = {
        name: {"value": "set" if name in PRIVATE_SETTINGS and value.text else value.text, "source": value.source}
        for name, value in settings.values.items()
    }
    key: JsonObject = {"value": "set" if settings.key else None, "source": settings.key_source}
    return {"profile": {"value": settings.profile, "source": settings.profile_source}, "api_key": key, **values}


def _journal(session: Session) -> JsonObject:
    state = examine(session.paths.journal)
    if state is None:
        return {"exists": False}
    return {
        "exists": True,
        "schema": state.version,
        "schema_of_program": len(MIGRATIONS),
        "trouble": state.trouble,
        "wal_bytes": state.wal_bytes,
        "entries": dict(state.counts),
    }


def _entries(session: Session, *, with_prompts: bool) -> list[Json]:
    if not session.paths.journal.exists():
        return []
    newest = session.journal.newest(limit=NEWEST)
    return [_entry(entry) | (_words(entry) if with_prompts else {}) for entry in newest]


def _entry(entry: Entry) -> JsonObject:
    """Return an entry without file names, URLs and texts from PiAPI, which may be private."""
    request = entry.request
    return {
        "id": entry.id,
        "state": str(entry.state),
        "service": entry.service,
        "task_id": entry.task_id,
        "op": request.operation.name if request else None,
        "model": request.model if request else None,
        "price": str(entry.price) if entry.price is not None else None,
        "problem": entry.problem.code if entry.problem else None,
        "urls": len(entry.urls),
        "files": len(entry.files),
        **{name: getattr(entry, name) for name in ("created", "submitted", "accepted", "ended", "seconds")},
    }


def _words(entry: Entry) -> JsonObject:
    """Return an entry's prompt, and the texts from PiAPI's responses."""
    problem = entry.problem.message if entry.problem else None
    prompt = entry.request.operation.prompt if entry.request else None
    return {"prompt": prompt, "message": problem, "evidence": entry.evidence}


def _secrets(session: Session) -> set[str]:
    """Return everything that must not be in the bundle, including the keys of all other profiles."""
    found = set(session.output.secrets)
    with suppress(FluxError):
        profiles = object_at(session.config_file, "profiles")
        found |= {text_at(profiles, name, "api_key") for name in profiles}
        if file := session.settings.get("webhook_secret_file"):
            with suppress(OSError, UnicodeError):
                found.add(expand_user(file).read_text("utf-8").strip())
    return {secret for secret in found if len(secret) >= SHORTEST_REDACTED}
