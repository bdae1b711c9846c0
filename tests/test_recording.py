"""The recording at the head of README shows what the program does now."""

import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
DOCS = Path(__file__).parent.parent / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


def test_the_recording_says_what_the_program_says() -> None:
    """`python docs/images/recording.py` records anew."""
    recording = runpy.run_path(str(DOCS / "recording.py"))
    now = recording["record"]()
    kept = ElementTree.parse(DOCS / "recording.svg")
    assert kept.findtext(f"{SVG}desc") == recording["transcript"](now)
    views = {"".join(cell[0] for cell in row) for _, rows in now.frames for row in rows}
    assert any("a red fox in the snow processing" in row for row in views)
    assert any("▀▀▀" in row for row in views)


def test_the_recording_loads_nothing_and_is_small() -> None:
    """GitHub shows it in an `<img>`, where nothing else would be loaded."""
    content = (DOCS / "recording.svg").read_text("utf-8")
    assert len(content) < 150_000
    assert "<script" not in content
    assert "url(" not in content
    assert content.count("http") == 1  # the name of SVG
