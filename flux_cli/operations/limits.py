"""What a model takes, in numbers."""

from ..frozen import frozen


@frozen
class Limits:
    """What a model takes (specification: Parameter Reference; docs/service.md, section 1)."""

    prompt_characters: int
    pixels: int
    guidance: tuple[float, float]
    denoise: tuple[float, float]
    """Above the first, up to and with the second."""
    steps: int
    batch_size: int
