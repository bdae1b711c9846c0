"""What a file that exists already is worth: whether it is a complete image, and whether the sandbox made it."""

from pathlib import Path

from .formats import BrokenPictureError, whole_picture
from .png import texts_in


def is_complete_image(path: Path) -> bool:
    """Return whether a file is a complete PNG, JPEG or WebP."""
    try:
        whole_picture(path.read_bytes())
    except (OSError, BrokenPictureError):
        return False
    return True


def is_sandbox_image(path: Path) -> bool:
    """Return whether an image says of itself that the sandbox made it."""
    try:
        return "Sandbox" in texts_in(path.read_bytes())
    except (OSError, BrokenPictureError):
        return False
