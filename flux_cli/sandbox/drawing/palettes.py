"""Which colours a picture gets: those of the prompt's mood, tinted by its colour words."""

from .colors import BLACK, WHITE, Color, Palette, luminance, mix, rgb, tint, turn
from .randomness import between, seeded
from .words import COLORS, MOODS, SNOW, SUBJECTS, pick

# in the order of Palette's fields: sky top, middle, horizon; sun; land far, near; silhouettes; accent
PALETTES = {
    "neon": "#0d0630 #47127a #ff4f8b #ffd36e #5a1f8f #0d0628 #08041a #19e3e3",
    "space": "#070818 #1d1746 #7a3f86 #f8d9a0 #3d2a66 #0f0d26 #0a0918 #ef7d57",
    "sunset": "#3a2a5e #c44d6c #fbb561 #ffe6ac #a34f70 #2b1b3c #1e1230 #ffc861",
    "night": "#0a1230 #1d3866 #5d86a8 #f6efd8 #36587f #0b1428 #070d1c #f2b950",
    "dawn": "#86a8d0 #f2bfc0 #fde6cb #fff6e0 #b7a3c4 #45466f #2f3054 #e8747c",
    "storm": "#4b5e6b #7b929d #bcc7c2 #e9e4cf #73878e #1d2b34 #131e25 #e8b548",
    "snow": "#6f9cc0 #bcd8e6 #f8ece0 #fff4df #a9c3d6 #f3f7fa #2c4560 #d9572b",
    "autumn": "#c9a878 #ecc98f #faecc8 #fff6dd #d79a56 #5e2417 #3d1a14 #c7402d",
    "desert": "#2f8fa3 #f0c78f #fce6bd #fff3d0 #e6ae6c #a2482c #57211d #1f6f78",
    "forest": "#9ccabb #d6e6c4 #f8f1d2 #fffbe6 #8fb89a #123a30 #0c2a24 #d96a3a",
    "sea": "#2477a8 #86c5d6 #f7e8c6 #fff4d4 #7fb0b5 #12414f #0d2f3d #e0593f",
    "day": "#2f7fb5 #8cc7d8 #f6e7c1 #fff3cf #8fb8a5 #1f4f48 #143733 #d9573f",
}
ANYTIME = ("day", "sea", "forest", "dawn", "sunset", "autumn", "night", "desert")  # when no word sets the mood
OWN_COLORS = {
    "fox": "#d9622b",
    "wolf": "#78828f",
    "cat": "#3b3442",
    "dog": "#b27a47",
    "bear": "#6b4632",
    "rabbit": "#cdbba6",
}


def choose_palette(prompt: str, words: list[str], seed: int) -> Palette:
    """The palette of the prompt's mood, tinted by its colour words; its hue drifts with prompt and seed."""
    rng = seeded(prompt, "palette")
    name = pick(MOODS, words) or ANYTIME[int(rng.random() * len(ANYTIME))]
    colors = [rgb(code) for code in PALETTES[name].split()]
    drift = between(rng, -0.025, 0.025) + between(seeded(prompt, seed, "hue"), -0.012, 0.012)
    asked = [rgb(COLORS[word]) for word in words if word in COLORS]
    strength = 0.25 if pick(SUBJECTS, words) else 0.6
    for i, color in enumerate(colors if asked else ()):
        colors[i] = tint(color, asked[i % len(asked)], strength)
    if asked and strength > 0.5:
        colors[7] = asked[-1]
    colors = [turn(color, drift) for color in colors]
    if name == "night" and SNOW & set(words):  # snow stays pale in the dark
        colors[5] = mix(colors[2], WHITE, 0.5)
    return Palette(*colors)


def subject_color(words: list[str], name: str | None, palette: Palette) -> Color:
    """What the subject wears: the prompt's first colour word, its own coat, or the palette's accent."""
    asked = next((COLORS[word] for word in words if word in COLORS), None)
    own = asked or OWN_COLORS.get(name or "")
    if own:
        return rgb(own)
    return palette.dark if name in ("birds", "castle", "dragon") else palette.accent


def choose_paper(palette: Palette) -> tuple[Color, Color]:
    """Colours of the frame and its lettering: dark paper for dark skies, cream for the others."""
    if luminance(palette.sky_top) < 0.06:
        return mix(palette.dark, BLACK, 0.25), mix(palette.sun, WHITE, 0.5)
    return mix((247, 241, 228), palette.sky_low, 0.2), mix(palette.dark, BLACK, 0.4)
