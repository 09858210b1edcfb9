"""The tests that every plugin passes.

A plugin's tests subclass `PluginContract` and set ``plugin``::

    from koa_middleware.testing import PluginContract
    from koa_middleware_demospec import plugin

    class TestContract(PluginContract):
        plugin = plugin
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import CalibrationStore, InstrumentPlugin, get_plugin
from ..choosing.batch import records_in
from ..instrument.door import columns_of
from ..instrument.frames import column_values
from ..instrument.orm import COMMON_COLUMNS
from ..instrument.values import normal_form
from ..plugins import installed_plugins
from .indexes import missing_indexes


class PluginContract:
    """Subclass this in a plugin's tests and set `plugin`."""

    plugin: InstrumentPlugin

    def test_the_installed_entry_point_gives_this_very_plugin(self) -> None:
        if self.plugin.name not in {found.instrument for found in installed_plugins()}:
            pytest.skip("the plugin's package is not installed")
        assert get_plugin(self.plugin.name) is self.plugin

    def test_the_common_columns_come_first_and_are_all_there(self) -> None:
        assert self.plugin.ORM.column_names()[: len(COMMON_COLUMNS)] == COMMON_COLUMNS

    def test_a_row_of_the_least_that_is_known_can_be_stored(self, tmp_path: Path) -> None:
        cal_type = next(iter(self.plugin.ORM.cal_types), "dark")
        record = self.plugin.ORM(filename="least.fits", cal_type=cal_type, mjd_start=60000.0)
        with CalibrationStore(self.plugin.ORM, tmp_path) as store:
            store.local_db.add(record)
            assert store.query()[0].to_dict() == record.to_dict()

    def test_the_database_file_holds_this_instruments_tables_alone(self, tmp_path: Path) -> None:
        with CalibrationStore(self.plugin.ORM, tmp_path) as store, store.local_db.connect() as connection:
            tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
        own = [table for table in tables if table != "koa_versions"]
        assert all(str(table).startswith(f"{self.plugin.name}_") for table in own)

    def test_each_selector_probes_an_index_from_both_sides_of_the_time(self, tmp_path: Path) -> None:
        with CalibrationStore(self.plugin.ORM, tmp_path) as store, store.local_db.connect() as connection:
            missing = missing_indexes(connection, self.plugin.ORM, self.plugin.selectors.values())
        assert not missing, "\n".join(missing)

    def test_the_demo_night_is_registered_and_each_type_is_answered_or_explained(self, tmp_path: Path) -> None:
        calibrations, frames = _night(self.plugin, tmp_path)
        with CalibrationStore(self.plugin.ORM, tmp_path / "cache") as store:
            for path in calibrations:
                store.register_calibration(path)
            assert len(store.local_db) == len(calibrations)
            found = [
                result
                for frame in frames
                for answer in store.get_calibrations(frame, return_exceptions=True).values()
                for result in records_in(answer)
            ]
        assert found
        assert all(result.path.read_bytes() for result in found)

    def test_derive_gives_the_same_when_it_is_asked_with_its_own_result(self, tmp_path: Path) -> None:
        orm_class = self.plugin.ORM
        calibrations, frames = _night(self.plugin, tmp_path)
        for path in (*calibrations, *frames):
            values = column_values(orm_class, path)
            known = {name: value for name, value in values.items() if value is not None}
            given = known.keys() - getattr(values, "derived", frozenset())
            again = {name: value for name, value in orm_class.derive(dict(known)).items() if name not in given}
            forms = {name: normal_form(columns_of(orm_class)[name], value, path.name) for name, value in again.items()}
            changed = {name: form for name, form in forms.items() if form != values.get(name)}
            assert not changed, f"derive gives other values, asked with its own of {path.name}: {changed}"


def _night(plugin: InstrumentPlugin, folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the plugin's demo night; gives the paths of its calibrations and of its frames."""
    if plugin.demo is None:
        pytest.skip("the plugin brings no demo")
    night = folder / "night"
    night.mkdir()
    return plugin.demo(night)
