"""What a pipeline's model must be for its calibration to be registered: how it is described and saved."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .exceptions import HeaderError, SourceFileError
from .instrument.door import columns_of
from .instrument.frames import column_values
from .instrument.headers import is_header
from .instrument.orm import ORMCalibration
from .instrument.plain import shown

_HINT = "Pass a path, or a model with save(output_dir=...) and with to_orm() or to_record()."


#: How alike a name is to a column's of which it is a misspelling, and by how many characters it may be longer.
_ALIKE, _LONGER = 0.8, 2


class _OutputFolder(str):
    """A folder as text that ends in a separator, to which a name is added; as to a path, it may be added by ``/``."""

    __slots__ = ()

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        return Path(self) / name


def described_by(model: Any) -> Any:
    """Let a model describe what it will save; gives its own record.

    Raises
    ------
    SourceFileError
        When it has no method for that, or one of its methods takes other arguments.
    """
    names = [name for name in ("to_orm", "to_record") if callable(getattr(model, name, None))]
    if not names:
        raise unusable(model, "has save() but neither to_orm() nor to_record()")
    describe = getattr(model, names[0])
    if not _takes(describe):
        raise unusable(model, f"has a {names[0]}() that asks for arguments")
    if not _takes(model.save, output_dir=""):
        raise unusable(model, "has a save() that does not take output_dir alone")
    return describe()


def values_of(orm_class: type[ORMCalibration], model: Any, described: Any) -> dict[str, Any]:
    """Give the column values that a model's record holds: of a mapping, of its `to_dict()`, else its attributes.

    A mapping, and a FITS header, are read as those of a frame: columns in any letter case, and keywords.

    Raises
    ------
    SourceFileError
        When it holds none.
    HeaderError
        When a name is nearly a column's, or a value cannot be one of its column.
    """
    to_dict = getattr(described, "to_dict", None)
    found = to_dict() if callable(to_dict) and _takes(to_dict) else described
    if isinstance(found, Mapping):
        _check_spelling(orm_class, found, model)
        return dict(column_values(orm_class, found))
    values = {name: getattr(found, name) for name in columns_of(orm_class) if hasattr(found, name)}
    if not values:
        raise unusable(model, f"describes itself by a {type(found).__name__}, which has no column values")
    return values


def tell(orm_class: type[ORMCalibration], described: Any, row: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Write what was settled into the model's own record, from which its save may take it; a frozen one stays.

    A FITS header gets the first keyword of each column.
    """
    for name in names:
        if is_header(described):
            keywords = columns_of(orm_class)[name].info.get("keywords", ())
            described.update({keyword: row[name] for keyword in keywords[:1] if not set(":.") & set(keyword)})
        elif isinstance(described, MutableMapping):
            described[name] = row[name]
        elif not isinstance(described, Mapping):
            with suppress(AttributeError, TypeError, ValueError):
                setattr(described, name, row[name])


def saved_by(model: Any, folder: Path) -> Path:
    """Let a model save into a folder; gives the file's path.

    Raises
    ------
    SourceFileError
        When it does not return one in the folder.
    """
    given = model.save(output_dir=_OutputFolder(f"{folder}{os.sep}"))
    if isinstance(given, str | os.PathLike):
        with suppress(ValueError, OSError):  # of what no system has for a path
            saved = (folder / given).resolve()
            if folder.resolve() in saved.parents and saved.is_file():
                return saved
    found = given if isinstance(given, os.PathLike) else shown(given)
    raise SourceFileError(
        f"{type(model).__name__}.save returned {found}, which is not a file in the folder that it was given.",
        "Let save(output_dir=...) write there and return the path.",
        path=folder,
    )


def unusable(source: Any, fault: str) -> SourceFileError:
    """Give the error for what can be no source of a calibration."""
    return SourceFileError(f"A {type(source).__name__} cannot be registered: it {fault}.", _HINT, path=None)


def _check_spelling(orm_class: type[ORMCalibration], record: Mapping[Any, Any], model: Any) -> None:
    """Check that no name in lower case is nearly that of a column which the record lacks."""
    columns = columns_of(orm_class)
    keywords = {word.upper() for column in columns.values() for word in column.info.get("keywords", ())}
    given = {str(name).lower() for name in record}
    missing = [name for name in columns if name not in given]
    for name in (str(each) for each in record):
        if name in columns or name != name.lower() or name.upper() in keywords:
            continue
        for meant in get_close_matches(name, missing, n=1, cutoff=_ALIKE):
            if abs(len(meant) - len(name)) <= _LONGER:
                source = f"the record of {type(model).__name__}"
                raise HeaderError(
                    f"There is no column {name}, which stands in {source}.",
                    f"Did you mean {meant}?",
                    column=name,
                    keywords=(),
                    source=source,
                )


def _takes(method: Callable[..., Any], **arguments: Any) -> bool:
    """Whether a method can be called with these arguments; one that does not tell can."""
    try:
        inspect.signature(method).bind(**arguments)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
