"""What is wrong with a plugin's own functions: `derive`, `convert`, `filename_for`, `values_from_file`.

Each function here gives sentences that name the column or the attribute; none when all is well.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Column, String

from ..exceptions import HeaderError, KoaMiddlewareError, described
from ..instrument.door import columns_of, complete_times
from ..instrument.headers import open_headers
from ..instrument.hooks import filename_of, values_by
from ..instrument.keywords import means, named_by, said_by
from ..instrument.orm import COMMON_COLUMNS, ORMCalibration
from ..instrument.values import normal_form
from ..plugins import InstrumentPlugin, available_instruments

#: The least that is known of a row.
LEAST = {"filename": "least.fits", "mjd_start": 60000.0, "datetime_obs": "2023-02-25T00:00:00.000"}

#: What a header may hold for a keyword: times as MJD and JD, numbers, words.
_RAW = (60000.5, 2460000.5, 1.0, 2, "2023-02-25T00:00:00", "Red", True)


def least_record(orm_class: type[ORMCalibration], **values: Any) -> ORMCalibration:
    """Make a record of the least that is known, and of some values."""
    cal_type = next(iter(orm_class.cal_types), "dark")
    return orm_class(**{"filename": "least.fits", "cal_type": cal_type, "mjd_start": 60000.0, **values})


def said_in(orm_class: type[ORMCalibration], path: Path) -> dict[str, Any]:
    """Give what a file's header and name say, before anything is derived; less where it cannot be read."""
    values: dict[str, Any] = {}
    try:
        values = {**named_by(orm_class, path.name), "filename": path.name}
        with open_headers(path) as cards:
            values |= said_by(orm_class, cards, path.name).values
        complete_times(values, path.name, {})
    except KoaMiddlewareError:
        pass  # no FITS file; or the registration of the demo night says what is wrong
    return {name: value for name, value in values.items() if value is not None}


