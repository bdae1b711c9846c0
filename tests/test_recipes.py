"""The README's recipes, run as they stand there."""

import subprocess
import sys
from pathlib import Path

import pytest

from flux_cli.sandbox.drawing.poster import draw

from .servers import Service

README = (Path(__file__).parent.parent / "README.md").read_text()
RECIPES = [
    block.partition("```")[0]
    for block in README.partition("## Recipes")[2].partition("## What can go wrong")[0].split("```sh\n")[1:]
]
BOUGHT = [2, 3, 2, 1]
MADE = [
    {"woodcut.png"},
    {
        "young-elf-with-silver-hair-as-a-fantasy-mage.png",
        "old-man-with-a-white-beard-as-a-fantasy-mage.png",
        "dwarf-with-braided-hair-as-a-fantasy-mage.png",
    },
    {"studio/cup.png", "studio/lamp.png"},
    {"look.png", "window.png"},
]


@pytest.mark.parametrize(("recipe", "made", "bought"), list(zip(RECIPES, MADE, BOUGHT, strict=True)))
def test_a_recipe_does_what_it_says(service: Service, recipe: str, made: set[str], bought: int) -> None:
    Path("products").mkdir()
    for name in ("room.jpg", "products/cup.jpg", "products/lamp.jpg"):
        draw(name, seed=1, width=320, height=256).save(name)
    before = set(Path().rglob("*.*"))
    script = f'set -eo pipefail; flux() {{ {sys.executable} -m flux_cli "$@"; }}; {recipe}'
    for _ in range(1 + ("--skip-existing" in recipe)):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    assert {str(path) for path in set(Path().rglob("*.*")) - before} == made
    assert len(service.charges) == bought
