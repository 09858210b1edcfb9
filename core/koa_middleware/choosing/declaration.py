"""What a selector's class may hold, checked when the class is made."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from types import FunctionType
from typing import Any

from ..exceptions import InvalidPluginError
from .criteria import misdeclared
from .criterion import Fault

#: How alike a capitalised name, such as that of a class in the body, is to the one that it was meant to be.
_ALIKE = 0.87


def check_class(cls: type[Any], base: type[Any], settings: tuple[str, ...]) -> None:
    """Check the body of a selector's class and of those between it and the base.

    Raises
    ------
    InvalidPluginError
        For a public lower-case name that the base lacks, a name of the base in another letter case, a method that is
        none or takes other arguments than the base's, and a setting that is misdeclared.
    """
    for fault in (*_unknown(cls, base), *_methods(cls, base), *_settings(cls, base, settings)):
        raise not_usable(cls, fault)


def not_usable(cls: type[Any], fault: Fault, instrument: str = "") -> InvalidPluginError:
    """Give the error for a selector's class that is misdeclared."""
    return InvalidPluginError(
        f"The selector {cls.__name__} {fault.said}.", fault.hint, instrument=instrument, distribution=""
    )


def _unknown(cls: type[Any], base: type[Any]) -> Iterator[Fault]:
    known = [name for name in {*vars(base), *base.__annotations__} if not name.startswith("_")]
    for body in _bodies(cls, base):
        for name in {**vars(body), **vars(body).get("__annotations__", {})}:
            if name in known or name.startswith("_") or name.isupper():
                continue
            meant = get_close_matches(name.lower(), known, n=1, cutoff=0.5 if name[0].islower() else _ALIKE)
            if meant or name[0].islower():
                meaning = f"Did you mean {meant[0]}? " if meant else ""
                hint = f"{meaning}Begin the name of a helper with an underscore, and write a constant in capitals."
                yield Fault(name, f"has {name}, which is no setting and no method of a selector", hint)


def _methods(cls: type[Any], base: type[Any]) -> Iterator[Fault]:
    for body in _bodies(cls, base):
        for name, own in vars(body).items():
            wanted = vars(base).get(name)
            if name.startswith("_") or not isinstance(wanted, FunctionType):
                continue
            method = own.__func__ if isinstance(own, classmethod) else own
            if not callable(method) and not isinstance(method, staticmethod):
                yield Fault(name, f"has {own!r} as its {name}", f"{name} is a method.")
            elif isinstance(method, FunctionType) and not _takes_the_same(method, wanted):
                expected = ", ".join(_needed(wanted))
                yield Fault(name, f"has a {name} that does not take ({expected})", f"Define it with ({expected}).")


def _takes_the_same(method: FunctionType, wanted: FunctionType) -> bool:
    try:
        inspect.signature(method).bind(*_needed(wanted))
    except TypeError:
        return False
    return True


def _needed(method: FunctionType) -> list[str]:
    parameters = inspect.signature(method).parameters.values()
    return [each.name for each in parameters if each.default is each.empty]


def _settings(cls: type[Any], base: type[Any], settings: tuple[str, ...]) -> Iterator[Fault]:
    found = {name: inspect.getattr_static(cls, name) for name in settings}
    computed = {name for name, value in found.items() if hasattr(type(value), "__get__")}  # by each instance
    declared = {name: getattr(base if name in computed else cls, name) for name in settings}
    yield from misdeclared(declared)


def _bodies(cls: type[Any], base: type[Any]) -> tuple[type[Any], ...]:
    return cls.__mro__[: cls.__mro__.index(base)]
