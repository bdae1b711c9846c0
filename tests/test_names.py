"""Names of image files: no prompt or template writes outside the directory, or makes a name that some system refuses."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_cli.errors import UsageError
from flux_cli.images.output_names import (
    DEFAULT_TEMPLATE,
    LATE,
    OutputPlan,
    check_inside,
    image_paths,
    unique,
)
from flux_cli.text import slug

from .conftest import Flux

DIRECTORY = Path("/images/today")
VALUES = {"slug": "red-fox", "seed": "7", "model": "dev", "op": "gen", "task": "", "n": "1"}
LONGEST_ID = "f" * 128

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=120)
NASTY = st.text(st.sampled_from('./\\:*?"<>|~$`-_ \0\n\x1b\u202e\ud800雪é{}nulcom1¹'), max_size=120)
ANYTHING = (
    ANY_TEXT
    | NASTY
    | st.sampled_from(["", "..", "../../etc/passwd", "C:\\x", "nul", "com¹", "雪" * 900, "-rf", "a" * 3000])
)
TEMPLATES = st.sampled_from(
    [DEFAULT_TEMPLATE, "{slug}", "{slug}{seed}{model}.PNG", "{n}-{slug}.png", "{task}-{slug}", "{slug}/{op}",
     "{slug}.{op}", ".{slug}"]
)  # fmt: skip


def is_legal_on_windows(name: str) -> bool:
    """Apply Microsoft's rules: Naming Files, Paths, and Namespaces."""
    stem = name.split(".")[0].rstrip(" ").upper()
    devices = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    devices |= {f"{device}{number}" for device in ("COM", "LPT") for number in "0123456789¹²³"}
    return not re.search(r'[<>:"/\\|?*\x00-\x1f]', name) and name[-1] not in ". " and stem not in devices


@given(TEMPLATES, st.fixed_dictionaries(dict.fromkeys(VALUES, ANYTHING)), st.integers(1, 4))
@example("{slug}", {**VALUES, "slug": "com¹"}, 1)
@example("{slug}/{op}", {**VALUES, "slug": "nul"}, 1)
@example("{slug}{seed}{model}.PNG", dict.fromkeys(VALUES, "雪" * 900), 4)
@example("{task}-{slug}", {**VALUES, "slug": "x" * 3000}, 2)
def test_no_value_leaves_the_directory_or_makes_an_illegal_name(
    template: str, values: dict[str, str], count: int
) -> None:
    try:
        plan = OutputPlan(tuple(image_paths(template, values, count, DIRECTORY)))
    except UsageError:
        return
    # One more image than requested, and a task ID of the maximum length.
    paths = [plan.path(index, LONGEST_ID) for index in range(count + 1)]
    assert len(set(paths)) == count + 1
    for path in paths:
        inside = path.relative_to(DIRECTORY).parts
        assert len(inside) == 1 + template.count("/"), "a value creates no directories"
        assert ".." not in inside
        for part in inside:
            assert is_legal_on_windows(part)
            assert len(part.encode()) <= 255
        assert path.suffix.lower() == ".png"


