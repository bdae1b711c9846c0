"""Shell completion, as a user of each shell sees it."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flux_cli.cli.completion import complete
from flux_cli.cli.docs.tree import read_program
from flux_cli.cli.fast_path import SCRIPTS as SCRIPT_NAMES

from .conftest import Flux
from .terminal import SCRIPTS, assert_shows, type_lines

CONFIG = """\
[profiles.work]
[models.turbo]
id = "Qubico/turbo"
"""
LINES = {
    "flux ge\tx": "gen x",
    "flux gen -m sch\tx": "gen -m schnell x",
    "flux gen -qm sch\tx": "gen -qm schnell x",
    "flux gen --model=tur\tx": "gen --model=turbo x",
    "flux gen --negative ge\t --no-w\t": "gen --negative ge --no-wait",
    "flux gen \"it's | 'a fox'\" --no-w\t": "gen \"it's | 'a fox'\" --no-wait",
    "flux gen -- --mod\tx": "gen -- --modx",
    "flux config ge\tba\t": "config get base_url",
    "flux config set mod\tx": "config set model x",
    "flux cost gen x --no-w\t": "cost gen x --no-wait",
    "flux help conf\tse\t": "help config set",
    "flux help temp\t": "help templates",
    "flux history --state=sav\t": "history --state=saved",
    "flux edit dan\t": "edit dancer.JPG",
    "flux edit img@\tx --no-w\t": "edit img@2x.png x --no-wait",
    "flux edit 'my p\t": "edit 'my pic.png'",
    "flux edit sub/pi\t": "edit sub/pic.png",
    "flux edit ~/dan\t": "edit ~/dancer.JPG",
    "flux batch row\t": "batch rows.csv",
    "flux gen --from=row\t": "gen --from=rows.csv",
    "flux gallery su\tx": "gallery sub/x",
    "flux lora x --lora anim\t": "lora x --lora anime",
    "flux controlnet x --control po\tda\t": "controlnet x --control pose=dancer.JPG",
    "flux controlnet x --control=po\tmy\\ p\t": "controlnet x '--control=pose=my pic.png'",
    "flux controlnet x --control pose=@la\t": "controlnet x --control pose=@last",
    "flux balance --profile wo\t": "balance --profile work",
    "flux gen rows\tx": "gen rowsx",  # a prompt is not a file
    "true; HOME=. flux mod\t": "models",
    "flux-cli mod\t": "models",
}
"""Typed lines, and the arguments that `flux` receives."""


@pytest.fixture
def write_files(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text(CONFIG)
    Path("sub").mkdir()
    for name in ("dancer.JPG", "my pic.png", "img@2x.png", "rows.csv", "sub/pic.png"):
        Path(name).touch()


@pytest.mark.usefixtures("write_files")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tab_completes_a_typed_line(shell: str) -> None:
    received = type_lines(shell, list(LINES))
    expected = {line: shlex.split(words.replace("~", str(Path.cwd()))) for line, words in LINES.items()}
    assert dict(zip(LINES, received, strict=True)) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tab_completes_task_ids(flux: Flux, shell: str) -> None:
    flux("gen 'a \"red\": $(fox)' --sandbox --size 64x64 -m schnell")
    task = json.loads(flux("history --sandbox --json").out)["task_id"]
    prefix = task[:12]

    lines = ["show --sandbox {}\t", "status --sandbox {}\t", "edit --sandbox @{}\t", "wait --sandbox {}\t", "show {}\t"]
    received = type_lines(shell, [f"flux {line.format(prefix)}" for line in lines])
    assert [words[-1] for words in received] == [task, task, f"@{task}", prefix, prefix]
    row = f'{task}\tsaved: a "red": $(fox)\n'
    assert complete("flux status --sandbox ") == f"\n\n\n{row}"
    assert complete("flux rerun --sandbox ") == f"image\n\n\n{row}"
    assert complete("flux status --profile=other --sandbox ") == "\n\n\n"


@pytest.mark.parametrize(
    ("shell", "text"), [("bash", "path"), ("zsh", "Show every setting"), ("fish", "Show every setting")]
)
def test_candidates_are_shown_with_their_descriptions(shell: str, text: str) -> None:
    assert_shows(shell, "flux config \t\t", text)


@pytest.mark.usefixtures("write_files")
@pytest.mark.parametrize(
    ("line", "response"),
    [
        ("flux config ", "\n\n\nget\tPrint the value of a setting, or nothing if it is unset.\nset\tSet a setting in the config file.\nlist\tShow every setting, its value and the source of the value.\npath\tPrint the path of the config file.\n"),
        ("flux help gen ", "\n\n\n"),
        ("flux gen --model=s", "\n--model=\ns\nschnell\t\ndev\t\npro\t\ndev-advanced\t\nauto\t\nturbo\tin your config file\n"),
        ("flux gen a\\ ", "\n\na \n"),
        ("flux config set model ", "\n\n\n"),
        ("flux completion fish ", "\n\n\n-h\tPrint this help.\n--help\tPrint this help.\n"),
        ("flux completion -- ", "\n\n\nbash\t\nzsh\t\nfish\t\npowershell\t\n"),
        ("flux inpaint - x --mask=@", "\n--mask=\n@\n@last\tthe last image\n"),
        ("flux gen -d ", "folder\n\n\n"),
        ("flux gen 'two\nlines", ""),
    ],
)  # fmt: skip
def test_the_complete_response(line: str, response: str) -> None:
    assert complete(line) == response


def test_every_command_and_option_is_a_candidate() -> None:
    for command in read_program().walk():
        options = [f"{name}\t{option.description}\n" for option in command.options for name in option.names]
        assert complete(f"{command.line} -") == "\n\n-\n" + "".join(options)
        if command.commands:
            inner = [f"{inner.word}\t{inner.summary}\n" for inner in command.commands]
            assert complete(f"{command.line} ") == "\n\n\n" + "".join(inner)


def test_completion_imports_only_a_small_part_of_the_program() -> None:
    script = "import sys; from flux_cli.cli.fast_path import find_output as f; assert f(['--complete', 'flux gen -'])"
    script += "; assert not {'typer', 'dataclasses', 'sqlite3', 'flux_cli.config'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("config", ["", "[profiles.work]\nmodel = 1\n[", "plan = 3"])
def test_an_unreadable_config_file_gives_no_candidates_and_leaves_no_files(
    home: Path, start: Callable[..., subprocess.Popen[str]], config: str
) -> None:
    home.mkdir()
    (home / "config.toml").write_text(config)

    for line in ("wait", "status --profile a/b", "balance --profile", "show"):
        process = start(f"--complete 'flux {line} '")
        files = "image" if line == "show" else ""
        assert (*process.communicate(), process.returncode) == (f"{files}\n\n\n", "", 0)
    assert [path.name for path in home.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(("shell", "name"), SCRIPT_NAMES.items())
def test_completion_prints_the_script(
    flux: Flux, start: Callable[..., subprocess.Popen[str]], shell: str, name: str
) -> None:
    script = (SCRIPTS / name).read_text()
    assert start(f"completion {shell}").communicate() == (script, "")
    assert flux(f"completion {shell} -q").out == script


def test_an_unknown_shell_gets_a_suggestion(flux: Flux) -> None:
    result = flux("completion zhs")
    assert result.code == 2
    assert "Did you mean zsh?" in result.err
