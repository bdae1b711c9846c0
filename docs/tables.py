"""`python docs/tables.py` writes the tables in the documents that the program knows.

Each stands between `<!-- from the program: NAME -->` and `<!-- end -->`. A test compares them.
"""

import inspect
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import flux_cli
from flux_cli import AsyncFlux, FluxError
from flux_cli.config.settings import VARIABLES
from flux_cli.errors import ExitCode
from flux_cli.images.output_names import PLACEHOLDERS
from flux_cli.sandbox.faults import describe_faults

DOCS = Path(__file__).parent
_PLACE = re.compile(r"(<!-- from the program: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    """Return a table; `head` has its columns, separated by commas."""
    lines = [head.split(", "), ["---"] * len(head.split(", ")), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _catalog() -> dict[str, Any]:
    return tomllib.loads((Path(flux_cli.__file__).parent / "config" / "catalog.toml").read_text("utf-8"))


def _models() -> str:
    return table(
        "model, USD per image, license, seconds, operations",
        (
            (
                f"`{name}`, {model['id']}",
                model["price"],
                "commercial" if model["commercial"] else "non-commercial",
                "-".join(map(str, model["seconds"])),
                ", ".join(model["operations"]),
            )
            for name, model in _catalog()["models"].items()
        ),
    )


def _plans() -> str:
    rows = ((name, plan["public"], plan["private"]) for name, plan in _catalog()["plans"].items())
    return table("plan, tasks in parallel, with host-your-account", rows)


def _errors() -> list[type[FluxError]]:
    """Return the classes of errors that the package exports."""
    found = [getattr(flux_cli, name) for name in flux_cli.__all__ if name.endswith("Error") and name != "FluxError"]
    return sorted(found, key=lambda error: (int(error.exit_code), error.__name__))


def _error_codes() -> str:
    codes, classes = {"bug": "1", "interrupted": "130 or 143"}, list(FluxError.__subclasses__())
    for error in classes:
        classes += error.__subclasses__()
        codes.setdefault(error.code, str(int(error.exit_code)))
    rows = sorted(codes.items(), key=lambda row: (int(row[1].partition(" ")[0]), row[0]))
    return table("`error.code`, exit code", ((f"`{code}`", number) for code, number in rows))


def _first_line(item: object) -> str:
    return (inspect.getdoc(item) or "").partition("\n")[0]


def _methods() -> str:
    rows = []
    for name, method in inspect.getmembers(AsyncFlux, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            words = [
                str(parameter).partition(":")[0]
                for parameter in list(inspect.signature(method).parameters.values())[1:]
            ]
            rows.append((f"`{name}({', '.join(words)})`", _first_line(method).replace("|", "\\|")))
    return table("method, what it does", rows)


TABLES: dict[str, Callable[[], str]] = {
    "controls": lambda: ", ".join(f"`{name}`" for name in _catalog()["controls"]) + ".\n",
    "error codes": _error_codes,
    "errors": lambda: table(
        "class, exit code, when",
        ((f"`{error.__name__}`", int(error.exit_code), _first_line(error)) for error in _errors()),
    ),
    "exit codes": lambda: table("code, meaning", ((code.value, code.meaning) for code in ExitCode)),
    "faults": lambda: "```text\n" + "\n".join(describe_faults()) + "\n```\n",
    "loras": lambda: ", ".join(f"`{name}`" for name in _catalog()["loras"]["names"]) + ".\n",
    "methods": _methods,
    "models": _models,
    "placeholders": lambda: table(
        "placeholder, stands for", ((f"`{{{name}}}`", about) for name, about in PLACEHOLDERS.items())
    ),
    "plans": _plans,
    "variables": lambda: table("variable, what it sets", ((f"`{name}`", about) for name, about in VARIABLES.items())),
}


def filled(text: str) -> str:
    """Return a document with its tables as the program has them."""
    return _PLACE.sub(lambda place: place[1] + TABLES[place[2]]() + place[3], text)


if __name__ == "__main__":
    for path in DOCS.rglob("*.md"):
        path.write_text(filled(path.read_text("utf-8")), "utf-8")
