"""A property whose value is made once and kept, without the lock that Python 3.11's `cached_property` has.

A child that is forked while another thread makes such a value would find that lock held for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class kept_property(Generic[T]):  # noqa: N801 - as `property` and `cached_property` are written
    """A property that keeps its value among the object's attributes; of threads that make it at once, one counts."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...

    @overload
    def __get__(self, owner: object, kind: type) -> T: ...

    def __get__(self, owner: object | None, kind: type) -> Self | T:
        if owner is None:
            return self
        made: T = vars(owner).setdefault(self._name, self._make(owner))
        return made
