"""What values look like: text, words, versions, times, checksums, numbers, truth, each declared once.

Beside the Python of a form stands the SQL that tells which values of a PostgreSQL column are in form already, so that
rows that come in bulk need not pass Python one by one. SQL adapts types only. It never changes a value, and where it is
in doubt it says no: Python alone converts and refuses.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Column, Float, Integer, Numeric, String

from ..disk.checksums import KINDS, Checksum
from ..disk.names import LONGEST_NAME
from ..disk.room import LARGEST_FILE
from .plain import NULLS, in_unit, is_missing, is_quantity, is_wildcard, plain
from .scales import is_time, utc_of
from .times import END_MJD, FIRST_MJD, FIRST_YEAR, LAST_YEAR, iso_from_mjd, parse_iso

_ORDINARY = re.compile(r"[A-Z0-9 _./-]+")  # words that SQL compares after `upper`
_VERSIONS = {f"{number:03d}" for number in range(1, 1000)}

#: Times from the first to the last year in which observations are made, as text.
_FIRST, _END = str(FIRST_YEAR), str(LAST_YEAR + 1)
NO_TIME = f"no time of the years {FIRST_YEAR} to {LAST_YEAR}"

#: PostgreSQL's names of its types, or how they begin.
_INTEGERS = ("smallint", "integer", "bigint")
_DOUBLES = ("double precision", "real")
_NOT_AS_TEXT = (*_DOUBLES, "numeric", "boolean", "bytea", "json")  # Python writes these in another way


def _number_in(raw: Any) -> Any:
    """Give the number that a text is; all else as it is."""
    for kind in (int, float) if isinstance(raw, str) and _is_of_digits(raw) else ():
        with suppress(ValueError):
            return kind(raw)
    return raw


class InPostgres(NamedTuple):
    """A column of a PostgreSQL table, as SQL.

    Attributes
    ----------
    value : str
        The value; of the type that the class's column has, where `is_typed` says so, else as it stands there.
    in_form : str
        True only of values that Python would leave as they are. Nulls are true or null.
    is_typed : bool
    """

    value: str
    in_form: str
    is_typed: bool = True


class Form:
    """What the values of a column look like; of a column type without a form of its own, they are kept as they are.

    Attributes
    ----------
    types : tuple of str
        Types of PostgreSQL that hold such values, and `cast`, what makes them ours.
    """

    types: tuple[str, ...] = ()
    cast = ""

    def of(self, value: Any) -> Any:
        """Give a value's normal form; None where it says nothing.

        Raises
        ------
        ValueError, TypeError, ArithmeticError
            When it has none. The text completes a sentence: ``which is ...``.
        """
        return plain(value)

    def is_null(self, raw: Any) -> bool:
        """Whether a keyword's value says nothing."""
        return is_missing(raw)

    def to_convert(self, raw: Any) -> Any:
        """Give a keyword's value as a column's `convert` gets it: of numbers, one written as text is one."""
        return raw

    def in_form(self, value: str) -> str:
        """SQL that is true only of values in form, among those of the right type; text is collated by code points."""
        return f"{value} = {value}"

    def allowed(self, value: str) -> str:
        """SQL that is true of what an archive may hold."""
        return self.in_form(value)

    def in_postgres(self, name: str, remote_type: str) -> InPostgres:
        """Give a column of a PostgreSQL table, by its quoted name and the name of its type there."""
        if remote_type not in self.types:
            return InPostgres(name, f"{name} IS NULL", is_typed=False)
        value = f"{name}{self.cast}"
        return InPostgres(value, self.in_form(value))


