"""Databases of other versions: each kind of change, copies that stay, two versions in turn, a newer core."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import ConfigurationError, ORMCalibration, SchemaMismatchError
from koa_middleware.database.backup import copies_of
from koa_middleware.database.local import LocalDatabase
from koa_middleware.exceptions import SchemaWarning
from koa_middleware.instrument.times import now_iso

from tests.conftest import output_of, run_processes
from tests.history_oracle import as_of
from tests.plugin_versions import ARM, FOLDED, Plugins, plugins_in


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    with plugins_in(tmp_path / "plugins", monkeypatch) as plugins:
        yield plugins


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demo.db"


def asked(path: Path, sql: str, *parameters: Any) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def fill(path: Path, orm_class: type[ORMCalibration], *values: dict[str, Any]) -> None:
    database: Any = LocalDatabase(orm_class, path)
    records = [
        orm_class(**{"filename": f"{n}.fits", "cal_type": "dark", "mjd_start": 60000.0 + n, **each})
        for n, each in enumerate(values)
    ]
    database.add(records)
    database.close()


def opened(path: Path, orm_class: type[ORMCalibration]) -> list[dict[str, Any]]:
    """Open a database with a class; its records' values."""
    database: Any = LocalDatabase(orm_class, path)
    records = [record.to_dict() for record in database.query()]
    database.close()
    return records


def schema(path: Path) -> list[Any]:
    return sorted(asked(path, "SELECT type, name, sql FROM sqlite_master"), key=str)


# -- one change each ---------------------------------------------------------------------------------------------------


