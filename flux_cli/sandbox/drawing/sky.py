"""The sky and what falls from it."""

from PIL import Image, ImageDraw

from .canvas import Canvas, gradient
from .colors import WHITE, luminance, mix
from .randomness import between


def sky(c: Canvas, radius: float) -> None:
    """Gradient, stars or clouds, and the sun with its glow."""
    p = c.palette
    c.image.paste(gradient(c.width, c.height, (p.sky_top, p.sky_mid, p.sky_low, p.sky_low)))
    night = luminance(p.sky_top) < 0.06
    if night:
        stars(c, 110)
    c.glow(*c.sun, radius * 3.4, mix(p.sun, p.sky_low, 0.3), 0.75)
    c.disc(*c.sun, radius, p.sun)
    if not night:
        clouds(c)


def stars(c: Canvas, count: int) -> None:
    """Small stars, a few of them bright, thinning out towards the horizon."""
    rng = c.rng("stars")
    for _ in range(count):
        x, y = c.at(rng.random(), rng.random() * rng.random() * 0.75)
        size = 0.0009 + 0.0024 * rng.random() ** 4
        c.disc(x, y, max(0.6, size * c.unit), mix(c.palette.sky_mid, WHITE, between(rng, 0.4, 0.95)))


def clouds(c: Canvas) -> None:
    """Flat banks of cloud, each a stack of rounded bars."""
    rng, color = c.rng("clouds"), mix(c.palette.sky_low, WHITE, 0.35)
    for _ in range(3):
        x, y = c.at(rng.random(), between(rng, 0.06, 0.38))
        for bar in range(3):
            half, tall = c.unit * between(rng, 0.05, 0.15), c.unit * 0.017
            middle, top = x + c.unit * between(rng, -0.07, 0.07), y + bar * tall
            c.pen.rounded_rectangle((middle - half, top, middle + half, top + tall + 1), tall / 2, fill=color)


def snowfall(c: Canvas) -> None:
    """Falling flakes, small and large."""
    rng = c.rng("flakes")
    for _ in range(150):
        size = c.unit * (0.0015 + 0.0035 * rng.random() ** 3)
        c.disc(*c.at(rng.random(), rng.random()), size, mix(c.palette.sky_low, WHITE, 0.8))


def rain(c: Canvas) -> None:
    """Slanting streaks of rain."""
    rng, veil = c.rng("rain"), Image.new("L", c.image.size)
    pen = ImageDraw.Draw(veil)
    for _ in range(260):
        (x, y), fall = c.at(rng.random() * 1.1, rng.random() - 0.03), c.unit * between(rng, 0.02, 0.06)
        pen.line((x, y, x - fall * 0.25, y + fall), fill=90, width=max(1, round(c.unit * 0.0016)))
    c.image.paste(mix(c.palette.sky_low, WHITE, 0.6), (0, 0), veil)
