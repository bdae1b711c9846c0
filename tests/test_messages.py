"""The whole output of commands and of mistakes, as people see it. `tests/messages.txt` is read like prose.

In that file a line with `$` is a command, lines with `!` are stderr, and `=` is the exit code if it is not 0.
`UPDATE_MESSAGES=1 python -m pytest -n 0 tests/test_messages.py` writes it again.
"""

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Flux
from .servers import Service

SCRIPT = Path(__file__).parent / "messages.txt"
VARIES = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"(?<![\d.])\d+(\.\d)?(-\d+\.\d)? s\b", "N s"),
    (r"\b20\d\d-\d\d-\d\d( \d\d:\d\d)?", "DATE"),
    (r"^[a-z0-9]{8}(?=  DATE)", "ENTRY"),
    (r"(Python|sqlite|httpx|typer|rich|pillow|starlette|uvicorn) [\d.]+", r"\1 V"),
    (r"system \S+", "system S"),
)
"""What differs from run to run, and what stands for it."""


def play(flux: Flux, script: str, folder: Path) -> str:
    """Return the script with what its commands print now."""
    played: list[str] = []
    for line in script.splitlines():
        if not line or line.startswith("#"):
            played.append(line)
        elif line.startswith("$ "):
            variables, words = re.match(r"\$ ((?:[A-Z_]+=\S* )*)flux ?(.*)", line).groups()  # type: ignore[union-attr]
            with pytest.MonkeyPatch.context() as patch:
                for name, value in (word.split("=", 1) for word in variables.split()):
                    patch.setenv(name, value)
                result = flux(words)
            shown = [*result.out.splitlines(), *(f"! {text}".rstrip() for text in result.err.splitlines())]
            played += [line, *(_plain(text, folder) for text in shown), *([f"= {result.code}"] if result.code else [])]
    return "\n".join(played) + "\n"


def _plain(text: str, folder: Path) -> str:
    text = text.replace(str(folder), "/tmp")
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text)
    return text


def test_messages_are_as_they_were_read(flux: Flux, service: Service, tmp_path: Path) -> None:
    Image.new("RGB", (256, 256), "red").save("red.png")
    Image.new("RGB", (64, 64), "red").save("small.png")
    Path("cut.png").write_bytes(Path("red.png").read_bytes()[:50])
    for name, text in {
        "notes.txt": "hello\n",
        "bad.csv": "prompt,foo\na fox,1\n,2\n",
        "broken.json": "{\n",
        "unknown.jsonl": '{"prompt": "a fox", "foo": 1}\n',
        "prompts.txt": "# a comment\n\na cat\n",
        "options.txt": '--prompt "a fox" --steps 3\n',
    }.items():
        Path(name).write_text(text)
    script = SCRIPT.read_text()
    played = play(flux, script, tmp_path)
    if os.environ.get("UPDATE_MESSAGES"):
        SCRIPT.write_text(played)
    assert played == script
