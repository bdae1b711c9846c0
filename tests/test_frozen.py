"""Frozen values behave as frozen dataclasses do."""

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, astuple, field, fields, replace
from typing import Any, ClassVar

import pytest

from flux_cli.frozen import frozen


@frozen
class Point:
    """Two numbers."""

    x: int
    y: int = 0

    @property
    def distance(self) -> int:
        """Return the distance."""
        return self.x + self.y


@frozen(kw_only=True)
class Named(Point):
    """A point with a name and more."""

    kind: ClassVar[str] = "named"
    name: str
    tags: dict[str, int] = field(default_factory=dict)


@frozen
class Guarded:
    """A class with a field without repr, and its own method."""

    key: str = field(repr=False)
    seen: int = field(default=0, compare=False)

    def __hash__(self) -> int:
        return 7


@frozen
class Empty:
    """A class without fields."""


def test_values_with_equal_fields_are_equal() -> None:
    assert Point(1) == Point(1, 0)
    assert hash(Point(1)) == hash(Point(1, 0))
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Point(1) != Point(2)
    assert Point(1) != Named(x=1, name="a")
    other: object = (1, 0)
    assert Point(1) != other
    assert Empty() == Empty()


@pytest.mark.parametrize("name", ["x", "y", "distance", "unknown"])
def test_a_value_never_changes(name: str) -> None:
    point: Any = Point(1)
    with pytest.raises(AttributeError):
        setattr(point, name, 5)
    with pytest.raises(FrozenInstanceError):
        delattr(point, name)
    assert point == Point(1)


def test_the_functions_of_dataclasses_work() -> None:
    named = Named(x=1, name="a", tags={"b": 2})
    assert [entry.name for entry in fields(named)] == ["x", "y", "name", "tags"]
    assert replace(named, x=3) == Named(x=3, name="a", tags={"b": 2})
    assert asdict(named) == {"x": 1, "y": 0, "name": "a", "tags": {"b": 2}}
    assert astuple(Point(1)) == (1, 0)
    assert Named(x=1, name="a").tags is not Named(x=1, name="a").tags
    assert not hasattr(named, "__dict__")
    assert named.kind == "named"


def test_the_repr_of_a_value_is_that_of_a_dataclass() -> None:
    assert repr(Named(x=1, name="a")) == "Named(x=1, y=0, name='a', tags={})"


def test_excluded_fields_are_excluded_and_own_methods_are_kept() -> None:
    assert repr(Guarded("secret")) == "Guarded(seen=0)"
    assert Guarded("a", seen=1) == Guarded("a", seen=2) != Guarded("b", seen=2)
    assert hash(Guarded("a")) == 7


def test_values_can_be_copied_and_pickled() -> None:
    named = Named(x=1, name="a", tags={"b": 2})
    assert copy.copy(named) == copy.deepcopy(named) == pickle.loads(pickle.dumps(named)) == named


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "z": 2}])
def test_missing_and_unknown_arguments_raise(arguments: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="argument"):
        Point(**arguments)
