"""Numbers that look random and are the same on every machine."""

import hashlib
from random import Random


def seeded(*parts: object) -> Random:
    """A generator of the same numbers for the same parts, on every machine. Use only its random()."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return Random(int.from_bytes(hashlib.sha256(text).digest(), "big"))


def between(rng: Random, low: float, high: float) -> float:
    """The generator's next number, in low..high."""
    return low + (high - low) * rng.random()
