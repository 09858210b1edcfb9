"""What holds for all commands: help, exit codes, streams, settings, secrets."""

from __future__ import annotations

import os
import re
import shlex
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from koa_middleware import open_store, plugins
from koa_middleware.cli import parser
from koa_middleware.cli.parser import build_parser

Run = Callable[..., Any]

COMMANDS = sorted(
    name for action in build_parser()._actions if isinstance(action.choices, dict) for name in action.choices
)


def test_help_is_a_result(koa_cal: Run) -> None:
    found = koa_cal("--help").ended(0)
    assert found.err == ""
    for command in COMMANDS:
        assert re.search(rf"^ +{command}( |$)", found.out, re.MULTILINE)


def test_the_versions_of_core_and_plugins_are_a_result_and_no_plugin_is_loaded(
    with_only: Run, distribution: Path, tmp_path: Path, make_distribution: Run
) -> None:
    broken = make_distribution(tmp_path / "broken", "broken", "raise RuntimeError('it was loaded')")
    found = with_only(broken, distribution)("--version").ended(0)
    assert found.err == ""
    core, *plugins = found.out.splitlines()
    assert core == f"koa-middleware {koa_middleware.__version__}"
    assert "koa-middleware-testspec 1.2.3 (testspec)" in plugins
    assert any(line.endswith("(broken)") for line in plugins)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(koa_cal: Run, command: str) -> None:
    found = koa_cal(command, "--help").ended(0)
    assert found.out.startswith(f"usage: koa-cal {command}")
    assert found.err == ""


@pytest.mark.parametrize("command", [each for each in parser.COMMANDS if each not in parser.OF_NO_INSTRUMENT])
def test_each_command_that_is_of_an_instrument_takes_the_instrument_that_hints_give_it(command: str) -> None:
    made = ArgumentParser()
    parser.command_module(command).add_arguments(made)
    assert "-i" in made.format_usage()


