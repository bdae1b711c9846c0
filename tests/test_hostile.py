"""Hostile text from every source, in every command and mode: no terminal codes are printed."""

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main
from PIL import Image, PngImagePlugin
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_cli.cli.main import build
from flux_cli.cli.registry import COMMANDS, CONFIG_COMMANDS
from flux_cli.config.settings import SETTINGS
from flux_cli.errors import ExitCode
from flux_cli.json_value import Json
from flux_cli.sandbox.app import Service as Sandbox
from flux_cli.sandbox.app import create_app
from flux_cli.sandbox.store import Store

from .conftest import KEY, Flux, Result
from .servers import Service, serve_app
from .test_promises import Start
from .test_text import is_harmless

HOSTILE = "\x1b]0;owned\x07\x9b5m\x1b[7;7H\u202egnp\u2066\u2028[red]x[/red] [/] {0.__class__} {prompt} %s \x7f\x85"
NAME = "\x1b]0;owned\x07\u202egnp [red]{seed}%s"
"""A part of it that is valid in a file name."""
MODES = ("", "--json", "-q", "-v", "--debug")
SERVERS = ("sandbox", "listen")
"""Commands that run until they are stopped."""


def check(result: Result, line: str) -> None:
    """Check that neither stream has hostile characters, the program did not crash, and JSON is valid."""
    streams = {"stdout": result.out, "stderr": result.err}
    for stream, text in streams.items():
        raw = sorted(
            {f"U+{ord(character):04X}" for character in text if character != "\n" and not is_harmless(character)}
        )
        assert not raw, f"{raw} on {stream} of flux {line!r}: {text!r}"
    assert max(map(len, result.err.splitlines()), default=0) < 2200, line
    assert result.code in set(ExitCode) - {ExitCode.BUG}, (line, result.err)
    assert "Traceback" not in result.err
    if "--json" in line.split():
        for row in result.out.splitlines():
            assert json.loads(row)["schema"] == 1, line


def run_and_check(flux: Flux, words: list[str], mode: str, stdin: str = "") -> Result:
    """Run a command in a mode, and check its output."""
    line = shlex.join([*words, *mode.split()])
    result = flux(line, stdin)
    check(result, line)
    return result


def pair_with_modes(lines: list[str]) -> list[tuple[str, str]]:
    """Pair each line with two modes, in rotation."""
    return [(line, MODES[number % len(MODES)]) for number, line in enumerate([*lines, *reversed(lines)])]


# --- hostile command lines -------------------------------------------------------------------------------------------


