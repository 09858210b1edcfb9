"""The table of an instrument's calibrations, as an SQLAlchemy class.

An instrument's class is its schema, its name, and the FITS keywords that fill its columns. All values, of
calibrations and of frames, come in through `ORMCalibration.normalise`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

from sqlalchemy import BigInteger, Boolean, Float, MetaData, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, declared_attr, mapped_column, registry

from ..disk.fits import is_fits
from ..disk.names import check_filename
from ..display import html_table, in_reading_order
from ..exceptions import HeaderError, did_you_mean
from .columns import fits_column
from .declaration import check_body, check_table, mapping, settle_indexes
from .door import TIMES, columns_of, complete_times, fill, finished, in_forms, raise_faults
from .headers import headers_of, open_headers
from .hooks import overrides, values_by
from .keywords import date_alone, named_by, said_by
from .values import default_value

_STEM_AND_SUFFIX = re.compile(r"(.+?)(?:\.\d{3})?((?:\.[A-Za-z]\w*)?(?:\.(?:bz2|fz|gz|xz))?)", re.DOTALL)

#: Text that sorts by code point on every database.
TEXT = String().with_variant(String(collation="C"), "postgresql")

#: In a table's `info`: the plugin's columns that no keyword fills, where the class derives.
DERIVED = "derived"

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class ORMCalibration(DeclarativeBase):
    """Base of all instruments' classes.

    A subclass sets `instrument_name` and adds its columns; it gets its own metadata and its own table,
    ``<instrument_name>_calibrations``. An instance is a record: its columns are attributes and keys.

    Attributes
    ----------
    instrument_name : str
        Lower case, ``[a-z][a-z0-9_]*``.
    cal_types : tuple of str
        The types that exist; a file of another one is refused. Empty: any.
    version_family : tuple of str
        Columns that tell version families apart, beyond `cal_type`, `datetime_obs` and `origin`.
    instrume_values : tuple of str
        The values of ``INSTRUME`` that mean this instrument; letter case, hyphens and blanks don't count. Empty: its
        name.
    filename_pattern : str
        A regular expression of a whole file name. Its groups, named as columns, give what no keyword says.
    selectors : mapping
        The plugin's selectors by cal type; `InstrumentPlugin` sets it.
    needs : mapping
        The types that a frame asks for by its own `cal_type`; `InstrumentPlugin` sets it.
    product_cards : mapping
        By cal type and what is told, the keywords of the pipeline's own cards; `InstrumentPlugin` sets it.
    inputs : tuple of str
        The keywords in a master's headers that name what it was made from; `InstrumentPlugin` sets it.
    is_fallback : bool
        Whether a selector chose this record by its fallback, or by another preference than its first.
    choice : Choice or None
        What this record was chosen for; None when it was not chosen but queried.
    """

    instrument_name: ClassVar[str]
    cal_types: ClassVar[tuple[str, ...]] = ()
    version_family: ClassVar[tuple[str, ...]] = ()
    instrume_values: ClassVar[tuple[str, ...]] = ()
    filename_pattern: ClassVar[str] = ""
    selectors: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    needs: ClassVar[Mapping[str | None, tuple[str, ...]]] = MappingProxyType({})
    product_cards: ClassVar[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType({})
    inputs: ClassVar[tuple[str, ...]] = ()
    is_fallback: bool = False
    _choice: Any = None

    __allow_unmapped__ = True

    id: Mapped[str] = fits_column("CALID", TEXT, primary_key=True, default=lambda: str(uuid.uuid4()), sort_order=-100)
    filename: Mapped[str] = mapped_column(TEXT, unique=True, sort_order=-99)
    cal_type: Mapped[str] = fits_column("CALTYPE", TEXT, fold=True, sort_order=-98)
    datetime_obs: Mapped[str] = fits_column(("DATEOBS", "DATE-OBS"), TEXT, sort_order=-97)
    mjd_start: Mapped[float] = fits_column(("EXPMJDST", "MJD-OBS"), Float, info={"unit": "d"}, sort_order=-96)
    origin: Mapped[str] = fits_column("ORIGIN", TEXT, default="LOCAL", sort_order=-95)
    cal_version: Mapped[str] = fits_column("CALVER", TEXT, default="001", sort_order=-94)
    quality: Mapped[str] = fits_column("DATAQUAL", TEXT, default="UNKNOWN", sort_order=-93)
    master_cal: Mapped[bool] = fits_column("MASTCAL", Boolean, default=False, sort_order=-92)
    checksum: Mapped[str | None] = mapped_column(TEXT, default=None, sort_order=-91)
    file_size: Mapped[int | None] = mapped_column(BigInteger, default=None, info={"unit": "byte"}, sort_order=-90)
    last_updated: Mapped[str | None] = mapped_column(TEXT, default=None, sort_order=-89)

    @declared_attr.directive
    def __tablename__(cls) -> str:  # noqa: N805
        return f"{cls.instrument_name}_calibrations"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.__dict__.get("__abstract__"):
            super().__init_subclass__(**kwargs)
            return
        check_body(cls, ORMCalibration)
        # A registry for each class, so that each database file holds one instrument's tables and two classes
        # of one name don't meet. SQLAlchemy reads it from this name when it maps a subclass.
        cls.metadata = MetaData(naming_convention=_NAMES)
        cls._sa_registry = registry(metadata=cls.metadata)
        with mapping(cls):
            super().__init_subclass__(**kwargs)
        settle_indexes(cls.table(), ("cal_type", "mjd_start"), ("datetime_obs", "id"))
        check_table(cls, ORMCalibration)
        own = (column for column in cls.table().c if column.key not in COMMON_COLUMNS)
        unfilled = tuple(column.key for column in own if not column.info.get("keywords"))
        cls.table().info[DERIVED] = unfilled if overrides(cls, "derive") else ()

    def __init__(self, **values: Any) -> None:
        check_names(type(self), values, type(self).__name__)
        for name, value in self.with_defaults(self.normalise(values)).items():
            setattr(self, name, value)

    @classmethod
    def table(cls) -> Table:
        """Give the table of this class."""
        return cast(Table, cls.__table__)

    @classmethod
    def column_names(cls) -> tuple[str, ...]:
        """Give the names of all columns, common ones first."""
        return tuple(columns_of(cls))

    @classmethod
    def with_defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """All columns, in order: the given values, else the column's default, else None."""
        return {
            name: default_value(column) if values.get(name) is None else values[name]
            for name, column in columns_of(cls).items()
        }

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give columns that follow from others, such as a detector from arm and time; nothing, unless overridden.

        It is asked at the end of the one door, for calibrations and for frames. What is given is not overwritten, so
        that it may be returned as it is.

        Parameters
        ----------
        values : dict
            What is known, in normal form, by column; nulls are left out.
        """
        return values

    @classmethod
    def normalise(cls, values: Mapping[str, Any], source: str = "the input") -> dict[str, Any]:
        """Bring column values into the one form that is stored and compared, and derive what follows from them.

        Text loses the blanks around it, and its letter case where the column folds it. Numbers and booleans written
        as text become numbers and booleans. Times become UTC, ``YYYY-MM-DDTHH:MM:SS.sss``; of `datetime_obs` and
        `mjd_start`, one gives the other. Other keys than column names are left out.

        Raises
        ------
        HeaderError
            When a value cannot be one of its column, or the two times are more than a day apart.
        """
        return finished(cls, in_forms(cls, values, source), source)

    @classmethod
    def in_form(cls, values: Mapping[str, Any], source: str, *, derive: bool = True) -> dict[str, Any]:
        """All columns of a row, in form: normal forms, defaults, nothing needed missing, and a safe file name.

        Without `derive` nothing is derived.

        Raises
        ------
        HeaderError
            Names the first column that has no value, its keywords and the source; or an unusable value.
        UnsafeFilenameError
            When the file name is not a plain one.
        """
        row = cls.with_defaults(finished(cls, in_forms(cls, values, source), source, derive))
        for name, column in columns_of(cls).items():
            if row[name] is None and not column.nullable:
                keywords = column.info.get("keywords", ())
                said = " or ".join(keywords)
                raise HeaderError(
                    f"There is no {column.key}{f' (keyword {said})' if said else ''} in {source}"
                    f"{date_alone(column, row)}.",
                    "Write it into the header, or name the file as the instrument's pipeline does.",
                    column=column.key,
                    keywords=keywords,
                    source=source,
                )
        check_filename(row["filename"])
        return row

    @classmethod
    def complete_row(cls, values: Mapping[str, Any], source: str) -> dict[str, Any]:
        """All columns of a row that may be stored: in form, and of a type that the class has.

        Rows of a remote are only asked to be in form, so that an older plugin follows an archive with newer types.

        Raises
        ------
        HeaderError, UnsafeFilenameError
            See `in_form`; also for an unknown `cal_type`.
        """
        row = cls.in_form(values, source)
        if cls.cal_types and row["cal_type"] not in cls.cal_types:
            keywords = cls.table().c.cal_type.info.get("keywords", ())
            raise HeaderError(
                f"The type of {source} is {row['cal_type']!r} (keyword {' or '.join(keywords) or 'none'}), which "
                f"{cls.instrument_name} does not have.",
                f"Its types are {', '.join(cls.cal_types)}.",
                column="cal_type",
                keywords=keywords,
                source=source,
            )
        return row

    @classmethod
    def values_from_header(cls, header: Any, filename: str | None = None) -> dict[str, Any]:
        """Column values that a FITS header holds; columns it says nothing of are left out.

        What overrides it calls it first, and gives `normalise` what it has in the end.

        Parameters
        ----------
        header : astropy.io.fits.Header, HDUList or mapping
            A mapping's keys are ``"KEY"`` and, for extensions, ``"EXTNAME:KEY"``; or extensions' names, its values
            being headers.
        filename : str, optional
            The file's name, which becomes the column of that name.

        Raises
        ------
        HeaderError
            When the header is another instrument's, or a keyword's value cannot be one of its column.
        """
        source = filename or "the header"
        said = said_by(cls, headers_of(header), source)
        complete_times(said.values, source, said.keywords)
        if filename is not None:
            said.values["filename"] = filename
            fill(said.values, named_by(cls, filename), cls, source)
        if overrides(cls, "values_from_header"):  # whose own values count too, before anything follows from them
            raise_faults(said, but=TIMES)
            said.values.faults = said.faults
            return said.values
        return finished(cls, said, source)

    @classmethod
    def values_from_file(cls, path: Path) -> dict[str, Any]:
        """Column values of a file: from its headers when it is FITS, else from its name alone.

        Raises
        ------
        SourceFileError
            When the file cannot be read.
        HeaderError
            When a value cannot be one of its column.
        """
        path = Path(path)
        if not is_fits(path):
            return cast("dict[str, Any]", values_by(cls, "values_from_header", path.name, {}, path.name))
        with open_headers(path) as cards:
            return cast("dict[str, Any]", values_by(cls, "values_from_header", path.name, cards, path.name))

    @classmethod
    def filename_for(cls, record: Self) -> str:
        """File name of a record's version: ``.NNN`` before the suffix, in place of one that stands there."""
        name = PurePath(record.filename).name
        stem, suffix = _STEM_AND_SUFFIX.fullmatch(name).groups()  # type: ignore[union-attr]
        return f"{stem}.{record.cal_version}{suffix}"

    @property
    def choice(self) -> Any:
        """What this record was chosen for, or is a candidate for by a step, see `Choice`; None when it was queried."""
        return self._choice

    def __getitem__(self, name: str) -> Any:
        if name not in self.column_names():
            raise KeyError(name)
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.column_names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.column_names())

    def get(self, name: str, default: Any = None) -> Any:
        """Give the value of a column, or `default` where there is no such column."""
        return self[name] if name in self.column_names() else default

    def keys(self) -> tuple[str, ...]:
        """Give the names of the columns."""
        return self.column_names()

    def to_dict(self) -> dict[str, Any]:
        """All columns and their values."""
        return {name: getattr(self, name) for name in self.column_names()}

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.column_names())

    def _repr_html_(self) -> str:
        columns = columns_of(type(self))
        known = [name for name in in_reading_order(self.column_names()) if self[name] is not None]
        rows = [(name, f"{self[name]} {columns[name].info.get('unit', '')}".rstrip()) for name in known]
        return html_table(("column", "value"), rows, title=f"{self.instrument_name} {self.cal_type}")

    def __eq__(self, other: object) -> bool:
        """Whether it is a record of the same class with the same values in all columns."""
        return self is other or (isinstance(other, type(self)) and self.to_dict() == other.to_dict())

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name in ("filename", "cal_type", "datetime_obs", "cal_version", "quality", "origin", "id")
        )
        return f"{type(self).__name__}({shown})"


#: The columns that all instruments have, in order.
COMMON_COLUMNS = tuple(name for name, value in vars(ORMCalibration).items() if isinstance(value, MappedColumn))


def family_of(orm_class: type[ORMCalibration], row: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns, with their values, that all versions of a calibration have in common."""
    return {name: row[name] for name in ("cal_type", "datetime_obs", "origin", *orm_class.version_family)}


def check_names(orm_class: type[ORMCalibration], names: Iterable[str], source: str) -> None:
    """Check that all names are columns.

    Raises
    ------
    HeaderError
        Names those that are not.
    """
    unknown = sorted(set(names) - set(orm_class.column_names()))
    if unknown:
        raise HeaderError(
            f"{orm_class.instrument_name} has no column {', '.join(unknown)}.",
            f"{did_you_mean(unknown[0], orm_class.column_names())}Its columns are "
            f"{', '.join(orm_class.column_names())}.",
            column=unknown[0],
            keywords=(),
            source=source,
        )