@given(ANYTHING, st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_default_name_works_for_every_prompt(prompt: str, seed: int, count: int) -> None:
    paths = image_paths(
        DEFAULT_TEMPLATE, {**VALUES, "slug": slug(prompt) or "image", "seed": str(seed)}, count, DIRECTORY
    )
    assert [path.parent for path in paths] == [DIRECTORY] * count
    assert all(str(seed) in path.stem and not path.stem.startswith(("-", ".")) for path in paths)


@pytest.mark.parametrize(
    ("template", "count", "names"),
    [
        ("{slug}-{seed}", 1, ["red-fox-7.png"]),
        ("{slug}-{seed}", 3, ["red-fox-7-1.png", "red-fox-7-2.png", "red-fox-7-3.png"]),
        ("{n}/{slug}.PNG", 2, ["1/red-fox.PNG", "2/red-fox.PNG"]),
        ("fox.v2", 1, ["fox.v2.png"]),
        ("fox.png", 2, ["fox-1.png", "fox-2.png"]),
        ("{task}", 1, [f"{LATE}.png"]),
        ("Fuchs im Schnee 雪", 1, ["Fuchs im Schnee 雪.png"]),
        ("../else/{model}_{op}.png", 1, ["../else/dev_gen.png"]),  # a path that the user writes is used as it is
    ],
)
def test_templates_are_expanded(template: str, count: int, names: list[str]) -> None:
    assert image_paths(template, VALUES, count, DIRECTORY) == [DIRECTORY / name for name in names]


@pytest.mark.parametrize(
    "template",
    ["{prompt}", "{}", "{0}", "{slug!r}", "{slug:>9}", "{slug.__class__}", "{slug.__init__.__globals__}", "{slug[0]}",
     "{ slug }", "{{slug}}", "{slug", "slug}", "}{", "{SLUG}", "{\x1b[2J}"],
)  # fmt: skip
def test_unknown_placeholders_are_refused(template: str) -> None:
    with pytest.raises(UsageError) as caught:
        image_paths(template, VALUES, 1, DIRECTORY)
    assert caught.value.hint == "Use one of " + " ".join(f"{{{name}}}" for name in VALUES)
    assert "\x1b" not in caught.value.message


def test_a_placeholder_in_a_value_stays_text() -> None:
    (path,) = image_paths("{slug}", {**VALUES, "slug": "{seed}{task}"}, 1, DIRECTORY)
    assert path == DIRECTORY / "seed-task.png"


@pytest.mark.parametrize(
    "name",
    ["nul", "NUL.tar", "con .x", "Com1", "lpt¹", "conout$", "a:b", "a\\b", "a\x00b",
     "a\x1b[2Jb", "a\x7f", "a\xadb", "a/", "a\\", "\ud800", "x" * 237, "雪" * 80, "fox.jpg", "fox.webp", "{task}{task}"],
)  # fmt: skip
def test_names_that_some_system_or_format_refuses_are_refused_before_any_charge(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        image_paths(name, VALUES, 1, DIRECTORY)
    assert caught.value.message.isprintable()


def test_raw_bytes_in_a_name_are_kept() -> None:
    (path,) = image_paths("na\udcefve", VALUES, 1, DIRECTORY)  # how Python reads a Latin-1 argument
    assert path.name == "na\udcefve.png"


@pytest.mark.parametrize(
    ("planned", "index", "name"),
    [
        (["a-1.png", "a-2.png"], 1, "a-2.png"),
        (["a-1.png", "a-2.png"], 2, "a-2-3.png"),
        (["a-1.png", "a-2.png"], 9, "a-2-10.png"),
        (["v1.2.png"], 1, "v1.2-2.png"),
        ([f"{LATE}.png"], 0, "4d2f_a-9.png"),
        ([f"{LATE}-{LATE}.png"], 1, "4d2f_a-9-4d2f_a-9-2.png"),
        ([f"{LATE}/1.png", f"{LATE}/2.png"], 1, "4d2f_a-9/2.png"),
    ],
)
def test_every_image_gets_a_path(planned: list[str], index: int, name: str) -> None:
    plan = OutputPlan(tuple(DIRECTORY / path for path in planned))
    assert plan.path(index, "4d2f_a-9") == DIRECTORY / name


@given(st.text("AZaz09_-", min_size=1, max_size=128), st.integers(0, 9))
def test_a_task_id_replaces_its_placeholder_and_stays_inside(task_id: str, index: int) -> None:
    path = OutputPlan((DIRECTORY / f"{LATE}.png",)).path(index, task_id)
    assert path.parent == DIRECTORY
    assert path.stem in (task_id, f"{task_id}-{index + 1}")


@given(st.sets(st.integers(2, 12)), st.sampled_from(["fox.png", "a.b.png", "fox-2.png"]))
def test_unique_returns_the_first_free_name(taken: set[int], name: str) -> None:
    path = DIRECTORY / name
    occupied = {path} | {path.with_name(f"{path.stem}-{number}.png") for number in taken}
    free = next(number for number in range(2, 14) if number not in taken)
    assert unique(path, occupied.__contains__) == path.with_name(f"{path.stem}-{free}.png")
    assert unique(path, lambda _: False) == path


def test_the_windows_rules_of_these_tests() -> None:
    assert not any(map(is_legal_on_windows, ["NUL", "nul.txt", "con .x", "COM¹.png", "a.", "a ", "a:b", "a/b"]))
    assert is_legal_on_windows("console.png")


def test_a_tilde_that_the_shell_leaves_is_expanded(flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    result = flux("gen 'a fox' --output=~/shots/fox.png --size 256x256 --sandbox")
    assert (result.code, result.out) == (0, f"{tmp_path}/me/shots/fox.png\n")
    assert flux("inpaint @last x --mask-box 0,0,99,99 --show-mask=~/preview.png --sandbox").code == 0
    assert (tmp_path / "me" / "preview.png").exists()
    assert list(Path().iterdir()) == []


OUTSIDE = ["/evil.png", r"\evil.png", "D:evil.png", r"D:\x.png", r"\\host\share\x.png", "../x.png", "a/../../x.png"]
OUTSIDE += [r"a\..\x.png", "~/x.png", "~root/x.png", "-"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_row_cannot_name_a_file_outside_the_output_directory(flux: Flux, name: str) -> None:
    Path("rows.jsonl").write_text(json.dumps({"prompt": "a fox", "output": name}) + "\n")
    result = flux("batch rows.jsonl --sandbox")
    assert result.code == 2
    assert f"rows.jsonl, line 1: output '{name}' is not a name inside the output directory" in result.err


@pytest.mark.parametrize(
    "name", ["con/x.png", "what:ever/x.png", "a /x.png", "what?/x.png", "a\u200b/x.png", "x.png:stream"]
)
def test_a_row_cannot_name_a_directory_that_some_system_refuses(flux: Flux, name: str) -> None:
    Path("rows.jsonl").write_text(json.dumps({"prompt": "a fox", "output": name}) + "\n")
    result = flux("batch rows.jsonl --sandbox")
    assert (result.code, "rows.jsonl, line 1: the output name '" in result.err) == (2, True)
    assert "\u200b" not in result.err


@pytest.mark.parametrize("name", ["fox.png", "a/b/{slug}.png", "{id}/x.png", "a..b/x.png"])
def test_names_inside_the_output_directory_are_accepted(name: str) -> None:
    check_inside(name)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/null", "/dev/fd/1", "/proc/self/fd/1", "pipe", "pipe.png"])
def test_an_output_that_is_not_a_regular_file_is_refused(flux: Flux, name: str) -> None:
    os.mkfifo(name) if name.startswith("pipe") else None
    for overwrite in ("", " --overwrite"):
        result = flux(f"gen 'a fox' -o {name} --sandbox{overwrite}")
        assert (result.code, result.out) == (2, "")
        assert "is not a regular file" in result.err
        assert "To write the image to stdout, use: -o -" in result.err


def test_an_output_that_names_a_directory_is_refused(flux: Flux) -> None:
    Path("shots").mkdir()
    line = "gen 'a fox' --sandbox --size 256x256"
    assert flux(f"{line} -o shots -d out").out == "out/shots.png\n"
    for name in ("shots", "shots/", "'shots\\'", "other/", "out/../shots"):
        refused = flux(f"{line} -o {name}")
        assert refused.code == 2
        assert " names a directory" in refused.err
        assert "Nothing was sent." in refused.err
        assert "To save into it, use: -d " in refused.err
