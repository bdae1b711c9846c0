"""Completion, as a user of each shell meets it."""

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flux_cli.cli.docs.tree import read_program
from flux_cli.cli.fast_path import SCRIPTS as SCRIPT_NAMES

from .conftest import Flux
from .terminal import SCRIPTS, typed

LINES = {
    "flux ge\tx": "gen x",
    "flux gen -m sch\tx": "gen -m schnell x",
    "flux gen --model=sch\tx": "gen --model=schnell x",
    "flux gen x --service-mode pri\t": "gen x --service-mode private",
    "flux gen --negative ge\t --no-w\t": "gen --negative ge --no-wait",
    "flux config ge\tba\t": "config get base_url",
    "flux cost gen x --no-w\t": "cost gen x --no-wait",
    "flux cost --by mo\t": "cost --by model",
    "flux completion fi\t": "completion fish",
    "flux history --state sav\t": "history --state saved",
    "flux edit dan\t": "edit dancer.JPG",
    "flux edit img@\t": "edit img@2x.png",
    "flux edit my\\ p\t": "edit 'my pic.png'",
    "flux edit @la\t": "edit @last",
    "flux batch row\t": "batch rows.csv",
    "flux lora x --lora anim\t": "lora x --lora anime",
    "flux lora x --lora=anim\t": "lora x --lora=anime",
    "flux controlnet x --control po\tda\t": "controlnet x --control pose=dancer.JPG",
    "flux controlnet x --control pose=@la\t": "controlnet x --control pose=@last",
    "flux balance --profile wo\t": "balance --profile work",
    "flux gen rows\tx": "gen rowsx",  # a prompt is no file
    "flux-cli mod\t": "models",
}
"""What is typed, and what `flux` gets of it."""


@pytest.fixture
def folder(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("[profiles.work]\n")
    for name in ("dancer.JPG", "my pic.png", "img@2x.png", "rows.csv"):
        Path(name).touch()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_line_typed_with_tabs(shell: str) -> None:
    got = typed(shell, list(LINES))
    assert dict(zip(LINES, got, strict=True)) == {line: shlex.split(meant) for line, meant in LINES.items()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tasks_are_completed_by_their_ids(flux: Flux, shell: str) -> None:
    flux("gen 'a \"red\": $(fox)' --sandbox --size 64x64 -m schnell")
    task = flux("history --sandbox -q").out.strip()
    beginning = task[:8]

    lines = ["show --sandbox {}\t", "status --sandbox {}\t", "edit --sandbox @{}\t", "wait --sandbox {}\t", "show {}\t"]
    got = typed(shell, [f"flux {line.format(beginning)}" for line in lines])
    assert [words[-1] for words in got] == [task, task, f"@{task}", beginning, beginning]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_every_command_and_option_is_offered_without_asking_the_program(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    for command in read_program().walk():
        line = f"{command.line} "
        options = {name for option in command.options for name in option.names if name.startswith("--")}
        assert options <= set(offered(shell, f"{line}--"))
        if command.commands:
            assert {inner.word for inner in command.commands} <= set(offered(shell, line))


def offered(shell: str, line: str) -> list[str]:
    """What a shell that is not interactive, and has no `flux`, offers behind a line."""
    words = line.split(" ")
    script = {
        "bash": f"source {SCRIPTS}/flux.bash; COMP_WORDS=({line}{chr(39) * 2 if line[-1] == ' ' else ''})"
        f" COMP_CWORD={len(words) - 1}; _flux; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        "fish": f"source {SCRIPTS}/flux.fish; complete -C {shlex.quote(line)}",
    }[shell]
    path = str(Path(shutil.which(shell) or "").parent)
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True, env={"PATH": path})
    assert not done.stderr
    return [answer.partition("\t")[0] for answer in done.stdout.splitlines()]


@pytest.mark.parametrize("config", ["", "[profiles.work]\nmodel = 1\n[", "plan = 3"])
def test_what_cannot_be_answered_is_silence_and_leaves_nothing_behind(
    home: Path, start: Callable[..., subprocess.Popen[str]], config: str
) -> None:
    home.mkdir()
    (home / "config.toml").write_text(config)

    for line in ("id wait", "id", "profile", "nonsense", "id show --profile a/b"):
        process = start(f"--complete {line}")
        assert (*process.communicate(), process.returncode) == ("", "", 0)
    assert [path.name for path in home.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(("shell", "name"), SCRIPT_NAMES.items())
def test_a_script_is_printed(flux: Flux, start: Callable[..., subprocess.Popen[str]], shell: str, name: str) -> None:
    script = (SCRIPTS / name).read_text()
    assert start(f"completion {shell}").communicate() == (script, "")
    assert flux(f"completion {shell} -q").out == script


def test_a_shell_that_is_unknown(flux: Flux) -> None:
    result = flux("completion zhs")
    assert result.code == 2
    assert "Did you mean zsh?" in result.err
