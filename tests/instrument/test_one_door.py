"""The same values through every door: headers, mappings, records, bundles, queries, and a PostgreSQL archive."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from koa_middleware import CalibrationStore, HeaderError
from koa_middleware.cache.bundle_file import Entry, write_bundle
from koa_middleware.cache.bundle_head import Head
from koa_middleware.disk.checksums import digest_of
from koa_middleware.instrument.orm import ORMCalibration
from koa_middleware.instrument.values import form_of, normal_form
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise
from sqlalchemy import Engine, text

from tests.conftest import DemoCalibration

COLUMNS = DemoCalibration.table().c
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

NOTHING = [None, math.nan, "", "   ", b"", np.float64("nan"), Decimal("nan")]
WRONG = [[1], {"a": 1}, (), np.array([1, 2]), b"\xff"]
NUMBERS = [0, 1, 4.0, 2.5, -1, 1000, 10**30, "4", " 4 ", "4.5", "N/A", Decimal("4"), Decimal("2.5"), np.int16(4), True]
NAMES = [
    "BSPEC",
    "bspec ",
    "  BSPEC",
    "ThAr",
    "École",
    "ÉCOLE",
    "STRASSE",
    "İ",
    "a\u00a0",
    "N/A",
    b"ThAr",
    np.str_("ThAr"),
]
MOMENTS = [
    "2026-01-02T03:04:05.678",
    "2026-01-04T03:04:05.678",
    "2026-01-02T03:04:05.6789",
    "2026-01-02 03:04:05",
    "2026-01-02T03:04:05+02:00",
    "20260102T030405Z",
    "2016-12-31T23:59:60.250",
    "2024-02-29T00:00:00.000",
    "2026-02-29T00:00:00.000",
    "2026-13-01T00:00:00.000",
    "0000-01-01T00:00:00.000",
    "2026-01-02",
    "yesterday",
    datetime(2026, 1, 2, 3, 4, 5, 678_500),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
]

#: What to try in each column, beside what says nothing and what is of a wrong type.
SAMPLES: dict[str, list[Any]] = {
    "quality": ["GOOD", "good", " Bad ", "unknown", "N/A", "n/a", "EXCELLENT", "none", 1, True],
    "cal_version": [
        "001",
        "1",
        "02",
        " 7 ",
        "v1",
        "0",
        "000",
        "1000",
        "1.0",
        "\u0661",
        1,
        1.0,
        1.5,
        0,
        1000,
        True,
        Decimal(2),
    ],
    "checksum": [
        f"sha256:{SHA256}",
        f" SHA256:{SHA256.upper()}",
        SHA256,
        SHA256[:32],
        "md5:1",
        "sha1:12",
        "sha256:",
        7,
    ],
    "datetime_obs": MOMENTS,
    "mjd_start": [
        60000.5,
        60000,
        "60000.5",
        " 6e4 ",
        "nan",
        "inf",
        math.inf,
        "5 min",
        1e300,
        "N/A",
        Decimal("60000.5"),
    ],
    "cal_type": ["dark", "DARK", "Dark  "],
    "spectrograph": [*NAMES, 12, 1.0, Decimal("1.50"), True, MOMENTS[-2]],
    "lamp": [*NAMES, 12],
    "amplifiers": NUMBERS,
    "exposure_time": NUMBERS,
    "cooled": [True, False, "T", "false", " no ", "perhaps", "N/A", 1, 0.0, 2, Decimal(1), np.bool_(True)],
}
#: The day of most of `MOMENTS`, so that both times of a row agree.
MJD = 61042.0

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


class Case(NamedTuple):
    """A value of a column."""

    column: str
    value: Any

    @property
    def values(self) -> dict[str, Any]:
        """Column values of a dark that has it."""
        return {"filename": "a.fits", "cal_type": "dark", "mjd_start": MJD, self.column: self.value}


CASES = [Case(name, value) for name, samples in SAMPLES.items() for value in [*samples, *NOTHING, *WRONG]]
FREE = st.sampled_from([name for name in SAMPLES if name != "cal_type"])
ANY_CASE = st.sampled_from(CASES) | st.builds(Case, FREE, TEXTS)

#: Columns that differ without a difference.
OF_THE_DOOR = {"id", "filename", "last_updated", "origin"}


def outcome(door: Callable[[], dict[str, Any]]) -> dict[str, Any] | str:
    """Give the row that a door lets through, or the column that it refuses."""
    try:
        return compared(door())
    except HeaderError as error:
        return error.column


def compared(row: Any) -> dict[str, Any]:
    return {name: (type(row[name]), row[name]) for name in row if name not in OF_THE_DOOR}


def refused_column(message: str) -> str:
    """Give the column that a refusal names."""
    (named,) = re.findall(r"^(?:The|There is no) (\w+)", message)
    return named


def expected(case: Case) -> dict[str, Any] | str:
    """Give what a mapping gives, which the other doors are compared with."""
    return outcome(lambda: DemoCalibration.complete_row(case.values, "a.fits"))


def by_header(case: Case) -> dict[str, Any]:
    keywords = {name: COLUMNS[name].info.get("keywords", ()) for name in case.values}
    is_keyed = {name: keywords[name] and not isinstance(case.values[name], dict) for name in case.values}
    header = {keywords[name][0]: value for name, value in case.values.items() if is_keyed[name]}
    unkeyed = {name: value for name, value in case.values.items() if not is_keyed[name]}
    return DemoCalibration.complete_row({**DemoCalibration.values_from_header(header), **unkeyed}, "a.fits")


def by_record(case: Case) -> dict[str, Any]:
    return DemoCalibration.complete_row(DemoCalibration(**case.values).to_dict(), "a.fits")


@given(case=ANY_CASE)
def test_a_header_a_mapping_and_a_record_give_the_same_row_or_the_same_refusal(case: Case) -> None:
    assert outcome(lambda: by_header(case)) == expected(case)
    assert outcome(lambda: by_record(case)) == expected(case)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("quality", " Bad ", "BAD"),
        ("quality", "N/A", "UNKNOWN"),
        ("quality", math.nan, "UNKNOWN"),
        ("cal_version", "2", "002"),
        ("cal_version", 1.0, "001"),
        ("cal_version", None, "001"),
        ("checksum", f"SHA256:{SHA256.upper()}", f"sha256:{SHA256}"),
        ("checksum", SHA256[:32], f"md5:{SHA256[:32]}"),
        ("spectrograph", b"BSPEC ", "BSPEC"),
        ("spectrograph", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000"),
        ("datetime_obs", np.datetime64("2026-01-02T03:04:05.678", "ns"), "2026-01-02T03:04:05.678"),
        ("datetime_obs", np.datetime64("NaT", "ms"), "2026-01-02T00:00:00.000"),
        ("amplifiers", Decimal("4.0"), 4),
    ],
)
def test_values_are_brought_into_form(column: str, value: Any, expected: Any) -> None:
    assert DemoCalibration.complete_row(Case(column, value).values, "a.fits")[column] == expected


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("column", [*SAMPLES, "last_updated"])
def test_what_is_not_one_value_is_refused_in_every_column(column: str, value: Any) -> None:
    with pytest.raises(HeaderError, match=f"The {column} of a.fits is ") as caught:
        normal_form(COLUMNS[column], value, "a.fits")
    assert caught.value.column == column


# -- in bulk -----------------------------------------------------------------------------------------------------------

MANY = settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
LISTS = st.lists(ANY_CASE, min_size=20, max_size=40)


def numbered(cases: list[Case]) -> Iterator[tuple[str, Case, dict[str, Any] | str]]:
    for number, case in enumerate(cases):
        yield f"{number}.fits", case, expected(case)


@MANY
@given(cases=LISTS)
@example(cases=CASES)
def test_a_query_by_any_form_of_a_value_finds_its_row_or_refuses_it(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Case]
) -> None:
    with CalibrationStore(DemoCalibration, tmp_path_factory.mktemp("cache")) as store:
        rows = [(name, case, found) for name, case, found in numbered(cases) if not isinstance(found, str)]
        store.local_db.add([DemoCalibration(**{**case.values, "filename": name}) for name, case, _ in rows])
        for name, case, row in numbered(cases):
            if isinstance(case.value, list | tuple | np.ndarray):  # which asks for any of several values
                continue
            form = normal_form_of(case)
            if form is HeaderError:
                with pytest.raises(HeaderError) as caught:
                    store.query(**{case.column: case.value})
                assert caught.value.column == case.column
                assert row == case.column or case.column == "datetime_obs"  # in whose place the mjd_start counts
            elif form is not None and not isinstance(row, str) and len(str(form)) != len("2026-01-02"):
                (found,) = store.query(filename=name, **{case.column: case.value})
                assert compared(found.to_dict()) == row


def normal_form_of(case: Case) -> Any:
    try:
        return normal_form(COLUMNS[case.column], case.value, "a.fits")
    except HeaderError:
        return HeaderError


def test_a_bundle_gives_the_same_rows_and_refusals(tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(b"abc")
    tried = [one for one in numbered(CASES) if one[1].column != "checksum" and is_json(one[1].value)]
    entries = [
        (Entry({**case.values, "filename": name, "id": name}, digest_of(tmp_path / "content"), 3), tmp_path / "content")
        for name, case, _ in tried
    ]
    write_bundle(tmp_path / "bundle.tar", Head("demo"), entries, overwrite=False)
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        report = store.import_bundle(tmp_path / "bundle.tar")
        rows = {found.filename: compared(found.to_dict()) for found in store.query()}
    refused = {name: refused_column(message) for name, message in report.failed.items()}
    assert rows | refused == {name: found for name, _, found in tried}


def is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return not isinstance(value, tuple)


#: Types of a remote table's columns, and the values that it can hold in them.
REMOTE_TYPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "float8": lambda value: isinstance(value, float),
    "numeric": lambda value: isinstance(value, Decimal),
    "bigint": lambda value: type(value) is int and abs(value) < 1 << 63,
    "boolean": lambda value: type(value) is bool,
    "timestamp": lambda value: isinstance(value, datetime) and value.tzinfo is None,
    "timestamptz": lambda value: isinstance(value, datetime) and value.tzinfo is not None,
}


#: The types that `koa-cal remote init` gives, in which rows in form pass no Python.
DECLARED = {str: "text", float: "float8", int: "bigint", bool: "boolean"}


def declared(column: str) -> str:
    return DECLARED[COLUMNS[column].type.python_type]


def test_an_archive_of_the_declared_types_gives_the_same_rows_and_keeps_the_refused_apart(
    tmp_path: Path, fresh_database: str
) -> None:
    fits = [case for case in CASES if DECLARED.get(type(case.value)) in {declared(case.column), None}]
    tried = [case for case in fits if case.value is None or (type(case.value) in DECLARED and case.value != 10**30)]
    assert synced(fresh_database, tmp_path, "declared", tried) == {name: found for name, _, found in numbered(tried)}


@pytest.mark.parametrize("remote_type", REMOTE_TYPES)
def test_an_archive_of_whatever_types_gives_the_same_rows_and_keeps_the_refused_apart(
    tmp_path: Path, fresh_database: str, remote_type: str
) -> None:
    cases = [case for case in CASES if case.value is None or REMOTE_TYPES[remote_type](case.value)]
    unfit = set() if remote_type == "text" else {"cal_type"}  # what each row needs, and not every type can hold
    unfit |= set() if remote_type in {"text", "float8", "numeric", "bigint"} else {"mjd_start"}
    tried = [case for case in cases if case.value is None or case.column not in unfit]
    assert len(tried) > 10
    assert synced(fresh_database, tmp_path, remote_type, tried) == {name: found for name, _, found in numbered(tried)}


@pytest.mark.parametrize(
    ("remote_type", "values"),
    [
        ("bytea", {r"'BSPEC '": "BSPEC", r"'\xc3a9'": "é", r"'\xff'": None}),
        ("text[]", {"'{BSPEC}'": None, "'{a,b}'": None}),
        ("float8[]", {"'{1,2}'": None}),
        ("json", {"""'"BSPEC "'""": "BSPEC", "'[1, 2]'": None, """'{"a": 1}'""": None}),
        ("jsonb", {"""'"BSPEC "'""": "BSPEC", "'7'": "7", "'[1, 2]'": None, """'{"a": 1}'""": None}),
    ],
)
@pytest.mark.parametrize("column", ["spectrograph", "lamp"])
def test_bytes_and_collections_of_an_archive_are_no_text_until_python_has_read_them(
    tmp_path: Path, fresh_database: str, column: str, remote_type: str, values: dict[str, str | None]
) -> None:
    owner, table = postgresql_engine(fresh_database), DemoCalibration.table().name
    fill(owner, "declared", [(f"{number}.fits", Case(column, None)) for number in range(len(values))])
    with owner.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP {column}, ADD {column} {remote_type}")
        for number, value in enumerate(values):
            connection.exec_driver_sql(f"UPDATE {table} SET {column} = {value} WHERE id = '{number}.fits'")
    owner.dispose()
    with CalibrationStore(DemoCalibration, tmp_path, remote_database_url=fresh_database) as store:
        conflicts = store.sync_from_remote().conflicts
        found = {record.filename: record[column] for record in store.query()}
    assert {each.filename: refused_column(each.reason) for each in conflicts} == {
        f"{number}.fits": column for number, expected in enumerate(values.values()) if expected is None
    }
    assert found == {
        f"{number}.fits": expected.lower() if column == "lamp" else expected
        for number, expected in enumerate(values.values())
        if expected is not None
    }


@MANY
@given(cases=st.lists(st.builds(Case, FREE.filter(lambda name: declared(name) == "text"), TEXTS), min_size=20))
def test_an_archive_of_any_text_gives_the_same_rows_and_keeps_the_refused_apart(
    tmp_path_factory: pytest.TempPathFactory, fresh_database: str, cases: list[Case]
) -> None:
    found = synced(fresh_database, tmp_path_factory.mktemp("client"), "declared", cases)
    assert found == {name: found for name, _, found in numbered(cases)}


def synced(url: str, folder: Path, remote_type: str, cases: list[Case]) -> dict[str, dict[str, Any] | str]:
    """Give what a client has of an archive whose columns are of a type: rows, and the columns that are refused."""
    owner = postgresql_engine(url)
    fill(owner, remote_type, [(name, case) for name, case, _ in numbered(cases)])
    owner.dispose()
    with CalibrationStore(DemoCalibration, folder, remote_database_url=url) as store:
        conflicts = store.sync_from_remote().conflicts
        rows = {found.filename: compared(found.to_dict()) for found in store.query(origin="REMOTE")}
    return rows | {apart.filename: refused_column(apart.reason) for apart in conflicts}


def fill(owner: Engine, remote_type: str, cases: list[tuple[str, Case]]) -> None:
    """Make the archive's table with columns of a type, fill it, and set it up."""
    table = DemoCalibration.table().name
    tried = {case.column for _, case in cases if case.value is not None}
    types = {name: declared(name) for name in SAMPLES}
    if remote_type != "declared":
        types |= dict.fromkeys(tried, remote_type)
    with owner.begin() as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS {table}, {table}_feed, {table}_feed_lock"))
        columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
        connection.execute(text(f"CREATE TABLE {table} (id text PRIMARY KEY, filename text, {columns})"))
        for name, case in cases:
            values = {**case.values, "id": name, "filename": name}
            marks = ", ".join(f":{key}" for key in values)
            connection.execute(text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"), values)
    initialise(owner, DemoCalibration)


# -- the SQL beside the Python -----------------------------------------------------------------------------------------

NEARLY = (
    TEXTS
    | st.sampled_from([case.value for case in CASES if isinstance(case.value, str)])
    | st.from_regex(r"[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{3}", fullmatch=True)
    | st.from_regex(r"(sha256|md5|SHA256)?:?[0-9a-fA-G]{1,4}\n?", fullmatch=True)
    | st.from_regex(r"[0-9]{2,4}\n?", fullmatch=True)
    | st.from_regex(r"\.?(con|NUL|lpt1|a)[./\\ a-z\x7f\n]{0,3}", fullmatch=True)
    | st.text("aZÉéß ŉ\t\n\x1f\x7f~", max_size=4)
)
FORMS = {name: form_of(COLUMNS[name]) for name, column in COLUMNS.items() if column.type.python_type is str}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(NEARLY, min_size=20, max_size=60))
def test_sql_calls_in_form_only_what_python_leaves_as_it_is(postgres_url: str, values: list[str]) -> None:
    for name, found in judged(postgres_url, values).items():
        for value, in_form in zip(values, found, strict=True):
            if in_form:
                row = {"filename": "a.fits", "datetime_obs": "2026-01-02T00:00:00", "cal_type": "dark", name: value}
                kept = ORMCalibration.in_form.__func__(DemoCalibration, row, "a.fits")[name]  # type: ignore[attr-defined]
                assert (name, kept, type(kept)) == (name, value, str)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "8733b8b5-3ca4-42df-9a29-e909bbab2109"),
        ("filename", "HB.20260226.03605.43.mastercal-gain.001.fits"),
        ("quality", "BAD"),
        ("cal_version", "999"),
        ("checksum", f"sha256:{SHA256}"),
        ("datetime_obs", "2025-12-31T23:59:59.999"),
        ("cal_type", "dark"),
        ("lamp", "thar 2"),
        ("spectrograph", "BSPEC"),
        ("last_updated", "2026-01-02T03:04:05.678901"),
    ],
)
def test_sql_knows_the_usual_values_so_that_a_sync_is_fast(postgres_url: str, column: str, value: str) -> None:
    assert judged(postgres_url, [value])[column] == [True]


def judged(url: str, values: list[str]) -> dict[str, list[bool]]:
    """Give what the SQL of each text column says of some values."""
    says = {name: form.in_postgres("value", "text").in_form for name, form in FORMS.items()}
    engine = postgresql_engine(url)
    with engine.connect() as connection:
        selected = ", ".join(says.values())
        sql = f"SELECT {selected} FROM unnest(%s::text[]) WITH ORDINALITY AS one (value, number) ORDER BY number"
        rows = connection.exec_driver_sql(sql, (values,)).all()
    engine.dispose()
    return dict(zip(says, map(list, zip(*rows, strict=True)), strict=True))