class _Text(Form):
    """Text without blanks around it; some words are no value.

    Parameters
    ----------
    nulls : tuple of str
        Those words; letter case does not count in those of ASCII.
    """

    #: Digits of a second, as `to_char` writes those of a timestamp.
    digits = "MS"

    def __init__(self, nulls: tuple[str, ...] = NULLS) -> None:
        self._nulls = frozenset({*nulls, *map(str.upper, nulls), ""})

        self._of_text = lru_cache(maxsize=256)(self._said)  # a frame's few words come again and again

    def of(self, value: Any) -> str | None:
        return self._of_text(value) if type(value) is str else self._said(self._written(value))

    def is_null(self, raw: Any) -> bool:
        text = raw.strip() if isinstance(raw, str) else None
        return text is not None and (text.upper() if text.isascii() else text) in self._nulls

    def _said(self, written: str) -> str | None:
        text = written.strip()
        if not text.isascii():
            _require_unicode(text)
        return None if self.is_null(text) else text

    def _written(self, value: Any) -> str:
        found = plain(value)
        if is_time(found):
            return iso_from_mjd(utc_of(found))
        if is_quantity(found):
            raise ValueError("a quantity, and the column holds text")
        if isinstance(found, datetime):
            return self._moment(found)
        return "" if found is None else str(found)

    def _moment(self, value: datetime) -> str:
        return parse_iso(str(value)).text

    def in_postgres(self, name: str, remote_type: str) -> InPostgres:
        if remote_type.startswith(_NOT_AS_TEXT) or remote_type.endswith("[]"):
            return super().in_postgres(name, remote_type)
        value = self._timestamp(name, remote_type) if remote_type.startswith("timestamp") else f"{name}::text"
        value = f'({value} COLLATE "C")'
        return InPostgres(value, self.in_form(value))

    def in_form(self, value: str) -> str:
        words = sorted(self._nulls - {""})
        is_none = "".join(f" AND upper({value}) <> '{word}'" for word in words if _ORDINARY.fullmatch(word))
        if not all(map(_ORDINARY.fullmatch, words)):  # which are hard to quote: Python judges what looks like them
            is_none += f" AND {value} !~ '[^A-Za-z0-9 _./-]'"
        return f"(left({value}, 1) BETWEEN '!' AND '~' AND right({value}, 1) BETWEEN '!' AND '~'{is_none})"

    def _timestamp(self, name: str, remote_type: str) -> str:
        moment = f"({name} AT TIME ZONE 'UTC')" if remote_type.endswith("with time zone") else name
        rounded = f"{moment} + interval '500 microseconds'" if self.digits == "MS" else moment
        return f"""CASE WHEN {moment} >= '0001-01-01' AND {moment} < '9999-12-31'
            THEN to_char({rounded}, 'YYYY-MM-DD"T"HH24:MI:SS.{self.digits}') ELSE {moment}::text END"""


class _FoldedText(_Text):
    """Text in lower case; SQL judges ASCII alone."""

    def of(self, value: Any) -> str | None:
        text = super().of(value)
        return None if text is None else text.lower()

    def in_form(self, value: str) -> str:
        return f"({super().in_form(value)} AND {value} !~ '[^ -@[-~]')"


class _CapitalText(_Text):
    """Text in upper case; SQL judges ASCII alone."""

    def of(self, value: Any) -> str | None:
        text = super().of(value)
        return None if text is None else text.upper()

    def in_form(self, value: str) -> str:
        return f"({super().in_form(value)} AND {value} !~ '[^ -`{{-~]')"


class _Id(_Text):
    """A record's id: printable, and no longer than a file's name, which may stand in its place; SQL judges ASCII."""

    def _said(self, written: str) -> str | None:
        text = super()._said(written)
        if text is not None and not text.isprintable():
            raise ValueError("no id, as it contains an invisible character")
        if text is not None and len(text) > LONGEST_NAME:
            raise ValueError(f"no id, as it is longer than {LONGEST_NAME} characters")
        return text

    def in_form(self, value: str) -> str:
        return f"({super().in_form(value)} AND {value} !~ '[^ -~]' AND length({value}) <= {LONGEST_NAME})"


class _Stamp(_Text):
    """When a database took the row in; in microseconds where it comes as a timestamp."""

    digits = "US"

    def _moment(self, value: datetime) -> str:
        return value.isoformat(timespec="microseconds")


