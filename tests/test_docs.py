"""The documents match the program: their examples run, their links work, their tables are current."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_cli.sandbox.drawing import draw

pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

from . import documents
from .conftest import Flux
from .documents import GENERATED, PAGES, ROOT, read_blocks, read_prose
from .servers import Service

HAND_WRITTEN = [page for page in PAGES if page != GENERATED]
RUN = [
    page
    for page in HAND_WRITTEN
    if any(block.language in ("console", "sh", "python") and not block.skip_reason for block in read_blocks(page))
]
PHOTOS = (
    "beach.jpg", "cup.jpg", "dancer.jpg", "photo.jpg", "portrait.png", "products/cup.jpg", "products/lamp.jpg",
    "room.jpg", "street.png",
)  # fmt: skip
"""Images that a reader has: the documents edit these."""
PROMPTS = "# ideas\na fox in the snow\na lighthouse at dawn\n"
KNOWN_SITES = ("https://piapi.ai/", "https://github.com/PiAPI-1/piapi-cli", "https://docs.astral.sh/uv/")


@pytest.fixture(scope="session")
def path() -> Iterator[Path]:
    """Create the directory with the programs that documents call."""
    with documents.make_programs() as directory:
        yield directory


@pytest.mark.parametrize("page", RUN)
def test_examples_print_the_documented_output(service: Service, tmp_path: Path, page: str, path: Path) -> None:
    work = tmp_path / "work"
    for name in PHOTOS:
        (work / name).parent.mkdir(exist_ok=True)
        draw(name, seed=1, width=320, height=256).save(work / name)
    (work / "prompts.txt").write_text(PROMPTS)
    documents.run_examples(page, work, path)


@pytest.mark.parametrize("page", HAND_WRITTEN)
def test_skipped_examples_have_a_reason(page: str) -> None:
    for block in read_blocks(page):
        location = f"{page}:{block.line}"
        assert block.language != "python" or block.file, f"{location}: a program needs a name to be run"
        assert not block.skip_reason or block.language == "sh", f"{location}: it would not be run anyway"


@pytest.mark.parametrize("page", PAGES)
def test_links_work(page: str) -> None:
    text = read_prose(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if target.startswith("http"):
            assert target.startswith(KNOWN_SITES), target
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), f"{page}: {target}"
        assert not anchor or anchor in list_anchors(file), f"{page}: {target}"


def list_anchors(file: Path) -> set[str]:
    """Return the anchors of a document's headings, on GitHub and on the site."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", file.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_is_linked_from_the_first_page() -> None:
    linked = {"docs/index.md"}
    for page in sorted(PAGES, key=lambda page: page != "docs/index.md"):
        for target in re.findall(r"\]\(([^)#\s]+\.md)", read_prose(page)):
            linked.add(((ROOT / page).parent / target).resolve().relative_to(ROOT).as_posix())
    assert {page for page in PAGES if page.startswith("docs/")} <= linked


@pytest.mark.parametrize("page", HAND_WRITTEN)
def test_tables_match_the_program(page: str) -> None:
    """`python docs/tables.py` updates them."""
    text = (ROOT / page).read_text("utf-8")
    if "<!-- from the program:" in text:
        assert runpy.run_path(str(ROOT / "docs" / "tables.py"))["filled"](text) == text


def test_the_fields_of_an_image_in_json_are_documented(flux: Flux, service: Service) -> None:
    found = json.loads(flux("gen fox --size 64x64 --json").out)
    table = (ROOT / "docs/reference/json.md").read_text("utf-8").partition("## An image")[2].partition("\n\n`error`")[0]
    documented = {name for cell in re.findall(r"(?m)^\| (`.+?`) \|", table) for name in re.findall(r"`(\w+)`", cell)}
    assert documented == found.keys() - {"schema", "type"}


def test_images_are_small() -> None:
    files = [path for path in (ROOT / "docs" / "images").iterdir() if path.suffix in (".webp", ".svg", ".png")]
    assert sum(path.stat().st_size for path in files) < 400_000


def test_the_readme_is_short_and_shows_how_to_try_and_test_flux() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    commands = [line for line in text.splitlines() if line.startswith("python3 -m venv")]
    assert ["--sandbox" in line for line in commands] == [True, False], "one command tries flux, one tests it"
    assert [line for line in text.splitlines() if "-m pytest" in line] == commands[1:]
    assert len(re.sub(r"<!--.*?-->", "", text).split()) < 1200


def test_the_site_and_llms_txt_list_every_document() -> None:
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert set(re.findall(r"(?m)^ +- .+: (.+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"))) == pages
    listed = re.findall(r"\]\((.+?)/\)", (ROOT / "docs" / "llms.txt").read_text("utf-8"))
    assert {"index.md" if page == "." else f"{page}.md" for page in listed} == pages