def faults_of_derive(orm_class: type[ORMCalibration], known: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say what is wrong with `derive`, asked with what is known of some files and with less than that."""
    inputs: list[Mapping[str, Any]] = [{}, LEAST, {**LEAST, "cal_type": next(iter(orm_class.cal_types), "dark")}]
    for values in known:
        inputs += [values, *({n: v for n, v in values.items() if n != name} for name in values)]
    faults: dict[str, None] = {}
    for values in inputs:
        faults.update(dict.fromkeys(_faults_of_derived(orm_class, values)))
    return list(faults)[:5]


def _faults_of_derived(orm_class: type[ORMCalibration], values: Mapping[str, Any]) -> Iterator[str]:
    given, where = dict(values), _asked_with(values)
    try:
        found, again = orm_class.derive(given), orm_class.derive(dict(values))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's own code
        yield f"derive fails with {described(error)}, {where}. Use values.get(name): any column may be missing."
        return
    if given != values:
        changed = sorted(name for name in {*given, *values} if given.get(name) != values.get(name))
        yield f"derive changes the values that it is given ({', '.join(changed)}), {where}. Return a dict of its own."
    if not isinstance(found, Mapping):
        yield f"derive returns {found!r}, {where}. Return a dict of column values."
        return
    if found != again:
        changed = sorted(name for name in found if found.get(name) != again.get(name))
        yield f"derive gives another {', '.join(changed)} each time, {where}."
        return
    columns = columns_of(orm_class)
    unknown = [str(name) for name in found if name not in columns]
    if unknown:
        yield f"derive returns {', '.join(unknown)}, which is no column, {where}."
        return
    forms = dict(_in_forms(columns, found, where))
    yield from (str(fault) for fault in forms.values() if isinstance(fault, HeaderError))
    for name in (name for name in values if name in forms and forms[name] != values[name]):
        yield (
            f"derive gives {forms[name]!r} as {name}, which is given as {values[name]!r} and stays so, {where}. "
            f'Return {{"{name}": ..., **values}}.'
        )
    if not any(isinstance(form, HeaderError) for form in forms.values()):
        drift = list(_drift(orm_class, {**forms, **values}, values))
        yield from drift or _overridden(orm_class, values, forms)


def _overridden(orm_class: type[ORMCalibration], values: Mapping[str, Any], forms: Mapping[str, Any]) -> Iterator[str]:
    """Say which of the columns that `derive` adds it changes when they are given."""
    for name, form in forms.items():
        if name in values or not isinstance(form, str):
            continue
        given = f"{form}x"
        try:
            found = orm_class.derive({**values, name: given}).get(name, given)
        except Exception:  # noqa: BLE001, S112 - it may know all values of its own column, and this is none
            continue
        if found != given:
            yield (
                f"derive gives {found!r} as {name}, which is given as {given!r} and stays so, {_asked_with(values)}. "
                f'Return {{"{name}": ..., **values}}.'
            )


def _drift(orm_class: type[ORMCalibration], full: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    """Say which columns become others when `derive` is asked with its own result."""
    known = {name: value for name, value in full.items() if value is not None}
    try:
        again = orm_class.derive(dict(known))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's own code
        yield f"derive fails with {described(error)}, asked with its own result of {known.get('filename')}."
        return
    forms = dict(_in_forms(columns_of(orm_class), again if isinstance(again, Mapping) else {}, "asked again"))
    changed = {name: form for name, form in forms.items() if name not in given and form != full.get(name)}
    if changed:
        yield f"derive gives other values, asked with its own of {known.get('filename')}: {changed}."


def _in_forms(
    columns: Mapping[str, Column[Any]], found: Mapping[str, Any], where: str
) -> Iterator[tuple[str, Any | HeaderError]]:
    for name, value in found.items():
        try:
            form = normal_form(columns[name], value, f"derive's result, {where}") if name in columns else None
        except HeaderError as error:
            yield name, error
        else:
            if form is not None:
                yield name, form


def _asked_with(values: Mapping[str, Any]) -> str:
    own = {name: value for name, value in values.items() if name not in COMMON_COLUMNS or name == "filename"}
    return f"asked with {own}" if own else "asked with nothing but a time" if values else "asked with nothing"


def faults_of_converts(orm_class: type[ORMCalibration]) -> list[str]:
    """Say which `convert` takes no value that a header may hold."""
    return [fault for column in columns_of(orm_class).values() for fault in _fault_of_convert(column)]


def _fault_of_convert(column: Column[Any]) -> Iterator[str]:
    convert = column.info.get("convert")
    if convert is None:
        return
    said: dict[str, None] = {}
    for raw in _RAW:
        try:
            converted = convert(raw)
            if converted is not None:
                normal_form(column, converted, "the header")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's own function
            said[described(error)] = None
        else:
            return
    kind = "words" if isinstance(column.type, String) else "numbers"
    yield f"The convert of {column.key} takes neither {kind} nor anything else: {'; '.join(said)}."


def faults_of_names(orm_class: type[ORMCalibration]) -> Iterator[str]:
    """Say what is wrong with the names that `filename_for` gives to versions."""
    for name in ("least.fits", "least.fits.gz", "least.csv", "no_suffix"):
        named: dict[str, str] = {}
        for version in ("001", "002", "010", "999"):
            record = least_record(orm_class, filename=name, cal_version=version)
            try:
                found = filename_of(record)
            except KoaMiddlewareError as error:
                yield f"filename_for cannot be used: {error.message}"
                return
            if found in named:
                yield f"filename_for names the versions {named[found]} and {version} of {name} alike: {found}."
                return
            named[found] = version


def faults_of_files(orm_class: type[ORMCalibration], paths: Iterable[Path]) -> Iterator[str]:
    """Say what `values_from_file` gives that is no column, or fails with."""
    for path in paths:
        try:
            found = values_by(orm_class, "values_from_file", path.name, path)
        except HeaderError:
            continue  # the registration of the demo night says so
        except KoaMiddlewareError as error:
            yield f"values_from_file cannot be used: {error.message}"
            continue
        unknown = [str(name) for name in found if name not in columns_of(orm_class)]
        if unknown:
            yield f"values_from_file of {path.name} gives {', '.join(unknown)}, which is no column."


def faults_of_pickling(plugin: InstrumentPlugin) -> Iterator[str]:
    """Say which of a plugin's parts cannot be pickled, as other processes need it."""
    parts: dict[str, Any] = {f"The class {plugin.ORM.__name__}": plugin.ORM}
    parts |= {f"A record of {plugin.ORM.__name__}": least_record(plugin.ORM)}
    parts |= {f"The selector {type(each).__name__} of {name}": each for name, each in plugin.selectors.items()}
    for name, part in parts.items():
        try:
            again = pickle.loads(pickle.dumps(part))  # noqa: S301 - what was just made
        except Exception as error:  # noqa: BLE001 - pickle raises whatever it meets
            yield f"{name} cannot be pickled: {described(error)}. Define it at the top of its module."
            return
        if isinstance(part, ORMCalibration) and again != part:
            yield f"{name} is another one after pickling."


def faults_of_instrume(plugin: InstrumentPlugin) -> Iterator[str]:
    """Say which `instrume_values` are those of another installed instrument."""
    for value in plugin.ORM.instrume_values:
        for other in (name for name in available_instruments() if name != plugin.name and means(value, [name])):
            yield f"{plugin.ORM.__name__} has {value!r} among its instrume_values, which means the instrument {other}."
