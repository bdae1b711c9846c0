"""Rules of the code that protect the promises, and that ruff cannot check. Ruff's own rules are in pyproject.toml."""

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
SERVER_MODULES = ("flux_cli/sandbox/", "flux_cli/cli/commands/sandbox.py", "flux_cli/sandbox/pytest_plugin.py")
"""The other side of the connection: these modules receive requests, and send no paid one."""

Rule = Callable[[ast.AST], Iterator[ast.AST]]
"""Yields the nodes of a module that break the rule."""


def get_name(node: ast.AST) -> str:
    """Return a name with its dots (`httpx.AsyncClient`), or an empty string for any other node."""
    if isinstance(node, ast.Attribute):
        return f"{get_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def find_calls(module: ast.AST) -> Iterator[ast.Call]:
    """Yield every call in a module."""
    return (node for node in ast.walk(module) if isinstance(node, ast.Call))


def find_posts(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every way to send a POST."""
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.upper() == "POST":
            yield node
    yield from (call for call in find_calls(module) if get_name(call.func).endswith(".post"))


def find_http_clients(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every way to use HTTP."""
    words = ("AsyncClient", "Client", "request", "stream", "get", "post", "put", "patch", "delete", "head", "options")
    return (call for call in find_calls(module) if get_name(call.func) in [f"httpx.{word}" for word in words])


def find_submissions(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every call of the only method that POSTs a task."""
    return (call for call in find_calls(module) if re.search(r"client\.create$", get_name(call.func)))


def find_data_formats(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every format that is data: `str.format` on anything, `%` on anything but a constant."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("format", "format_map", "vformat"):
                yield node
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.right, ast.Tuple):
            yield from () if isinstance(node.left, ast.Constant) else (node,)


def find_unverified_tls(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every use of TLS that does not check the certificate."""

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
            targets = [get_name(target) for target in node.targets]
            if any(target.endswith(("check_hostname", "verify_mode")) for target in targets):
                yield node


def find_followed_redirects(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every redirect that httpx would follow automatically, with the key."""
    for node in ast.walk(module):
        if isinstance(node, ast.keyword) and node.arg == "follow_redirects":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield node
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if getattr(key, "value", "") == "follow_redirects" and getattr(value, "value", True) is not False:
                    yield value


def find_quoted_errors(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every text of an httpx error: it may contain headers, or a URL with a key. Its type may be shown."""
    for handler in ast.walk(module):
        caught = ast.dump(handler.type) if isinstance(handler, ast.ExceptHandler) and handler.type else ""
        if not isinstance(handler, ast.ExceptHandler) or "'httpx'" not in caught:
            continue
        for node in ast.walk(handler):
            quoted = node.value if isinstance(node, ast.FormattedValue) else None
            if isinstance(node, ast.Call) and get_name(node.func) in ("str", "repr", "clean") and node.args:
                quoted = node.args[0]
            if isinstance(quoted, ast.Name | ast.Attribute) and get_name(quoted).split(".")[0] == handler.name:
                yield node


def find_error_messages(module: ast.AST) -> Iterator[ast.AST]:
    """Yield the same in functions that receive and format any error."""
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef):
            errors = {
                argument.arg
                for argument in function.args.args
                if argument.annotation and "Exception" in ast.dump(argument.annotation)
            }
            for node in ast.walk(function):
                if isinstance(node, ast.FormattedValue) and get_name(node.value) in errors:
                    yield node
                elif isinstance(node, ast.Call) and get_name(node.func) in ("str", "repr"):
                    yield from (word for word in node.args if get_name(word) in errors)


def find_child_processes(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every start of another program."""
    starts = r"(subprocess\.\w+|asyncio\.create_subprocess_\w+|os\.(system|popen|spawn\w*|exec\w*|posix_spawnp?|startfile|fork\w*)|pty\.\w+)$"
    return (call for call in find_calls(module) if re.match(starts, get_name(call.func)))


def find_evaluations(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every conversion of text to code."""
    words = ("eval", "exec", "compile", "__import__", "pickle.loads", "pickle.load", "marshal.loads", "yaml.load")
    return (call for call in find_calls(module) if get_name(call.func) in words)


def find_slow_values(module: ast.AST) -> Iterator[ast.AST]:
    """Yield every class for which `frozen` takes a tenth of the time."""
    for call in find_calls(module):
        if get_name(call.func).endswith("dataclass") and {"frozen", "slots"} <= {word.arg for word in call.keywords}:
            yield call


ALLOWED: dict[Rule, dict[str, int]] = {
    # A task and an upload; a forwarded delivery; the requests that a server accepts.
    find_posts: {
        "flux_cli/piapi/client.py": 2,
        "flux_cli/webhooks/forwarder.py": 1,
        "flux_cli/webhooks/receiver.py": 1,
    },
    find_http_clients: {
        "flux_cli/piapi/http_client.py": 1,
        "flux_cli/webhooks/forwarder.py": 1,
    },
    find_submissions: {"flux_cli/engine/submitter.py": 1},
    find_data_formats: {},
    find_unverified_tls: {},
    find_followed_redirects: {},
    find_quoted_errors: {},
    find_error_messages: {},
    # A viewer, for --open; the command of --exec; the command that prints the key.
    find_child_processes: {
        "flux_cli/cli/output/image_preview.py": 2,
        "flux_cli/webhooks/forwarder.py": 1,
        "flux_cli/config/api_key.py": 1,
    },
    find_evaluations: {},
    # Editors show its signature.
    find_slow_values: {"flux_cli/sdk/flux.py": 1},
}
"""How often each module may break a rule. There are no other exceptions."""

VIOLATIONS: dict[Rule, list[str]] = {
    find_posts: ["send('POST')", "client.post(url)", "method = 'post'"],
    find_http_clients: ["httpx.AsyncClient()", "httpx.post(url)"],
    find_submissions: ["await self.client.create(body)"],
    find_data_formats: ["template.format(slug=slug)", "'{a}'.format_map(values)", "template % (a, b)"],
    find_unverified_tls: ["f(verify=False)", "o = {'verify': False}", "context.check_hostname = False"],
    find_followed_redirects: ["f(follow_redirects=True)", "o = {'follow_redirects': yes}"],
    find_quoted_errors: [
        "try: go()\nexcept httpx.HTTPError as error: raise FluxError(f'broke: {error}')",
        "try: go()\nexcept (OSError, httpx.HTTPError) as error: say(str(error))",
        "try: go()\nexcept httpx.HTTPError as error: say(f'{error.request}')",
    ],
    find_error_messages: ["def words(error: Exception) -> str:\n return f'{error}'"],
    find_child_processes: [
        "subprocess.run(line)",
        "os.system(line)",
        "os.execvp(a, b)",
        "asyncio.create_subprocess_shell(line)",
    ],
    find_evaluations: ["eval(text)", "pickle.loads(content)"],
    find_slow_values: [
        "@dataclass(frozen=True, slots=True)\nclass Value: ...",
        "dataclasses.dataclass(slots=True, frozen=True)",
    ],
}


@cache
def parse(name: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(SOURCES[name])


@pytest.mark.parametrize("rule", ALLOWED, ids=lambda rule: rule.__name__)
def test_the_code_follows_the_rule(rule: Rule) -> None:
    found = {name: list(rule(parse(name))) for name in SOURCES if not name.startswith(SERVER_MODULES)}
    lines = {name: [getattr(node, "lineno", 0) for node in nodes] for name, nodes in found.items() if nodes}
    assert {name: len(numbers) for name, numbers in lines.items()} == ALLOWED[rule], lines


@pytest.mark.parametrize("rule", VIOLATIONS, ids=lambda rule: rule.__name__)
def test_the_rule_finds_its_violations(rule: Rule) -> None:
    source = "async def f() -> None:\n " if "await" in VIOLATIONS[rule][0] else ""
    assert all(list(rule(ast.parse(source + text))) for text in VIOLATIONS[rule])


def test_a_task_is_posted_once_and_not_in_a_loop() -> None:
    module = ast.parse(SOURCES["flux_cli/piapi/client.py"])
    (create,) = [node for node in ast.walk(module) if isinstance(node, ast.AsyncFunctionDef) and node.name == "create"]
    assert len(list(find_posts(create))) == 1
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


def test_the_linter_finds_banned_code() -> None:
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
