"""A gallery as one self-contained HTML page: thumbnails are embedded, the full-size images are linked.

Text from images is untrusted: it is escaped, the page links only to files beside it, and its content security policy
allows no script except its own.
"""

import base64
import hashlib
import html
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from ..errors import UsageError
from ..frozen import frozen
from ..images.load import Thumbnail, encode, thumbnail
from ..text import counted, has_hidden, usd
from .grid import Grid, Section
from .images import GalleryImage, total_cost

WEB = Path(__file__).parent / "web"
SIDE = 320
"""The most pixels of the longer side of a thumbnail."""
# Control characters, lone surrogates, and characters that change the direction of text.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@frozen
class Page:
    """The writer of a page. directory: its directory. broken: called with a message for each damaged image."""

    directory: Path
    broken: Callable[[str], None]

    def write(self, file: BinaryIO, title: str, sections: Sequence[Section]) -> None:
        """Write the page card by card, so that at most one image is in memory."""
        for part in self._parts(title, sections):
            file.write(part.encode())

    def _parts(self, title: str, sections: Sequence[Section]) -> Iterator[str]:
        images = [image for section in sections for image in section.images]
        style, script = (WEB.joinpath(name).read_text("utf-8") for name in ("gallery.css", "gallery.js"))
        cost = total_cost(images)
        about = counted(len(images), "image") + (f", {usd(cost)}" if cost else "")
        yield (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n'
            f"<title>{_inert(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
            f"<header><h1>{_inert(title)}</h1><p>{about}</p>"
            '<input id="filter" type="search" placeholder="filter" aria-label="filter"></header>\n<main>\n'
        )
        for section in sections:
            yield from self._section(section)
        yield '</main>\n<dialog aria-label="image"><img alt=""><p></p></dialog>\n'
        yield f"<script>{script}</script>\n</body>\n</html>\n"

    def _section(self, section: Section) -> Iterator[str]:
        if section.title:
            yield f"<h2>{_inert(section.title)}</h2>\n"
        grid = section.grid
        if grid is None:
            yield from self._flow((image, "") for image in reversed(section.images))
            return
        yield from self._table(grid, grid.rows.labels) if grid.rows else self._line(grid)
        if grid.rest:
            yield "<h2>others</h2>\n"
            yield from self._flow((image, "") for image in grid.rest)

    def _flow(self, labeled: Iterable[tuple[GalleryImage, str]]) -> Iterator[str]:
        yield '<div class="flow">\n'
        for image, label in labeled:
            yield self._card(image, label)
        yield "</div>\n"

    def _line(self, grid: Grid) -> Iterator[str]:
        cells = zip(grid.columns.labels, grid.row(""), strict=True)
        title, is_prompt = grid.columns.title, grid.columns.name == "prompt"  # cards show it
        return self._flow((image, "" if is_prompt else f"{title}: {label}") for label, cell in cells for image in cell)

    def _table(self, grid: Grid, labels: Sequence[str]) -> Iterator[str]:
        assert grid.rows
        axes = f"{_inert(grid.rows.title)} ↓ {_inert(grid.columns.title)} →"
        heads = "".join(f'<th scope="col">{_inert(label)}</th>' for label in grid.columns.labels)
        yield f'<div class="table"><table>\n<thead><tr><th class="axis">{axes}</th>{heads}</tr></thead>\n<tbody>\n'
        for value, label in zip(grid.rows.values, labels, strict=True):
            yield f'<tr><th scope="row">{_inert(label)}</th>\n'
            for cell in grid.row(value):
                yield "<td>"
                for image in cell:
                    yield self._card(image, "")
                yield "</td>\n"
            yield "</tr>\n"
        yield "</tbody>\n</table></div>\n"

    def _card(self, image: GalleryImage, label: str) -> str:
        beside = Path(os.path.relpath(image.path, self.directory)).as_posix()
        try:
            small = thumbnail(image.path, SIDE)
        except UsageError as error:
            self.broken(error.message)
            inside, size = f"<span>{_inert(error.message)}</span>", ""
        else:
            inside, size = _image(small, image.prompt or image.path.name), f"{small.width}x{small.height}"
        words = "".join(
            f'<p class="{kind}">{_inert(text)}</p>'
            for kind, text in (("label", label), ("prompt", image.prompt or image.note), ("about", _about(image)))
            if text
        )
        return (
            f'<figure class="card"><a class="image" href="{quote(os.fsencode(beside))}">{inside}</a>\n'
            f"<figcaption>{words}<details><summary>{_inert(image.path.name)}</summary><dl>{_rows(image, size)}</dl>"
            f"</details>{_button(image, beside)}</figcaption></figure>\n"
        )


def _about(image: GalleryImage) -> str:
    """Return the main facts on one line."""
    model, seed = image.facts.get("model", "").rpartition("/")[2], image.facts.get("seed")
    return ", ".join(part for part in (model, f"seed {seed}" if seed else "", _cost(image)) if part)


def _cost(image: GalleryImage) -> str:
    """Return the cost of the task, with its number of images if there are several; empty if it is unknown."""
    if image.cost is None:
        return ""
    number = image.facts.get("batch_size", "1")
    return usd(image.cost) + (f" for {number}" if number != "1" else "")


def _rows(image: GalleryImage, size: str) -> str:
    rows = {name: value for name, value in image.facts.items() if name != "prompt"}
    rows |= {"image": size, "task": image.task_id, "cost": _cost(image), "saved": _moment(image.saved)}
    return "".join(
        f"<dt>{_inert(name.replace('_', ' '))}</dt><dd>{_inert(value)}</dd>" for name, value in rows.items() if value
    )


def _moment(seconds: float) -> str:
    """Return a time to the minute; empty for a file time that the platform cannot represent."""
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return ""


def _button(image: GalleryImage, beside: str) -> str:
    """Return a button that copies a command to rerun the image.

    The command contains the file name only: a prompt could contain characters that end a paste into a terminal.
    """
    if not image.facts or has_hidden(beside) or _ODD.search(beside):
        return ""
    name = f"./{beside}" if beside.startswith(("-", "@", "~")) else beside
    command = _inert(f"flux rerun {shlex.quote(name)}")
    title = f"in the directory of this page: {command}"
    return f'<button type="button" data-command="{command}" title="{title}">copy command</button>'


def _image(small: Thumbnail, words: str) -> str:
    from PIL import features

    kind = "WEBP" if features.check("webp") else "JPEG"
    image = small.image if kind == "WEBP" else small.image.convert("RGB")
    data = base64.b64encode(encode(image, kind, quality=80)).decode()
    width, height = image.size
    return (
        f'<img width="{width}" height="{height}" alt="{_inert(words)}" src="data:image/{kind.lower()};base64,{data}">'
    )


def _policy(style: str, script: str) -> str:
    """Return the content security policy: images beside the page, and no style or script except its own."""
    sums = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'sha256-{sums[0]}'; "
        f"script-src 'sha256-{sums[1]}'; base-uri 'none'; form-action 'none'"
    )


def _inert(text: str) -> str:
    return html.escape(_ODD.sub("\ufffd", text))
