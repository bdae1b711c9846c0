"""The local images of one command's requests, on disk: the rows of a batch may each have one of their own."""

import tempfile
import threading
from typing import IO

from ..frozen import frozen
from ..images.fit import InputImage
from ..operations.base import LOCAL


@frozen
class _Place:
    start: int
    length: int
    extension: str


class ImageStore:
    """Keeps each content once, in a private file that vanishes with the process. For any number of threads."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._places: dict[str, _Place] = {}
        self._lock = threading.Lock()

    def add(self, image: InputImage) -> str:
        """Keep an image and return its reference, `sha256:HEX`, which stands for it in requests."""
        reference = f"{LOCAL}{image.sha256}"
        with self._lock:
            if reference not in self._places:
                if self._file is None:
                    self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the store
                start = self._file.seek(0, 2)
                self._file.write(image.content)
                self._places[reference] = _Place(start, len(image.content), image.extension)
        return reference

    def size(self, reference: str) -> int:
        """Return the bytes of an image."""
        return self._places[reference].length

    def file_name(self, reference: str) -> str:
        """Return a name for the upload: a part of its hash and the extension."""
        return f"{reference.removeprefix(LOCAL)[:16]}.{self._places[reference].extension}"

    def content(self, reference: str) -> bytes:
        """Return the bytes of an image that was added."""
        place = self._places[reference]
        assert self._file is not None
        with self._lock:
            self._file.seek(place.start)
            return self._file.read(place.length)

    def __contains__(self, reference: str) -> bool:
        return reference in self._places

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        """Remove the file."""
        if self._file:
            self._file.close()
