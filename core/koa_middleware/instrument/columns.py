"""How a column is declared, with the FITS keywords that fill it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import MappedColumn, mapped_column
from sqlalchemy.types import String, TypeEngine, to_instance

from ..exceptions import InvalidPluginError
from .plain import NOTHING

#: SQLAlchemy's types for those of Python, which are none.
_MEANT = {str: "String", int: "Integer", float: "Float", bool: "Boolean"}

#: A keyword, with or without an extension's name; astropy takes ``*``, ``?`` and ``...`` as patterns.
_KEYWORD = re.compile(r"(?!.*\.\.\.)([^\s:]([^:]*[^\s:])?:)?[^\s:*?]([^:*?]*[^\s:*?])?")


def fits_column(
    keywords: str | Iterable[str],
    type_: TypeEngine[Any] | type[TypeEngine[Any]],
    *,
    fold: bool | Literal["upper"] = False,
    nulls: Iterable[str | float] | None = None,
    convert: Callable[[Any], Any] | None = None,
    renamed_from: str | Iterable[str] = (),
    **mapped_column_arguments: Any,
) -> MappedColumn[Any]:
    """Declare a column and the FITS keywords that fill it.

    Parameters
    ----------
    keywords : str or iterable of str
        In order of preference: ``"KEY"`` stands in the primary header, ``"EXTNAME:KEY"`` in an extension,
        ``"exposure.start"`` in the nested metadata of a model. ``()`` for a column that no keyword fills.
    type_ : sqlalchemy type
    fold : bool or "upper"
        Whether letter case is folded, so that ``Bias`` and ``BIAS`` are one: True to lower case.
    nulls : iterable of str or of numbers, optional
        Words that mean "no value", in place of ``N/A``, ``NaN`` and ``UNKNOWN``; empty text is never one. With ``()``
        every word is a value. Of a column that holds no text, such words as ``N/A`` are never values, and a number
        such as ``-999``, or its text, is compared as one.
    convert : callable, optional
        Gives the column's value for a keyword's; None where that is none. It is asked for each of the keywords, so that
        where these differ in unit or origin it must tell by the value. A number that is written as text comes as a
        number where the column holds numbers. Null words, and values by column name, are not converted.
    renamed_from : str or iterable of str
        Former names of the column; a database that has one of them gives it the new name.
    **mapped_column_arguments
        Go to `sqlalchemy.orm.mapped_column`.

    Raises
    ------
    InvalidPluginError
        When an argument is not of its kind, or is none.
    """
    filled = (keywords,) if isinstance(keywords, str) else _texts(keywords)
    if filled is None or not all(word.strip() for word in filled):
        hint = 'Write "KEY", a tuple such as ("KEY", "EXTNAME:KEY"), or () where no keyword fills it.'
        raise _misdeclared(f"A column has the keywords {keywords!r}", hint)
    for odd in (word for word in filled if not _KEYWORD.fullmatch(word)):
        raise _misdeclared(
            f"A column has the keyword {odd!r}, which no header can hold", 'Write "KEY" or "EXTNAME:KEY".'
        )
    column = f"The column of {' or '.join(filled) or 'no keyword'}"
    if not isinstance(type_, TypeEngine) and not (isinstance(type_, type) and issubclass(type_, TypeEngine)):
        known = _MEANT.get(type_) if isinstance(type_, type) else None
        meant = known or "String, Integer, BigInteger, Float or Boolean"
        raise _misdeclared(f"{column} has the type {type_!r}", f"Write {meant}, of sqlalchemy.")
    if not isinstance(fold, bool) and fold != "upper":
        raise _misdeclared(f"{column} has the fold {fold!r}", 'Write True (lower case), "upper" or False.')
    if isinstance(nulls, str):
        raise _misdeclared(
            f"{column} has text as its nulls", f"Write ({nulls!r},), with the comma that makes it a tuple."
        )
    words = None if nulls is None else _words(nulls)
    if words is None and nulls is not None:
        raise _misdeclared(f"{column} has the nulls {nulls!r}", "Write a tuple of words, or of numbers; None is none.")
    if convert is not None and not callable(convert):
        raise _misdeclared(f"{column} has the convert {convert!r}", "Write a function of a keyword's value.")
    if words is not None and not isinstance(to_instance(type_), String):
        words = (*words, *NOTHING)
    given_info = mapped_column_arguments.pop("info", {})
    if not isinstance(given_info, Mapping):
        raise _misdeclared(f"{column} has the info {given_info!r}", 'Write a dict, such as {"unit": "s"}.')
    info = {**given_info, "keywords": filled}
    former = (renamed_from,) if isinstance(renamed_from, str) else _texts(renamed_from)
    if former is None:
        raise _misdeclared(f"{column} has the renamed_from {renamed_from!r}", "Write a tuple of former names.")
    info |= {"fold": fold, "convert": convert, "nulls": words, "renamed_from": former}
    try:
        return mapped_column(type_, info=info, **mapped_column_arguments)
    except (TypeError, SQLAlchemyError) as error:
        said = f"{column} cannot be declared with {', '.join(mapped_column_arguments)} ({str(error).rstrip('.')})"
        raise _misdeclared(said, _meaning(mapped_column_arguments)) from error


def _texts(given: Any) -> tuple[str, ...] | None:
    """Give words as a tuple; None where they are none."""
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        return None
    words = tuple(given)
    return words if all(isinstance(word, str) for word in words) else None


def _words(given: Any) -> tuple[str, ...] | None:
    """Give words and numbers as a tuple of text; None where there are others among them."""
    if isinstance(given, Iterable) and not isinstance(given, bytes):
        given = [str(each) if isinstance(each, int | float) and not isinstance(each, bool) else each for each in given]
    return _texts(given)


def _meaning(arguments: Iterable[str]) -> str:
    known = [*signature(fits_column).parameters, *signature(mapped_column).parameters]
    for unknown in (name for name in arguments if name not in known):
        for meant in get_close_matches(unknown, known, n=1):
            return f"Did you mean {meant}?"
    return "Use the arguments of fits_column and of SQLAlchemy's mapped_column."


def _misdeclared(fault: str, hint: str) -> InvalidPluginError:
    return InvalidPluginError(f"{fault}.", hint, instrument="", distribution="")
