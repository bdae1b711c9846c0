"""What a model accepts, in numbers. A module of its own: the catalog needs it without the operations."""

from ..frozen import frozen


@frozen
class Limits:
    """What a model accepts (specification: Parameter Reference; docs/internals/service.md, section 1)."""

    prompt_characters: int
    pixels: int
    guidance: tuple[float, float]
    denoise: tuple[float, float]
    """Above the first, up to and including the second."""
    strength: tuple[float, float]
    """Of a LoRA, of a control image, and of a variation."""
    margin: int
    """Pixels on each side of an outpainted image (specification: Output Resolution)."""
    steps: int
    batch_size: int
