"""Rules of the code that keep the promises: what ruff can say stands in pyproject.toml, what it cannot stands here."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in (ROOT / "flux_cli").rglob("*.py")}
SERVICE = ("flux_cli/sandbox/", "flux_cli/cli/commands/sandbox.py", "flux_cli/sandbox/pytest_plugin.py")
"""The other side of the wire: these take requests and send no paid one."""

Rule = Callable[[ast.AST], Iterator[ast.AST]]
"""Gives the places in a module that break it."""


def name_of(node: ast.AST) -> str:
    """A name with its dots (`httpx.AsyncClient`); empty for what is none."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(module: ast.AST) -> Iterator[ast.Call]:
    """Every call in a module."""
    return (node for node in ast.walk(module) if isinstance(node, ast.Call))


def posts(module: ast.AST) -> Iterator[ast.AST]:
    """Ways to send a POST."""
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.upper() == "POST":
            yield node
    yield from (call for call in calls(module) if name_of(call.func).endswith(".post"))


def http_clients(module: ast.AST) -> Iterator[ast.AST]:
    """Ways to speak HTTP."""
    words = ("AsyncClient", "Client", "request", "stream", "get", "post", "put", "patch", "delete", "head", "options")
    return (call for call in calls(module) if name_of(call.func) in [f"httpx.{word}" for word in words])


def submissions(module: ast.AST) -> Iterator[ast.AST]:
    """Calls of the one method that POSTs a task."""
    return (call for call in calls(module) if re.search(r"client\.create$", name_of(call.func)))


def formatting(module: ast.AST) -> Iterator[ast.AST]:
    """Formats that are data: `str.format` on anything, `%` on anything but a constant."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("format", "format_map", "vformat"):
                yield node
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.right, ast.Tuple):
            yield from () if isinstance(node.left, ast.Constant) else (node,)


def unverified(module: ast.AST) -> Iterator[ast.AST]:
    """TLS without a look at the certificate, however it is spelt."""

    def is_false(node: ast.AST | None) -> bool:
        return isinstance(node, ast.Constant) and node.value is False

    for node in ast.walk(module):
        if isinstance(node, ast.keyword) and node.arg in ("verify", "check_hostname") and is_false(node.value):
            yield node
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            yield from (
                key for key, value in pairs if key and getattr(key, "value", "") == "verify" and is_false(value)
            )
        elif isinstance(node, ast.Assign) and is_false(node.value):
            targets = [name_of(target) for target in node.targets]
            if any(target.endswith(("check_hostname", "verify_mode")) for target in targets):
                yield node


def followed_redirects(module: ast.AST) -> Iterator[ast.AST]:
    """Redirects that httpx would follow by itself, the key in its hands."""
    for node in ast.walk(module):
        if isinstance(node, ast.keyword) and node.arg == "follow_redirects":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield node
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if getattr(key, "value", "") == "follow_redirects" and getattr(value, "value", True) is not False:
                    yield value


def quoted_errors(module: ast.AST) -> Iterator[ast.AST]:
    """Texts of httpx's errors: they may hold headers or an address with a key. Their type may be told."""
    for handler in ast.walk(module):
        caught = ast.dump(handler.type) if isinstance(handler, ast.ExceptHandler) and handler.type else ""
        if not isinstance(handler, ast.ExceptHandler) or "'httpx'" not in caught:
            continue
        for node in ast.walk(handler):
            quoted = node.value if isinstance(node, ast.FormattedValue) else None
            if isinstance(node, ast.Call) and name_of(node.func) in ("str", "repr", "clean") and node.args:
                quoted = node.args[0]
            if isinstance(quoted, ast.Name | ast.Attribute) and name_of(quoted).split(".")[0] == handler.name:
                yield node


def messages_of_errors(module: ast.AST) -> Iterator[ast.AST]:
    """The same in a function that is handed any error to put it into words."""
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef):
            errors = {
                one.arg for one in function.args.args if one.annotation and "Exception" in ast.dump(one.annotation)
            }
            for node in ast.walk(function):
                if isinstance(node, ast.FormattedValue) and name_of(node.value) in errors:
                    yield node
                elif isinstance(node, ast.Call) and name_of(node.func) in ("str", "repr"):
                    yield from (word for word in node.args if name_of(word) in errors)


def children(module: ast.AST) -> Iterator[ast.AST]:
    """Other programs that are started."""
    starts = r"(subprocess\.\w+|asyncio\.create_subprocess_\w+|os\.(system|popen|spawn\w*|exec\w*|posix_spawnp?|startfile|fork\w*)|pty\.\w+)$"
    return (call for call in calls(module) if re.match(starts, name_of(call.func)))


def evaluations(module: ast.AST) -> Iterator[ast.AST]:
    """Text that becomes code."""
    words = ("eval", "exec", "compile", "__import__", "pickle.loads", "pickle.load", "marshal.loads", "yaml.load")
    return (call for call in calls(module) if name_of(call.func) in words)


def slow_values(module: ast.AST) -> Iterator[ast.AST]:
    """Values that `frozen` makes in a quarter of the time."""
    for call in calls(module):
        if name_of(call.func).endswith("dataclass") and {"frozen", "slots"} <= {word.arg for word in call.keywords}:
            yield call


