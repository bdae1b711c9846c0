"""The language of everything that a person reads: plain American English, and the field's words."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from .documents import PAGES, ROOT

HABITS = re.compile(
    r"""
      \b(told|tells|anew|mend(ed|s)?|nobody|whoever|what[ ]became|dearer|bought|buys?|pictures?|licences?|colours?)\b
    | \b(one|line|task|image|row)[ ]a[ ](line|task|image|change|check)\b
    | \bno[ ]\w+[ ]is[ ]called\b
    | \b(by[ ]itself|the[ ]more|in[ ]any[ ]case|all[ ]the[ ]same|once[ ]more|for[ ]ever|such[ ]as[ ]in)\b
    | \b(goes?[ ]on|runs[ ]on|lost[ ]answers?|the[ ]service[ ](refused|takes|knows))\b
    | \bwatercolours?\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What reads as foreign, old, or as a private word for something that has a name."""


def habits_in(text: str) -> list[str]:
    return [match.group() for match in HABITS.finditer(text)]


def _texts(path: Path) -> Iterator[str]:
    """Yield every string of a module, with its docstrings, and every comment."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def test_the_program_speaks_plain_english() -> None:
    for path in sorted((ROOT / "flux_cli").rglob("*.py")):
        for text in _texts(path):
            assert not habits_in(text), f"{path}: {text}"


@pytest.mark.parametrize("page", PAGES)
def test_the_documents_speak_plain_english(page: str) -> None:
    assert not habits_in((ROOT / page).read_text())


@pytest.mark.parametrize("text", ["A picture of a fox", "not sent by itself", "no model is called 'x'", "one a line"])
def test_habits_are_found(text: str) -> None:
    assert habits_in(text)
