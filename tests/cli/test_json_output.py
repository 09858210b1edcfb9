"""``--json``: one document on stdout for every command, as the schema that is installed says."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from koa_middleware.cli import parser

Run = Callable[..., Any]

SCHEMA = json.loads((files("koa_middleware.cli") / "output.schema.json").read_text("utf-8"))
OF_NO_RESULT = {"demo", "serve", "completion", "new-plugin"}


def check(command: str, found: Any) -> None:
    """Check what a command printed."""
    Draft202012Validator({"$ref": f"#/$defs/koa-cal {command}", "$defs": SCHEMA["$defs"]}).validate(found)


def test_the_schema_is_one_and_has_each_command_that_takes_json() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    described = {name.removeprefix("koa-cal ") for name in SCHEMA["$defs"] if name.startswith("koa-cal ")}
    assert described == set(parser.COMMANDS) - OF_NO_RESULT


@pytest.mark.usefixtures("night")
def test_each_command_prints_one_document_as_the_schema_says(koa_cal: Run, frame: Path, tmp_path: Path) -> None:
    lock, bundle, here = tmp_path / "night.toml", tmp_path / "night.tar", ("-i", "testspec")
    typed: list[tuple[str, tuple[Any, ...]]] = [
        ("instruments", ()),
        ("register", (tmp_path / "night" / "dark-near.fits", tmp_path / "nosuch.fits")),
        ("list", here),
        ("list", (*here, "--columns", "filename")),
        ("show", ("dark-near.fits", *here)),
        ("show", ("dark-near.fits", "--history", *here)),
        ("best", (frame,)),
        ("best", (frame, tmp_path / "nosuch.fits", *here)),
        ("check", (frame,)),
        ("coverage", here),
        ("explain", (frame, "--type", "dark")),
        ("explain", (frame, "--type", "bias")),
        ("lock", (frame, "-o", lock)),
        ("lock", ("--check", lock)),
        ("get", ("dark-near.fits", "nosuch.fits", *here)),
        ("flag", ("dark-near.fits", "bad", "--reason", "hot", *here)),
        ("affected", ("dark-near.fits", *here)),
        ("remove", ("dark-near.fits", "--dry-run", *here)),
        ("verify", here),
        ("refresh", here),
        ("rebuild", here),
        ("prefetch", (frame,)),
        ("bundle export", (bundle, "--type", "dark", *here)),
        ("bundle import", (bundle,)),
        ("prune", ("--max-size", "1GB", *here)),
        ("status", ("--check", *here)),
        ("token add", ("ann", "--scope", "read")),
        ("token list", ()),
        ("token revoke", ("ann",)),
    ]
    for command, arguments in typed:
        check(command, koa_cal(*command.split(), *arguments, "--json").json)


@pytest.mark.usefixtures("no_records")
@pytest.mark.parametrize("command", sorted(set(parser.COMMANDS) - OF_NO_RESULT))
def test_each_command_prints_an_error_as_the_schema_says(koa_cal: Run, command: str) -> None:
    found = koa_cal(*command.split(), "--nosuch", "--json").ended(2).json
    assert found["error"]["type"] == "UsageError"
    check(command, found)


@pytest.mark.usefixtures("no_records")
def test_what_fails_as_a_whole_is_as_the_schema_says(koa_cal: Run) -> None:
    here = ("-i", "testspec", "--json")
    for command, names in (("best", ["no.fits"]), ("show", ["no.fits"]), ("remove", ["no.fits"]), ("sync", [])):
        check(command, found := koa_cal(command, *names, *here).json)
        assert list(found) == ["error"]


def test_a_schema_that_the_output_does_not_follow_is_noticed() -> None:
    for found in ({"failed": {}}, {"error": {}}):
        with pytest.raises(ValidationError):
            check("get", found)