ALLOWED: dict[Rule, dict[str, int]] = {
    # A task and an upload; a delivery that is passed on; and what a server takes.
    posts: {"flux_cli/piapi/client.py": 2, "flux_cli/webhooks/forwarder.py": 1, "flux_cli/webhooks/receiver.py": 1},
    http_clients: {
        "flux_cli/piapi/http_client.py": 1,
        "flux_cli/webhooks/forwarder.py": 1,
    },
    submissions: {"flux_cli/engine/submitter.py": 1},
    formatting: {},
    unverified: {},
    followed_redirects: {},
    quoted_errors: {},
    messages_of_errors: {},
    # A viewer, for --open; the command of --exec; the command that prints the key.
    children: {
        "flux_cli/cli/output/image_preview.py": 2,
        "flux_cli/webhooks/forwarder.py": 1,
        "flux_cli/config/api_key.py": 1,
    },
    evaluations: {},
    # Its users see its signature in their editors.
    slow_values: {"flux_cli/sdk/flux.py": 1},
}
"""How often each module may break a rule: it is the one place for that."""

BROKEN: dict[Rule, list[str]] = {
    posts: ["send('POST')", "client.post(url)", "method = 'post'"],
    http_clients: ["httpx.AsyncClient()", "httpx.post(url)"],
    submissions: ["await self.client.create(body)"],
    formatting: ["template.format(slug=slug)", "'{a}'.format_map(values)", "template % (a, b)"],
    unverified: ["f(verify=False)", "o = {'verify': False}", "context.check_hostname = False"],
    followed_redirects: ["f(follow_redirects=True)", "o = {'follow_redirects': yes}"],
    quoted_errors: [
        "try: go()\nexcept httpx.HTTPError as error: raise FluxError(f'broke: {error}')",
        "try: go()\nexcept (OSError, httpx.HTTPError) as error: say(str(error))",
        "try: go()\nexcept httpx.HTTPError as error: say(f'{error.request}')",
    ],
    messages_of_errors: ["def words(error: Exception) -> str:\n return f'{error}'"],
    children: ["subprocess.run(line)", "os.system(line)", "os.execvp(a, b)", "asyncio.create_subprocess_shell(line)"],
    evaluations: ["eval(text)", "pickle.loads(content)"],
    slow_values: [
        "@dataclass(frozen=True, slots=True)\nclass Value: ...",
        "dataclasses.dataclass(slots=True, frozen=True)",
    ],
}


@cache
def tree(name: str) -> ast.Module:
    """Return a module as it is parsed."""
    return ast.parse(SOURCES[name])


@pytest.mark.parametrize("rule", ALLOWED, ids=lambda rule: rule.__name__)
def test_the_code_keeps_the_rule(rule: Rule) -> None:
    found = {name: list(rule(tree(name))) for name in SOURCES if not name.startswith(SERVICE)}
    lines = {name: [getattr(node, "lineno", 0) for node in nodes] for name, nodes in found.items() if nodes}
    assert {name: len(numbers) for name, numbers in lines.items()} == ALLOWED[rule], lines


@pytest.mark.parametrize("rule", BROKEN, ids=lambda rule: rule.__name__)
def test_the_rule_finds_what_breaks_it(rule: Rule) -> None:
    source = "async def f() -> None:\n " if "await" in BROKEN[rule][0] else ""
    assert all(list(rule(ast.parse(source + text))) for text in BROKEN[rule])


def test_a_task_is_posted_once_and_in_no_loop() -> None:
    module = ast.parse(SOURCES["flux_cli/piapi/client.py"])
    (create,) = [node for node in ast.walk(module) if isinstance(node, ast.AsyncFunctionDef) and node.name == "create"]
    assert len(list(posts(create))) == 1
    assert not [node for node in ast.walk(create) if isinstance(node, ast.For | ast.AsyncFor | ast.While)]


LINTED = {
    "import click": "TID251",
    "import httpx": "TID251",
    "from httpx import AsyncClient": "TID251",
    "import urllib.request": "TID251",
    "import socket": "TID251",
    "import sys; sys.stdout.write('x')": "TID251",
    "import typer; typer.echo('x')": "TID251",
    "import rich; rich.print('x')": "TID251",
    "import string; string.Template('x')": "TID251",
    "import ssl; ssl.CERT_NONE": "TID251",
    "print('x')": "T201",
    "import subprocess; subprocess.run('ls', shell=True)": "S602",
    "import os; os.system('ls ' + x)": "S605",
    "eval(x)": "S307",
}


def test_the_linter_finds_what_is_banned() -> None:
    source = "\n".join(LINTED)
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--output-format",
        "json",
        "--stdin-filename",
        "flux_cli/new.py",
        "-",
    ]
    done = subprocess.run(command, input=source, capture_output=True, text=True, cwd=ROOT, check=False)
    found = {(row["location"]["row"], row["code"]) for row in json.loads(done.stdout)}
    assert found >= {(number, code) for number, code in enumerate(LINTED.values(), 1)}
