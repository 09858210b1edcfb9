"""Archives that another version set up, and clients of other versions than the archive's."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import ORMCalibration, SchemaMismatchError
from koa_middleware.database.local import LocalDatabase
from koa_middleware.exceptions import RemoteError
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise, planned
from koa_middleware.remote.publish import PublishResult, publish
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import SyncResult, synchronise
from sqlalchemy import Engine, make_url

from tests.plugin_versions import ARM, FOLDED, Plugins, plugins_in

TABLE = "demo_calibrations"
RENAMED = 'chip: Mapped[str | None] = fits_column("ARM", String, renamed_from=("arm",))'
RENAMED_AGAIN = 'ccd: Mapped[str | None] = fits_column("ARM", String, renamed_from=("chip",))'
LAMP = 'lamp: Mapped[str] = fits_column("LAMP", String, default="off")'


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    with plugins_in(tmp_path / "plugins", monkeypatch) as plugins:
        yield plugins


class Archive:
    """An archive of one instrument, and its owner, whose classes are of several versions."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.engine: Engine = postgresql_engine(url)
        self._folder = folder

    def ask(self, sql: str) -> list[Any]:
        """Run a statement; gives its rows."""
        with self.engine.begin() as connection:
            found = connection.exec_driver_sql(sql)
            return [tuple(row) for row in found] if found.returns_rows else []

    def fill(self, column: str, *values: Any) -> None:
        """Insert a row for each value of a column, in one transaction."""
        with self.engine.begin() as connection:
            for number, value in enumerate(values):
                connection.exec_driver_sql(
                    f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, {column})"
                    f" VALUES ('id{number}', '{number}.fits', 'dark', '2026-01-02T03:04:05.678',"
                    " 61042.127843495, %s)",
                    (value,),
                )

    def values(self, column: str) -> list[Any]:
        return [row[0] for row in self.ask(f"SELECT {column} FROM {TABLE} ORDER BY filename")]

    def entries(self) -> list[str]:
        return [row[0] for row in self.ask(f"SELECT op FROM {TABLE}_feed ORDER BY n")]

    def upgrade(self, orm_class: type[ORMCalibration]) -> list[str]:
        """Set it up with a class; gives what was told."""
        return initialise(self.engine, orm_class).told

    def client(self, orm_class: type[ORMCalibration], name: str = "client") -> Client:
        return Client(self.url, orm_class, self._folder / f"{name}.db")


class Client:
    """A cache that follows an archive with a class."""

    def __init__(self, url: str, orm_class: type[ORMCalibration], path: Path) -> None:
        self.url, self.orm_class, self.path = url, orm_class, path

    def sync(self, **how: Any) -> SyncResult:
        with closing(LocalDatabase(self.orm_class, self.path)) as local, closing(self.remote()) as remote:
            return synchronise(local, remote, **how)

    def add(self, filename: str, **values: Any) -> None:
        with closing(LocalDatabase(self.orm_class, self.path)) as local:
            local.add(self.orm_class(filename=filename, cal_type="dark", mjd_start=60000.0, **values))

    def publish(self) -> PublishResult:
        with closing(LocalDatabase(self.orm_class, self.path)) as local, closing(self.remote()) as remote:
            return publish(local, remote)

    def values(self, column: str) -> list[Any]:
        with closing(LocalDatabase(self.orm_class, self.path)) as local:
            return [record[column] for record in sorted(local.query(), key=lambda record: record.filename)]

    def remote(self) -> Any:
        return remote_at(self.url, self.orm_class)


@pytest.fixture
def archive(fresh_database: str, tmp_path: Path) -> Iterator[Archive]:
    found = Archive(fresh_database, tmp_path)
    yield found
    found.engine.dispose()


# -- the owner -----------------------------------------------------------------------------------------------------