@pytest.fixture
def write_files() -> None:
    """Create files with hostile names and contents."""
    about = PngImagePlugin.PngInfo()
    about.add_text("parameters", HOSTILE)
    about.add_text("flux", json.dumps({"request": {"op": HOSTILE}, "task_id": HOSTILE}))
    Image.new("RGB", (256, 256), "red").save(f"{NAME}.png", pnginfo=about)
    Image.new("RGB", (256, 256), "red").save("plain.png")
    Path(f"{NAME}.txt").write_text(f"{HOSTILE}\n\na boat\n".replace("\x85", ""), "utf-8")
    rows = [{"prompt": HOSTILE, "id": HOSTILE, "output": f"{NAME}/{NAME}.png"}, {"op": HOSTILE}, {HOSTILE: HOSTILE}]
    Path(f"{NAME}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path(f"{NAME}.toml").write_text(f"[[row]]\nprompt = {json.dumps(HOSTILE)}\n{json.dumps(HOSTILE)} = 1\n")
    Path(f"{NAME}.csv").write_text(f"prompt,op,{NAME}\na boat,{NAME},{NAME}\n", "utf-8")


BASES: dict[str, list[str]] = {
    "gen": ["a boat", "--dry-run"],
    "lora": ["a boat", "--lora", "anime", "--dry-run"],
    "controlnet": ["a boat", "--control", f"depth={NAME}.png", "--dry-run"],
    "redux": [f"{NAME}.png", "--dry-run"],
    "edit": [f"{NAME}.png", HOSTILE, "--dry-run"],
    "inpaint": [f"{NAME}.png", "a window", "--mask-box", "1,1,90,90", "--dry-run"],
    "outpaint": [f"{NAME}.png", "--left", "64", "--dry-run"],
    "batch": [f"{NAME}.jsonl", "--dry-run"],
    "rerun": [f"{NAME}.png", "--dry-run"],
    "config get": ["model"],
    "config set": ["model", HOSTILE],
}
"""Valid arguments of commands; other commands get hostile ones."""


def list_commands() -> Iterator[tuple[str, list[Any]]]:
    """Yield every command of the program with its parameters."""
    root: Any = typer.main.get_command(build())
    for name in COMMANDS:
        if name in SERVERS:
            continue
        if name == "config":
            yield from ((f"config {word}", root.commands[name].commands[word].params) for word in CONFIG_COMMANDS)
        else:
            yield name, root.commands[name].params


@pytest.mark.usefixtures("write_files")
def test_hostile_values_of_every_option_and_argument_are_escaped(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_BASE_URL", "http://127.0.0.1:1/api/v1")
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    number = 0
    for name, parameters in list_commands():
        value_options = [
            parameter.opts[-1]
            for parameter in parameters
            if parameter.opts[-1].startswith("-") and not parameter.is_flag and parameter.opts[-1] != "--show-mask"
        ]
        required = [HOSTILE for parameter in parameters if parameter.opts[-1][:1] != "-" and parameter.required]
        base = BASES.get(name, required)
        lines = [
            base,
            [HOSTILE] * 4,
            [*base, f"--{HOSTILE}"],
            [*base, f"-{HOSTILE}"],
            *([*base, option, HOSTILE] for option in value_options),
        ]
        for line in lines:
            run_and_check(flux, [*name.split(), *line], MODES[number % len(MODES)])
            number += 1
    for line in ([HOSTILE], [f"--{HOSTILE}"], ["config", HOSTILE], ["cost", "gen", HOSTILE], ["--version", HOSTILE]):
        run_and_check(flux, line, "")
    assert number > 200


FILE_LINES = [
    ["gen", "--from", f"{NAME}.txt", "--dry-run"],
    ["gen", "--from", f"{NAME}.missing"],
    ["gen", "--from", f"{NAME}.png"],
    ["gen", "a {b|" + HOSTILE + "}", "--dry-run"],
    ["gen", "a {b}", "--vary", f"b={HOSTILE}", "--dry-run"],
    ["batch", f"{NAME}.toml"],
    ["batch", f"{NAME}.csv"],
    ["batch", f"{NAME}.png"],
    ["gen", "x", "-o", f"{NAME}/x.png"],
    ["gen", "x", "-d", NAME],
    ["show", f"{NAME}.png"],
    ["show", f"{NAME}.txt"],
    ["edit", f"{NAME}.txt", "x"],
    ["edit", f"{NAME}.missing", "x"],
    ["gen", "x", "--report", f"{NAME}/{NAME}.csv"],
    ["gen", "x", "--report", NAME],
    ["show", "na\udc9b\udcefve.png"],
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("write_files")
def test_hostile_file_names_and_contents_are_escaped(flux: Flux, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    monkeypatch.setenv("FLUX_BASE_URL", "http://127.0.0.1:1/api/v1")
    Path("na\udc9b\udcefve.png").write_bytes(Path("plain.png").read_bytes())
    for line in FILE_LINES:
        run_and_check(flux, line, mode)
    for line in (
        ["gen", "--from", "-", "--dry-run"],
        ["batch", "-"],
        ["wait", "-"],
        ["status", "-"],
        ["login", "--no-check"],
    ):
        run_and_check(flux, line, mode, stdin=f"{HOSTILE}\n{json.dumps({'task_id': HOSTILE})}\n")
    assert not [path for path in Path().iterdir() if path.is_dir()]


CONFIGS = {
    "values": {"model": HOSTILE, "output_dir": HOSTILE, "webhook_secret_file": HOSTILE, "plan": "pro"},
    "a wrong plan": {"plan": HOSTILE},
    "a wrong number": {"timeout": HOSTILE},
    "a URL": {"base_url": f"https://{HOSTILE}"},
    "a wrong name": {HOSTILE: "x"},
    "a key": {"api_key": HOSTILE},
    "a list": {"model": [HOSTILE]},
}


@pytest.mark.parametrize("case", CONFIGS)
def test_hostile_settings_are_escaped(flux: Flux, home: Path, case: str) -> None:
    import tomli_w

    home.mkdir()
    (home / "config.toml").write_text(tomli_w.dumps({"profiles": {"default": CONFIGS[case]}}), "utf-8")
    lines = ["config list", "config get model", "config get output_dir", "config path", "models", "history", "balance"]
    lines += ["gen x", "gen x --dry-run --webhook https://example.com/", "doctor --offline"]
    for line, mode in pair_with_modes(lines):
        run_and_check(flux, line.split(), mode)
    assert not list(Path().iterdir())


FILES = [
    f'profile = "{NAME}"',
    f'"{NAME}" = 1',
    f"[prices]\n{NAME} = 1",
    f'[prices]\n"{NAME}" = 1',
    f'[prices]\n"dev" = "{NAME}"',
    f'[profiles."{NAME}"]\nmodel = 1',
    f"{NAME} = [",
    "\x9b = 1",
]


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_a_hostile_config_file_is_escaped(flux: Flux, home: Path, content: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(content.replace("\x1b", "\\u001b").replace("\x07", "\\u0007"), "utf-8")
    for line, mode in pair_with_modes(
        ["config list", "models", "gen x", "gen x --profile other --dry-run", "doctor --offline"]
    ):
        run_and_check(flux, line.split(), mode)


VARIABLES = [setting.variable for setting in SETTINGS] + ["FLUX_PROFILE", "FLUX_HOME", "PIAPI_API_KEY"]


@pytest.mark.parametrize("variable", VARIABLES)
def test_hostile_variables_are_escaped(flux: Flux, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, HOSTILE)
    for line, mode in pair_with_modes(["config list", "config get profile", "gen x", "history"])[::2]:
        run_and_check(flux, line.split(), mode)


# --- hostile replies -------------------------------------------------------------------------------------------------

Poison = Callable[[str, str, Json], tuple[int, Json]]
"""Turns (method, path, reply) into a status and the reply to send instead."""
LONG = HOSTILE + "y" * 100_000


def poison_strings(value: Json, keep: tuple[str, ...] = ()) -> Json:
    """Return a reply in which every string is hostile, except in the fields `keep`."""
    if isinstance(value, dict):
        return {name: inner if name in keep else poison_strings(inner, keep) for name, inner in value.items()}
    if isinstance(value, list):
        return [poison_strings(inner, keep) for inner in value]
    return HOSTILE if isinstance(value, str) else value


def fail_task(reply: Json, **about: Json) -> Json:
    """Return a reply whose task has failed with hostile messages."""
    assert isinstance(reply, dict)
    data = reply["data"]
    assert isinstance(data, dict)
    error: Json = {"code": 1800, "message": LONG, "raw_message": LONG, "detail": LONG}
    return {**reply, "message": HOSTILE, "data": {**data, "status": "failed", "error": error, "logs": [LONG], **about}}


def _talkative(method: str, path: str, reply: Json) -> tuple[int, Json]:
    return 200, poison_strings(reply, ("task_id", "image_url", "image_urls", "url", "status"))


def _odd_status(method: str, path: str, reply: Json) -> tuple[int, Json]:
    return 200, poison_strings(reply, ("task_id", "image_url", "image_urls", "url"))


def _failing(method: str, path: str, reply: Json) -> tuple[int, Json]:
    return (200, fail_task(reply)) if method == "GET" and "/task/" in path else (200, reply)


def _refusing(method: str, path: str, reply: Json) -> tuple[int, Json]:
    error: Json = {"code": 1100, "message": LONG, "detail": LONG}
    return 400, {"code": 400, "data": {"error": error}, "message": LONG}


def _busy(method: str, path: str, reply: Json) -> tuple[int, Json]:
    return 503, {"code": 1500, "message": LONG}


def _forbidding(method: str, path: str, reply: Json) -> tuple[int, Json]:
    return 401, {"code": 1200, "message": HOSTILE}


def _lying(method: str, path: str, reply: Json) -> tuple[int, Json]:
    return 200, poison_strings(reply)


def _elsewhere(method: str, path: str, reply: Json) -> tuple[int, Json]:
    url = f"http://127.0.0.1:1/{HOSTILE}"
    return 200, json.loads(re.sub(r'"http[^"]*"', lambda _: json.dumps(url), json.dumps(reply)))


def _dead_end(method: str, path: str, reply: Json) -> tuple[int, Json]:
    return 200, json.loads(re.sub(r'"http[^"]*"', '"http://127.0.0.1:1/../%1b%9b\u202e"', json.dumps(reply)))


def _babbling(method: str, path: str, reply: Json) -> tuple[int, Json]:
    return 500, LONG


POISONS: dict[str, Poison] = {
    name[1:]: function
    for name, function in list(globals().items())
    if name.startswith("_") and getattr(function, "__annotations__", {}).get("reply") is Json
}


def poison_replies(app: ASGIApp, poison: Poison) -> ASGIApp:
    """Wrap the app: change every JSON reply."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(("/images/", "/uploads/")):
            await app(scope, receive, send)
            return
        body = b""

        async def collect(message: Message) -> None:
            nonlocal body
            body += message.get("body", b"")

        await app(scope, receive, collect)
        status, reply = poison(scope["method"], scope["path"], json.loads(body))
        content = reply.encode() if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False).encode()
        headers = [
            (b"content-type", HOSTILE.encode("latin-1", "replace").translate(None, b"\r\n\0")),
            (b"retry-after", b"0"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return handle


@contextmanager
def run_hostile_sandbox(path: Path, poison: Poison) -> Iterator[str]:
    """Run a sandbox with poisoned replies, and yield its origin."""
    with closing(Store(path)) as store:
        app = create_app(Sandbox(store, speed=400, plan="pro"))
        with serve_app(poison_replies(app, poison)) as origin:
            yield origin


LINES = [
    ["gen", HOSTILE.replace("\x7f\x85", ""), "--seed", "1", "--size", "64x64", "--no-cache"],
    ["gen", "two", "--seed", "2", "--size", "64x64", "--no-wait", "--no-cache", "-o", "{task}-{slug}.png"],
    ["edit", f"{NAME}.png", HOSTILE, "--seed", "3", "--no-cache"],
    ["status", "a-task"],
    ["history"],
    ["wait", "a-task"],
    ["resume"],
    ["history"],
    ["show", "@last"],
    ["rerun", "@last", "--dry-run"],
    ["balance"],
    ["cost", "--by", "model"],
    ["login"],
    ["doctor", "--bundle", "bundle.zip", "--with-prompts"],
]


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.usefixtures("write_files")
def test_hostile_replies_are_escaped(flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poison: str) -> None:
    with run_hostile_sandbox(tmp_path / "service.db", POISONS[poison]) as origin:
        monkeypatch.setenv("FLUX_BASE_URL", f"{origin}/api/v1")
        monkeypatch.setenv("FLUX_UPLOAD_URL", origin)
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        monkeypatch.setenv("FLUX_TIMEOUT", "0.1")
        known = {path.name for path in Path().iterdir()}
        for number, line in enumerate(LINES, list(POISONS).index(poison)):  # each in every mode, over all poisons
            run_and_check(flux, line, MODES[number % len(MODES)], stdin=f"{KEY}\n")
        new_files = [path for path in Path().rglob("*") if path.name not in known]
    assert all(is_harmless(character) for path in new_files for character in path.name)
    assert all(path.parent == Path() for path in new_files)


# --- a terminal ------------------------------------------------------------------------------------------------------

LIVE_VIEW_CODES = re.compile(rb"\x1b\[(\?25[lh]|[0-9;]*m|1A|2K)")
"""Codes of the live view itself: cursor off and on, colors, line up, clear line."""


def run_on_terminal(start: Start, words: list[str]) -> tuple[int, bytes]:
    """Run a command on a new terminal; return its exit code and the output."""
    terminal, shell_side = pty.openpty()
    fcntl.ioctl(shell_side, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 200, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color"}
    process = start(
        shlex.join(words),
        stdin=shell_side,
        stdout=shell_side,
        stderr=shell_side,
        start_new_session=True,
        env=environ,
    )
    os.close(shell_side)
    output = b""
    with contextlib.suppress(OSError):  # Linux raises this when the other end is closed
        while piece := os.read(terminal, 65536):
            output += piece
    os.close(terminal)
    return process.wait(20), output


TERMINAL_LINES = [
    (["gen", HOSTILE.replace("\x7f\x85", ""), "--seed", "1", "--size", "64x64", "--no-cache"], "talkative"),
    (["gen", "{x|y}", "--seed", "1,2", "--size", "64x64"], "odd_status"),
    (["gen", "a boat", "--size", "64x64"], "failing"),
    (["gen", "a boat", "--size", "64x64"], "busy"),
    (["wait", "a-task"], "failing"),
    (["history"], "talkative"),
    (["show", f"{NAME}.png"], "talkative"),
    (["config", "path"], "talkative"),
]


@pytest.mark.parametrize(("words", "poison"), TERMINAL_LINES, ids=range(len(TERMINAL_LINES)))
@pytest.mark.usefixtures("write_files")
def test_hostile_replies_are_escaped_in_the_live_view(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], poison: str
) -> None:
    with run_hostile_sandbox(tmp_path / "service.db", POISONS[poison]) as origin:
        monkeypatch.setenv("FLUX_BASE_URL", f"{origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        monkeypatch.setenv("FLUX_TIMEOUT", "1")
        if words[0] == "config":
            monkeypatch.setenv("FLUX_HOME", HOSTILE)
        code, output = run_on_terminal(start, words)

    assert code in set(ExitCode) - {ExitCode.BUG}
    assert KEY.encode() not in output
    text = LIVE_VIEW_CODES.sub(b"", output).decode()
    assert not [character for character in text if character not in "\r\n" and not is_harmless(character)], output


# --- invalid codes and IDs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [10**400, -(10**400), 10**9], ids=["long", "negative", "ten digits"])
def test_an_invalid_error_code_is_ignored(flux: Flux, service: Service, code: int) -> None:
    task = {"task_id": "a-task", "status": "failed", "error": {"code": code, "message": "bad"}}
    service.reply_with("GET", "/api/v1/task/a-task", (200, {}, json.dumps({"code": 200, "data": task}).encode()))
    assert flux("wait a-task").err.startswith("flux: task a-task failed: bad\n")
    refusal = json.dumps({"code": code, "message": "bad", "data": None}).encode()
    service.reply_with("POST", "/api/v1/task", (400, {}, refusal))
    assert flux("gen boat").err.startswith("flux: PiAPI refused the request: bad. Not charged.")


def test_a_task_id_that_looks_like_an_option_is_rejected(flux: Flux, service: Service) -> None:
    reply = json.dumps({"code": 200, "data": {"task_id": "-rf", "status": "pending"}}).encode()
    service.reply_with("POST", "/api/v1/task", (200, {}, reply), (200, {}, reply[:-1]))
    for _ in range(2):
        result = flux("gen boat --no-wait --no-cache")
        assert (result.code, result.out) == (7, "")
    assert flux("wait -- -rf").code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_low_limit_on_open_files_is_reported(service: Service) -> None:
    for limit in (*range(8, 18), 24):
        line = f"ulimit -n {limit}; exec {sys.executable} -m flux_cli gen 'a boat {limit}' -q"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            assert done.returncode == 11, done.stderr
            assert re.fullmatch(
                r"flux: too many open files: flux needs 16 more, may open \d+, and did not begin\n"
                r"      Raise the limit: ulimit -n 1024\n",
                done.stderr,
            ), done.stderr
    assert done.returncode == 0, done.stderr
    assert len(service.charges) == 1
