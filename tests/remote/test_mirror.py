"""A private copy in which a client's own rules ask the archive: always up to date, and gone when nobody needs it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from koa_middleware.choosing.selector import CalibrationSelector
from koa_middleware.exceptions import CalibrationNotFoundError, ConfigurationError, RemoteError, RemoteUnavailableError
from koa_middleware.instrument.times import now_iso
from koa_middleware.remote.http import mirror as mirror_module
from koa_middleware.remote.http.mirror import Mirror
from sqlalchemy import text
from survey import Archive, Client, Survey

DARK = CalibrationSelector(cal_type="dark")
FRAME = {"mjd_start": 61042.0}


@pytest.fixture
def kind() -> str:
    return "http"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder in which copies are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def mirror(archive: Archive, client: Client) -> Iterator[Mirror[Survey]]:
    made = Mirror(archive.remote(), client.database)
    yield made
    made.close()


def chosen(mirror: Mirror[Survey]) -> str:
    try:
        return str(DARK.select(FRAME, mirror.asked()).filename)
    except CalibrationNotFoundError:
        return "none"


@pytest.mark.parametrize("is_synced", [False, True])
def test_a_rule_chooses_of_what_the_archive_has_now_and_nothing_changes_here(
    archive: Archive, client: Client, mirror: Mirror[Survey], is_synced: bool
) -> None:
    archive.insert("a.fits")
    client.add_local("own.fits")
    if is_synced:
        client.sync()
    with client.database.connect() as connection:
        before = connection.execute(text("SELECT * FROM survey_calibrations_sync")).all(), client.rows()
    assert chosen(mirror) == "a.fits"
    archive.change("a.fits", quality="BAD")
    assert chosen(mirror) == "none"
    archive.insert("b.fits")
    assert chosen(mirror) == "b.fits"
    assert {record.filename for record in mirror.asked().query()} == {"a.fits", "b.fits"}
    assert {record.origin for record in mirror.asked().query()} == {"REMOTE"}
    archive.delete()
    assert chosen(mirror) == "none"
    with client.database.connect() as connection:
        assert before == (connection.execute(text("SELECT * FROM survey_calibrations_sync")).all(), client.rows())


def test_what_is_kept_apart_because_of_a_local_record_is_there(
    archive: Archive, client: Client, mirror: Mirror[Survey]
) -> None:
    client.add_local("a.fits", nframes=1)
    archive.insert("a.fits", nframes=2)
    assert len(client.sync().conflicts) == 1
    assert DARK.select(FRAME, mirror.asked()).nframes == 2


def test_the_stores_own_judgements_hold_and_are_taken_back(
    archive: Archive, client: Client, mirror: Mirror[Survey]
) -> None:
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    assert chosen(mirror) == "a.fits"
    record = mirror.asked().query_by_id(identifier)
    client.database.judge(record, "BAD", "not for us", "eve")
    assert chosen(mirror) == "none"
    assert mirror.asked().judged_here()[identifier].who == "eve"
    client.database.judge(record, None, "fine after all", "eve")
    assert chosen(mirror) == "a.fits"


def test_the_archives_past_is_asked_without_what_was_only_here(
    archive: Archive, client: Client, mirror: Mirror[Survey]
) -> None:
    client.sync()
    mine = client.add_local("own.fits")
    archive.insert("a.fits", "b.fits")
    before = now_iso()
    archive.change("a.fits", quality="BAD")
    archive.delete("b.fits")
    client.execute(f"DELETE FROM survey_calibrations WHERE id = '{mine.id}'")
    client.sync()
    then = mirror.asked().as_of(before)
    assert {record.filename: record.quality for record in then.query()} == {"a.fits": "UNKNOWN", "b.fits": "UNKNOWN"}
    assert DARK.select(FRAME, then).choice is not None
    with pytest.raises(ConfigurationError, match="begins at"):
        mirror.asked().as_of("2020-01-01T00:00:00.000000")


def test_one_question_is_one_look_however_many_statements_it_has(
    archive: Archive, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "LOOK_S", 60.0)  # a slow machine's question takes long
    archive.insert(*(f"{number}.fits" for number in range(5)))
    looks: list[Any] = []

    class Counted:
        def __init__(self, remote: Any) -> None:
            self._remote = remote

        def __getattr__(self, name: str) -> Any:
            return getattr(self._remote, name)

        def connected(self, *others: Any) -> Any:
            looks.append(others)
            return self._remote.connected(*others)

    mirror: Mirror[Survey] = Mirror(Counted(archive.remote()), client.database)  # type: ignore[arg-type]
    database = mirror.asked()
    for _ in range(5):
        DARK.select(FRAME, database)
        DARK.explain(FRAME, database)
    assert len(looks) == 1
    mirror.close()


def test_threads_ask_at_the_same_time(archive: Archive, mirror: Mirror[Survey]) -> None:
    found: list[str] = []

    def ask(number: int) -> None:
        archive.insert(f"{number}.fits", mjd_start=61042.0, quality="GOOD")
        names = {record.filename for record in mirror.asked().query()}
        found.append(f"{number}.fits" if f"{number}.fits" in names else "")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"{number}.fits" for number in range(6)]


def test_the_copy_is_read_only_and_says_so(archive: Archive, mirror: Mirror[Survey]) -> None:
    archive.insert("a.fits")
    with pytest.raises(RemoteError, match="read-only"), mirror.asked().session_manager() as session:
        session.execute(text("DELETE FROM survey_calibrations"))
    with pytest.raises(RemoteError, match="read-only"):
        mirror.asked().add(Survey(filename="b.fits", cal_type="dark", mjd_start=61042.0))
    assert list(archive.rows()) == ["a.fits"]


def test_an_archive_that_does_not_answer_is_no_miss(archive: Archive, client: Client) -> None:
    archive.insert("a.fits")
    client.sync()
    mirror = Mirror(archive.out_of_reach(), client.database)
    with pytest.raises(RemoteUnavailableError):
        chosen(mirror)
    mirror.close()


def test_the_copy_goes_when_it_is_closed_or_forgotten(archive: Archive, client: Client, temporary: Path) -> None:
    archive.insert("a.fits")
    mirror = Mirror(archive.remote(), client.database)
    assert not list(temporary.glob("koa-archive-*"))
    chosen(mirror)
    assert len(list(temporary.glob("koa-archive-*"))) == 1
    mirror.close()
    assert not list(temporary.glob("koa-archive-*"))
    assert chosen(mirror) == "a.fits"
    del mirror
    assert not list(temporary.glob("koa-archive-*"))


def test_a_forked_child_makes_a_copy_of_its_own_and_leaves_its_parents(
    archive: Archive, mirror: Mirror[Survey], temporary: Path
) -> None:
    archive.insert("a.fits")
    chosen(mirror)
    (ours,) = temporary.glob("koa-archive-*")
    asking, answering = os.pipe()

    def ask() -> None:
        os.write(answering, f"{chosen(mirror)} {len(list(temporary.glob('koa-archive-*')))}".encode())
        mirror.close()

    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    child.join(30)
    assert (child.exitcode, os.read(asking, 100)) == (0, b"a.fits 2")
    assert list(temporary.glob("koa-archive-*")) == [ours]
    assert chosen(mirror) == "a.fits"


def test_a_process_that_ends_without_closing_leaves_nothing(archive: Archive, temporary: Path) -> None:
    archive.insert("a.fits")
    program = (
        "import sys; from survey import Survey\n"
        "from koa_middleware.remote.servers import remote_at\n"
        "remote = remote_at(sys.stdin.read(), Survey)\n"
        "print(len(remote.database.query()))\n"
    )
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": here}
    given: dict[str, Any] = {"input": archive.http_url, "capture_output": True, "text": True, "env": environment}
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60, **given)
    assert (done.stdout, done.stderr) == ("1\n", "")
    assert not list(temporary.glob("koa-archive-*"))
