"""The tests that every plugin passes.

A plugin's tests subclass `PluginContract` and set ``plugin``::

    from koa_middleware.testing import PluginContract
    from koa_middleware_myspec import plugin

    class TestContract(PluginContract):
        plugin = plugin
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from .. import CalibrationNotFoundError, CalibrationStore, HeaderError, InstrumentPlugin, get_plugin
from ..choosing.own_methods import is_declared
from ..hookspecs import GROUP
from ..instrument.orm import COMMON_COLUMNS
from ..plugins import loaded
from .faults import (
    LEAST,
    faults_of_converts,
    faults_of_derive,
    faults_of_files,
    faults_of_instrume,
    faults_of_names,
    faults_of_pickling,
    least_record,
    said_in,
)
from .indexes import missing_indexes
from .loading import faults_of_import, module_of
from .night import Night, faults_of_answers, write_night


class PluginContract:
    """Subclass this in a plugin's tests and set `plugin`.

    A test whose subject another one has found faulty is skipped, so that a fault is told once.
    """

    plugin: InstrumentPlugin

    def test_the_installed_entry_point_gives_this_very_plugin(self) -> None:
        installed = [entry for entry in entry_points(group=GROUP) if entry.name == self.plugin.name]
        another = (
            "The hook gives another plugin than this one. Make it once, in the module, and let the hook return it."
        )
        if installed:
            assert get_plugin(self.plugin.name) is self.plugin, another
            return
        module = module_of(self.plugin)
        if module is None:
            pytest.skip("the plugin stands in no module")
        others = [entry.name for entry in entry_points(group=GROUP) if entry.value == module.__name__]
        assert not others, f"The entry point is named {others[0]}, but the instrument_name is {self.plugin.name}."
        assert loaded(EntryPoint(self.plugin.name, module.__name__, GROUP)) is self.plugin, another

    def test_its_import_prints_nothing_and_asks_for_nothing_that_takes_long(self) -> None:
        module = module_of(self.plugin)
        if module is None:
            pytest.skip("the plugin stands in no module")
        _none_of(faults_of_import(module.__name__))

    def test_the_common_columns_come_first_and_are_all_there(self) -> None:
        assert self.plugin.ORM.column_names()[: len(COMMON_COLUMNS)] == COMMON_COLUMNS

    def test_a_row_of_the_least_that_is_known_is_stored_in_tables_of_this_instrument(self, tmp_path: Path) -> None:
        self._skip_without_derive()
        record = least_record(self.plugin.ORM)
        with CalibrationStore(self.plugin.ORM, tmp_path) as store, store.local_db.connect() as connection:
            store.local_db.add(record)
            assert store.query()[0].to_dict() == record.to_dict()
            tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
        own = [table for table in tables if table != "koa_versions"]
        assert all(str(table).startswith(f"{self.plugin.name}_") for table in own)

    def test_each_selector_probes_an_index_from_both_sides_of_the_time(self) -> None:
        with create_engine("sqlite://").connect() as connection:
            self.plugin.ORM.table().create(connection)
            _none_of(missing_indexes(connection, self.plugin.ORM, self.plugin.selectors.values()))

    def test_each_method_that_a_selector_overrides_gives_what_it_should(self, tmp_path: Path) -> None:
        written = [selector for selector in self.plugin.selectors.values() if not is_declared(selector)]
        if not written:
            return
        self._skip_without_derive()
        frame = dict(said_in(self.plugin.ORM, path)) if (path := self._a_frame(tmp_path)) else {}
        with CalibrationStore(self.plugin.ORM, tmp_path / "cache") as store:
            for number, selector in enumerate(written):
                cal_type = selector.cal_type.strip().lower()
                store.local_db.add(least_record(self.plugin.ORM, filename=f"{number}.fits", cal_type=cal_type))
                for asked in ({"mjd_start": LEAST["mjd_start"]}, {**frame, "mjd_start": LEAST["mjd_start"]}):
                    try:
                        store.explain(asked, selector)
                        store.select(asked, selector)
                    except (CalibrationNotFoundError, HeaderError):
                        continue

    def test_derive_gives_the_same_when_it_is_asked_with_its_own_result(self, tmp_path: Path) -> None:
        known = []
        if self.plugin.demo is not None:
            night = write_night(self.plugin, tmp_path)
            known = [said_in(self.plugin.ORM, path) for path in (*night.calibrations, *night.frames)]
        _none_of(faults_of_derive(self.plugin.ORM, known))

    def test_the_demo_writes_fits_files_into_its_folder_alone(self, tmp_path: Path) -> None:
        _none_of(write_night(self.plugin, tmp_path).faults)

    def test_the_demo_night_is_registered_and_each_frame_is_answered(self, tmp_path: Path) -> None:
        _none_of(faults_of_answers(self.plugin, self._night(tmp_path), tmp_path / "cache"))

    def test_what_is_read_of_a_file_are_columns(self, tmp_path: Path) -> None:
        night = self._night(tmp_path)
        _none_of(faults_of_files(self.plugin.ORM, (*night.calibrations, *night.frames)))

    def test_each_convert_takes_what_a_header_may_hold(self) -> None:
        _none_of(faults_of_converts(self.plugin.ORM))

    def test_each_version_has_a_safe_file_name_of_its_own(self) -> None:
        self._skip_without_derive()
        _none_of(faults_of_names(self.plugin.ORM))

    def test_class_records_and_selectors_can_be_pickled(self) -> None:
        self._skip_without_derive()
        _none_of(faults_of_pickling(self.plugin))

    def test_its_instrume_values_mean_no_other_instrument(self) -> None:
        _none_of(faults_of_instrume(self.plugin))

    def _night(self, folder: Path) -> Night:
        """Write the demo night; skip where it, or `derive`, has faults."""
        night = write_night(self.plugin, folder)
        if night.faults:
            pytest.skip("the demo has a fault, which its own test tells")
        known = [said_in(self.plugin.ORM, path) for path in (*night.calibrations, *night.frames)]
        self._skip_without_derive(known)
        return night

    def _a_frame(self, folder: Path) -> Path | None:
        frames = write_night(self.plugin, folder).frames if self.plugin.demo is not None else []
        return frames[0] if frames else None

    def _skip_without_derive(self, known: Iterable[dict[str, object]] = ()) -> None:
        if faults_of_derive(self.plugin.ORM, known):
            pytest.skip("derive has a fault, which its own test tells")


def _none_of(faults: Iterable[str]) -> None:
    found = list(faults)
    assert not found, "\n".join(found)
