"""Looking at pictures that were saved: drawn on the terminal, or opened in the system's viewer."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import UsageError
from ...text import clean, counted
from .output import Mode, Output

OPENED = 8
"""Windows that one command opens, at most: a batch of hundreds must not."""


def sixel_cell(output: Output, environ: Mapping[str, str]) -> tuple[int, int] | None:
    """The pixels of a cell of the terminal, if it names no protocol but, when it is asked, draws sixel.

    To be asked before anything else of the command reads from that terminal.
    """
    from .image_preview import Protocol, multiplexed, protocol_of
    from .sixel import cell_of

    if _no_canvas(output) or multiplexed(environ) or protocol_of(environ) is not Protocol.BLOCKS:
        return None
    return None if output.terminal is None else cell_of(output.terminal)


def look(output: Output, paths: Sequence[Path]) -> None:
    """Show pictures as the command asked, if it did. What cannot be shown is told, and is never an error."""
    if output.previews and output.mode is Mode.TEXT:
        _draw(output, paths)
    if output.opens:
        _open(output, paths)


def _draw(output: Output, paths: Sequence[Path]) -> None:
    size, reason = output.canvas, _no_canvas(output)
    if reason or size is None:
        output.previews = False  # told once
        output.note(f"--preview draws nothing: {reason or 'stderr is no terminal'}")
        return
    from .image_preview import drawn

    for path in paths:
        try:
            output.picture(drawn(path, os.environ, size.columns, size.lines, output.cell))
        except UsageError as error:
            output.note(f"cannot be previewed: {clean(error.message)}")


def _no_canvas(output: Output) -> str | None:
    """Why a terminal cannot be drawn on."""
    if os.environ.get("NO_COLOR"):
        return "NO_COLOR is set; see the picture with --open"
    if os.environ.get("TERM", "dumb") == "dumb" and os.name != "nt":
        return "the terminal has no colours; see the picture with --open"
    if not output.speaks("▀"):
        return "the terminal's encoding has no half blocks; set a UTF-8 locale, or use --open"
    return None


def _open(output: Output, paths: Sequence[Path]) -> None:
    for path in paths:
        if output.opened == OPENED:
            output.opened += 1
            output.note(
                f"--open opened {counted(OPENED, 'image')} and opens no more; see all with", ("gallery", "--open")
            )
        if output.opened > OPENED:
            return
        if not start_viewer(path):
            output.opens = False
            output.note("--open finds no viewer: install xdg-utils, which has xdg-open")
            return
        output.opened += 1


def start_viewer(path: Path) -> bool:
    """Start the system's viewer for a file, and do not wait for it. False when there is none."""
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606 - a file of ours, by its whole path
        return True
    program = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if program is None:
        return False
    import subprocess  # few ask for it

    quiet = subprocess.DEVNULL
    # In a session of its own: Ctrl-C for flux is none for the viewer.
    subprocess.Popen(  # noqa: S603 - no shell, and the path is absolute, so it is no option
        [program, str(path)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    return True
