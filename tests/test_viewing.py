"""Pictures drawn on a terminal, and opened in the system's viewer."""

import base64
import io
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Flux
from .servers import Service

fcntl = pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX's")
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that says nothing of itself but that it has all colours."""
    for name in ("TMUX", "STY", "TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")


def on_terminal(start: Start, line: str, columns: int = 41, lines: int = 30) -> tuple[str, str]:
    """What a command writes to a pipe as stdout, and to a terminal as stderr."""
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with start(line, stderr=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # Linux's way to tell the end
                break
            if not read:
                break
            seen += read
        os.close(ours)
        assert process.stdout
        return process.stdout.read(), seen.decode().replace("\r\n", "\n")


@pytest.fixture
def halves() -> None:
    """halves.png: red above, blue below, twice as wide as high."""
    image = Image.new("RGB", (400, 200), "#ff0000")
    image.paste("#0000ff", (0, 100, 400, 200))
    image.save("halves.png")
    Image.new("RGB", (10, 500), "#00ff00").save("tall.png")


@pytest.mark.usefixtures("halves")
def test_half_blocks_fit_the_terminal(start: Start) -> None:
    _, seen = on_terminal(start, "show halves.png --preview")
    rows = [line for line in seen.splitlines() if "▀" in line]
    assert [row.count("▀") for row in rows] == [40] * 10
    assert rows[0].startswith("\x1b[38;2;255;0;0;48;2;255;0;0m▀")
    assert rows[-1].startswith("\x1b[38;2;0;0;255;48;2;0;0;255m▀")
    assert all(row.endswith("\x1b[0m") for row in rows)

    _, seen = on_terminal(start, "show tall.png --preview")
    assert sum("▀" in line for line in seen.splitlines()) == 27


@pytest.mark.usefixtures("halves")
def test_fewer_colours(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORTERM")
    _, seen = on_terminal(start, "show halves.png --preview")
    assert "\x1b[38;5;196;48;5;196m▀" in seen
    assert ";2;" not in seen


@pytest.mark.usefixtures("halves")
@pytest.mark.parametrize("variable", [("KITTY_WINDOW_ID", "1"), ("TERM", "xterm-kitty"), ("TERM_PROGRAM", "ghostty")])
def test_kitty(start: Start, monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]) -> None:
    monkeypatch.setenv(*variable)
    Image.effect_noise((600, 300), 90).save("noise.png")  # more than one piece
    _, seen = on_terminal(start, "show noise.png --preview")
    pieces = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", seen)
    assert pieces[0][0] == "a=T,f=100,q=2,c=40,r=10,m=1"
    assert {about for about, _ in pieces[1:-1]} == {"m=1"}
    assert pieces[-1][0] == "m=0"
    assert all(len(data) <= 4096 for _, data in pieces)
    with Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in pieces)))) as image:
        assert image.size == (540, 270)


@pytest.mark.usefixtures("halves")
def test_iterm(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM_PROGRAM", "iTerm.app")
    _, seen = on_terminal(start, "show halves.png --preview")
    found = re.search("\x1b]1337;File=inline=1;size=([0-9]+);width=40;height=10;preserveAspectRatio=1:(.*)\x07", seen)
    assert found
    content = base64.b64decode(found[2])
    assert len(content) == int(found[1])
    assert Image.open(io.BytesIO(content)).format == "PNG"

    monkeypatch.setenv("TMUX", "/tmp/tmux,1,0")
    assert "▀" in on_terminal(start, "show halves.png --preview")[1]


def test_a_picture_that_was_just_made(start: Start, service: Service) -> None:
    out, seen = on_terminal(start, "gen fox --size 64x64 -m schnell -o fox.png --preview")
    assert out == "fox.png\n"
    assert seen.count("▀") > 400
    out, seen = on_terminal(start, "gen fox --size 64x64 -m schnell -o fox.png --preview --skip-existing")
    assert (out, seen.count("▀") > 400) == ("fox.png\n", True)
    for quiet in ("--json", "-q"):
        assert "▀" not in "".join(on_terminal(start, f"wait {service.charges[0].id} --preview {quiet}"))


@pytest.mark.usefixtures("halves")
def test_nothing_is_drawn_where_nothing_can_be(flux: Flux, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = flux("show halves.png --preview")
    assert "\x1b" not in piped.out + piped.err
    assert "--preview draws nothing: stderr is no terminal\n" in piped.err
    assert "preview" not in flux("show halves.png --preview --json").err

    for variable, value, told in (
        ("NO_COLOR", "1", "NO_COLOR is set"),
        ("TERM", "dumb", "no colours"),
        ("PYTHONIOENCODING", "ascii", "UTF-8"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            _, seen = on_terminal(start, "show halves.png --preview")
            assert "\x1b" not in seen
            assert told in seen


def test_a_damaged_picture_is_told(start: Start, service: Service) -> None:
    on_terminal(start, "gen fox --size 64x64 -m schnell -o fox.png")
    Path("fox.png").write_bytes(Path("fox.png").read_bytes()[:-5])
    _, seen = on_terminal(start, "show fox.png --preview")
    assert "cannot be previewed: fox.png: the PNG is cut short" in seen


def test_the_viewer_gets_whole_paths(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs, told = tmp_path / "programs", tmp_path / "told"
    programs.mkdir()
    os.mkfifo(told)
    for name in ("xdg-open", "open"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {told}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    picture = Path("-rf $(x);.png")
    Image.new("RGB", (8, 8)).save(picture)
    for line, opened in (("gallery --open", "gallery.html"), ("show ./'-rf $(x);.png' --open", picture.name)):
        with start(line) as process:
            assert told.read_text() == f"{Path.cwd() / opened}|"
        assert process.returncode == (0 if "gallery" in line else 2)


def test_no_viewer_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save("fox.png")
    monkeypatch.setenv("PATH", "/nowhere")
    with start("gallery --open") as process:
        assert process.stderr
        assert "--open finds no viewer" in process.stderr.read()
    assert process.returncode == 0