class Words(_Text):
    """One of some words.

    Parameters
    ----------
    words : mapping
        The words that are known, in upper case, and those that are stored for them.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words
        self._nulls = frozenset({"", "N/A"})

    def of(self, value: Any) -> str | None:
        """See `Form.of`; ``N/A`` says nothing."""
        if type(value) is str and (known := self._words.get(value)):
            return known
        word = self._written(value).strip().upper()
        if word in self._nulls:
            return None
        if word not in self._words:
            raise ValueError(f"none of {', '.join(self._words)}")
        return self._words[word]

    def in_form(self, value: str) -> str:
        """See `Form.in_form`: the words that are stored."""
        return _one_of(value, self._words.values())

    def allowed(self, value: str) -> str:
        """See `Form.allowed`: the words that are known."""
        return _one_of(value, self._words)


class _Version(_Text):
    """A version, ``001`` to ``999``."""

    def of(self, value: Any) -> str | None:
        if type(value) is str and value in _VERSIONS:
            return value
        value = plain(value)
        if value is None or (isinstance(value, str) and value.strip().upper() in self._nulls):
            return None
        version = "" if isinstance(value, bool) else f"{_whole(value):03d}"
        if version not in _VERSIONS:
            raise ValueError("not a version from 001 to 999")
        return version

    def in_form(self, value: str) -> str:
        return f"({value} ~ '^[0-9]{{3}}$' AND {value} <> '000')"


class _TimeBound(_Text):
    """A time, UTC, ``YYYY-MM-DDTHH:MM:SS.sss``; a date alone stays one."""

    def of(self, value: Any) -> str | None:
        found = value if type(value) is str else plain(value)
        if found is None or (text := str(found)).strip().upper() in self._nulls:
            return None
        if is_time(found):
            return iso_from_mjd(utc_of(found))
        try:
            time = parse_iso(text)
        except ValueError as error:
            raise ValueError(f"not a time ({error})") from error
        return time.text if time.has_clock else time.text[:10]


class _Time(_TimeBound):
    """A time of an observation, see `times.is_observed`. SQL leaves 29 February to Python."""

    def of(self, value: Any) -> str | None:
        text = super().of(value)
        if text is not None and not _FIRST <= text < _END:
            raise ValueError(NO_TIME)
        return text

    def in_form(self, value: str) -> str:
        day = "(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31"
        clock = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}"
        return f"({value} ~ '^[0-9]{{4}}-(?:{day})T{clock}$' AND {value} >= '{_FIRST}' AND {value} < '{_END}')"


class _Checksum(_Text):
    """A checksum of a known kind."""

    _stored = f"(?:{'|'.join(KINDS)}):[0-9a-f]+"
    _is_stored = re.compile(_stored).fullmatch

    def of(self, value: Any) -> str | None:
        text = value if type(value) is str else self._written(value)
        if self._is_stored(text):
            return text
        return str(Checksum.parse(text)) if text.strip() else None

    def in_form(self, value: str) -> str:
        return f"{value} ~ '^{self._stored}$'"


class _Filename(_Text):
    """A file's name as it is. SQL answers for safe names only, which Python asks for where a row is complete."""

    def of(self, value: Any) -> str | None:
        if type(value) is str:
            return value
        found = value if isinstance(value, os.PathLike) else plain(value)
        if found is not None and not isinstance(found, str | os.PathLike):
            raise ValueError("not a file name")
        return None if found is None else os.fsdecode(found)

    def in_form(self, value: str) -> str:
        reserved = "'con', 'prn', 'aux', 'nul', 'com', 'lpt'"
        return (
            f"({value} !~ '[^A-Za-z0-9._+-]' AND length({value}) BETWEEN 1 AND {LONGEST_NAME} "
            f"AND left({value}, 1) <> '.' AND right({value}, 1) <> '.' AND lower(left({value}, 3)) NOT IN ({reserved}))"
        )


class _Valued(Form):
    """A value that is no text in the end.

    Parameters
    ----------
    nulls : tuple of str, optional
        Words that mean "no value", see `is_wildcard`.
    unit : str, optional
        In which a quantity is given.
    """

    def __init__(self, nulls: tuple[str, ...] | None = None, unit: str | None = None) -> None:
        self._nulls = nulls
        self._unit = unit
        self._numbers = frozenset(each for each in map(_number_in, nulls or ()) if not isinstance(each, str))

    def is_null(self, raw: Any) -> bool:
        return is_wildcard(raw, self._nulls) or (bool(self._numbers) and self._is_null_number(raw))

    def _is_null_number(self, raw: Any) -> bool:
        number = _number_in(raw)
        return not isinstance(number, bool) and isinstance(number, Real) and number in self._numbers

    def _not_null(self, value: str) -> str:
        """SQL that is true of what is none of the numbers that mean "no value"; empty where there are none."""
        found = sorted(each for each in self._numbers if each == each)
        written = [repr(each) if math.isfinite(each) else f"'{each}'::float8" for each in found]
        return f" AND {value} NOT IN ({', '.join(written)})" if written else ""

    def _said(self, value: Any) -> Any:
        value = plain(value)
        if is_quantity(value):
            return in_unit(value, self._unit)
        if isinstance(value, str):
            value = value.strip()
        return None if is_wildcard(value, self._nulls) else value


class _Number(_Valued):
    """A number; infinities are some."""

    types, cast = (*_DOUBLES, *_INTEGERS), "::float8"
    not_one = "not a number"

    def to_convert(self, raw: Any) -> Any:
        return _number_in(raw)

    def of(self, value: Any) -> float | None:
        if type(value) is not float:
            value = self._said(value)
            if value is None:
                return None
            if isinstance(value, bool):
                raise ValueError(self.not_one)
            try:
                if isinstance(value, str) and not _is_of_digits(value):
                    raise ValueError
                value = float(value)
            except (ValueError, TypeError) as error:
                raise ValueError(self.not_one) from error
        return value if value == value and value not in self._numbers else None

    def in_form(self, value: str) -> str:
        return f"({value} <> 'NaN'{self._not_null(value)})"


