"""The pictures of the miniature's tasks: drawn when they are asked for, the same at every look."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from PIL import Image

from ..json_value import object_at
from .drawing.poster import draw
from .render import Renderer, png, preprocessed
from .rules import count, lists
from .store import Store, StoredTask


@dataclass(frozen=True)
class Pictures:
    """Draws what the tasks in a store ordered."""

    store: Store
    clock: Callable[[], float]

    def names(self, task: StoredTask) -> list[str]:
        """The task's pictures: those that were ordered, then what was read from control pictures."""
        fields = object_at(task.body, "input")
        controls = lists(fields, "control_net_settings")
        extra = sum(item.get("return_preprocessed_image") is True for item in controls)
        return [f"{task.id}/{number}.png" for number in range(1, count(fields) + extra + 1)]

    def has(self, task: StoredTask, number: int) -> bool:
        """Whether a task has a picture of this number, from 1, by now."""
        return task.status(self.clock()) == "completed" and 1 <= number <= len(self.names(task))

    def content(self, task: StoredTask, number: int) -> bytes:
        """A picture that the task has, PNG."""
        return png(self._render(task, number))

    def _render(self, task: StoredTask, number: int) -> Image.Image:
        ordered = count(object_at(task.body, "input"))
        if number > ordered:
            return preprocessed(task.body, self._load)[number - ordered - 1]
        return Renderer(task.body, number, self._load).render()

    def _load(self, address: str) -> Image.Image:
        """The picture at an address: one of ours, or a stand-in, for the miniature fetches nothing from anywhere."""
        path = urlsplit(address).path
        if match := re.fullmatch(r"/pictures/([A-Za-z0-9_-]+)/([0-9]{1,4})\.png", path, re.ASCII):
            task, number = self.store.find(match[1]), int(match[2])
            if task is not None and self.has(task, number):
                return self._render(task, number)
        if (match := re.fullmatch(r"/uploads/([0-9a-f]+\.[a-z]+)", path, re.ASCII)) and (
            content := self.store.upload(match[1])
        ):
            return Image.open(io.BytesIO(content))
        return draw(path.rpartition("/")[2] or address, seed=0, width=1024, height=1024, model="picture from elsewhere")