#: What a class declared, what a newer one does; the column's values before and after; its type and default then.
CHANGES: dict[str, tuple[str, str, str, list[Any], list[Any], str]] = {
    "renamed": (ARM, RENAMED, "chip", ["blue", None], ["blue", None], "character varying"),
    "text to a whole number": (ARM, 'arm: Mapped[int | None] = fits_column("ARM", Integer)', "arm",
                               ["7", None, " 8", "9.0", "-1"], [7, None, 8, 9, -1], "integer"),
    "text to a number": (ARM, 'arm: Mapped[float | None] = fits_column("ARM", Float)', "arm",
                         ["7.5", "1e3", "inf"], [7.5, 1000.0, float("inf")], "double precision"),
    "text to truth": (ARM, 'arm: Mapped[bool | None] = fits_column("ARM", Boolean)', "arm",
                      ["T", "no", None], [True, False, None], "boolean"),
    "a number to text": ('arm: Mapped[float | None] = fits_column("ARM", Float)', ARM, "arm",
                         [7.0, None], ["7.0", None], "character varying"),
    "folded": (ARM, FOLDED, "arm", ["Blue", "100%'s \\", None], ["blue", "100%'s \\", None], "character varying"),
    "null words": (ARM, 'arm: Mapped[str | None] = fits_column("ARM", String, nulls=("dark",))', "arm",
                   ["DARK", "red"], [None, "red"], "character varying"),
    "renamed, folded and unique": (
        ARM, 'chip: Mapped[str | None] = fits_column("ARM", String, fold=True, unique=True, renamed_from=("arm",))',
        "chip", ["Blue", None, None], ["blue", None, None], "character varying"),
    "a default": ('arm: Mapped[int] = fits_column("ARM", Integer, default=3)',
                  'arm: Mapped[str] = fits_column("ARM", String, default="x")', "arm", [7], ["7"], "character varying"),
    "null words of a needed value": (
        'arm: Mapped[str] = fits_column("ARM", String, default="x")',
        'arm: Mapped[str] = fits_column("ARM", String, default="x", nulls=("dark",))', "arm", ["dark", "b"], ["x", "b"],
        "character varying"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_the_owner_brings_the_rows_into_a_newer_classs_form_by_one_entry_of_the_feed(
    kind: str, plugin: Plugins, archive: Archive
) -> None:
    before, after, column, given, expected, type_ = CHANGES[kind]
    older, newer = plugin("1.0", before), plugin("1.1", after)
    archive.upgrade(older)
    archive.fill("arm", *given)
    copy = archive.client(older)
    copy.sync()
    entries = archive.entries()
    archive.ask(f"ALTER TABLE {TABLE} ADD COLUMN of_a_colleague text DEFAULT 'theirs'")
    script = planned(archive.engine, newer).script
    assert archive.upgrade(newer) == []
    assert archive.values(column) == expected
    assert archive.values("of_a_colleague") == ["theirs"] * len(given)
    assert archive.entries() == [*entries, "resweep"]
    asked = (
        f"SELECT data_type FROM information_schema.columns WHERE table_name = '{TABLE}' AND column_name = '{column}'"
    )
    assert archive.ask(asked) == [(type_,)]
    assert planned(archive.engine, newer).statements == []
    assert script[0].startswith("BEGIN")
    archive.ask(f"ALTER TABLE {TABLE} DROP COLUMN of_a_colleague")
    fresh = archive.client(newer, "fresh")
    assert fresh.sync().conflicts == []
    assert fresh.values(column) == expected


def test_former_values_come_into_the_newer_form_too_and_one_without_is_empty_and_told(
    plugin: Plugins, archive: Archive
) -> None:
    archive.upgrade(plugin("1.0", ARM))
    archive.fill("arm", "seven", " 8")
    for value in ("9", "10"):
        archive.ask(f"UPDATE {TABLE} SET arm = '{value}'")
    number = 'chip: Mapped[int | None] = fits_column("ARM", Integer, renamed_from=("arm",))'
    newer = plugin("1.1", f"{number}\n{LAMP}")
    (told,) = archive.upgrade(newer)
    assert "chip" in told
    assert "1 row of the history" in told
    former = f"SELECT id, chip, lamp FROM {TABLE}_history ORDER BY koa_n"
    was = [("id0", None, "off"), ("id1", 8, "off"), ("id0", 9, "off"), ("id1", 9, "off")]
    assert archive.ask(former) == was
    assert planned(archive.engine, newer).statements == []
    archive.ask(f"UPDATE {TABLE} SET chip = 11, lamp = 'on'")
    assert archive.ask(former)[4:] == [("id0", 10, "off"), ("id1", 10, "off")]
    assert archive.entries().count("begun") == 1


def test_an_added_column_has_its_default_and_asks_nobody_to_read_anything(plugin: Plugins, archive: Archive) -> None:
    archive.upgrade(plugin("1.0", ARM))
    archive.fill("arm", "red")
    assert archive.upgrade(plugin("1.1", f"{ARM}\n{LAMP}")) == []
    assert archive.values("lamp") == ["off"]
    assert archive.entries() == ["begun", "added"]


def test_a_value_that_becomes_needed_has_its_default_or_is_told(plugin: Plugins, archive: Archive) -> None:
    lot = 'lot: Mapped[str | None] = fits_column("LOT", String)'
    archive.upgrade(plugin("1.0", f"{ARM}\n{lot}"))
    archive.fill("arm", "red", None)
    needed = 'arm: Mapped[str] = fits_column("ARM", String, default="x")\nlot: Mapped[str] = fits_column("LOT", String)'
    newer = plugin("1.1", needed)
    (told,) = archive.upgrade(newer)
    assert told.startswith("The column lot has no value in 2 rows")
    archive.ask(f"DELETE FROM {TABLE}")
    archive.fill("lot", "3")
    assert archive.values("arm") == ["x"]
    assert archive.upgrade(newer) == []


def test_a_need_that_ends_ends_there_too_and_so_does_a_unique_value(plugin: Plugins, archive: Archive) -> None:
    archive.upgrade(plugin("1.0", 'arm: Mapped[str] = fits_column("ARM", String, unique=True)'))
    archive.fill("arm", "red")
    archive.upgrade(plugin("1.1", ARM))
    archive.ask(f"DELETE FROM {TABLE}")
    archive.fill("arm", "red", "red", None)
    assert archive.values("arm") == ["red", "red", None]


@pytest.mark.parametrize(
    ("after", "values", "said"),
    [
        ('arm: Mapped[int | None] = fits_column("ARM", Integer)', ["7", "x", "y", "z", "w"], "'w', 'x', 'y'.*Integer"),
        ('arm: Mapped[int | None] = fits_column("ARM", Integer)', ["3000000000"], "'3000000000'.*Integer"),
        ('arm: Mapped[str | None] = fits_column("ARM", String, unique=True)', ["7", "x", "x"], "'x' in several rows"),
        ('arm: Mapped[str | None] = fits_column("A", String, fold=True, unique=True)', ["X", "x"], "'x' in several"),
    ],
)
def test_values_that_cannot_be_what_a_newer_class_wants_are_named_and_nothing_changes(
    after: str, values: list[Any], said: str, plugin: Plugins, archive: Archive
) -> None:
    older, newer = plugin("1.0", ARM), plugin("2.0", after)
    archive.upgrade(older)
    archive.fill("arm", *values)
    with pytest.raises(SchemaMismatchError, match=f"column arm holds {said}") as caught:
        archive.upgrade(newer)
    assert caught.value.missing == ("arm",)
    assert archive.values("arm") == values
    assert planned(archive.engine, older).statements == []


def test_what_cannot_be_applied_to_old_rows_is_told_once(plugin: Plugins, archive: Archive) -> None:
    newer = plugin("2.0", f'{ARM}\ncal_types = ("flat",)\nlot: Mapped[str] = fits_column("LOT", String)')
    archive.upgrade(plugin("1.0", FOLDED))
    archive.fill("arm", "a", "b")
    kept, types = archive.upgrade(newer)
    assert kept.startswith("The column arm keeps letter case now")
    assert "types in 2 rows" in types
    assert archive.upgrade(newer) == []


def test_an_older_owner_changes_nothing_back_and_two_in_turn_come_to_rest(plugin: Plugins, archive: Archive) -> None:
    older, newer = plugin("1.9", FOLDED), plugin("1.10", f"{ARM}\n{LAMP}")
    archive.upgrade(older)
    archive.upgrade(newer)
    archive.upgrade(older)
    for orm_class in (newer, older, newer):
        assert planned(archive.engine, orm_class).statements == []
    archive.upgrade(plugin("2.0", f"{RENAMED}\n{LAMP}"))
    with pytest.raises(SchemaMismatchError, match=r"arm is called chip[\s\S]*Install demo's plugin of version 2\.0"):
        archive.upgrade(older)
    assert archive.values("chip") == []


@pytest.mark.parametrize("comment", ["ask ann", "3", "[{}]", "[" * 100_000, '{"a": 1}'], ids=lambda text: text[:9])
def test_an_archive_without_a_note_keeps_the_types_that_its_owner_chose(
    comment: str, plugin: Plugins, archive: Archive
) -> None:
    archive.upgrade(plugin("1.0", ARM))
    archive.ask(f"COMMENT ON TABLE {TABLE}_feed IS '{comment}'")
    archive.fill("arm", "Seven")
    archive.upgrade(plugin("1.1", 'arm: Mapped[int | None] = fits_column("ARM", Integer)'))
    assert archive.values("arm") == ["Seven"]


def test_another_role_than_the_owner_upgrades_nothing(plugin: Plugins, archive: Archive) -> None:
    archive.upgrade(plugin("1.0", ARM))
    role = make_url(archive.url).database + "_guest"
    archive.ask(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT, INSERT, UPDATE ON {TABLE} TO {role}")
    guest = postgresql_engine(make_url(archive.url).set(username=role, password="x").render_as_string(False))
    try:
        with pytest.raises(RemoteError, match="is not the owner"):
            initialise(guest, plugin("1.1", RENAMED))
        assert archive.values("arm") == []
    finally:
        guest.dispose()
        archive.ask(f"DROP OWNED BY {role}; DROP ROLE {role}")


# -- clients of another version --------------------------------------------------------------------------------------


def reader_of(archive: Archive) -> Callable[[], None]:
    """Let a new role read table and feed, as the grants say; the archive's clients come as it. Gives its end."""
    role = make_url(archive.url).database + "_reader"
    readable = f"{TABLE}, {TABLE}_feed, {TABLE}_history"
    archive.ask(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON {readable} TO {role}")
    owner, archive.url = archive.url, make_url(archive.url).set(username=role, password="x").render_as_string(False)

    def end() -> None:
        archive.url = owner
        archive.ask(f"DROP OWNED BY {role}; DROP ROLE {role}")

    return end


def test_an_older_client_goes_on_with_a_column_that_was_renamed_twice(plugin: Plugins, archive: Archive) -> None:
    older = plugin("1.0", ARM)
    archive.upgrade(older)
    archive.fill("arm", "blue", None)
    end = reader_of(archive)
    copy = archive.client(older)
    copy.sync()
    archive.upgrade(plugin("2.0", f"{RENAMED}\n{LAMP}"))
    archive.upgrade(plugin("3.0", f"{RENAMED_AGAIN}\n{LAMP}"))
    archive.ask(f"UPDATE {TABLE} SET ccd = 'red' WHERE ccd IS NULL")
    with pytest.warns(UserWarning, match="does not know these columns .* ignored: lamp"):
        assert copy.sync().full
    assert copy.values("arm") == ["blue", "red"]
    archive.ask(f"UPDATE {TABLE} SET ccd = 'green' WHERE filename = '0.fits'")
    assert not copy.sync().full
    assert copy.values("arm") == ["green", "red"]
    end()


def test_an_older_client_is_told_the_version_to_install_where_a_column_that_it_needs_went(
    plugin: Plugins, archive: Archive
) -> None:
    older = plugin("1.0", 'arm: Mapped[str] = fits_column("ARM", String)')
    archive.upgrade(older)
    archive.fill("arm", "red")
    copy = archive.client(older)
    copy.sync()
    archive.upgrade(plugin("2.0", LAMP))
    archive.ask(f"ALTER TABLE {TABLE} DROP COLUMN arm")
    for call in (copy.sync, copy.publish):
        copy.add(f"{call.__name__}.fits", arm="blue")
        with pytest.raises(SchemaMismatchError, match=r"lacks the column arm.* Install demo's plugin of version 2\.0"):
            call()
    assert copy.values("arm") == ["red", "blue", "blue"]


def test_an_older_client_publishes_into_the_new_name(plugin: Plugins, archive: Archive) -> None:
    older = plugin("1.0", ARM)
    archive.upgrade(older)
    archive.upgrade(plugin("2.0", f"{RENAMED}\n{LAMP}"))
    copy = archive.client(older)
    copy.add("a.fits", arm="blue")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert copy.publish().published == 1
        copy.sync()
    assert archive.ask(f"SELECT chip, lamp FROM {TABLE}") == [("blue", "off")]
    assert copy.values("arm") == ["blue"]


def test_a_newer_client_reads_and_writes_the_former_name_of_an_archive_that_is_not_upgraded_yet(
    plugin: Plugins, archive: Archive
) -> None:
    newer = plugin("2.0", f"{RENAMED}\n{LAMP}")
    archive.upgrade(plugin("1.0", ARM))
    archive.fill("arm", "blue")
    copy = archive.client(newer)
    with pytest.warns(UserWarning, match="lacks the columns lamp"):
        copy.sync()
    copy.add("a.fits", chip="red")
    assert copy.publish().published == 1
    assert archive.values("arm") == ["blue", "red"]
    assert copy.values("chip") == ["blue", "red"]
    assert copy.sync().changed == 0
    archive.upgrade(newer)
    assert copy.sync().full
    assert copy.values("chip") == ["blue", "red"]


def test_a_value_that_an_archive_has_no_column_for_is_not_lost_by_publishing(plugin: Plugins, archive: Archive) -> None:
    newer = plugin("2.0", f"{ARM}\n{LAMP}")
    archive.upgrade(plugin("1.0", ARM))
    copy = archive.client(newer)
    copy.add("a.fits", lamp="on")
    with pytest.raises(SchemaMismatchError, match=r"lacks the column lamp, and a\.fits has a value.*\n?.*remote init"):
        copy.publish()
    assert (copy.values("lamp"), archive.values("filename")) == (["on"], [])
    archive.upgrade(newer)
    assert copy.publish().published == 1
    assert archive.values("lamp") == ["on"]


def test_a_question_to_an_archive_of_other_names_says_that_a_sync_reads_it(plugin: Plugins, archive: Archive) -> None:
    older = plugin("1.0", ARM)
    archive.upgrade(older)
    archive.upgrade(plugin("2.0", RENAMED))
    with (
        closing(remote_at(archive.url, older)) as remote,
        pytest.raises(SchemaMismatchError, match=r"arm does not exist[\s\S]*Sync and choose"),
    ):
        remote.database.query("dark")


# -- two versions on one cache ---------------------------------------------------------------------------------------


def in_cache(client: Client, columns: str) -> list[Any]:
    with closing(sqlite3.connect(client.path)) as connection:
        return connection.execute(f"SELECT {columns} FROM {TABLE} ORDER BY filename").fetchall()


def test_two_versions_that_sync_one_cache_in_turn_read_no_more_than_what_changed(
    plugin: Plugins, archive: Archive
) -> None:
    gain = 'gain: Mapped[float | None] = fits_column("GAIN", Float)'
    older = plugin("1.0", f'{ARM}\nold: Mapped[str | None] = fits_column("OLD", String, fold=True)')
    newer = plugin("2.0", f"{ARM}\n{LAMP}\n{gain}")
    archive.upgrade(older)
    archive.upgrade(newer)
    archive.fill("gain", 1.5, 2.5)
    first, second = archive.client(older), archive.client(newer)
    with pytest.warns(UserWarning, match="ignored: gain, lamp"):
        first.sync()
    second.sync()
    assert [client.sync().full for client in (first, second, first)] == [False, False, False]
    archive.ask(f"UPDATE {TABLE} SET gain = 7.5, lamp = 'on', old = 'Kept' WHERE filename = '0.fits'")
    archive.ask(
        f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, gain, lamp)"
        " VALUES ('new', 'new.fits', 'dark', '2026-01-02T03:04:05.678', 61042.127843495, 9.5, NULL)"
    )
    for client in (first, second):
        assert not client.sync().full
        assert in_cache(client, "gain, lamp, old") == [(7.5, "on", "kept"), (2.5, "off", None), (9.5, "off", None)]
    archive.ask(f"UPDATE {TABLE} SET gain = 1, old = 'X' WHERE filename = '0.fits'")
    for client in (second, first):
        assert not client.sync().full
        assert in_cache(client, "gain, lamp, old")[0] == (1.0, "on", "x")
    second.add("mine.fits", gain=3.0)
    second.publish()
    assert in_cache(second, "gain, lamp")[2] == (3.0, "off")
    assert not first.sync().full


@pytest.mark.parametrize(
    "more",
    [
        "chip: Mapped[str | None] = mapped_column(String)\n"
        "@classmethod\ndef derive(cls, values):\n    return {'chip': 'c'}",
        "chip: Mapped[str | None] = fits_column('CHIP', String, default=lambda: 'c')",
    ],
)
def test_what_only_the_newer_version_can_fill_in_is_not_lost_by_the_older_ones_syncs(
    more: str, plugin: Plugins, archive: Archive
) -> None:
    older, newer = plugin("1.0", ARM), plugin("2.0", f"{ARM}\n{more}")
    archive.upgrade(newer)
    first, second = archive.client(newer), archive.client(older)
    first.sync()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        second.sync()
        archive.fill("arm", "red")
        second.sync()
    first.sync()
    assert in_cache(first, "arm, chip") == [("red", "c")]
