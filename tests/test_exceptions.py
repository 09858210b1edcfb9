from __future__ import annotations

import ast
import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from koa_middleware import exceptions
from koa_middleware.exceptions import KoaMiddlewareError

from tests.conftest import record

ERRORS = {
    name: found
    for name, found in vars(exceptions).items()
    if isinstance(found, type) and issubclass(found, KoaMiddlewareError)
}

#: Section 2.6 of the contract: name, and the classes that it is caught by besides the root.
PARENTS: dict[str, tuple[type[Exception] | str, ...]] = {
    "KoaMiddlewareError": (),
    "ConfigurationError": (ValueError,),
    "PluginError": (),
    "UnknownInstrumentError": ("PluginError",),
    "InvalidPluginError": ("PluginError",),
    "SourceFileError": (OSError,),
    "HeaderError": (ValueError,),
    "CalibrationNotFoundError": (LookupError,),
    "DuplicateCalibrationError": (ValueError,),
    "UnsafeFilenameError": (ValueError,),
    "SchemaMismatchError": (RuntimeError,),
    "IntegrityError": (OSError,),
    "RemoteError": (OSError,),
    "RemoteNotConfiguredError": ("RemoteError", OSError),
    "RemoteUnavailableError": ("RemoteError", OSError),
    "DownloadError": ("RemoteError", OSError),
    "ChecksumMismatchError": ("RemoteError", OSError),
}


@pytest.mark.parametrize("name", PARENTS)
def test_the_tree_is_the_documented_one(name: str) -> None:
    error = ERRORS[name]
    assert issubclass(error, KoaMiddlewareError)
    for parent in PARENTS[name]:
        assert issubclass(error, ERRORS[parent] if isinstance(parent, str) else parent)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_public_and_drawn_in_the_tree(name: str) -> None:
    assert getattr(koa_middleware, name) is ERRORS[name]
    assert name in koa_middleware.__all__
    assert name in (exceptions.__doc__ or "")


WARNINGS = {
    name: found
    for name, found in vars(exceptions).items()
    if isinstance(found, type) and issubclass(found, UserWarning)
}


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_is_public(name: str) -> None:
    assert getattr(koa_middleware, name) is WARNINGS[name]
    assert name in koa_middleware.__all__
    assert name in (exceptions.__doc__ or "")


def test_errors_and_warnings_are_defined_in_one_module() -> None:
    core = Path(exceptions.__file__).parent
    elsewhere = [
        f"{file.relative_to(core)}: {node.name}"
        for file in sorted(core.rglob("*.py"))
        if file != core / "exceptions.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if ast.unparse(base).endswith(("Warning", "Error"))
    ]
    assert elsewhere == []


def documented(error: type[KoaMiddlewareError]) -> set[str]:
    """Attributes that a class lists, without those of the root."""
    above = error.__mro__[: error.__mro__.index(KoaMiddlewareError)]
    return {name for each in above for name in inspect.get_annotations(each)}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_travels_between_processes_with_its_values(name: str) -> None:
    values: dict[str, Any] = {attribute: f"the {attribute}" for attribute in documented(ERRORS[name])}
    values["path"] = Path("/cache/dark.fits")
    values["record"] = record()
    error = ERRORS[name]("dark.fits is damaged.", "Fetch it again.", **values)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is ERRORS[name]
        assert str(twin) == str(error) == "dark.fits is damaged. Fetch it again."
        assert (twin.message, twin.hint) == (error.message, error.hint)
        assert {key: getattr(twin, key) for key in values if key != "record"} == {
            key: value for key, value in values.items() if key != "record"
        }
        assert twin.record.to_dict() == error.record.to_dict()  # type: ignore[attr-defined]


def test_a_message_without_a_hint_stands_alone() -> None:
    assert str(KoaMiddlewareError("It is so.")) == "It is so."


def raised_errors() -> list[tuple[str, ast.Call]]:
    """Every place of core that makes an error of the tree."""
    core = Path(exceptions.__file__).parent
    return [
        (f"{file.relative_to(core)}:{node.lineno}", node)
        for file in sorted(core.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS
    ]


def test_each_error_is_made_with_the_attributes_that_its_class_lists() -> None:
    faults = []
    for place, call in raised_errors():
        error = ERRORS[call.func.id]  # type: ignore[attr-defined]
        needed = {name for name in documented(error) if not hasattr(error, name)}
        given = {keyword.arg for keyword in call.keywords}
        if None not in given and needed - given:
            faults.append(f"{place}: {error.__name__} without {', '.join(sorted(needed - given))}")
    assert raised_errors()
    assert faults == []


def test_no_module_raises_a_bare_built_in_to_a_user_or_asserts() -> None:
    """Of the built-ins, ValueError is for those who turn it into an error of ours in place."""
    core = Path(exceptions.__file__).parent
    places = (
        "fetch/addresses.py",
        "disk/checksums.py",
        "disk/fits_cards.py",
        "disk/fits_units.py",
        "instrument/plain.py",
        "instrument/scales.py",
        "instrument/times.py",
        "instrument/forms.py",
        "cli/arguments.py",
        "remote/http/mapped.py",
        "remote/http/source.py",
        "remote/http/wire.py",
    )
    allowed = {place: {"ValueError"} for place in places} | {
        "instrument/forms.py": {"ValueError", "TypeError"},
        "choosing/cases.py": {"LookupError"},
        "database/declared.py": {"ValueError"},
        "database/kept_apart.py": {"ValueError"},
        "database/pages.py": {"ValueError"},
        "disk/compression.py": {"OSError"},
        "disk/reading.py": {"OSError"},
        "server/publications.py": {"ValueError"},
    }
    mapping = {"KeyError", "AttributeError", "FileExistsError", "PermissionError"}  # protocols, or caught in place
    faults = []
    files = [file for file in sorted(core.rglob("*.py")) if "testing" not in file.parts]
    assert len(files) > 50
    for file in files:
        place = file.relative_to(core).as_posix()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Assert):
                faults.append(f"{place}:{node.lineno}: assert")
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                name = node.exc.func.id
                builtin = name in dir(__builtins__) or name in vars(__import__("builtins"))
                if builtin and name not in mapping | allowed.get(place, set()):
                    faults.append(f"{place}:{node.lineno}: {name}")
    assert faults == []
