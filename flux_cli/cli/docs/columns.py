"""Tables of two columns, for help."""

from collections.abc import Iterator
from textwrap import wrap

COLUMN = 29
"""Where the second column begins, at most."""


def rows(content: list[tuple[str, str]], width: int, column: int | None = None) -> str:
    """Return names and texts in two columns. A name that is too long for its column has a line of its own."""
    column = column or min(COLUMN, max(len(name) for name, _ in content) + 4)
    return "\n".join(line for name, text in content for line in _row(name, text, width, column))


def _row(name: str, text: str, width: int, column: int) -> Iterator[str]:
    lines = wrap(text, max(20, width - column), break_on_hyphens=False, break_long_words=False) or [""]
    if len(name) + 4 > column:
        yield f"  {name}"
    else:
        yield f"  {name:<{column - 2}}{lines.pop(0)}".rstrip()
    for line in lines:
        yield " " * column + line
