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
"""Foreign, old and private words for things that have a name."""
NAME_HABITS = re.compile(r"\b(said|says?|asked|answers?|miniature|midst|what|test nor)\b")
"""Words to avoid in the names of tests, helpers, parameters and variables: message, response, sandbox, ..."""


def habits_in(text: str) -> list[str]:
    return [match.group() for match in HABITS.finditer(text)]


def habits_in_name(name: str) -> list[str]:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).lower()
    return habits_in(words) + NAME_HABITS.findall(words)


def _names(source: str) -> Iterator[str]:
    """Yield every name that a module defines: functions, classes, parameters and variables."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _docstrings(source: str) -> Iterator[str]:
    """Yield every docstring of a module, including those of variables."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def _comments(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def _texts(path: Path) -> Iterator[str]:
    """Yield every string of a module, with its docstrings, and every comment."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    yield from _comments(source)


def test_the_program_speaks_plain_english() -> None:
    for path in sorted((ROOT / "flux_cli").rglob("*.py")):
        for text in _texts(path):
            assert not habits_in(text), f"{path}: {text}"


@pytest.mark.parametrize("page", PAGES)
def test_the_documents_speak_plain_english(page: str) -> None:
    assert not habits_in((ROOT / page).read_text())


def test_the_tests_speak_plain_english() -> None:
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_text()
        for name in _names(source):
            assert not habits_in_name(name), f"{path}: {name}"
        for text in (*_docstrings(source), *_comments(source)):
            assert not habits_in(text), f"{path}: {text}"


@pytest.mark.parametrize("text", ["A picture of a fox", "not sent by itself", "no model is called 'x'", "one a line"])
def test_habits_are_found(text: str) -> None:
    assert habits_in(text)


@pytest.mark.parametrize("name", ["test_what_was_bought", "lostAnswer", "PICTURES", "is_told"])
def test_habits_are_found_in_names(name: str) -> None:
    assert habits_in_name(name)