@pytest.fixture
def several_instruments(make_distribution: Run, tmp_path: Path) -> Iterator[None]:
    """Install one more instrument."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(make_distribution(tmp_path / "installed", "otherspec"))
        plugins._registry.cache_clear()
        yield
    plugins._registry.cache_clear()


@pytest.mark.usefixtures("night", "several_instruments")
def test_a_command_that_a_hint_names_can_be_typed_where_several_instruments_are_installed(
    koa_cal: Run, frame: Path
) -> None:
    said = koa_cal("show", "nosuch.fits", "-i", "testspec").ended(1).said
    assert said.endswith("koa-cal list -i testspec shows what there is.\n")
    assert "koa-cal explain -i testspec FRAME --type arc lists" in koa_cal("best", frame, "--type", "arc").said
    (hint,) = koa_cal("flag", "dark-near.fits", "bad", "--reason", "leak", "-i", "testspec").err.splitlines()
    assert hint.count(" -i ") == 1


def test_without_a_command_the_help_is_printed_and_help_is_a_word_too(koa_cal: Run) -> None:
    assert koa_cal().ended(0).out == koa_cal("--help").ended(0).out == koa_cal("help").ended(0).out
    assert koa_cal("help", "bundle", "export").ended(0).out.startswith("usage: koa-cal bundle export")


@pytest.mark.parametrize("command", parser.COMMANDS)
def test_the_examples_of_a_commands_help_are_commands(koa_cal: Run, command: str) -> None:
    _, examples = koa_cal(*command.split(), "--help").ended(0).out.split("\nexamples:\n")
    typed = [shlex.split(line.rpartition("koa-cal ")[2].partition(" | ")[0]) for line in koa_cal_lines(examples)]
    assert typed
    for words in typed:
        assert parser.parse([word for word in words if word != ")"]).run.__module__.startswith("koa_middleware.cli.")
    assert any(words[: len(command.split())] == command.split() for words in typed)


def koa_cal_lines(examples: str) -> list[str]:
    """Give the commands of an example."""
    lines = [line.partition(" > ")[0].partition(" | ssh")[0] for line in examples.splitlines()]
    return [line.replace(')"', "") for line in lines if "koa-cal" in line and not line.strip().startswith("#")]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lst"], "list"),
        (["bundle", "exprt"], "export"),
        (["list", "--qualty", "bad"], "--quality"),
        (["list", "--where", "amr=BLUE", "-i", "testspec"], "arm"),
        (["list", "--type", "drak", "-i", "testspec"], "dark"),
        (["list", "-i", "testspce"], "testspec"),
    ],
)
@pytest.mark.usefixtures("no_records")
def test_what_is_misspelt_is_told_with_what_was_meant(koa_cal: Run, words: list[str], meant: str) -> None:
    assert f"Did you mean {meant}?" in koa_cal(*words).ended(2).err


@pytest.mark.parametrize(
    "words", [["lst"], ["list", "--nosuch"], ["list", "-i", "nosuch"], ["show", "x", "-i", "testspec"]]
)
def test_with_json_an_error_is_json_on_stdout_with_the_exit_code_as_ever(koa_cal: Run, words: list[str]) -> None:
    plain, found = koa_cal(*words), koa_cal(*words, "--json")
    assert found.code == plain.code != 0
    assert found.err == ""
    error = found.json["error"]
    assert found.json.keys() == {"error"}
    assert error.keys() == {"type", "message", "hint"}
    assert error["message"] in " ".join(plain.err.split())


@pytest.mark.usefixtures("no_records")
def test_the_environment_names_the_instrument(koa_cal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOA_INSTRUMENT", "TestSpec")
    assert koa_cal("list").ended(1).out == "0 calibrations\n"
    monkeypatch.setenv("KOA_INSTRUMENT", "nosuch")
    koa_cal("list").ended(2)
    koa_cal("list", "-i", "testspec").ended(1)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("-i hispec list", "-i stands before the command. Options stand after it: koa-cal list -i hispec\n"),
        ("--debug -i hispec list --cached", "Options stand after it: koa-cal list --cached -i hispec\n"),
        ("list --json=1", "argument --json: it takes no value, and '1' is given"),
        ("help ''", "'' is no command. koa-cal --help lists them.\n"),
    ],
)
def test_words_in_the_wrong_place_are_told_so(koa_cal: Run, typed: str, said: str) -> None:
    found = koa_cal(*shlex.split(typed)).ended(2)
    assert said in (found.err or found.json["error"]["message"])


def test_json_before_the_command_is_told_so_in_json(koa_cal: Run) -> None:
    assert "koa-cal list --json" in koa_cal("--json", "list").ended(2).json["error"]["message"]


@pytest.mark.parametrize("arguments", [["nosuch"], ["list", "--nosuch"], ["show"], ["explain"], ["register"]])
def test_wrong_usage_exits_with_2_and_says_how_it_is_used(koa_cal: Run, arguments: list[str]) -> None:
    found = koa_cal(*arguments).ended(2)
    assert found.out == ""
    assert found.err.startswith("usage: koa-cal")


@pytest.mark.parametrize("command", ["register", "get", "publish", "prefetch", "bundle export f.tar"])
def test_options_may_stand_between_names(command: str) -> None:
    words = [*command.split(), "a.fits", "-i", "kpf", "b.fits", "--json", "c.fits"]
    found = vars(build_parser().parse_args(words))
    assert ["a.fits", "b.fits", "c.fits"] in found.values()
    assert (found["instrument"], found["json"]) == ("kpf", True)


def test_what_is_no_option_is_refused_between_names_too(koa_cal: Run) -> None:
    assert "--nosuch" in koa_cal("get", "a.fits", "--nosuch", "b.fits").ended(2).err


def test_an_error_is_one_line_and_has_a_traceback_when_that_is_wanted(koa_cal: Run) -> None:
    said = koa_cal("show", "nosuch.fits", "-i", "testspec").ended(1).said
    found = koa_cal("--debug", "show", "nosuch.fits", "-i", "testspec")
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("Traceback (most recent call last)")
    assert found.err.endswith(said)


def test_the_exit_code_is_the_same_with_a_traceback(koa_cal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    assert koa_cal("--debug", "list", "-i", "testspec").code == koa_cal("list", "-i", "testspec").ended(2).code


def test_registering_goes_on_with_tracebacks_too(koa_cal: Run, write: Run, tmp_path: Path) -> None:
    missing = tmp_path / "missing.fits"
    found = koa_cal("--debug", "register", missing, write("dark.fits", 61083.0, "dark"))
    assert found.code == 1
    assert found.out.splitlines()[-1].startswith("1 of 2 registered")
    assert "Traceback" in found.err


@pytest.mark.parametrize("folder", [None, "", "  ", "None", "none"])
def test_without_a_cache_folder_its_variable_is_named(
    koa_cal: Run, monkeypatch: pytest.MonkeyPatch, folder: str | None
) -> None:
    if folder is None:
        monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    else:
        monkeypatch.setenv("KOA_CALIBRATION_CACHE", folder)
    for command in (["list"], ["status"], ["verify"], ["show", "x"], ["get", "x"]):
        found = koa_cal(*command, "-i", "testspec").ended(2)
        assert found.out == ""
        assert "KOA_CALIBRATION_CACHE" in found.said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KOA_USE_CACHED_CALIBRATIONS", "maybe"),
        ("KOA_OFFLINE", "22"),
        ("KOA_LOCAL_DATABASE_FILENAME", "../elsewhere.db"),
        ("KOA_LOCAL_DATABASE_FILENAME", "/tmp/elsewhere.db"),
    ],
)
def test_a_bad_variable_is_named_and_its_value_not_repeated(
    koa_cal: Run, monkeypatch: pytest.MonkeyPatch, cache: Path, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    found = koa_cal("status", "-i", "testspec").ended(2)
    assert found.out == ""
    assert variable in found.said
    assert value not in found.said
    assert not cache.exists()


@pytest.mark.parametrize("value", ["", "None", " "])
@pytest.mark.parametrize("variable", ["KOA_USE_CACHED_CALIBRATIONS", "KOA_OFFLINE", "KOA_LOCAL_DATABASE_FILENAME"])
def test_a_blank_variable_is_as_one_that_is_not_set(
    koa_cal: Run, monkeypatch: pytest.MonkeyPatch, cache: Path, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    database = koa_cal("status", "-i", "testspec", "--json").ended(0).json["database"]
    assert database == str(cache / "database" / "testspec_calibrations.db")


def test_the_database_has_the_name_that_the_environment_gives(
    koa_cal: Run, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("KOA_LOCAL_DATABASE_FILENAME", "mine.db")
    database = koa_cal("status", "-i", "testspec", "--json").ended(0).json["database"]
    assert database == str(cache / "database" / "mine.db")
    open_store("testspec").close()
    assert (cache / "database" / "mine.db").is_file()


def test_a_cache_folder_that_cannot_be_made_is_a_matter_of_configuration(
    koa_cal: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "cache"):
        monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(folder))
        found = koa_cal("list", "-i", "testspec").ended(2)
        assert found.out == ""
        assert str(folder) in found.said
        assert "KOA_CALIBRATION_CACHE" in found.said


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions bind every user but root")
def test_a_cache_folder_that_is_not_writable_is_a_matter_of_configuration(koa_cal: Run, cache: Path) -> None:
    cache.mkdir(mode=0o500)
    assert str(cache) in koa_cal("list", "-i", "testspec").ended(2).said


@pytest.mark.parametrize("content", [b"not a database, but some text " * 100, b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_database_is_named_and_left_as_it_is(koa_cal: Run, cache: Path, content: bytes) -> None:
    database = cache / "database" / "testspec_calibrations.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(content)
    found = koa_cal("list", "-i", "testspec")
    assert found.code in {1, 2}
    assert found.out == ""
    assert str(database) in found.said
    assert database.read_bytes() == content


SECRET = "s3cr3t-word"


@pytest.mark.usefixtures("night")
def test_no_secret_of_the_environment_is_ever_written(
    koa_cal: Run, monkeypatch: pytest.MonkeyPatch, frame: Path, cache: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", f"postgresql://observer:{SECRET}@127.0.0.1:9/koa")
    monkeypatch.setenv("KOA_CALIBRATION_URL", f"http://observer:{SECRET}@127.0.0.1:9/files?token={SECRET}")
    monkeypatch.setenv("KOA_ACCESS_TOKEN", SECRET)
    monkeypatch.setenv("KOA_OFFLINE", "1")
    koa_cal("register", tmp_path / "night" / "dark-near.fits", "--origin", "REMOTE")
    (cache / "calibrations" / "dark-near.fits").unlink()
    commands: list[list[Any]] = [
        ["instruments"],
        ["status", "-i", "testspec"],
        ["list", "-i", "testspec"],
        ["show", "dark-near.fits", "-i", "testspec"],
        ["best", frame],
        ["explain", frame, "--type", "arc"],
        ["get", "dark-near.fits", "-i", "testspec"],
        ["verify", "-i", "testspec"],
        ["verify", "--repair", "-i", "testspec"],
        ["flag", "dark-near.fits", "bad", "--reason", "light leak", "-i", "testspec"],
    ]
    written = [koa_cal(*debug, *command) for command in commands for debug in ([], ["--debug"])]
    assert any(found.code for found in written)
    assert [found for found in written if SECRET in found.out + found.err] == []


@pytest.mark.usefixtures("night")
def test_a_type_may_be_named_in_any_letter_case(koa_cal: Run, frame: Path) -> None:
    assert list(koa_cal("best", frame, "--type", "DARK", "--json").ended(0).json["calibrations"]) == ["dark"]
    assert koa_cal("explain", frame, "--type", "Dark", "--json").ended(0).json["cal_type"] == "dark"


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("command", ["best", "explain"])
def test_an_unknown_type_is_wrong_usage_and_the_known_ones_are_said(koa_cal: Run, frame: Path, command: str) -> None:
    found = koa_cal(command, frame, "--type", "wavelengths").ended(2)
    assert found.out == ""
    assert "'wavelengths'" in found.said
    assert "dark, flat, arc, bias" in found.said


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/masters", "nowhere", "http://127.0.0.1:9/{zzZ}"])
@pytest.mark.parametrize("command", ["get", "best", "prefetch"])
def test_an_unusable_url_is_wrong_configuration_and_said_once(
    koa_cal: Run, write: Run, cache: Path, monkeypatch: pytest.MonkeyPatch, command: str, url: str
) -> None:
    for name, mjd in (("one.fits", 61083.0), ("two.fits", 61084.0)):
        koa_cal("register", write(name, mjd, "dark"), "--origin", "REMOTE").ended(0)
        (cache / "calibrations" / name).unlink()
    monkeypatch.setenv("KOA_CALIBRATION_URL", url)
    wanted = {
        "get": ("one.fits", "two.fits", "-i", "testspec"),
        "best": (write("frame.fits", 61083.5), "--type", "dark"),
        "prefetch": ("--since", "2026-02-12", "-i", "testspec"),
    }
    found = koa_cal(command, *wanted[command]).ended(2)
    assert found.out == ""
    assert found.err.count("calibration URL") == 1


@pytest.mark.usefixtures("no_records")
@pytest.mark.parametrize("command", [["show"], ["get"], ["flag", "bad", "--reason", "light leak"]])
def test_a_name_that_nothing_has_exits_with_1(koa_cal: Run, command: list[str]) -> None:
    found = koa_cal(command[0], "nosuch.fits", *command[1:], "-i", "testspec").ended(1)
    assert found.out == ""
    assert "'nosuch.fits'" in found.said


@pytest.mark.parametrize("command", [["sync"], ["publish"], ["remote", "init"]])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_without_an_archive_these_commands_are_wrong_usage(koa_cal: Run, command: list[str], more: list[str]) -> None:
    found = koa_cal(*command, *more, "-i", "testspec").ended(2)
    if more:
        assert found.err == ""
        assert found.json["error"]["type"] == "RemoteNotConfiguredError"
        assert "KOA_REMOTE_DATABASE_URL" in found.json["error"]["hint"]
    else:
        assert found.out == ""
        assert "KOA_REMOTE_DATABASE_URL" in found.said


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(
    "command",
    [["list"], ["prune"], ["prefetch", "--night", "2026-02-12"], ["bundle", "export", "night.tar"]],
    ids=lambda command: command[0],
)
def test_a_misspelt_type_is_wrong_usage_where_none_is_chosen_too(koa_cal: Run, command: list[str]) -> None:
    said = koa_cal(*command, "--type", "dork", "-i", "testspec").ended(2).said
    assert said.endswith("Did you mean dark? Its types are dark, flat, arc, bias.\n")


@pytest.mark.parametrize(
    "typed", [("list", "-i", "testspec", "-i", "other"), ("list", "--limit", "3", "-i", "testspec", "--limit", "4")]
)
def test_an_option_that_takes_one_value_is_not_given_twice(koa_cal: Run, typed: tuple[str, ...]) -> None:
    assert "is given twice; give it once" in koa_cal(*typed).ended(2).err


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["show", "dark.fits"],
        ["best", "--set", "arm=BLUE"],
        ["explain", "frame.fits", "--type", "dark"],
        ["check", "frame.fits"],
        ["verify"],
        ["coverage"],
        ["affected", "dark.fits"],
    ],
)
def test_a_command_that_reads_makes_no_database_and_says_what_makes_one(
    koa_cal: Run, cache: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = koa_cal(*command, "-i", "testspec").ended(1).said
    assert f"There is no database of testspec in {cache} yet." in said
    assert "koa-cal register" in said
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", "postgresql://127.0.0.1:1/archive")
    assert "koa-cal sync" in koa_cal(*command, "-i", "testspec").ended(1).said
    assert not cache.exists()


def test_the_status_without_a_database_is_no_error_and_makes_none(koa_cal: Run, cache: Path) -> None:
    shown = koa_cal("status", "-i", "testspec").ended(0).out
    found = koa_cal("status", "-i", "testspec", "--check", "--json").ended(0).json
    assert "There is no database of testspec" in shown
    assert found["check"][0]["ok"]
    assert not cache.exists()
    open_store("testspec").close()
    assert koa_cal("status", "-i", "testspec", "--check", "--json").ended(0).json.keys() == found.keys()


def test_with_a_misspelt_json_an_error_is_json_too(koa_cal: Run) -> None:
    assert koa_cal("list", "--json=1").ended(2).json["error"]["type"] == "UsageError"
