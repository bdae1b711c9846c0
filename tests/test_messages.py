"""The complete output of commands and errors, as users see it. `tests/messages.txt` reads like prose.

In that file, a line with `$` is a command, lines with `!` are stderr, and `=` is the exit code if it is not 0.
`UPDATE_MESSAGES=1 python -m pytest -n 0 tests/test_messages.py` updates it.
"""

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Flux
from .servers import Service

SCRIPT = Path(__file__).parent / "messages.txt"
REPLACEMENTS = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"(?<![\d.])\d+(\.\d)?(-\d+\.\d)? s\b", "N s"),
    (r"\b20\d\d-\d\d-\d\d( \d\d:\d\d)?", "DATE"),
    (r"^[a-z0-9]{8}(?=  DATE)", "ENTRY"),
    (r"(Python|sqlite|httpx|typer|rich|pillow|starlette|uvicorn) [\d.]+", r"\1 V"),
    (r"system \S+", "system S"),
)
"""Values that differ from run to run, and their replacements."""


def run_script(flux: Flux, script: str, directory: Path) -> str:
    """Run the commands of a script, and return the script with their current output."""
    transcript: list[str] = []
    for line in script.splitlines():
        if not line or line.startswith("#"):
            transcript.append(line)
        elif line.startswith("$ "):
            variables, arguments = re.match(r"\$ ((?:[A-Z_]+=\S* )*)flux ?(.*)", line).groups()  # type: ignore[union-attr]
            with pytest.MonkeyPatch.context() as patch:
                for name, value in (word.split("=", 1) for word in variables.split()):
                    patch.setenv(name, value)
                result = flux(arguments)
            shown = [*result.out.splitlines(), *(f"! {text}".rstrip() for text in result.err.splitlines())]
            transcript += [
                line,
                *(_normalize(text, directory) for text in shown),
                *([f"= {result.code}"] if result.code else []),
            ]
    return "\n".join(transcript) + "\n"


def _normalize(text: str, directory: Path) -> str:
    text = text.replace(str(directory), "/tmp")
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    return text


def test_all_messages_match_the_transcript(flux: Flux, service: Service, tmp_path: Path) -> None:
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
    transcript = run_script(flux, script, tmp_path)
    if os.environ.get("UPDATE_MESSAGES"):
        SCRIPT.write_text(transcript)
    assert transcript == script
