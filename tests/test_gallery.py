"""The images of a directory on an HTML page, and on a contact sheet."""

import base64
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image, PngImagePlugin

from flux_cli.gallery.grid import make_grid

from .conftest import Flux
from .servers import Service

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' &amp; \u202eright"


class Page(HTMLParser):
    """A page as a browser parses it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.heads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())
        if self.tags and self.tags[-1][0] == "th" and data.strip():
            self.heads.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        return [str(attributes[attribute]) for name, attributes in self.tags if name == tag and attribute in attributes]


def read_page(name: str = "gallery.html") -> Page:
    return Page(Path(name).read_text("utf-8"))


def make_image(name: str, **request: object) -> None:
    """Create a small image with the metadata of a request."""
    about = {"op": "gen", "model": "Qubico/flux1-dev", "seed": 1, "prompt": "a fox", **request}
    info = PngImagePlugin.PngInfo()
    info.add_itxt("flux", json.dumps({"request": about, "task_id": name, "cost_usd": "0.015", "version": "0.1.0"}))
    Image.new("RGB", (64, 48), "#c04000").save(name, pnginfo=info)


def test_a_page_shows_every_image_with_its_metadata(flux: Flux, service: Service) -> None:
    flux("gen 'a fox' -m schnell -b 2 --seed 7 --size 320x256 -o 'fox-{n}.png'")
    Image.new("RGBA", (30, 20), "#ff000080").save("plain.webp")
    Path("broken.png").write_bytes(Path("fox-1.png").read_bytes()[:900])
    done = flux("gallery")

    assert (done.code, done.out) == (0, "gallery.html\n")
    assert "broken.png" in done.err
    page = read_page()
    assert set(page.all("a", "href")) == {"fox-1.png", "fox-2.png", "plain.webp", "broken.png"}
    assert {"a fox", "flux1-schnell, seed 7, $0.004 for 2", "320x256", "4 images, $0.004"} <= set(page.words)
    commands = {f"flux rerun {name}.png" for name in ("fox-1", "fox-2", "broken")}
    assert set(page.all("button", "data-command")) == commands
    kind, _, data = page.all("img", "src")[0].partition(";base64,")
    assert kind == "data:image/webp"
    assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) <= 320


def test_a_page_loads_only_local_images(flux: Flux) -> None:
    make_image("fox.png")
    flux("gallery")

    page, text = read_page(), Path("gallery.html").read_text()
    policy = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'; img-src 'self' file: data:; ")
    assert "unsafe" not in str(policy)
    assert "http:" not in text
    assert "https:" not in text
    assert not page.all("link", "href")
    assert not page.all("script", "src")


def test_hostile_texts_and_names_are_inert(flux: Flux) -> None:
    name = "javascript:alert(1) '\"<b>&#.png"
    make_image(name, prompt=HOSTILE, model="<script>", overrides={"input": {"</style>": [HOSTILE]}}, loras="<script>")
    make_image("2.png", prompt="\ud800", seed=2**52, cost="x")
    make_image("3.png", prompt=HOSTILE, model={"<script>": "<script>"})
    make_image("\x1bc.png")
    os.utime("2.png", (10**12, 10**12))
    assert flux("gallery").code == 0

    page = read_page()
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [attributes for _, attributes in page.tags if any(key.startswith("on") for key in attributes)]
    assert HOSTILE.replace("\u202e", "\ufffd") in page.words
    assert all(re.fullmatch(r"[\w./%-]+", link) for link in page.all("a", "href"))
    assert {unquote(link) for link in page.all("a", "href")} == {name, "2.png", "3.png", "\x1bc.png"}
    # A name with terminal codes has no command, because it could be pasted into a terminal.
    assert sorted(page.all("button", "data-command")) == [
        "flux rerun 'javascript:alert(1) '\"'\"'\"<b>&#.png'",
        "flux rerun 2.png",
    ]


@pytest.mark.parametrize("cost", ["1E+999999", "1E-999999", "NaN", "-1", "sNaN"])
def test_an_invalid_cost_is_omitted(flux: Flux, cost: str) -> None:
    make_image("fox.png")
    content = Path("fox.png").read_bytes()
    with Image.open("fox.png") as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        about = json.loads(image.text["flux"]) | {"cost_usd": cost}
    info = PngImagePlugin.PngInfo()
    info.add_text("flux", json.dumps(about))
    Image.open(io.BytesIO(content)).save("fox.png", pnginfo=info)

    assert flux("gallery").code == 0
    assert "1 image" in read_page().words


def test_a_sweep_over_two_options_is_a_grid_in_the_order_of_the_command(flux: Flux, service: Service) -> None:
    flux("gen 'a {red|blue} car' --guidance 4,2,3 --seed 7 --size 64x64 -d shots")
    assert flux("gallery shots").err == "6 images, arranged by prompt and guidance\n"

    page = read_page("shots/gallery.html")
    assert page.heads == ["prompt ↓ guidance →", "2", "3", "4", "… red …", "… blue …"]
    assert [name.split("-")[0] for name in page.all("a", "href")] == ["2", "3", "1", "5", "6", "4"]


def test_each_sweep_in_a_directory_is_a_section(flux: Flux) -> None:
    for seed in (1, 2):
        make_image(f"boat-{seed}.png", prompt="a boat", seed=seed)
    for number, color in enumerate(("red", "blue")):
        for guidance in (2.0, 3.0):
            make_image(f"car-{color}-{guidance}.png", prompt=f"a {color} car at night", guidance=guidance, seed=number)
    make_image("fox.png", prompt="a fox", steps=3)
    Image.new("RGB", (8, 8)).save("scan.png")
    for number, name in enumerate(sorted(os.listdir())):
        os.utime(name, (number, number))
    result = flux("gallery --json")
    assert json.loads(result.out)["sections"] == 3
    assert result.err == "8 images in 3 sections\n"
    page = read_page()
    words = page.words
    assert words.index("a … car at night") < words.index("a boat") < words.index("others"), "the newest first"
    assert page.heads == ["prompt ↓ guidance →", "2", "3", "… blue …", "… red …"]
    assert page.all("a", "href")[-2:] == ["scan.png", "fox.png"]


def test_a_grid_is_ordered_by_file_name_not_by_time(flux: Flux) -> None:
    for number, name in enumerate(("10-c.png", "2-b.png", "1-a.png")):
        make_image(name, negative_prompt=f"a {name[-5]} there", seed=number)
        os.utime(name, (number, number))
    assert flux("gallery").err == "3 images, arranged by negative prompt\n"
    assert read_page().all("a", "href") == ["1-a.png", "2-b.png", "10-c.png"]
    assert {"negative prompt: … a …", "flux1-dev, seed 2, $0.015"} <= set(read_page().words)


def test_the_axes_are_the_options_that_vary() -> None:
    from flux_cli.gallery.images import GalleryImage

    def find_axes(*facts: dict[str, str]) -> list[str]:
        grid = make_grid([GalleryImage(Path(f"{n}.png"), 0.0, fact) for n, fact in enumerate(facts)])
        return [axis.name for axis in (grid.rows, grid.columns) if axis] if grid else []

    a, b, c = {"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}
    assert find_axes(a, a) == []
    assert find_axes(a) == []
    assert find_axes(a | {"seed": "1"}, a | {"seed": "2"}) == ["seed"]
    assert find_axes(a | {"seed": "1"}, b | {"seed": "2"}) == ["prompt"], "a random seed is not an axis"
    assert find_axes(*({**p, "seed": s} for p in (a, b) for s in "12")) == ["prompt", "seed"]
    assert find_axes(*({**p, "seed": s, "steps": s} for p in (a, b) for s in "12")) == ["prompt", "steps"]
    assert find_axes(*({"steps": s, "guidance": g} for s in "123" for g in "12")) == ["steps", "guidance"]
    assert find_axes(*({"steps": s, "guidance": g, "size": z} for s in "12" for g in "12" for z in "12")) == []
    assert find_axes(a | {"steps": "1"}, b | {"steps": "2"}, c | {"steps": "3"}) == [], "a diagonal is mostly holes"


def test_existing_files_are_kept_and_a_page_is_complete_or_absent(flux: Flux) -> None:
    make_image("fox.png")
    assert flux("gallery").code == 0
    refused = flux("gallery")
    assert (refused.code, refused.out) == (11, "")
    assert "--overwrite" in refused.err
    assert flux("gallery --overwrite").code == 0
    assert flux("gallery -o missing/page.html").code == 11
    assert flux("gallery nowhere").code == 2
    assert flux("gallery -o fox.png --overwrite").code == 2
    assert flux("gallery --sheet sheet.gif").code == 2
    assert flux("gallery --since 2999-01-01 --overwrite").code == 2
    assert sorted(os.listdir()) == ["fox.png", "gallery.html"]


def test_a_page_in_another_directory_links_to_the_images(flux: Flux) -> None:
    Path("shots").mkdir()
    make_image("shots/fox.png")
    found = json.loads(flux("gallery shots -o page.html --json").out)
    assert (found["images"], found["axes"], found["cost_usd"]) == (1, [], "0.015")
    assert read_page("page.html").all("a", "href") == ["shots/fox.png"]
    assert read_page("page.html").all("button", "data-command") == ["flux rerun shots/fox.png"]


def test_the_images_of_a_batch_are_found_in_any_directory(flux: Flux, service: Service) -> None:
    rows = [{"prompt": word, "output": f"{word}.png", "model": "schnell", "size": "64x64"} for word in ("fox", "cat")]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    make_image("another.png")
    Path("reports").mkdir()
    assert flux("batch rows.jsonl -d shots --report reports/shots.json").code == 0
    done = flux("gallery --batch reports/shots.json -o page.html")
    assert (done.code, done.out, done.err) == (0, "page.html\n", "2 images, arranged by prompt\n")
    assert sorted(read_page("page.html").all("a", "href")) == ["shots/cat.png", "shots/fox.png"]

    Path("shots/cat.png").unlink()
    assert flux("gallery --batch reports/shots.json --sheet sheet.png").err == "1 image\n"
    for line in (
        "gallery shots --batch reports/shots.json",
        "gallery --batch rows.jsonl",
        "gallery --batch shots/fox.png",
    ):
        assert flux(line).code == 2, line
    assert flux("gallery --batch gone.json").code == 11


def test_a_contact_sheet_has_the_grid_and_is_not_in_the_next_gallery(flux: Flux) -> None:
    for steps in (2, 10):
        for guidance in (2.0, 3.0, 4.0):
            make_image(f"{steps}-{guidance}.png", steps=steps, guidance=guidance)
    assert flux("gallery --sheet sheet.png").err == "6 images, arranged by guidance and steps\n"

    with Image.open("sheet.png") as sheet:
        assert sheet.height > sheet.width, "three rows, two columns"
        colors = sheet.convert("RGB").getcolors(1 << 24) or []
    assert sum(number for number, color in colors if color == (0xC0, 0x40, 0x00)) == 6 * 64 * 48
    assert flux("gallery --sheet next.jpg").err == "6 images, arranged by guidance and steps\n"
    assert "too many" not in flux("gallery --sheet sheet.png --overwrite").err


def test_the_size_of_a_contact_sheet_is_limited() -> None:
    from flux_cli.errors import UsageError
    from flux_cli.gallery.contact_sheet import LARGEST, _choose_side
    from flux_cli.gallery.images import GalleryImage

    images = [GalleryImage(Path("fox.png"), 0.0, {})] * 3000
    plan, side = _choose_side(images, None)
    width, height = plan.size(side)
    assert width * height <= LARGEST
    with pytest.raises(UsageError, match="too many"):
        _choose_side(images * 10, None)
