"""The README's recipes, run as they stand there."""

from pathlib import Path

import pytest

from flux_cli.sandbox.drawing import draw

from . import readme
from .servers import Service

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


@pytest.mark.parametrize(("recipe", "made", "bought"), list(zip(readme.examples("Recipes"), MADE, BOUGHT, strict=True)))
def test_a_recipe_does_what_it_says(service: Service, tmp_path: Path, recipe: str, made: set[str], bought: int) -> None:
    Path("products").mkdir()
    for name in ("room.jpg", "products/cup.jpg", "products/lamp.jpg"):
        draw(name, seed=1, width=320, height=256).save(name)
    before = set(Path().rglob("*.*"))
    for _ in range(1 + ("--skip-existing" in recipe)):
        readme.run(recipe, tmp_path)

    assert {str(path) for path in set(Path().rglob("*.*")) - before} == made
    assert len(service.charges) == bought
