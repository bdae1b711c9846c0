"""The limits of a model, in numbers."""

from ..frozen import frozen


@frozen
class Limits:
    """What a model accepts (specification: Parameter Reference; docs/service.md, section 1).

    guidance: lowest and highest. denoise: above the first, up to and including the second. pixels: width * height.
    """

    prompt_characters: int
    pixels: int
    guidance: tuple[float, float]
    denoise: tuple[float, float]
    steps: int
    batch_size: int
