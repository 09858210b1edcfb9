"""Bundles between versions of a plugin: no column is lost, and names that changed are known."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore, SourceFileError

from tests.cache.test_bundle import read, with_manifest
from tests.conftest import write_fits
from tests.plugin_versions import ARM, Plugins, plugins_in

RENAMED = 'chip: Mapped[str | None] = fits_column("ARM", String, renamed_from=("arm",))'
LAMP = 'lamp: Mapped[str] = fits_column("LAMP", String, default="off")'


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    with plugins_in(tmp_path / "plugins", monkeypatch) as plugins:
        yield plugins


@pytest.fixture
def machine(open_demo: Callable[..., Any], tmp_path: Path) -> Callable[..., CalibrationStore[Any]]:
    """Give a function that opens the store of a machine with a class."""
    return lambda name, orm_class: open_demo(tmp_path / name, orm_class, offline=True)


def bundle_of(store: CalibrationStore[Any], folder: Path, **keywords: Any) -> Path:
    """Register a dark there, LOCAL, and give the bundle of all that is there."""
    said = {"CALTYPE": "dark", "DATE-OBS": "2026-01-02T03:04:05.678", **keywords}
    store.register_calibration(write_fits(folder / "dark.fits", said))
    return store.export_bundle(folder / "night.tar", store.query()).path


def in_database(store: CalibrationStore[Any], columns: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store.local_db.path)) as connection:
        return connection.execute(f"SELECT {columns} FROM demo_calibrations").fetchall()


def test_what_the_importer_does_not_know_is_kept_and_its_newer_plugin_finds_it(
    plugin: Plugins, machine: Callable[..., CalibrationStore[Any]], tmp_path: Path
) -> None:
    older, newer = (
        plugin("1.0", ARM),
        plugin("1.1", f"{ARM}\n{LAMP}\nn: Mapped[int | None] = fits_column('N', Integer)"),
    )
    bundle = bundle_of(machine("new", newer), tmp_path, LAMP="on", N=3, ARM="red")
    target = machine("old", older)
    assert target.import_bundle(bundle).added == ["dark.fits"]
    assert target.import_bundle(bundle).unchanged == ["dark.fits"]
    assert [record.arm for record in target.query()] == ["red"]
    again = target.export_bundle(tmp_path / "again.tar", target.query()).path
    target.close()
    (record,) = machine("old", newer).query()
    assert (record.lamp, record.n) == ("on", 3)
    third = machine("third", newer)
    assert third.import_bundle(again).ok
    assert [(record.lamp, record.n) for record in third.query()] == [("on", 3)]


def test_a_colleagues_column_of_any_name_and_value_comes_along(
    plugin: Plugins, machine: Callable[..., CalibrationStore[Any]], tmp_path: Path
) -> None:
    orm_class = plugin("1.0", ARM)
    source = machine("source", orm_class)
    bundle_of(source, tmp_path)
    with closing(sqlite3.connect(source.local_db.path)) as connection, connection:
        for name, value in (("a :b \"c'?", "x"), ("raw", b"\0\xff"), ("big", 1 << 62), ("none", None)):
            quoted = name.replace('"', '""')
            connection.execute(f'ALTER TABLE demo_calibrations ADD COLUMN "{quoted}" BLOB')
            connection.execute(f'UPDATE demo_calibrations SET "{quoted}" = ?', (value,))
    bundle = source.export_bundle(tmp_path / "all.tar", source.query()).path
    target = machine("target", orm_class)
    assert target.import_bundle(bundle).ok
    assert in_database(target, '"a :b ""c\'?", raw, big') == [("x", b"\0\xff", 1 << 62)]
    assert target.import_bundle(bundle).unchanged == ["dark.fits"]


@pytest.mark.parametrize(("there", "here"), [(ARM, RENAMED), (RENAMED, ARM)])
def test_a_column_that_was_renamed_is_known_by_both_versions(
    there: str, here: str, plugin: Plugins, machine: Callable[..., CalibrationStore[Any]], tmp_path: Path
) -> None:
    source, target = plugin("1.0" if there == ARM else "2.0", there), plugin("1.0" if here == ARM else "2.0", here)
    bundle = bundle_of(machine("source", source), tmp_path, ARM="red")
    store = machine("target", target)
    assert store.import_bundle(bundle).ok
    (record,) = store.query()
    assert record.to_dict().get("chip", record.to_dict().get("arm")) == "red"
    table = "SELECT name FROM pragma_table_info('demo_calibrations') WHERE name IN ('arm', 'chip')"
    with closing(sqlite3.connect(store.local_db.path)) as connection:
        assert len(connection.execute(table).fetchall()) == 1


def test_a_bundle_says_which_versions_wrote_it_and_an_older_one_that_does_not_is_read(
    plugin: Plugins, machine: Callable[..., CalibrationStore[Any]], tmp_path: Path
) -> None:
    orm_class = plugin("1.7", ARM)
    bundle = bundle_of(machine("source", orm_class), tmp_path, ARM="red")
    ((_, text), *_) = read(bundle)
    assert json.loads(text)["versions"]["plugin"] == "1.7"
    without = ("versions", "declaration", "others")
    with_manifest(bundle, lambda manifest: {key: said for key, said in manifest.items() if key not in without})
    assert machine("target", orm_class).import_bundle(bundle).ok


def test_a_bundle_of_a_newer_format_names_what_to_install(
    plugin: Plugins, machine: Callable[..., CalibrationStore[Any]], tmp_path: Path
) -> None:
    store = machine("source", plugin("1.0", ARM))
    bundle = bundle_of(store, tmp_path)
    with_manifest(bundle, lambda manifest: {**manifest, "version": 2, "versions": {"core": "3.1"}})
    with pytest.raises(SourceFileError, match=r"of format 2; .* Install koa-middleware 3\.1 or newer"):
        store.import_bundle(bundle)


@pytest.mark.parametrize(
    "change",
    [
        {"declaration": [1]},
        {"declaration": {"columns": {"arm": 3}}},
        {"columns": {"": 1}},
        {"columns": {"a\x1b[2J": 1}},
        *({"columns": {name: 1}} for name in ("rowid", "OID", "_rowid_", "metadata", "to_dict", "as_of", "_private")),
        {"columns": {f"c{number}": 1 for number in range(600)}},
    ],
)
def test_a_manifest_of_made_up_columns_is_refused(
    change: dict[str, Any], plugin: Plugins, machine: Callable[..., CalibrationStore[Any]], tmp_path: Path
) -> None:
    store = machine("source", plugin("1.0", ARM))
    bundle = bundle_of(store, tmp_path)

    def change_it(manifest: dict[str, Any]) -> None:
        manifest["records"][0]["columns"] |= change.get("columns", {})
        manifest.update({key: said for key, said in change.items() if key != "columns"})

    with_manifest(bundle, change_it)
    with pytest.raises(SourceFileError, match=r"in its manifest that (is|are) none"):
        machine("target", store.orm_class).import_bundle(bundle)


@pytest.mark.parametrize("value", [[1], {"base64": "?"}, {"base64": 3}, {"a": 1}, 1 << 64, "\ud800"])
def test_a_made_up_value_of_an_unknown_column_adds_nothing(
    value: Any, plugin: Plugins, machine: Callable[..., CalibrationStore[Any]], tmp_path: Path
) -> None:
    store = machine("source", plugin("1.0", ARM))
    bundle = bundle_of(store, tmp_path)

    def change_it(manifest: dict[str, Any]) -> None:
        manifest["records"][0]["columns"]["lot"] = value
        manifest["others"] = {"lot": "TEXT NOT NULL"}

    with_manifest(bundle, change_it)
    target = machine("target", store.orm_class)
    assert "its lot is no value" in target.import_bundle(bundle).failed["dark.fits"]
    with closing(sqlite3.connect(target.local_db.path)) as connection:
        names = connection.execute("SELECT name FROM pragma_table_info('demo_calibrations')").fetchall()
    assert ("lot",) not in names
