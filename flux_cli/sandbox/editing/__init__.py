"""The service's editing operations in miniature: pictures in, pictures out, nothing but Pillow between them."""

from .control import control, preprocess
from .instruct import kontext
from .loras import apply_loras
from .regions import inpaint, outpaint
from .variations import image_to_image, redux

__all__ = ["apply_loras", "control", "image_to_image", "inpaint", "kontext", "outpaint", "preprocess", "redux"]
