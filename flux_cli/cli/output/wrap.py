"""Lines that are too long for a terminal, broken between words."""

from textwrap import TextWrapper

NARROWEST = 20
"""Columns beside the indent that a line needs at least."""
GLUE = "\0"
"""Stands for a space where a line must not be broken."""


def folded(line: str, columns: int, indent: int) -> list[str]:
    """Return the line in pieces of at most `columns` columns, all but the first indented.

    A command at its end (`...: flux resume`) stays on one line, so that it can be copied.
    """
    if columns < indent + NARROWEST:
        return [line]
    words, colon, command = line.partition(": flux ")
    glued = words + colon.replace(" flux ", f" flux{GLUE}") + command.replace(" ", GLUE)
    wrapper = TextWrapper(columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return [part.replace(GLUE, " ") for part in wrapper.wrap(glued)]
