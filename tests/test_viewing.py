"""Images that are shown on a terminal, and opened in the system's viewer."""

import base64
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Flux
from .servers import Service

fcntl = pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX's")
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def set_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up a terminal that reports only that it supports all colors."""
    for name in ("TMUX", "STY", "TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")


def run_on_terminal(
    start: Start,
    line: str,
    columns: int = 41,
    lines: int = 30,
    pixels: tuple[int, int] = (0, 0),
    reply: bytes | None = None,
) -> tuple[str, str]:
    """Return what a command writes to a pipe as stdout, and to a terminal as stderr.

    pixels: the size of the terminal. reply: the terminal controls the session, and returns this if its features are requested.
    """
    import pty
    import struct
    import termios

    def take_terminal() -> None:
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)

    main, replica = pty.openpty()
    fcntl.ioctl(replica, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, *pixels))
    session = {"start_new_session": True, "preexec_fn": take_terminal} if reply is not None else {}
    with start(line, stderr=replica, stdin=subprocess.DEVNULL, **session) as process:
        os.close(replica)
        output = b""
        while True:
            try:
                read = os.read(main, 65536)
            except OSError:  # how Linux reports the end
                break
            if not read:
                break
            output += read
            if reply and b"\x1b[c" in read:
                os.write(main, reply)
        os.close(main)
        assert process.stdout
        return process.stdout.read(), output.decode().replace("\r\n", "\n")


@pytest.fixture
def create_images() -> None:
    """Create halves.png, red above blue and twice as wide as high, and tall.png."""
    image = Image.new("RGB", (400, 200), "#ff0000")
    image.paste("#0000ff", (0, 100, 400, 200))
    image.save("halves.png")
    Image.new("RGB", (10, 500), "#00ff00").save("tall.png")


@pytest.mark.usefixtures("create_images")
def test_half_blocks_fit_the_terminal(start: Start) -> None:
    _, output = run_on_terminal(start, "show halves.png --preview")
    rows = [line for line in output.splitlines() if "▀" in line]
    assert [row.count("▀") for row in rows] == [40] * 10
    assert rows[0].startswith("\x1b[38;2;255;0;0;48;2;255;0;0m▀")
    assert rows[-1].startswith("\x1b[38;2;0;0;255;48;2;0;0;255m▀")
    assert all(row.endswith("\x1b[0m") for row in rows)

    _, output = run_on_terminal(start, "show tall.png --preview")
    assert sum("▀" in line for line in output.splitlines()) == 27


@pytest.mark.usefixtures("create_images")
def test_fewer_colors_are_used_without_true_color(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORTERM")
    _, output = run_on_terminal(start, "show halves.png --preview")
    assert "\x1b[38;5;196;48;5;196m▀" in output
    assert ";2;" not in output


@pytest.mark.usefixtures("create_images")
@pytest.mark.parametrize("variable", [("KITTY_WINDOW_ID", "1"), ("TERM", "xterm-kitty"), ("TERM_PROGRAM", "ghostty")])
def test_kitty_receives_pieces_of_a_png(
    start: Start, monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]
) -> None:
    monkeypatch.setenv(*variable)
    Image.effect_noise((600, 300), 90).save("noise.png")  # more than one piece
    _, output = run_on_terminal(start, "show noise.png --preview")
    pieces = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", output)
    assert pieces[0][0] == "a=T,f=100,q=2,c=40,r=10,m=1"
    assert {control for control, _ in pieces[1:-1]} == {"m=1"}
    assert pieces[-1][0] == "m=0"
    assert all(len(data) <= 4096 for _, data in pieces)
    with Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in pieces)))) as image:
        assert image.size == (540, 270)


@pytest.mark.usefixtures("create_images")
def test_iterm_receives_a_png(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM_PROGRAM", "iTerm.app")
    _, output = run_on_terminal(start, "show halves.png --preview")
    found = re.search("\x1b]1337;File=inline=1;size=([0-9]+);width=40;height=10;preserveAspectRatio=1:(.*)\x07", output)
    assert found
    content = base64.b64decode(found[2])
    assert len(content) == int(found[1])
    assert Image.open(io.BytesIO(content)).format == "PNG"

    monkeypatch.setenv("TMUX", "/tmp/tmux,1,0")
    assert "▀" in run_on_terminal(start, "show halves.png --preview")[1]


def decode_sixel(sixel: str) -> Image.Image:
    """Return the image of a sixel, as a terminal reads it."""
    head, data = re.fullmatch('\x1bPq"1;1;([0-9]+;[0-9]+)(.*)\x1b\\\\', sixel, re.DOTALL).groups()  # type: ignore[union-attr]
    width, height = map(int, head.split(";"))
    image = Image.new("RGB", (width, -(-height // 6) * 6))
    colors: dict[str, tuple[int, ...]] = {}
    color: tuple[int, ...] = ()
    column = band = 0
    for number, components, times, letter, move in re.findall(
        r"#(\d+)(?:;2;(\d+;\d+;\d+))?|(?:!(\d+))?([?-~])|([$-])", data
    ):
        if components:
            colors[number] = tuple(round(int(part) * 2.55) for part in components.split(";"))
        elif number:
            color = colors[number]
        elif move:
            column, band = 0, band + 6 * (move == "-")
        else:
            for position in range(column, column + int(times or 1)):
                for row in range(6):
                    if ord(letter) - 63 & 1 << row:
                        image.putpixel((position, band + row), color)
            column += int(times or 1)
    return image.crop((0, 0, width, height))


@pytest.mark.usefixtures("create_images")
@pytest.mark.parametrize(
    ("reply", "pixels", "size"),
    [
        (b"\x1b[?63;1;2;4;6c", (0, 0), (400, 200)),  # nothing is known: 10 pixels per column
        (b"\x1b[6;12;6t\x1b[?62;4c", (0, 0), (240, 120)),
        (b"\x1b[?62;22;4c", (41 * 5, 30 * 10), (200, 100)),
    ],
)
def test_a_sixel_image_has_the_size_of_the_terminal(
    start: Start, reply: bytes, pixels: tuple[int, int], size: tuple[int, int]
) -> None:
    _, output = run_on_terminal(start, "show halves.png --preview", pixels=pixels, reply=reply)
    sixel = re.search("\x1bPq.*?\x1b\\\\", output, re.DOTALL)
    assert sixel
    assert "▀" not in output
    image = decode_sixel(sixel[0])
    assert image.size == size
    corners = [image.getpixel((across, down)) for across in (0, size[0] - 1) for down in (0, size[1] - 1)]
    assert corners == [(255, 0, 0), (0, 0, 255)] * 2


@pytest.mark.usefixtures("create_images")
@pytest.mark.parametrize("reply", [b"\x1b[?62;22;42c", b"\x1b[?4c", b"\x1b[6;12;6t", b"ls\r"])
def test_sixel_is_used_only_if_the_terminal_reports_it(start: Start, reply: bytes) -> None:
    _, output = run_on_terminal(start, "show halves.png --preview", reply=reply)
    assert output.startswith("\x1b[16t\x1b[c")
    assert "\x1bP" not in output
    assert "▀" in output


@pytest.mark.usefixtures("create_images")
def test_a_multiplexer_is_not_queried(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux,1,0")
    _, output = run_on_terminal(start, "show halves.png --preview", reply=b"\x1b[?62;4c")
    assert "\x1b[c" not in output
    assert "▀" in output


def test_earlier_input_is_left_to_the_shell() -> None:
    import pty
    import termios

    keyboard, terminal = pty.openpty()
    os.write(keyboard, b"ls -l\n")
    query = f"from flux_cli.cli.output.image_preview import cell_of; import os; assert cell_of({terminal}) is None; print(os.read({terminal}, 99))"
    result = subprocess.run(
        [sys.executable, "-c", query],
        capture_output=True,
        pass_fds=[terminal],
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0),
        timeout=30,
    )
    os.close(terminal)
    os.close(keyboard)
    assert result.stdout == b"b'ls -l\\n'\n"


def test_a_new_image_is_previewed(start: Start, service: Service) -> None:
    out, output = run_on_terminal(start, "gen fox --size 64x64 -m schnell -o fox.png --preview")
    assert out == "fox.png\n"
    assert output.count("▀") > 400
    out, output = run_on_terminal(start, "gen fox --size 64x64 -m schnell -o fox.png --preview --skip-existing")
    assert (out, output.count("▀") > 400) == ("fox.png\n", True)
    for quiet in ("--json", "-q"):
        assert "▀" not in "".join(run_on_terminal(start, f"wait {service.charges[0].id} --preview {quiet}"))


@pytest.mark.usefixtures("create_images")
def test_nothing_is_drawn_without_a_suitable_terminal(
    flux: Flux, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = flux("show halves.png --preview")
    assert "\x1b" not in piped.out + piped.err
    assert "--preview needs a terminal on stderr\n" in piped.err
    assert "preview" not in flux("show halves.png --preview --json").err

    for variable, value, reason in (
        ("NO_COLOR", "1", "NO_COLOR is set"),
        ("TERM", "dumb", "no colors"),
        ("PYTHONIOENCODING", "ascii", "UTF-8"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            _, output = run_on_terminal(start, "show halves.png --preview")
            assert "\x1b" not in output
            assert reason in output


def test_a_damaged_image_is_reported(start: Start, service: Service) -> None:
    run_on_terminal(start, "gen fox --size 64x64 -m schnell -o fox.png")
    Path("fox.png").write_bytes(Path("fox.png").read_bytes()[:-5])
    _, output = run_on_terminal(start, "show fox.png --preview")
    assert "cannot be previewed: fox.png: the PNG is truncated" in " ".join(output.split())


def test_the_viewer_receives_absolute_paths(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs, fifo = tmp_path / "programs", tmp_path / "fifo"
    programs.mkdir()
    os.mkfifo(fifo)
    for name in ("xdg-open", "open"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {fifo}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    image_path = Path("-rf $(x);.png")
    Image.new("RGB", (8, 8)).save(image_path)
    for line, opened in (("gallery --open", "gallery.html"), ("show ./'-rf $(x);.png' --open", image_path.name)):
        with start(line) as process:
            assert fifo.read_text() == f"{Path.cwd() / opened}|"
        assert process.returncode == (0 if "gallery" in line else 2)


def test_a_missing_viewer_is_reported(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save("fox.png")
    monkeypatch.setenv("PATH", "/nowhere")
    with start("gallery --open") as process:
        assert process.stderr
        assert "--open found no viewer" in process.stderr.read()
    assert process.returncode == 0
