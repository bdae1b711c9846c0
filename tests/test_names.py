"""Names of picture files: no prompt and no template leads out of the folder, or to a name that some system refuses."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flux_cli.errors import UsageError
from flux_cli.images.output_names import DEFAULT_TEMPLATE, LATE, OutputPlan, picture_paths, prompt_slug, unique

FOLDER = Path("/pictures/today")
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
    """Microsoft's rules: Naming Files, Paths, and Namespaces."""
    stem = name.split(".")[0].rstrip(" ").upper()
    devices = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    devices |= {f"{device}{number}" for device in ("COM", "LPT") for number in "0123456789¹²³"}
    return not re.search(r'[<>:"/\\|?*\x00-\x1f]', name) and name[-1] not in ". " and stem not in devices


@settings(max_examples=300, deadline=None)
@given(TEMPLATES, st.fixed_dictionaries(dict.fromkeys(VALUES, ANYTHING)), st.integers(1, 4))
@example("{slug}", {**VALUES, "slug": "com¹"}, 1)
@example("{slug}/{op}", {**VALUES, "slug": "nul"}, 1)
@example("{slug}{seed}{model}.PNG", dict.fromkeys(VALUES, "雪" * 900), 4)
@example("{task}-{slug}", {**VALUES, "slug": "x" * 3000}, 2)
def test_no_value_leaves_the_folder_or_makes_an_impossible_name(
    template: str, values: dict[str, str], count: int
) -> None:
    try:
        plan = OutputPlan(tuple(picture_paths(template, values, count, FOLDER)))
    except UsageError:
        return
    # One more picture than ordered, and a task id as long as they get.
    paths = [plan.path(index, LONGEST_ID) for index in range(count + 1)]
    assert len(set(paths)) == count + 1
    for path in paths:
        inside = path.relative_to(FOLDER).parts
        assert len(inside) == 1 + template.count("/"), "a value makes no folders"
        assert ".." not in inside
        for part in inside:
            assert is_legal_on_windows(part)
            assert len(part.encode()) <= 255
        assert path.suffix.lower() == ".png"


@settings(max_examples=200, deadline=None)
@given(ANYTHING, st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_default_name_works_for_every_prompt(prompt: str, seed: int, count: int) -> None:
    paths = picture_paths(DEFAULT_TEMPLATE, {**VALUES, "slug": prompt_slug(prompt), "seed": str(seed)}, count, FOLDER)
    assert [path.parent for path in paths] == [FOLDER] * count
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
        ("../else/{model}_{op}.png", 1, ["../else/dev_gen.png"]),  # what the user writes out is the user's
    ],
)
def test_templates(template: str, count: int, names: list[str]) -> None:
    assert picture_paths(template, VALUES, count, FOLDER) == [FOLDER / name for name in names]


@pytest.mark.parametrize(
    "template",
    ["{prompt}", "{}", "{0}", "{slug!r}", "{slug:>9}", "{slug.__class__}", "{slug.__init__.__globals__}", "{slug[0]}",
     "{ slug }", "{{slug}}", "{slug", "slug}", "}{", "{SLUG}", "{\x1b[2J}"],
)  # fmt: skip
def test_only_the_fixed_placeholders_mean_something(template: str) -> None:
    with pytest.raises(UsageError) as caught:
        picture_paths(template, VALUES, 1, FOLDER)
    assert caught.value.hint == "there are: " + " ".join(f"{{{name}}}" for name in VALUES)
    assert "\x1b" not in caught.value.message


def test_a_placeholder_in_a_value_stays_text() -> None:
    (path,) = picture_paths("{slug}", {**VALUES, "slug": "{seed}{task}"}, 1, FOLDER)
    assert path == FOLDER / "seed-task.png"


@pytest.mark.parametrize(
    "name",
    ["nul", "NUL.tar", "con .x", "Com1", "lpt¹", "conout$", "a:b", "what?", 'say "hi"', "a|b", "a\\b", "a\x00b",
     "a\x1b[2Jb", "a\x7f", "\ud800", "x" * 237, "雪" * 80, "fox.jpg", "fox.JPEG", "fox.webp", "{task}{task}"],
)  # fmt: skip
def test_names_that_some_system_or_picture_cannot_have_are_refused_before_anything_is_paid(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        picture_paths(name, VALUES, 1, FOLDER)
    assert caught.value.message.isprintable()


def test_a_name_of_raw_bytes_is_kept() -> None:
    (path,) = picture_paths("na\udcefve", VALUES, 1, FOLDER)  # how Python reads a Latin-1 argument
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
def test_the_plan_has_a_place_for_every_picture_that_comes(planned: list[str], index: int, name: str) -> None:
    plan = OutputPlan(tuple(FOLDER / path for path in planned))
    assert plan.path(index, "4d2f_a-9") == FOLDER / name


@settings(max_examples=100, deadline=None)
@given(st.text("AZaz09_-", min_size=1, max_size=128), st.integers(0, 9))
def test_late_task_ids_leave_no_placeholder_and_stay_inside(task_id: str, index: int) -> None:
    path = OutputPlan((FOLDER / f"{LATE}.png",)).path(index, task_id)
    assert path.parent == FOLDER
    assert path.stem in (task_id, f"{task_id}-{index + 1}")


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(2, 12)), st.sampled_from(["fox.png", "a.b.png", "fox-2.png"]))
def test_unique_finds_the_first_free_name(taken: set[int], name: str) -> None:
    path = FOLDER / name
    occupied = {path} | {path.with_name(f"{path.stem}-{number}.png") for number in taken}
    free = next(number for number in range(2, 14) if number not in taken)
    assert unique(path, occupied.__contains__) == path.with_name(f"{path.stem}-{free}.png")
    assert unique(path, lambda _: False) == path


def test_the_oracle_knows_windows() -> None:
    assert not any(map(is_legal_on_windows, ["NUL", "nul.txt", "con .x", "COM¹.png", "a.", "a ", "a:b", "a/b"]))
    assert is_legal_on_windows("console.png")