CHANGES: dict[str, tuple[str, str, str, list[Any], list[Any]]] = {
    "added": (ARM, ARM + '\nlamp: Mapped[str] = fits_column("LAMP", String, default="off")', "lamp", ["a"], ["off"]),
    "renamed": (ARM, 'chip: Mapped[str | None] = fits_column("ARM", String, renamed_from=("arm",))', "chip",
                ["blue", None], ["blue", None]),
    "renamed twice": (ARM, 'ccd: Mapped[str | None] = fits_column("ARM", String, renamed_from=("chip", "arm"))', "ccd",
                      ["blue"], ["blue"]),
    "text to a whole number": (ARM, 'arm: Mapped[int | None] = fits_column("ARM", Integer)', "arm",
                               ["7", None, "12"], [7, None, 12]),
    "text to a number": (ARM, 'arm: Mapped[float | None] = fits_column("ARM", Float)', "arm",
                         ["7.5", "1e3"], [7.5, 1000.0]),
    "text to truth": (ARM, 'arm: Mapped[bool | None] = fits_column("ARM", Boolean)', "arm",
                      ["T", "false"], [True, False]),
    "a number to text": ('arm: Mapped[int | None] = fits_column("ARM", Integer)', ARM, "arm", [7, None], ["7", None]),
    "folded": (ARM, FOLDED, "arm",
               ["Blue", "RED", None], ["blue", "red", None]),
    "a null word more": (ARM, 'arm: Mapped[str | None] = fits_column("ARM", String, nulls=("dark",))', "arm",
                         ["DARK", "red"], [None, "red"]),
    "a value needed": (ARM, 'arm: Mapped[str] = fits_column("ARM", String, default="none")', "arm",
                       ["red", None], ["red", "none"]),
    "no value needed any more": ('arm: Mapped[str] = fits_column("ARM", String)', ARM, "arm", ["red"], ["red"]),
    "unique": (ARM, 'arm: Mapped[str | None] = fits_column("ARM", String, unique=True)', "arm",
               ["red", "blue", None, None], ["red", "blue", None, None]),
    "not unique any more": ('arm: Mapped[str | None] = fits_column("ARM", String, unique=True)', ARM, "arm",
                            ["red"], ["red"]),
    "another default": ('arm: Mapped[str] = fits_column("ARM", String, default="a")',
                        'arm: Mapped[str] = fits_column("ARM", String, default="b")', "arm", ["a"], ["a"]),
    "indexed": (ARM, '__table_args__ = (Index(None, "arm", "mjd_start"),)\n' + ARM, "arm", ["x"], ["x"]),
    "derived": (ARM, ARM + """
chip: Mapped[str | None] = mapped_column(String)
@classmethod
def derive(cls, values):
    return {"chip": values["arm"].upper()} if "arm" in values else {}
""", "chip", ["red", None], ["RED", None]),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_a_newer_class_finds_every_row_in_its_form(kind: str, plugin: Plugins, path: Path) -> None:
    before, after, column, given, expected = CHANGES[kind]
    older, newer = plugin("1.0", before), plugin("1.1", after)
    fill(path, older, *({"arm": value} for value in given))
    asked(path, "ALTER TABLE demo_calibrations ADD COLUMN of_a_colleague TEXT DEFAULT 'theirs'")
    asked(path, "CREATE VIEW nights AS SELECT filename FROM demo_calibrations")
    kept = asked(path, "SELECT id, last_updated, of_a_colleague FROM demo_calibrations ORDER BY filename")
    found = opened(path, newer)
    assert [record[column] for record in found] == expected
    assert asked(path, "SELECT id, last_updated, of_a_colleague FROM demo_calibrations ORDER BY filename") == kept
    assert asked(path, "SELECT count(*) FROM nights") == [(len(given),)]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    fresh = path.with_name("fresh.db")
    LocalDatabase(newer, fresh).close()
    indexes = "SELECT name FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql NOTNULL ORDER BY name"
    assert set(asked(fresh, indexes)) <= set(asked(path, indexes))
    content = path.read_bytes()
    assert opened(path, newer) == found
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", CHANGES)
def test_a_former_version_comes_into_the_newer_classs_form_too(kind: str, plugin: Plugins, path: Path) -> None:
    before, after, column, given, expected = CHANGES[kind]
    older, newer = plugin("1.0", before), plugin("1.1", after)
    fill(path, older, *({"arm": value} for value in given))
    moment = now_iso()
    asked(path, "UPDATE demo_calibrations SET quality = 'BAD'")
    asked(path, "ALTER TABLE demo_calibrations ADD COLUMN of_a_colleague TEXT DEFAULT 'theirs'")
    begun = asked(path, "SELECT n FROM demo_calibrations_feed WHERE op = 'begun'")
    with closing(LocalDatabase(newer, path)) as database, closing(as_of(database, moment)) as past:
        assert [record[column] for record in past.query()] == expected
        assert {record.quality for record in past.query()} == {"UNKNOWN"}
    assert asked(path, "SELECT n FROM demo_calibrations_feed WHERE op = 'begun'") == begun
    assert asked(path, "SELECT DISTINCT of_a_colleague FROM demo_calibrations_history") == [("theirs",)]


def test_a_former_value_that_has_no_form_any_more_becomes_null_and_is_told(plugin: Plugins, path: Path) -> None:
    older, newer = plugin("1.0", ARM), plugin("1.1", 'arm: Mapped[int | None] = fits_column("ARM", Integer)')
    fill(path, older, {"arm": "seven"}, {"arm": "8"})
    moment = now_iso()
    asked(path, "UPDATE demo_calibrations SET arm = '7' WHERE arm = 'seven'")
    with pytest.warns(SchemaWarning, match="arm has no value now in 1 row of the history"):
        database: Any = LocalDatabase(newer, path)
    with closing(database), closing(as_of(database, moment)) as past:
        assert [record["arm"] for record in past.query()] == [None, 8]


def test_versions_in_turn_keep_each_others_columns_of_former_versions(plugin: Plugins, path: Path) -> None:
    newer = plugin("1.1", ARM + '\nlamp: Mapped[str | None] = fits_column("LAMP", String)')
    fill(path, newer, {"arm": "red", "lamp": "thar"})
    moment = now_iso()
    older = plugin("1.0", ARM)
    with closing(LocalDatabase(older, path)) as database, database.begin() as connection:
        connection.exec_driver_sql("UPDATE demo_calibrations SET arm = 'blue'")
    content = path.read_bytes()
    with closing(
        LocalDatabase(plugin("1.1", ARM + '\nlamp: Mapped[str | None] = fits_column("LAMP", String)'), path)
    ) as database:
        assert path.read_bytes() == content
        with closing(as_of(database, moment)) as past:
            assert [(each["arm"], each["lamp"]) for each in past.query()] == [("red", "thar")]


def test_an_older_database_begins_its_history_with_what_is_there(plugin: Plugins, path: Path) -> None:
    demo = plugin("1.0", ARM)
    fill(path, demo, {"arm": "red"})
    for event in ("insert", "update", "delete"):  # as an older core left it
        asked(path, f"DROP TRIGGER demo_calibrations_feed_{event}")
    asked(path, "DROP TABLE demo_calibrations_history")
    asked(path, "DELETE FROM demo_calibrations_feed WHERE op = 'begun'")
    before = now_iso()
    with closing(LocalDatabase(demo, path)) as database:
        why = "SELECT why FROM demo_calibrations_feed WHERE op = 'begun'"
        assert asked(path, why) == [("upgraded",)]
        with pytest.raises(ConfigurationError, match=r"history of .* begins at"):
            as_of(database, before)
        moment = now_iso()
        asked(path, "UPDATE demo_calibrations SET arm = 'blue'")
        with closing(as_of(database, moment)) as past:
            assert [each["arm"] for each in past.query()] == ["red"]


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_beyond_additions_leaves_a_copy_of_the_old_database(kind: str, plugin: Plugins, path: Path) -> None:
    before, after, _, given, _ = CHANGES[kind]
    older, newer = plugin("1.0", before), plugin("1.1", after)
    fill(path, older, *({"arm": value} for value in given))
    rows = asked(path, "SELECT * FROM demo_calibrations")
    opened(path, newer)
    copies = copies_of(path)
    assert len(copies) == (0 if kind in {"added", "indexed", "derived"} else 1)
    for copy in copies:
        assert asked(copy, "SELECT * FROM demo_calibrations") == rows


def test_an_index_that_is_dropped_goes_and_one_of_a_colleague_stays(plugin: Plugins, path: Path) -> None:
    older, newer = plugin("1.0", '__table_args__ = (Index("of_arm", "arm"),)\n' + ARM), plugin("1.1", ARM)
    fill(path, older, {"arm": "red"})
    asked(path, "CREATE INDEX of_a_colleague ON demo_calibrations (filename, arm)")
    opened(path, newer)
    names = {name for _, name, _ in schema(path)}
    assert "of_arm" not in names
    assert "of_a_colleague" in names


@pytest.mark.parametrize(
    ("after", "values", "said"),
    [
        ('arm: Mapped[int | None] = fits_column("ARM", Integer)', ["7", "x", "y", "z", "w"], "'x', 'y', 'z'.*Integer"),
        ('arm: Mapped[str | None] = fits_column("ARM", String, unique=True)', ["7", "x", "x"], "'x' in several rows"),
        ('arm: Mapped[str] = fits_column("ARM", String)', ["7", None], r"no value in the rows of 1\.fits"),
        ('arm: Mapped[str | None] = fits_column("ARM", String, fold=True, unique=True)', ["X", "x"], "'x' in several"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_what_a_newer_class_wants_are_named_and_nothing_changes(
    after: str, values: list[Any], said: str, plugin: Plugins, path: Path
) -> None:
    older, newer = plugin("1.0", ARM), plugin("2.0", after)
    fill(path, older, *({"arm": value} for value in values))
    content = path.read_bytes()
    with pytest.raises(SchemaMismatchError, match=f"column arm holds .*{said}|column arm has {said}") as caught:
        LocalDatabase(newer, path)
    assert caught.value.missing == ("arm",)
    assert path.read_bytes() == content
    assert copies_of(path) == []
    assert len(opened(path, older)) == len(values)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (FOLDED, ARM, "column arm keeps letter case.* 2 rows"),
        (ARM, ARM + '\ncal_types = ("flat",)', "column cal_type holds types in 2 rows"),
        ('version_family = ("arm",)\n' + ARM, ARM, "version_family is empty now; 1 versions in cal_version"),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_to_old_rows_is_told_once(
    before: str, after: str, said: str, plugin: Plugins, path: Path
) -> None:
    older, newer = plugin("1.0", before), plugin("2.0", after)
    fill(path, older, {"arm": "a", "mjd_start": 60000.0}, {"arm": "b", "mjd_start": 60000.0})
    with pytest.warns(SchemaWarning, match=said):
        opened(path, newer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(opened(path, newer)) == 2
    ((told,),) = asked(path, "SELECT told FROM koa_versions WHERE version = '2.0'")
    assert said.split()[1] in told


def test_a_column_whose_new_name_was_not_told_is_named_and_comes_back_once_it_is(plugin: Plugins, path: Path) -> None:
    chip = 'chip: Mapped[str | None] = fits_column("ARM", String)'
    fill(path, plugin("1.0", ARM), {"arm": "a"}, {"arm": "b"})
    said = r"no column arm any more, which has a value in 2 rows. Where that is chip now, declare there renamed_from"
    with pytest.warns(SchemaWarning, match=said):
        assert [each["chip"] for each in opened(path, plugin("2.0", chip))] == [None, None]
    fill(path, plugin("2.0", chip), {"filename": "new.fits", "chip": "c"})
    told = plugin("2.1", 'chip: Mapped[str | None] = fits_column("ARM", String, renamed_from=("arm",))')
    assert sorted(each["chip"] for each in opened(path, told)) == ["a", "b", "c"]
    assert asked(path, "SELECT count(*) FROM demo_calibrations_history WHERE chip IN ('a', 'b')") == [(0,)]


# -- versions ----------------------------------------------------------------------------------------------------------


def test_the_last_two_copies_stay(plugin: Plugins, path: Path) -> None:
    fill(path, plugin("1.0", ARM), {"arm": "Red"})
    for version, name in enumerate(("b", "c", "d")):
        former = ", ".join(repr(each) for each in ("arm", "b", "c"))
        opened(
            path,
            plugin(f"2.{version}", f'{name}: Mapped[str | None] = fits_column("A", String, renamed_from=({former},))'),
        )
    copies = copies_of(path)
    assert len(copies) == 2
    assert [asked(copy, "SELECT name FROM koa_versions WHERE version = '2.0'") for copy in copies] == [[("demo",)]] * 2


def test_two_versions_in_turn_come_to_rest_after_their_first_openings(plugin: Plugins, path: Path) -> None:
    older = plugin("1.0", f'{FOLDED}\n__table_args__ = (Index("of_arm", "arm"),)')
    lamp = 'lamp: Mapped[str] = fits_column("LAMP", String, default="x")'
    newer = plugin("1.10", f'{ARM}\n{lamp}\n__table_args__ = (Index("of_arm", "arm", "lamp"),)')
    fill(path, older, {"arm": "Red"})
    with pytest.warns(SchemaWarning):
        opened(path, newer)
    opened(path, older)
    content = path.read_bytes()
    for _ in range(2):
        opened(path, newer)
        opened(path, older)
    assert path.read_bytes() == content
    fill(path, older, {"filename": "of_the_older.fits", "arm": "Blue"})
    assert {(each["arm"], each["lamp"]) for each in opened(path, newer)} == {("red", "x"), ("blue", "x")}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ('chip: Mapped[str | None] = fits_column("ARM", String, renamed_from=("arm",))', "column arm is called chip"),
        ('arm: Mapped[int | None] = fits_column("ARM", Integer)', "column arm is Integer, not String"),
        ('arm: Mapped[str] = fits_column("ARM", String, default="x")', "column arm needs a value in every row"),
        ('arm: Mapped[str | None] = fits_column("ARM", String, unique=True)', "column arm may hold each value once"),
    ],
)  # fmt: skip
def test_an_older_class_is_refused_where_a_newer_one_changed_its_columns(
    after: str, said: str, plugin: Plugins, path: Path
) -> None:
    older, newer = plugin("1.0", ARM), plugin("2.0rc1", after)
    fill(path, older, {"arm": "7"})
    meanwhile: Any = LocalDatabase(older, path)
    opened(path, newer)
    upgraded = schema(path)
    with pytest.raises(SchemaMismatchError, match=f"{said}.*version 2.0rc1 or newer"):
        LocalDatabase(older, path)
    with pytest.raises(SchemaMismatchError, match=said):
        meanwhile.add(older(filename="b.fits", cal_type="dark", mjd_start=60001.0, arm="8"))
    if "called" in said:
        with pytest.raises(SchemaMismatchError, match=said):
            meanwhile.query()
    meanwhile.close()
    assert schema(path) == upgraded
    assert len(opened(path, newer)) == 1


def test_a_database_of_a_newer_core_is_read_and_each_write_names_what_to_install(plugin: Plugins, path: Path) -> None:
    orm_class = plugin("1.0", ARM)
    fill(path, orm_class, {"arm": "red"})
    asked(path, "INSERT INTO koa_versions (name, version, schema, since) VALUES ('koa-middleware', '9.1', '99', 'now')")
    content = path.read_bytes()
    database: Any = LocalDatabase(orm_class, path)
    (record,) = database.query()
    assert record.arm == "red"
    with pytest.raises(SchemaMismatchError, match=r"made by koa-middleware 9\.1.*[\s\S]*Install koa-middleware 9\.1"):
        database.add(orm_class(filename="b.fits", cal_type="dark", mjd_start=60001.0))
    database.close()
    assert path.read_bytes() == content


def test_sixteen_processes_that_open_an_old_database_all_succeed_and_one_upgrades(plugin: Plugins, path: Path) -> None:
    older = plugin("1.0", ARM)
    newer = plugin("2.0", 'chip: Mapped[str | None] = fits_column("ARM", String, fold=True, renamed_from=("arm",))')
    fill(path, older, *({"arm": "Red"} for _ in range(50)))
    code = f"""
from {newer.__module__} import Demo
from koa_middleware.database.local import LocalDatabase

def work(number):
    assert len(LocalDatabase(Demo, Path(sys.argv[1])).query(chip="red")) == 50
"""
    output_of(run_processes(16, code, path, path=plugin.folder))
    assert len(copies_of(path)) == 1
    assert len(asked(path, "SELECT 1 FROM koa_versions WHERE version = '2.0'")) == 1