class _Mjd(_Number):
    """A time of an observation as a Modified Julian Date, in days UTC, see `times.is_observed`."""

    not_one = "neither a Modified Julian Date, a number of days, nor an astropy Time"

    def of(self, value: Any) -> float | None:
        mjd = super().of(utc_of(value) if is_time(value) and not is_missing(value) else value)
        if mjd is not None and not FIRST_MJD <= mjd < END_MJD:
            raise ValueError(NO_TIME)
        return mjd

    def in_form(self, value: str) -> str:
        return f"({value} >= {FIRST_MJD} AND {value} < {END_MJD}{self._not_null(value)})"


class _WholeNumber(_Valued):
    """A whole number of 64 bits."""

    types = _INTEGERS

    def to_convert(self, raw: Any) -> Any:
        return _number_in(raw)

    def of(self, value: Any) -> int | None:
        value = value if type(value) is int else self._said(value)
        number = None if value is None or value in self._numbers else _whole(value)
        if number in self._numbers:  # of a text
            return None
        if number is not None and not -(1 << 63) <= number < 1 << 63:
            raise ValueError("not a number of 64 bits")
        return number

    def in_form(self, value: str) -> str:
        return f"({super().in_form(value)}{self._not_null(value)})"


class _FileSize(_WholeNumber):
    """A file's size in bytes, which some file system can hold."""

    def of(self, value: Any) -> int | None:
        size = super().of(value)
        if size is not None and not 0 <= size <= LARGEST_FILE:
            raise ValueError(f"no size of a file, from 0 to {LARGEST_FILE} bytes")
        return size

    def in_form(self, value: str) -> str:
        return f"({value} BETWEEN 0 AND {LARGEST_FILE})"


class _Truth(_Valued):
    """True or false."""

    types = ("boolean",)

    def of(self, value: Any) -> bool | None:
        value = value if type(value) is bool else self._said(value)
        if value is None or value is True or value is False:
            return value
        if self._numbers and self._is_null_number(value):
            return None
        word = str(value).lower()
        if word in {"true", "t", "1", "1.0", "yes"}:
            return True
        if word in {"false", "f", "0", "0.0", "no"}:
            return False
        raise ValueError("neither true nor false")


#: Forms of text by how its letter case is folded.
_TEXTS = {False: _Text, True: _FoldedText, "upper": _CapitalText}

ANY = Form()
ID, STAMP, VERSION, CHECKSUM = _Id(), _Stamp(), _Version(), _Checksum()
FILENAME, FILE_SIZE = _Filename(), _FileSize()
TIME, TIME_BOUND = _Time(), _TimeBound()


def by_type(column: Column[Any]) -> Form:
    """Give the form of a column by its type, with its own words that mean "no value" and its unit."""
    nulls, unit = column.info.get("nulls"), column.info.get("unit")
    if isinstance(column.type, String):
        kind = _TEXTS[column.info.get("fold", False)]
        return kind() if nulls is None else kind(nulls)
    if is_mjd(column):
        return _Mjd(nulls, unit)
    valued: dict[type, type[_Valued]] = {Boolean: _Truth, Integer: _WholeNumber, Float: _Number, Numeric: _Number}
    return next((form(nulls, unit) for type_, form in valued.items() if isinstance(column.type, type_)), ANY)


def is_mjd(column: Column[Any]) -> bool:
    """Whether a column holds times in days UTC: one of numbers, named ``mjd`` or ``mjd_...``."""
    return isinstance(column.type, Float) and (column.key == "mjd" or column.key.startswith("mjd_"))


def _is_of_digits(text: str) -> bool:
    """Whether text may be a number as headers and databases write one, unlike ``1_000`` and other scripts' digits."""
    return text.isascii() and "_" not in text


def _whole(value: Any) -> int:
    try:
        if isinstance(value, str) and not _is_of_digits(value):
            raise ValueError
        if isinstance(value, str) and "." in value:
            value = float(value)
        if isinstance(value, Decimal) and not abs(value) < 1 << 64:  # of 1e999999, int() would write out all digits
            raise ValueError
        number = int(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError("not a whole number") from error
    if not isinstance(value, str) and value != number:
        raise ValueError("not a whole number")
    return number


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("not valid text") from error


def _one_of(text: str, words: Collection[str]) -> str:
    return f"{text} IN ({', '.join(repr(word) for word in dict.fromkeys(words))})"
