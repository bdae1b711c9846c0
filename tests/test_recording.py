"""The recording in README shows the current output of the program."""

import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
DOCS = Path(__file__).parent.parent / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


def test_the_recording_shows_the_current_output() -> None:
    """`python docs/images/recording.py` makes a new recording."""
    recording = runpy.run_path(str(DOCS / "recording.py"))
    current = recording["record"]()
    stored = ElementTree.parse(DOCS / "recording.svg")
    assert stored.findtext(f"{SVG}desc") == recording["transcript"](current)
    views = {"".join(cell[0] for cell in row) for _, rows in current.frames for row in rows}
    assert any("a red fox in the snow processing" in row for row in views)
    assert any("▀▀▀" in row for row in views)


def test_the_recording_is_small_and_loads_nothing() -> None:
    """GitHub shows it in an `<img>`, where nothing else is loaded."""
    content = (DOCS / "recording.svg").read_text("utf-8")
    assert len(content) < 150_000
    assert "<script" not in content
    assert "url(" not in content
    assert content.count("http") == 1  # the namespace of SVG
