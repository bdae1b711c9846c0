"""The subjects a poster can show, and how large each stands."""

from collections.abc import Callable, Set

from .animals import EARS, birds, dragon, sitting_animal
from .canvas import Canvas
from .colors import Color
from .figure import Figure
from .people import person, portrait
from .shapes import Point
from .things import balloon, boat, castle, house, lighthouse, tree

# how each is drawn, and its height in the canvas's units; animals that sit and portraits are drawn their own way
SILHOUETTES: dict[str, tuple[Callable[[Figure, Color], None], float]] = {
    "castle": (castle, 0.5),
    "house": (house, 0.24),
    "tree": (tree, 0.46),
    "boat": (boat, 0.24),
    "birds": (birds, 0.13),
    "lighthouse": (lighthouse, 0.5),
    "person": (person, 0.34),
    "dragon": (dragon, 0.3),
    "balloon": (balloon, 0.3),
}


def draw_subject(c: Canvas, name: str, foot: Point, flip: bool, color: Color, words: Set[str]) -> None:
    """Draw the named subject upon a point; the prompt's words say what a portrait looks like."""
    if name == "portrait":
        portrait(Figure(c, foot[0], c.height, 0.66 * c.unit, flip), color, words)
    elif name in EARS:
        sitting_animal(Figure(c, *foot, 0.38 * c.unit, flip), name, color)
    else:
        paint, size = SILHOUETTES[name]
        paint(Figure(c, *foot, size * c.unit, flip), color)
