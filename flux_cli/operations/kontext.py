"""Instruction editing with FLUX.1 Kontext: `flux edit --kontext`, whose parameters are in `image_to_image`."""

from ..frozen import frozen
from ..json_value import JsonObject
from .base import Sized, Writer


@frozen(kw_only=True)
class Kontext(Sized):
    """Change an image as an instruction says."""

    name = "kontext"
    task_type = "kontext"
    image: str

    @property
    def images(self) -> tuple[str, ...]:
        """The input image."""
        return (self.image,)

    def write(self, writer: Writer) -> JsonObject:
        """Return the image and the size."""
        return {"image": writer.image(self.image), **self.size_fields}
