"""Show saved images: in the terminal, or in the default viewer."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import UsageError
from ...text import clean, counted
from .output import Mode, Output

OPENED = 8
"""Images that one command opens, at most: a batch may have hundreds."""


def sixel_cell(output: Output, environ: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the size of a terminal cell in pixels if the terminal reports sixel support when queried, else None.

    Call it before anything else reads from the terminal.
    """
    from .image_preview import Protocol, cell_of, multiplexed, protocol_of

    if _no_canvas(output) or multiplexed(environ) or protocol_of(environ) is not Protocol.BLOCKS:
        return None
    return None if output.terminal is None else cell_of(output.terminal)


class Viewer:
    """Shows saved images in the terminal (`preview`), in the default viewer (`opens`), or both.

    A problem is printed as a note, once, and is never an error.
    """

    def __init__(self, output: Output, *, preview: bool = False, opens: bool = False) -> None:
        self._output, self._opens, self._opened = output, opens, 0
        self._previews = preview and output.mode is Mode.TEXT
        self._cell = sixel_cell(output, os.environ) if self._previews else None

    def show(self, paths: Sequence[Path]) -> None:
        """Show images as the options ask for."""
        if self._previews:
            self._draw(paths)
        if self._opens:
            self._open(paths)

    def _draw(self, paths: Sequence[Path]) -> None:
        size, reason = self._output.canvas, _no_canvas(self._output)
        if reason or size is None:
            self._previews = False
            self._output.note(f"--preview shows nothing: {reason or 'stderr is not a terminal'}")
            return
        from .image_preview import drawn

        for path in paths:
            try:
                self._output.draw(drawn(path, os.environ, size.columns, size.lines, self._cell))
            except UsageError as error:
                self._output.note(f"cannot be previewed: {clean(error.message)}")

    def _open(self, paths: Sequence[Path]) -> None:
        for path in paths:
            if self._opened == OPENED:
                self._opens = False
                message = f"--open opened {counted(OPENED, 'image')} and opens no more; see all with"
                self._output.note(message, ("gallery", "--open"))
                return
            if not start_viewer(path):
                self._opens = False
                self._output.note("--open found no viewer: install xdg-utils, which contains xdg-open")
                return
            self._opened += 1


def _no_canvas(output: Output) -> str | None:
    """Return why the terminal cannot show images, or None."""
    if os.environ.get("NO_COLOR"):
        return "NO_COLOR is set; view the image with --open"
    if os.environ.get("TERM", "dumb") == "dumb" and os.name != "nt":
        return "the terminal has no colors; view the image with --open"
    if not output.speaks("▀"):
        return "the terminal's encoding has no half blocks; set a UTF-8 locale, or use --open"
    return None


def start_viewer(path: Path) -> bool:
    """Start the default viewer for a file without waiting for it. Return False if there is no viewer."""
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606 - a file of ours, by its whole path
        return True
    else:  # noqa: RET505 - mypy would call what follows unreachable on Windows
        return _start_program(shutil.which("open" if sys.platform == "darwin" else "xdg-open"), path)


def _start_program(program: str | None, path: Path) -> bool:
    if program is None:
        return False
    import subprocess  # rarely needed

    quiet = subprocess.DEVNULL
    # In its own session, so that Ctrl-C stops flux and not the viewer.
    subprocess.Popen(  # noqa: S603 - no shell, and the path is absolute, so it is no option
        [program, str(path)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    return True
